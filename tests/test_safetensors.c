/* The safetensors reader and writer: a round trip, one violation of each rule of the format, every truncation and
 * every changed byte of a small file, and every allocation failing once (the linker wraps malloc and calloc). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <tally/core.h>

#include "scratch.h"

#include "store/safetensors.h"

enum { PREFIX = 8, NEVER = -1 };

static int allocations_left = NEVER; /* the number of allocations before the one that fails */

static bool allocation_fails(void) {
    if (allocations_left == NEVER)
        return false;
    return allocations_left-- == 0;
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) {
    return allocation_fails() ? NULL : __real_malloc(bytes);
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes) {
    return allocation_fails() ? NULL : __real_calloc(count, bytes);
}

static void assert_error(const char *part) {
    if (!strstr(tally_error_text(), part))
        fail_msg("\"%s\" does not have \"%s\"", tally_error_text(), part);
}

/* A file with a header size, a header and zeros; the caller frees it. */
static unsigned char *make_file(uint64_t header_size, const char *header, size_t header_bytes, size_t data_bytes,
                                size_t *bytes) {
    *bytes = PREFIX + header_bytes + data_bytes;
    unsigned char *file = calloc(1, *bytes);
    assert_non_null(file);
    for (int i = 0; i < PREFIX; i++)
        file[i] = (unsigned char)(header_size >> 8 * i);
    memcpy(file + PREFIX, header, header_bytes);
    return file;
}

/* The result is freed unless the caller wants the file. */
static tally_status read_made(scratch *s, uint64_t header_size, const char *header, size_t header_bytes,
                              size_t data_bytes, tl_safetensors *out) {
    size_t bytes;
    unsigned char *file = make_file(header_size, header, header_bytes, data_bytes, &bytes);
    const char *path = scratch_path(s, "t.safetensors");
    put_file(path, file, bytes);
    free(file);
    tl_safetensors parsed;
    tally_status status = tl_safetensors_read(path, &parsed);
    if (out)
        *out = parsed;
    else
        tl_safetensors_free(&parsed);
    return status;
}

static tally_status read_header(scratch *s, const char *header, size_t data_bytes, tl_safetensors *out) {
    return read_made(s, strlen(header), header, strlen(header), data_bytes, out);
}

static void test_round_trip(void **state) {
    scratch *s = *state;
    const unsigned char floats[24] = {0, 0,  128, 63, 1,  2,  3,  4,  5,  6,  7,  8,
                                      9, 10, 11,  12, 13, 14, 15, 16, 17, 18, 19, 20};
    const unsigned char bytes[3] = {255, 0, 127};
    const size_t matrix[] = {2, 3}, vector[] = {3}, none[] = {4, 0};
    const tl_saved_tensor tensors[] = {
        {"z", "F32", 2, matrix, floats, 24},  {"scalar", "F64", 0, NULL, floats + 8, 8},
        {"nothing", "F16", 2, none, NULL, 0}, {"a \"name\" \xc3\xa9", "I8", 1, vector, bytes, 3},
        {"", "U8", 1, vector, floats, 3},
    };
    enum { COUNT = sizeof tensors / sizeof tensors[0] };
    json_t *metadata = json_pack("{s:s, s:s}", "task", "count", "quote", "\"\n\xc3\xa9");
    const char *path = scratch_path(s, "t.safetensors");
    assert_int_equal(tl_safetensors_write(path, tensors, COUNT, metadata), TALLY_OK);

    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    unsigned char prefix[PREFIX];
    assert_int_equal(fread(prefix, 1, PREFIX, file), PREFIX);
    fclose(file);
    size_t header = prefix[0] | (size_t)prefix[1] << 8;
    assert_int_equal(header % 8, 0);
    assert_int_equal(info.st_size, PREFIX + header + 24 + 8 + 0 + 3 + 3);

    tl_safetensors read;
    assert_int_equal(tl_safetensors_read(path, &read), TALLY_OK);
    assert_int_equal(read.count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        assert_string_equal(read.tensors[i].name, tensors[i].name);
        assert_string_equal(read.tensors[i].dtype, tensors[i].dtype);
        assert_int_equal(read.tensors[i].ndim, tensors[i].ndim);
        for (size_t d = 0; d < tensors[i].ndim; d++)
            assert_int_equal(read.tensors[i].shape[d], tensors[i].shape[d]);
        assert_int_equal(read.tensors[i].bytes, tensors[i].bytes);
        if (tensors[i].bytes)
            assert_memory_equal(read.tensors[i].data, tensors[i].data, tensors[i].bytes);
    }
    assert_true(json_equal(read.metadata, metadata));
    tl_safetensors_free(&read);
    json_decref(metadata);
}

