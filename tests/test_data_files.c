/* IDX and npy files: valid ones, and every way in which a file can be invalid. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <tally/tally.h>

#include "data_file.h"

static void test_idx(void **state) {
    scratch *s = *state;
    idx_start(8, 3, SIZES(3, 2, 4));
    for (unsigned char i = 0; i < 24; i++)
        append_bytes(&i, 1);
    const char *images[] = {write_made(s, "images"), pack_made(s, "images.gz")};
    idx_start(8, 1, SIZES(3));
    append_bytes("\0\377\3", 3);
    const char *labels = pack_made(s, "labels.gz");
    for (int packed = 0; packed < 2; packed++) {
        tally_sequences *sequences = read_idx(images[packed], labels);
        const tally_dataset *data = tally_sequences_kept(sequences);
        assert_int_equal(data->size, 3);
        assert_int_equal(data->steps, 2);
        assert_int_equal(data->inputs, 4);
        assert_int_equal(data->classes, 256);
        assert_null(data->lengths);
        assert_int_equal(tally_sequences_held_out(sequences)->size, 0);
        int32_t read[3];
        float *x = read_all(data, read);
        for (int i = 0; i < 24; i++)
            assert_true(x[i] == (float)i);
        assert_int_equal(read[0], 0);
        assert_int_equal(read[1], 255);
        assert_int_equal(read[2], 3);
        free(x);
        tally_sequences_free(sequences);
    }
    /* Each byte of a size counts. */
    idx_start(8, 3, SIZES(1, 1, 0x010203));
    for (int i = 0; i < 0x0101; i++)
        put_zeros(0x0100);
    put_zeros(0x0103);
    tally_sequences *wide = read_idx(write_made(s, "wide"), NULL);
    assert_int_equal(tally_sequences_kept(wide)->inputs, 0x010203);
    tally_sequences_free(wide);
    /* Sequences in any order, and x or the labels alone; without labels they are -1. */
    tally_sequences *sequences = read_idx(images[0], NULL);
    const tally_dataset *data = tally_sequences_kept(sequences);
    float x[16];
    int32_t none[2];
    assert_int_equal(data->classes, 2);
    assert_int_equal(data->read(data, (size_t[]){2, 0}, 2, x, NULL), TALLY_OK);
    assert_true(x[0] == 16.0f && x[8] == 0.0f && x[15] == 7.0f);
    assert_int_equal(data->read(data, (size_t[]){2, 0}, 2, NULL, none), TALLY_OK);
    assert_true(none[0] == -1 && none[1] == -1);
    tally_sequences_free(sequences);
}

/* Both the plain and the compressed file must be refused with the same message. */
static void wrong_images(scratch *s, const char *part) {
    tally_sequences *sequences;
    for (int packed = 0; packed < 2; packed++) {
        const char *path = packed ? pack_made(s, "wrong.gz") : write_made(s, "wrong");
        assert_error(tally_sequences_read_idx(path, NULL, &sequences), TALLY_DATA, path, part);
        assert_null(sequences);
    }
}

static void test_wrong_idx(void **state) {
    scratch *s = *state;
    made.count = 0;
    append_bytes("\0\0\10", 3);
    wrong_images(s, "not an IDX file: it has only 3 bytes");
    made.count = 0;
    append_bytes("\1\0\10\3", 4);
    wrong_images(s, "not an IDX file: it begins with the bytes 01 00, not 00 00");
    made.count = 0;
    append_bytes("\0\2\10\3", 4);
    wrong_images(s, "not an IDX file: it begins with the bytes 00 02, not 00 00");
    idx_start(0x0d, 3, SIZES(1, 1, 1));
    put_zeros(4);
    wrong_images(s, "have the IDX type 0x0d, but must be unsigned bytes, 0x08");
    idx_start(8, 1, SIZES(1));
    put_zeros(1);
    wrong_images(s, "it has 1 dimensions, images have 3");
    idx_start(8, 3, SIZES(1, 1));
    wrong_images(s, "it ends within its header");
    for (int d = 0; d < 3; d++) {
        idx_start(8, 3, SIZES(d != 0, d != 1, d != 2));
        wrong_images(s, d == 0   ? "it is empty: dimension 1 has size 0"
                        : d == 1 ? "dimension 2 has size 0"
                                 : "dimension 3 has size 0");
    }
    idx_start(8, 3, SIZES(3, 2, 4));
    put_zeros(23);
    wrong_images(s, "its values need 24 bytes, but it has only 23");
    put_zeros(2);
    wrong_images(s, "there are bytes after its last value");
    idx_start(8, 3, SIZES(UINT32_MAX - 1, UINT32_MAX - 1, UINT32_MAX - 1));
    wrong_images(s, "more values than any file");
    idx_start(8, 3, SIZES(3, 2, 4));
    put_zeros(24);
    const char *images = write_made(s, "images");
    const struct {
        unsigned ndim;
        uint32_t sizes[4];
        size_t bytes;
        const char *part;
    } labels[] = {
        {3, {3, 1, 1, UINT32_MAX}, 3, "it has 3 dimensions, labels have 1"},
        {1, {2, UINT32_MAX}, 2, "2 labels, but "},
        {1, {4, UINT32_MAX}, 4, "images has 3 sequences"},
    };
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        idx_start(8, labels[i].ndim, labels[i].sizes);
        put_zeros(labels[i].bytes);
        const char *path = write_made(s, "labels");
        tally_sequences *sequences;
        assert_error(tally_sequences_read_idx(images, path, &sequences), TALLY_DATA, path, labels[i].part);
    }
}

