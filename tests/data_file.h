/* data_file.h: writes valid and invalid IDX and npy files, and reads data sets. */
#ifndef TALLY_TESTS_DATA_FILE_H
#define TALLY_TESTS_DATA_FILE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <tally/data.h>
#include <zlib.h>

#include "scratch.h"

/* The content of the file under construction. */
typedef struct made_file {
    unsigned char at[1 << 20];
    size_t count;
} made_file;

static made_file made;

static inline void append_bytes(const void *data, size_t count) {
    assert_true(count <= sizeof made.at - made.count);
    memcpy(made.at + made.count, data, count);
    made.count += count;
}

/* Copies of paths in a test's folder, which stay valid when another one is requested. */
static inline const char *keep_path(scratch *s, const char *name) {
    static char kept[16][PATH_MAX];
    const char *path = scratch_path(s, name);
    size_t i = 0;
    while (strncmp(kept[i], s->folder, strlen(s->folder)) == 0 && strcmp(kept[i], path) != 0)
        assert_true(++i < sizeof kept / sizeof kept[0]);
    return strcpy(kept[i], path);
}

static inline const char *write_made(scratch *s, const char *name) {
    const char *path = keep_path(s, name);
    put_file(path, made.at, made.count);
    return path;
}

static inline const char *pack_made(scratch *s, const char *name) {
    const char *path = keep_path(s, name);
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, made.at, (unsigned)made.count), made.count);
    assert_int_equal(gzclose(file), Z_OK);
    return path;
}

static inline void put_big_endian(uint32_t number) {
    append_bytes((unsigned char[]){(unsigned char)(number >> 24), (unsigned char)(number >> 16),
                                   (unsigned char)(number >> 8), (unsigned char)number},
                 4);
}

/* The header of an IDX file; sizes ends with UINT32_MAX. */
static inline void idx_start(unsigned type, unsigned ndim, const uint32_t *sizes) {
    made.count = 0;
    append_bytes((unsigned char[]){0, 0, (unsigned char)type, (unsigned char)ndim}, 4);
    for (; *sizes != UINT32_MAX; sizes++)
        put_big_endian(*sizes);
}
#define SIZES(...) ((const uint32_t[]){__VA_ARGS__, UINT32_MAX})

/* The version and a header that is padded as NumPy pads it. */
static inline void npy_start(int major, const char *header) {
    made.count = 0;
    size_t prefix = major == 1 ? 10 : 12, length = strlen(header) + 1, total = (prefix + length + 63) / 64 * 64;
    append_bytes("\x93NUMPY", 6);
    append_bytes((unsigned char[]){(unsigned char)major, 0}, 2);
    size_t size = total - prefix;
    append_bytes((unsigned char[]){(unsigned char)size, (unsigned char)(size >> 8), 0, 0}, major == 1 ? 2 : 4);
    append_bytes(header, length - 1);
    while (made.count < total - 1)
        append_bytes(" ", 1);
    append_bytes("\n", 1);
}

#define NPY(descr, order, shape) "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }"

static inline void put_zeros(size_t count) {
    static const unsigned char zeros[4096];
    append_bytes(zeros, count);
}

/* The simplest valid x: an array of bytes. */
static inline const char *good_x(scratch *s) {
    npy_start(1, NPY("|u1", "False", "(3, 2, 2)"));
    append_bytes("\0\1\2\3\4\5\6\7\10\11\12\13", 12);
    return write_made(s, "x.npy");
}

static inline const char *good_labels(scratch *s) {
    npy_start(1, NPY("|u1", "False", "(3,)"));
    append_bytes("\0\2\1", 3);
    return write_made(s, "y.npy");
}

static inline void assert_error(tally_status status, tally_status expected, const char *path, const char *part) {
    if (status != expected || !strstr(tally_error_text(), part) || (path && !strstr(tally_error_text(), path)))
        fail_msg("status %d, \"%s\": not %d, \"%s\" of %s", (int)status, tally_error_text(), (int)expected, part,
                 path ? path : "any file");
}

static inline tally_sequences *read_npy(const char *x, const char *labels, const char *lengths) {
    tally_sequences *sequences;
    if (tally_sequences_read_npy(x, labels, lengths, &sequences))
        fail_msg("%s", tally_error_text());
    return sequences;
}

static inline tally_sequences *read_idx(const char *images, const char *labels) {
    tally_sequences *sequences;
    if (tally_sequences_read_idx(images, labels, &sequences))
        fail_msg("%s", tally_error_text());
    return sequences;
}

/* Reads all sequences of a data set, in order: returns x, which the caller frees, and fills labels. */
static inline float *read_all(const tally_dataset *data, int32_t *labels) {
    size_t values = data->size * data->steps * data->inputs;
    float *x = calloc(values + 1, sizeof *x);
    for (size_t i = 0; i < values; i++)
        x[i] = NAN;
    size_t *numbers = calloc(data->size + 1, sizeof *numbers);
    for (size_t i = 0; i < data->size; i++)
        numbers[i] = i;
    assert_int_equal(data->read(data, numbers, data->size, x, labels), TALLY_OK);
    free(numbers);
    return x;
}

#endif