static void test_nothing_at_all(void **state) {
    scratch *s = *state;
    const char *path = scratch_path(s, "t.safetensors");
    assert_int_equal(tl_safetensors_write(path, NULL, 0, NULL), TALLY_OK);
    assert_file_holds(path, "\x08\0\0\0\0\0\0\0{}      ", 16);
    tl_safetensors read;
    assert_int_equal(tl_safetensors_read(path, &read), TALLY_OK);
    assert_int_equal(read.count, 0);
    assert_null(read.metadata);
    tl_safetensors_free(&read);
}

static void test_accepted(void **state) {
    static const struct {
        const char *header;
        size_t data, count;
    } files[] = {
        {"{}", 0, 0},
        {"{} \n\r\t  ", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{\"t\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, 1},
        {"{\"t\":{\"dtype\":\"I32\",\"shape\":[2,0],\"data_offsets\":[0,0]}}", 0, 1},
        {"{\"t\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1, 1},
        {"{\"t\":{\"dtype\":\"F6_E3M2\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3, 1},
        {"{\"t\":{\"data_offsets\":[0,16],\"shape\":[2],\"dtype\":\"C64\"}}", 16, 1},
        /* later in the header, earlier in the data; and one without data between them */
        {"{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]},"
         "\"e\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
         3, 3},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        tl_safetensors read;
        if (read_header(*state, files[i].header, files[i].data, &read))
            fail_msg("%s: %s", files[i].header, tally_error_text());
        assert_int_equal(read.count, files[i].count);
        tl_safetensors_free(&read);
    }
}

static void test_every_dtype(void **state) {
    static const struct {
        const char *name;
        int bits;
    } types[] = {{"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
                 {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
                 {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
                 {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char header[128]; /* 8 elements have as many bytes as one has bits */
        snprintf(header, sizeof header, "{\"t\":{\"dtype\":\"%s\",\"shape\":[2,4],\"data_offsets\":[0,%d]}}",
                 types[i].name, types[i].bits);
        if (read_header(*state, header, (size_t)types[i].bits, NULL))
            fail_msg("%s", tally_error_text());
    }
}

#define T(inside) "{\"w\":{" inside "}}"
#define F32_2 "\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"

static void test_broken_headers(void **state) {
    static const struct {
        const char *header;
        size_t data;
        const char *error;
    } files[] = {
        {"", 0, ": the header is empty"},
        {" {}", 0, ": the header does not begin with '{'"},
        {"[]", 0, ": the header does not begin with '{'"},
        {"\xef\xbb\xbf{}", 0, ": the header does not begin with '{'"},
        {"{", 0, ": the header is not valid JSON: "},
        {"{}x", 0, ": the header is not valid JSON: end of file expected near 'x' at its byte 3"},
        {"{}{}", 0, ": the header is not valid JSON: end of file expected near '{' at its byte 3"},
        {"{\"a\xff\":{}}", 0, ": the header is not valid JSON: unable to decode byte 0xff near '\"a' at its byte 3"},
        {"{\"a\xc0\x80\":{}}", 0, ": the header is not valid JSON: unable to decode byte 0xc0"},
        {"{\"a\\ud800\":{}}", 0, ": the header is not valid JSON: invalid Unicode '\\uD800'"},
        {"{\"a\\u0000\":{}}", 0, ": the header is not valid JSON: NUL byte in object key not supported"},
        {"{\"a\x1b[2J\":{}}", 0, ": the header is not valid JSON: control character 0x1b"},
        {"{\"w\":{" F32_2 "},\"w\":{" F32_2 "}}", 8,
         ": the header is not valid JSON: duplicate object key near '\"w\"'"},
        {"{\"w\":{" F32_2 "},\"\\u0077\":{" F32_2 "}}", 8, ": the header is not valid JSON: duplicate object key"},
        {T(F32_2 ",\"dtype\":\"F32\""), 8, ": the header is not valid JSON: duplicate object key near '\"dtype\"'"},
        {"{\"__metadata__\":{\"a\":\"b\",\"a\":\"b\"}}", 0, ": the header is not valid JSON: duplicate object key"},
        {T("\"dtype\":\"U8\",\"shape\":[99999999999999999999,0],\"data_offsets\":[0,0]"), 0,
         ": the header is not valid JSON: too big integer"},

        {"{\"__metadata__\":[]}", 0, ": __metadata__ is not an object"},
        {"{\"__metadata__\":null}", 0, ": __metadata__ is not an object"},
        {"{\"__metadata__\":{\"epochs\":5}}", 0, ": epochs in __metadata__ is not a string"},
        {"{\"__metadata__\":{\"k\":{\"a\":\"b\"}}}", 0, ": k in __metadata__ is not a string"},

        {"{\"w\":[]}", 0, ": tensor w is not an object"},
        {"{\"\":1}", 0, ": tensor \"\" is not an object"},
        {"{\"\\u001b[2J\xc3\xa9\":1}", 0, ": tensor ?[2J?? is not an object"},
        {T("\"shape\":[2],\"data_offsets\":[0,8]"), 8, ": tensor w has no dtype"},
        {T("\"dtype\":\"F32\",\"data_offsets\":[0,8]"), 8, ": tensor w has no shape"},
        {T("\"dtype\":\"F32\",\"shape\":[2]"), 8, ": tensor w has no data_offsets"},
        {T(F32_2 ",\"stride\":[1]"), 8, ": tensor w has the unknown key stride"},

        {T("\"dtype\":32,\"shape\":[2],\"data_offsets\":[0,8]"), 8, ": tensor w has a dtype that is not a string"},
        {T("\"dtype\":\"F33\",\"shape\":[2],\"data_offsets\":[0,8]"), 8, ": tensor w has the unknown dtype F33"},
        {T("\"dtype\":\"f32\",\"shape\":[2],\"data_offsets\":[0,8]"), 8, ": tensor w has the unknown dtype f32"},
        {T("\"dtype\":\"\",\"shape\":[2],\"data_offsets\":[0,8]"), 8, ": tensor w has the unknown dtype \"\""},

        {T("\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]"), 8, ": tensor w has a shape that is not an array"},
        {T("\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,8]"), 8, ": tensor w has a shape that is not an array"},
        {T("\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]"), 8,
         ": tensor w has a size in its shape that is not a whole number from 0"},
        {T("\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[0,8]"), 8,
         ": tensor w has a size in its shape that is not a whole number from 0"},
        {T("\"dtype\":\"F32\",\"shape\":[-1,-2],\"data_offsets\":[0,8]"), 8,
         ": tensor w has a size in its shape that is not a whole number from 0"},
        {T("\"dtype\":\"F32\",\"shape\":[[2]],\"data_offsets\":[0,8]"), 8,
         ": tensor w has a size in its shape that is not a whole number from 0"},
        {T("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]"), 0,
         ": tensor w has a shape whose size overflows"},
        {T("\"dtype\":\"F32\",\"shape\":[1152921504606846976],\"data_offsets\":[0,0]"), 0,
         ": tensor w has a shape whose size overflows"},
        {T("\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]"), 1,
         ": tensor w has 12 bits, which are not whole bytes"},

        {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":8"), 8,
         ": tensor w has data_offsets that are not two whole numbers from 0"},
        {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]"), 8,
         ": tensor w has data_offsets that are not two whole numbers from 0"},
        {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4,8]"), 8,
         ": tensor w has data_offsets that are not two whole numbers from 0"},
        {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]"), 8,
         ": tensor w has data_offsets that are not two whole numbers from 0"},
        {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8.5]"), 8,
         ": tensor w has data_offsets that are not two whole numbers from 0"},
        {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]"), 8,
         ": tensor w ends at byte 0, before it begins at byte 8"},
        {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]"), 4,
         ": tensor w has 4 bytes of data, but its shape and dtype need 8"},
        {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[9223372036854775799,9223372036854775807]"), 8,
         ": tensor w ends at byte 9223372036854775807 of the data, but the file has only 8"},
        {T(F32_2), 7, ": tensor w ends at byte 8 of the data, but the file has only 7"},
        {T(F32_2), 0, ": tensor w ends at byte 8 of the data, but the file has only 0"},

        {T(F32_2), 9, ": 1 bytes follow the last tensor"},
        {"{}", 5, ": 5 bytes follow the last tensor"},
        {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]"), 12,
         ": tensor w begins at byte 4 of the data, but the one before ends at 0"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[5,8]}}",
         8, ": tensor b begins at byte 5 of the data, but the one before ends at 4"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[3,7]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
         7, ": tensor a begins at byte 3 of the data, but the one before ends at 4"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
         4, ": tensor b begins at byte 0 of the data, but the one before ends at 4"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        tally_status status = read_header(*state, files[i].header, files[i].data, NULL);
        if (status != TALLY_MODEL || !strstr(tally_error_text(), files[i].error) ||
            !strstr(tally_error_text(), "t.safetensors"))
            fail_msg("%s: %d, \"%s\" instead of \"%s\"", files[i].header, status, tally_error_text(), files[i].error);
    }
}