static void test_gzip(void **state) {
    scratch *s = *state;
    tally_sequences *sequences;
    idx_start(8, 3, SIZES(10, 100, 100));
    for (uint32_t i = 0; i < 100000; i++)
        append_bytes(&(unsigned char){(unsigned char)(i * 2654435761u >> 24)}, 1);
    static made_file values;
    values = made;
    const char *path = pack_made(s, "whole.gz");
    FILE *file = fopen(path, "rb");
    made.count = fread(made.at, 1, sizeof made.at, file);
    fclose(file);
    static made_file packed;
    packed = made;

    /* Several members form one file. */
    made.count = 0;
    append_bytes(packed.at, packed.count);
    made_file *parts = calloc(1, sizeof *parts);
    assert_non_null(parts);
    for (int part = 0; part < 2; part++) {
        made.count = 0;
        append_bytes(values.at + (part ? 70000 : 0), part ? values.count - 70000 : 70000);
        FILE *member = fopen(pack_made(s, "part.gz"), "rb");
        parts->count += fread(parts->at + parts->count, 1, sizeof parts->at - parts->count, member);
        fclose(member);
    }
    made = *parts;
    free(parts);
    sequences = read_idx(write_made(s, "parts.gz"), NULL);
    float *x = read_all(tally_sequences_kept(sequences), NULL);
    for (size_t i = 0; i < 100000; i++)
        assert_true(x[i] == (float)values.at[16 + i]);
    free(x);
    tally_sequences_free(sequences);

    const struct {
        size_t count, change; /* bytes that are left; the place of one that is changed */
        const char *behind, *part;
    } damage[] = {
        {packed.count - 1, SIZE_MAX, "", "it is truncated within its gzip data"},
        {packed.count - 8, SIZE_MAX, "", "it is truncated within its gzip data"},
        {packed.count / 2, SIZE_MAX, "", "it is truncated within its gzip data"},
        {12, SIZE_MAX, "", "it is truncated within its gzip data"},
        {packed.count, 2, "", "its gzip data is damaged: unknown compression method"},
        {packed.count, packed.count / 2, "", "its gzip data is damaged"},
        {packed.count, packed.count - 8, "", "its gzip data is damaged: incorrect data check"},
        {packed.count, packed.count - 4, "", "its gzip data is damaged: incorrect length check"},
        {packed.count, 0, "", "its name ends with .gz, but it is not a gzip file"},
        {packed.count, SIZE_MAX, "x", "there are bytes after the end of its gzip data"},
        {packed.count, SIZE_MAX, "\x1f", "it is truncated within its gzip data"},
        {0, SIZE_MAX, "", "it is empty"},
    };
    for (size_t i = 0; i < sizeof damage / sizeof damage[0]; i++) {
        made.count = 0;
        append_bytes(packed.at, damage[i].count);
        if (damage[i].change != SIZE_MAX)
            made.at[damage[i].change] ^= 0x55;
        append_bytes(damage[i].behind, strlen(damage[i].behind));
        path = write_made(s, "damaged.gz");
        assert_error(tally_sequences_read_idx(path, NULL, &sequences), TALLY_DATA, path, damage[i].part);
    }
}

