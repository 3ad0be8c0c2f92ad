/* source.h: the bytes of a data file, decompressed if it is a gzip file. Memory is allocated for bytes that are
 * present, never on the promise of a header. */
#ifndef TALLY_DATA_SOURCE_H
#define TALLY_DATA_SOURCE_H

#include <stdbool.h>
#include <tally/core.h>
#include <zlib.h>

typedef struct tl_source {
    const char *path; /* borrowed */
    int fd;
    size_t left; /* bytes of the file not yet read */
    bool packed; /* with gzip: the file begins with its magic bytes */
    /* Compressed sources only: */
    z_stream stream;
    bool between; /* between two gzip members */
    unsigned char *input;
} tl_source;

/* TALLY_IO: the file cannot be read. TALLY_DATA: it is named .gz but not a gzip file. */
tally_status tl_source_open(const char *path, tl_source *source);
void tl_source_close(tl_source *source);

/* *got is less than bytes only at the end of the source. TALLY_DATA: the gzip data is damaged. */
tally_status tl_source_read(tl_source *source, void *to, size_t bytes, size_t *got);

/* Reads the rest of the source, which must consist of count elements of width bytes. TALLY_DATA: it is shorter or
 * longer. The caller frees *values. */
tally_status tl_source_read_rest(tl_source *source, size_t count, size_t width, void **values);

#endif