static void test_header_sizes(void **state) {
    scratch *s = *state;
    assert_int_equal(read_made(s, 3, "{}", 2, 0, NULL), TALLY_MODEL);
    assert_error("t.safetensors: a header of 3 bytes does not fit in the file, which has 10");
    assert_int_equal(read_made(s, 100000000, "{}", 2, 0, NULL), TALLY_MODEL);
    assert_error(": a header of 100000000 bytes does not fit in the file, which has 10");
    assert_int_equal(read_made(s, 100000001, "{}", 2, 0, NULL), TALLY_MODEL);
    assert_error(": a header of 100000001 bytes is larger than the 100000000 allowed");
    assert_int_equal(read_made(s, UINT64_MAX, "{}", 2, 0, NULL), TALLY_MODEL);
    assert_error(": a header of 18446744073709551615 bytes is larger than");
    /* a size that ends inside the header */
    assert_int_equal(read_made(s, 1, "{}", 2, 0, NULL), TALLY_MODEL);
    assert_error(": the header is not valid JSON: ");
    /* zeros after the JSON text are no padding */
    assert_int_equal(read_made(s, 4, "{}", 2, 2, NULL), TALLY_MODEL);
    assert_error(": the header is not valid JSON: ");
}

/* The header's size is valid only because the file is large; the file is sparse, so nothing of that size is
 * written. */