static void test_npy_elements(void **state) {
    scratch *s = *state;
    /* -1.5, 0, 2.25 and 1e-3 as float32 and float64 of both byte orders; 0, 1, 200 and 255 as bytes. */
    static const unsigned char f4[] = {0xbf, 0xc0, 0, 0, 0, 0, 0, 0, 0x40, 0x10, 0, 0, 0x3a, 0x83, 0x12, 0x6f};
    static const unsigned char f8[] = {0xbf, 0xf8, 0, 0, 0, 0, 0, 0, 0,    0,    0,    0,    0,    0,    0,    0,
                                       0x40, 0x02, 0, 0, 0, 0, 0, 0, 0x3f, 0x50, 0x62, 0x4d, 0xd2, 0xf1, 0xa9, 0xfc};
    static const unsigned char u1[] = {0, 1, 200, 255};
    const struct {
        const char *header;
        const unsigned char *big_endian;
        size_t width;
        bool swap;
    } files[] = {
        {NPY(">f4", "False", "(2, 2, 1)"), f4, 4, false}, {NPY("<f4", "False", "(2, 2, 1)"), f4, 4, true},
        {NPY(">f8", "False", "(2, 2, 1)"), f8, 8, false}, {NPY("<f8", "False", "(2, 2, 1)"), f8, 8, true},
        {NPY("|u1", "False", "(2, 2, 1)"), u1, 1, false},
    };
    const float floats[] = {-1.5f, 0.0f, 2.25f, 1e-3f}, whole[] = {0.0f, 1.0f, 200.0f, 255.0f};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        for (int major = 1; major <= 3; major++)
            for (int packed = 0; packed < 2; packed++) {
                npy_start(major, files[i].header);
                size_t width = files[i].width;
                for (size_t b = 0; b < 4 * width; b++)
                    append_bytes(files[i].big_endian + (files[i].swap ? b / width * width + width - 1 - b % width : b),
                                 1);
                tally_sequences *sequences =
                    read_npy(packed ? pack_made(s, "x.npy.gz") : write_made(s, "x.npy"), NULL, NULL);
                const tally_dataset *data = tally_sequences_kept(sequences);
                assert_true(data->size == 2 && data->steps == 2 && data->inputs == 1);
                float *x = read_all(data, NULL);
                assert_memory_equal(x, width == 1 ? whole : floats, sizeof floats);
                free(x);
                tally_sequences_free(sequences);
            }
}

static void test_npy_labels(void **state) {
    scratch *s = *state;
    const char *x = good_x(s);
    static const char *const descrs[] = {"|u1", "|i1", "<u2", ">u2", "<i2", ">i2", "<u4",
                                         ">u4", "<i4", ">i4", "<u8", ">u8", "<i8", ">i8"};
    for (size_t i = 0; i < sizeof descrs / sizeof descrs[0]; i++) {
        char header[128];
        snprintf(header, sizeof header, NPY("%s", "False", "(3,)"), descrs[i]);
        npy_start(1, header);
        size_t width = (size_t)(descrs[i][2] - '0');
        /* 5, 0 and 7; 7 also has a second byte if the type is wider. */
        for (int n = 0; n < 3; n++)
            for (size_t b = 0; b < width; b++) {
                size_t digit = descrs[i][0] == '>' ? width - 1 - b : b;
                unsigned char value = digit == 0 ? (unsigned char)"\5\0\7"[n] : digit == 1 && n == 2 ? 3 : 0;
                append_bytes(&value, 1);
            }
        tally_sequences *sequences = read_npy(x, write_made(s, "y.npy"), NULL);
        const tally_dataset *data = tally_sequences_kept(sequences);
        int32_t labels[3];
        free(read_all(data, labels));
        assert_int_equal(labels[0], 5);
        assert_int_equal(labels[1], 0);
        assert_int_equal(labels[2], width > 1 ? 3 * 256 + 7 : 7);
        assert_int_equal(data->classes, labels[2] + 1);
        tally_sequences_free(sequences);
    }
    /* There are at least two classes. */
    npy_start(1, NPY("|u1", "False", "(3,)"));
    put_zeros(3);
    tally_sequences *sequences = read_npy(x, write_made(s, "y.npy"), NULL);
    assert_int_equal(tally_sequences_kept(sequences)->classes, 2);
    tally_sequences_free(sequences);
}

