/* source.h: the bytes of a data file, which may be packed by gzip. Memory is taken for bytes that are there, never for those that
 * a header promises. */
#ifndef TALLY_DATA_SOURCE_H
#define TALLY_DATA_SOURCE_H

#include <stdbool.h>
#include <tally/core.h>
#include <zlib.h>

typedef struct tl_source {
    const char *path; /* borrowed */
    int fd;
    size_t left; /* bytes of the file not read yet */
    bool packed; /* by gzip: the file begins with its two bytes */
    /* Of a packed one: */
    z_stream stream;
    bool between; /* two members: the last one has ended */
    unsigned char *input;
} tl_source;

/* TALLY_IO: cannot be read. TALLY_DATA: named .gz and not gzip's. */
tally_status tl_source_open(const char *path, tl_source *source);
void tl_source_close(tl_source *source);

/* *got is less than bytes only where the source ends. TALLY_DATA for damage in what gzip packed. */
tally_status tl_source_read(tl_source *source, void *to, size_t bytes, size_t *got);

/* The rest of the source, which must be count elements of width bytes: TALLY_DATA if it is shorter or longer. The caller frees
 * *values. */
tally_status tl_source_read_rest(tl_source *source, size_t count, size_t width, void **values);

#endif