static void test_sparse_file(void **state) {
    scratch *s = *state;
    const char *path = scratch_path(s, "t.safetensors");
    put_file(path, "\2\0\0\0\0\0\0\0{}", 10);
    const off_t size = (off_t)1 << 31;
    assert_int_equal(truncate(path, size), 0);
    tl_safetensors file;
    assert_int_equal(tl_safetensors_read(path, &file), TALLY_MODEL);
    char text[64];
    snprintf(text, sizeof text, ": %lld bytes follow the last tensor", (long long)size - 10);
    assert_error(text);
}

static void test_nesting_is_bounded(void **state) {
    enum { DEPTH = 200000 };
    static char header[DEPTH + 8] = "{\"w\":";
    memset(header + 5, '[', DEPTH);
    assert_int_equal(read_header(*state, header, 0, NULL), TALLY_MODEL);
    assert_error(": the header is not valid JSON: maximum parsing depth reached");
}

static void test_long_names_are_cut(void **state) {
    static char header[1000] = "{\"";
    memset(header + 2, 'n', 900);
    strcpy(header + 902, "\":1}");
    assert_int_equal(read_header(*state, header, 0, NULL), TALLY_MODEL);
    assert_error("nnn... is not an object");
    assert_true(strlen(tally_error_text()) < 300);
}

static void test_what_is_no_file(void **state) {
    scratch *s = *state;
    tl_safetensors file;
    assert_int_equal(tl_safetensors_read(scratch_path(s, "missing"), &file), TALLY_IO);
    char expected[2 * sizeof(scratch)];
    snprintf(expected, sizeof expected, "cannot read %s/missing: No such file or directory", s->folder);
    assert_error(expected);
    assert_int_equal(tl_safetensors_read(s->folder, &file), TALLY_IO);
    assert_error(": Is a directory");
    const char *pipe = scratch_path(s, "pipe");
    assert_int_equal(mkfifo(pipe, 0666), 0);
    assert_int_equal(tl_safetensors_read(pipe, &file), TALLY_IO); /* without waiting for a writer */
    assert_error("/pipe: not a regular file");
    assert_int_equal(tl_safetensors_read("/dev/null", &file), TALLY_IO);
    assert_error("/dev/null: not a regular file");
}

static const char small_header[] = "{\"__metadata__\":{\"n\":\"1\"},"
                                   "\"a\":{\"dtype\":\"F16\",\"shape\":[1,2],\"data_offsets\":[0,4]},"
                                   "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[4,7]}} ";
enum { SMALL_DATA = 7, SMALL_HEADER = sizeof small_header - 1 };