static void test_npy_headers(void **state) {
    scratch *s = *state;
    static const char *const good[] = {
        "{'descr':'|u1','fortran_order':False,'shape':(3,2,2)}",
        "{ \"shape\" : ( 3 , 2 , 2 , ) , \"fortran_order\" : False , \"descr\" : \"|u1\" , }",
        "{'descr': '<u1', 'fortran_order': False, 'shape': (3, 2, 2), }  ",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        npy_start(1, good[i]);
        put_zeros(12);
        tally_sequences_free(read_npy(write_made(s, "x.npy"), NULL, NULL));
    }
    static const struct {
        const char *header, *part;
    } wrong[] = {
        {"", "malformed: there is no dictionary at its byte"},
        {"'descr'", "malformed: there is no dictionary at its byte 0"},
        {"{'descr': '|u1'", "malformed: there is no comma"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 2)", "no comma"},
        {"{descr: '|u1'}", "no string at its byte 1"},
        {"{'descr' '|u1'}", "no colon"},
        {"{'descr': '|u1}", "no plain character"},
        {"{'descr': '\\u1'}", "no plain character at its byte 11"},
        {"{'descr': '|u1\n'}", "no plain character"},
        {"{'descr': 7}", "no string"},
        {"{'descr': '0123456789012345678901234567890123456789012345678901234567890123456789'}",
         "no plain character at its byte 74"},
        {"{'descr': '|u1' 'fortran_order': False}", "no comma"},
        {"{'fortran_order': 0}", "no True or False"},
        {"{'fortran_order': Falsehood}", "no comma"},
        {"{'shape': 3}", "no shape"},
        {"{'shape': (3)}", "no comma"},
        {"{'shape': (3 2, 2)}", "no comma"},
        {"{'shape': (,)}", "no size"},
        {"{'shape': (-3, 2, 2)}", "no size"},
        {"{'shape': (3, 2, 2}", "no comma"},
        {"{'shape': (3, 2, 99999999999999999999)}", "has a size beyond that of any file"},
        {"{'shape': (3, 2, 18446744073709551616)}", "has a size beyond that of any file"},
        {"{'magic': 1}", "unknown key 'magic'"},
        {"{'descr': '|u1', 'descr': '|u1'}", "key descr twice"},
        {"{'fortran_order': False, 'shape': (3, 2, 2)}", "has no descr"},
        {"{'descr': '|u1', 'shape': (3, 2, 2)}", "has no fortran_order"},
        {"{'descr': '|u1', 'fortran_order': False}", "has no shape"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 2)} x", "no end"},
        {"{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (3, 2, 2)}", "records with named fields"},
        {NPY("|O", "False", "(3, 2, 2)"),
         "its elements are Python objects, '|O', but must be float32, float64 or uint8"},
        {NPY("<i8", "False", "(3, 2, 2)"), "its elements are '<i8', but must be float32, float64 or uint8"},
        {NPY("<f2", "False", "(3, 2, 2)"), "its elements are '<f2'"},
        {NPY("<c8", "False", "(3, 2, 2)"), "its elements are '<c8'"},
        {NPY("|f4", "False", "(3, 2, 2)"), "its elements are '|f4'"},
        {NPY("=f4", "False", "(3, 2, 2)"), "its elements are '=f4'"},
        {NPY("f4", "False", "(3, 2, 2)"), "its elements are 'f4'"},
        {NPY("", "False", "(3, 2, 2)"), "its elements are ''"},
        {NPY("|u1", "True", "(3, 2, 2)"), "in Fortran order"},
        {NPY("|u1", "False", "()"), "its shape is (), but must be (sequences, time steps, inputs)"},
        {NPY("|u1", "False", "(3, 4)"), "its shape is (3, 4), but must be"},
        {NPY("|u1", "False", "(3,\r\n4)"), "its shape is (3,  4), but must be"},
        {NPY("|u1", "False", "(3, 2, 2, 1)"), "its shape is (3, 2, 2, 1), but must be"},
        {NPY("|u1", "False", "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)"),
         "its shape is (...), but must be"},
        {NPY("|u1", "False", "(0, 2, 2)"), "it is empty: its shape is (0, 2, 2)"},
        {NPY("|u1", "False", "(3, 2, 0)"), "it is empty"},
        {NPY("|u1", "False", "(4294967296, 4294967296, 2)"), "has more values than any file"},
        {NPY("<f8", "False", "(4611686018427387904, 1, 1)"), "are more than any file has"},
        {NPY("|u1", "False", "(3, 2, 3)"), "its values need 18 bytes, but it has only 12"},
        {NPY("<f4", "False", "(3, 2, 2)"), "its values need 48 bytes, but it has only 12"},
        {NPY("|u1", "False", "(3, 2, 1)"), "there are bytes after its last value"},
        {NPY("|u1", "False", "(5000000000, 1, 1)"), "its values need 5000000000 bytes, but it has only 12"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        for (int packed = 0; packed < 2; packed++) {
            npy_start(1 + (int)i % 3, wrong[i].header);
            put_zeros(12);
            const char *path = packed ? pack_made(s, "x.npy.gz") : write_made(s, "x.npy");
            tally_sequences *sequences;
            assert_error(tally_sequences_read_npy(path, NULL, NULL, &sequences), TALLY_DATA, path, wrong[i].part);
            assert_null(sequences);
        }
}

static void test_npy_starts(void **state) {
    scratch *s = *state;
    static const struct {
        const char *start;
        size_t bytes;
        const char *part;
    } wrong[] = {
        {"\x93NUMPX\1\0\2\0{}", 12, "it is not an npy file"},
        {"PK\3\4........", 12, "it is not an npy file"},
        {"\x93NUMPY\1", 7, "it is not an npy file"},
        {"\x93NUMPY\0\0\2\0{}", 12, "has npy version 0.0; supported are 1.0, 2.0 and 3.0"},
        {"\x93NUMPY\4\0\2\0{}", 12, "has npy version 4.0"},
        {"\x93NUMPY\1\1\2\0{}", 12, "has npy version 1.1"},
        {"\x93NUMPY\1\0\2", 9, "it ends within its header"},
        {"\x93NUMPY\2\0\2\0\0", 11, "it ends within its header"},
        {"\x93NUMPY\1\0\3\0{}", 12, "it ends within its header"},
        {"\x93NUMPY\2\0\0\0\1\0{}", 14, "its npy header has 65536 bytes"},
        {"\x93NUMPY\3\0\377\377\377\377{}", 14, "its npy header has 4294967295 bytes"},
        {"", 0, "it is empty"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        made.count = 0;
        append_bytes(wrong[i].start, wrong[i].bytes);
        const char *path = write_made(s, "x.npy");
        tally_sequences *sequences;
        assert_error(tally_sequences_read_npy(path, NULL, NULL, &sequences), TALLY_DATA, path, wrong[i].part);
    }
}

/* Every prefix of a file, and the file with one more byte. */
static void test_npy_cut_anywhere(void **state) {
    scratch *s = *state;
    good_x(s);
    size_t whole = made.count;
    tally_sequences *sequences;
    for (size_t count = 0; count < whole; count++) {
        made.count = count;
        const char *path = write_made(s, "cut.npy");
        assert_error(tally_sequences_read_npy(path, NULL, NULL, &sequences), TALLY_DATA, path, "");
    }
    made.count = whole;
    tally_sequences_free(read_npy(write_made(s, "cut.npy"), NULL, NULL));
    append_bytes("x", 1);
    assert_error(tally_sequences_read_npy(write_made(s, "cut.npy"), NULL, NULL, &sequences), TALLY_DATA, "cut.npy",
                 "bytes after its last value");
}

static void test_files_that_cannot_be_read(void **state) {
    scratch *s = *state;
    const char *x = good_x(s), *missing = keep_path(s, "missing.npy"), *pipe = keep_path(s, "pipe");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    tally_sequences *sequences;
    assert_error(tally_sequences_read_npy(missing, NULL, NULL, &sequences), TALLY_IO, missing, "No such file");
    assert_error(tally_sequences_read_npy(x, missing, NULL, &sequences), TALLY_IO, missing, "No such file");
    assert_error(tally_sequences_read_npy(x, NULL, missing, &sequences), TALLY_IO, missing, "No such file");
    assert_error(tally_sequences_read_idx(missing, NULL, &sequences), TALLY_IO, missing, "No such file");
    assert_error(tally_sequences_read_npy(s->folder, NULL, NULL, &sequences), TALLY_IO, s->folder, "Is a directory");
    assert_error(tally_sequences_read_npy(pipe, NULL, NULL, &sequences), TALLY_IO, pipe, "not a regular file");
    assert_error(tally_sequences_read_npy(NULL, NULL, NULL, &sequences), TALLY_USAGE, NULL, "no file");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_idx, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_wrong_idx, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_gzip, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_npy_elements, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_npy_labels, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_npy_headers, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_npy_starts, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_npy_cut_anywhere, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_files_that_cannot_be_read, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
