#include "data/source.h"

#include "core/fail.h"
#include "core/regular_file.h"
#include "core/size.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The buffer size for compressed input, and the initial size of the buffer for decompressed output. */
enum { CHUNK = 1 << 16, ANY_WRAPPER_OF_GZIP = 16 };

static tally_status fail_memory(const tl_source *source, size_t bytes) {
    return tl_fail(TALLY_MEMORY, "cannot read %s: no memory left for %zu bytes", source->path, bytes);
}

/* Reads raw bytes from the file. */
static tally_status read_file(tl_source *source, void *to, size_t bytes, size_t *got) {
    *got = 0;
    while (*got < bytes && source->left > 0) {
        size_t wanted = bytes - *got < source->left ? bytes - *got : source->left;
        ssize_t here = read(source->fd, (char *)to + *got, wanted < SSIZE_MAX ? wanted : SSIZE_MAX);
        if (here < 0 && errno == EINTR)
            continue;
        if (here < 0)
            return tl_fail(TALLY_IO, "cannot read %s: %s", source->path, strerror(errno));
        if (here == 0)
            return tl_fail(TALLY_IO, "cannot read %s: it was truncated while being read", source->path);
        *got += (size_t)here;
        source->left -= (size_t)here;
    }
    return TALLY_OK;
}

static bool ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static tally_status detect_gzip(tl_source *source) {
    unsigned char first[2];
    if (source->left == 0)
        return tl_fail(TALLY_DATA, "%s: it is empty", source->path);
    ssize_t got = pread(source->fd, first, sizeof first, 0);
    if (got < 0)
        return tl_fail(TALLY_IO, "cannot read %s: %s", source->path, strerror(errno));
    source->packed = got == 2 && first[0] == 0x1f && first[1] == 0x8b;
    if (!source->packed)
        return ends_with(source->path, ".gz")
                   ? tl_fail(TALLY_DATA, "%s: its name ends with .gz, but it is not a gzip file", source->path)
                   : TALLY_OK;
    source->input = malloc(CHUNK);
    if (!source->input)
        return fail_memory(source, CHUNK);
    if (inflateInit2(&source->stream, MAX_WBITS + ANY_WRAPPER_OF_GZIP) == Z_OK)
        return TALLY_OK;
    free(source->input);
    return fail_memory(source, sizeof source->stream);
}

tally_status tl_source_open(const char *path, tl_source *source) {
    *source = (tl_source){.path = path};
    tally_status status = tl_open_regular(path, &source->fd, &source->left);
    if (status)
        return status;
    status = detect_gzip(source);
    if (status)
        close(source->fd);
    return status;
}

void tl_source_close(tl_source *source) {
    close(source->fd); /* opened for reading only, so nothing can be lost */
    if (!source->packed)
        return;
    inflateEnd(&source->stream);
    free(source->input);
}

/* Ensures that there is compressed input unless the file has ended. */
static tally_status fill_input(tl_source *source) {
    if (source->stream.avail_in > 0)
        return TALLY_OK;
    size_t got;
    tally_status status = read_file(source, source->input, CHUNK, &got);
    source->stream.next_in = source->input;
    source->stream.avail_in = (uInt)got;
    return status;
}

/* Starts the next member of a gzip file. Nothing else may follow a member. */
static tally_status start_member(tl_source *source) {
    if (source->stream.next_in[0] != 0x1f)
        return tl_fail(TALLY_DATA, "%s: there are bytes after the end of its gzip data", source->path);
    source->between = false;
    return inflateReset(&source->stream) == Z_OK ? TALLY_OK : fail_memory(source, sizeof source->stream);
}

static tally_status inflate_some(tl_source *source) {
    const char *path = source->path;
    switch (inflate(&source->stream, Z_NO_FLUSH)) {
    case Z_OK:
        return TALLY_OK;
    case Z_STREAM_END:
        source->between = true;
        return TALLY_OK;
    case Z_BUF_ERROR:
        return tl_fail(TALLY_DATA, "%s: it is truncated within its gzip data", path);
    case Z_MEM_ERROR:
        return fail_memory(source, CHUNK);
    default:
        return tl_fail(TALLY_DATA, "%s: its gzip data is damaged: %s", path,
                       source->stream.msg ? source->stream.msg : "it does not unpack");
    }
}

static tally_status read_packed(tl_source *source, void *to, size_t bytes, size_t *got) {
    z_stream *stream = &source->stream;
    *got = 0;
    while (*got < bytes) {
        tally_status status = fill_input(source);
        if (!status && source->between && stream->avail_in == 0)
            return TALLY_OK;
        if (!status && source->between)
            status = start_member(source);
        if (status)
            return status;
        size_t room = bytes - *got < UINT_MAX ? bytes - *got : UINT_MAX;
        stream->next_out = (unsigned char *)to + *got;
        stream->avail_out = (uInt)room;
        status = inflate_some(source);
        if (status)
            return status;
        *got += room - stream->avail_out;
    }
    return TALLY_OK;
}

tally_status tl_source_read(tl_source *source, void *to, size_t bytes, size_t *got) {
    return source->packed ? read_packed(source, to, bytes, got) : read_file(source, to, bytes, got);
}

/* Reads at most bytes, growing the buffer as they arrive. */
static tally_status read_growing(tl_source *source, size_t bytes, void **values, size_t *got) {
    size_t room = 0;
    *got = 0;
    for (;;) {
        size_t grown = room > bytes / 2 ? bytes : room > 0 ? 2 * room : CHUNK;
        grown = grown < bytes ? grown : bytes;
        void *larger = realloc(*values, grown);
        if (!larger)
            return fail_memory(source, grown);
        *values = larger;
        room = grown;
        size_t more;
        tally_status status = tl_source_read(source, (char *)*values + *got, room - *got, &more);
        *got += more;
        if (status || *got < room || room == bytes)
            return status;
    }
}

/* Reads from an uncompressed file, whose size is known before reading. */
static tally_status read_counted(tl_source *source, size_t bytes, void **values, size_t *got) {
    *got = source->left;
    if (source->left < bytes)
        return TALLY_OK;
    *values = malloc(bytes);
    return *values ? read_file(source, *values, bytes, got) : fail_memory(source, bytes);
}

/* Nothing may follow. In a compressed source this also verifies the checksum at its end. */
static tally_status check_end(tl_source *source) {
    unsigned char byte;
    size_t got;
    tally_status status = tl_source_read(source, &byte, 1, &got);
    return !status && got > 0 ? tl_fail(TALLY_DATA, "%s: there are bytes after its last value", source->path) : status;
}

tally_status tl_source_read_rest(tl_source *source, size_t count, size_t width, void **values) {
    size_t bytes, got;
    *values = NULL;
    if (!tl_size_mul(count, width, &bytes))
        return tl_fail(TALLY_DATA, "%s: %zu values of %zu bytes are more than any file has", source->path, count,
                       width);
    tally_status status =
        source->packed ? read_growing(source, bytes, values, &got) : read_counted(source, bytes, values, &got);
    if (!status && got < bytes)
        status = tl_fail(TALLY_DATA, "%s: its values need %zu bytes, but it has only %zu", source->path, bytes, got);
    if (!status)
        status = check_end(source);
    if (status) {
        free(*values);
        *values = NULL;
    }
    return status;
}