static void test_every_truncation(void **state) {
    scratch *s = *state;
    size_t bytes;
    unsigned char *file = make_file(SMALL_HEADER, small_header, SMALL_HEADER, SMALL_DATA, &bytes);
    const char *path = scratch_path(s, "t.safetensors");
    tl_safetensors read;
    for (size_t length = 0; length < bytes; length++) {
        put_file(path, file, length);
        assert_int_equal(tl_safetensors_read(path, &read), TALLY_MODEL);
        if (length < PREFIX) {
            char text[96];
            snprintf(text, sizeof text, ": %zu bytes are too few for a safetensors file, which has at least 8", length);
            assert_error(text);
        } else {
            assert_error(length < PREFIX + SMALL_HEADER ? "does not fit in the file" : "but the file has only");
        }
    }
    put_file(path, file, bytes);
    assert_int_equal(tl_safetensors_read(path, &read), TALLY_OK);
    tl_safetensors_free(&read);
    free(file);
}

/* The guarantees for every file that is read successfully. */
static void assert_sound(const tl_safetensors *file, size_t data_bytes) {
    const unsigned char *next = file->data;
    for (size_t i = 0; i < file->count; i++) {
        const tl_saved_tensor *tensor = &file->tensors[i];
        assert_ptr_equal(tensor->data, next);
        size_t bytes;
        assert_int_equal(tl_safetensors_bytes(tensor->dtype, tensor->shape, tensor->ndim, &bytes), TALLY_OK);
        assert_int_equal(tensor->bytes, bytes);
        next += bytes;
    }
    assert_int_equal(next - file->data, data_bytes);
}

/* Each byte of prefix and header gets every other value. */
static void test_every_changed_byte(void **state) {
    scratch *s = *state;
    size_t bytes;
    unsigned char *file = make_file(SMALL_HEADER, small_header, SMALL_HEADER, SMALL_DATA, &bytes);
    const char *path = scratch_path(s, "t.safetensors");
    put_file(path, file, bytes);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    int valid = 0, broken = 0;
    for (size_t at = 0; at < PREFIX + SMALL_HEADER; at++) {
        for (int change = 1; change < 256; change++) {
            unsigned char changed = (unsigned char)(file[at] ^ change);
            assert_int_equal(pwrite(fd, &changed, 1, (off_t)at), 1);
            tl_safetensors read;
            tally_status status = tl_safetensors_read(path, &read);
            if (status) {
                assert_int_equal(status, TALLY_MODEL);
                assert_error(path);
                broken++;
            } else {
                assert_sound(&read, SMALL_DATA);
                tl_safetensors_free(&read);
                valid++;
            }
        }
        assert_int_equal(pwrite(fd, &file[at], 1, (off_t)at), 1);
    }
    close(fd);
    free(file);
    assert_true(valid > 0); /* some changes are valid, of names for example */
    assert_true(broken > valid);
}

static void test_every_allocation_fails_once(void **state) {
    scratch *s = *state;
    const char *path = scratch_path(s, "t.safetensors");
    const unsigned char data[4] = {1, 2, 3, 4};
    const size_t shape[] = {2, 2};
    const tl_saved_tensor tensor = {"w", "U8", 2, shape, data, 4};
    json_t *metadata = json_pack("{s:s}", "key", "value");
    json_set_alloc_funcs(__wrap_malloc, free);

    int failures = 0;
    tally_status status = TALLY_MEMORY;
    for (; status; failures++) {
        allocations_left = failures;
        status = tl_safetensors_write(path, &tensor, 1, metadata);
        bool failed = allocations_left == NEVER && status;
        allocations_left = NEVER;
        if (status) {
            assert_true(failed);
            assert_int_equal(status, TALLY_MEMORY);
            assert_int_equal(scratch_entries(s), 0);
        }
    }
    assert_true(failures > 10);

    status = TALLY_MEMORY;
    for (failures = 0; status; failures++) {
        allocations_left = failures;
        tl_safetensors read;
        status = tl_safetensors_read(path, &read);
        allocations_left = NEVER;
        if (status) {
            /* if memory runs out for a string, jansson reports an invalid token */
            if (status != TALLY_MEMORY) {
                assert_int_equal(status, TALLY_MODEL);
                assert_error("the header is not valid JSON: ");
                assert_error(" near '\"");
            }
            assert_error(path);
            assert_null(read.header);
        } else {
            assert_int_equal(read.count, 1);
            tl_safetensors_free(&read);
        }
    }
    assert_true(failures > 10);
    json_set_alloc_funcs(malloc, free);
    json_decref(metadata);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_nothing_at_all),
        TEST(test_accepted),
        TEST(test_every_dtype),
        TEST(test_broken_headers),
        TEST(test_header_sizes),
        TEST(test_sparse_file),
        TEST(test_nesting_is_bounded),
        TEST(test_long_names_are_cut),
        TEST(test_what_is_no_file),
        TEST(test_every_truncation),
        TEST(test_every_changed_byte),
        TEST(test_every_allocation_fails_once),
    };
    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
