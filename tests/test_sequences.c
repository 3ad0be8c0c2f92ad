/* Sequences from files: their numbers, normalization, parts and classes. Memory is allocated for what files contain
 * and not for what their headers promise, and each allocation fails once (the linker wraps malloc, calloc and
 * realloc). */
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

enum { NEVER = -1 };

static int allocations_left = NEVER; /* until one fails, once */
static size_t largest_allocation;

static bool allocation_fails(size_t bytes) {
    if (bytes > largest_allocation)
        largest_allocation = bytes;
    return allocations_left != NEVER && allocations_left-- == 0;
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) {
    return allocation_fails(bytes) ? NULL : __real_malloc(bytes);
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes) {
    return allocation_fails(count * bytes) ? NULL : __real_calloc(count, bytes);
}

void *__real_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes) {
    return allocation_fails(bytes) ? NULL : __real_realloc(old, bytes);
}

/* Errors in the numbers of sequences: labels or lengths, for x [3, 2, 2]. */
static void test_wrong_numbers(void **state) {
    scratch *s = *state;
    const char *x = good_x(s), *labels = good_labels(s);
    static const struct {
        const char *header;
        const char *values;
        size_t bytes;
        bool lengths;
        const char *part;
    } wrong[] = {
        {NPY("|i1", "False", "(3,)"), "\0\1\377", 3, false, "the label of sequence 2 is -1, but must be 0 to 65535"},
        {NPY("<u4", "False", "(3,)"), "\0\0\0\0\0\0\1\0\0\0\0\0", 12, false, "the label of sequence 1 is 65536"},
        {NPY("<u8", "False", "(3,)"), "\377\377\377\377\377\377\377\377\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, false,
         "the label of sequence 0 is 18446744073709551615"},
        {NPY("<i8", "False", "(3,)"), "\0\0\0\0\0\0\0\200\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24, false,
         "the label of sequence 0 is -9223372036854775808"},
        {NPY("|u1", "False", "(2,)"), "\0\1", 2, false, "2 labels, but "},
        {NPY("|u1", "False", "(4,)"), "\0\1\0\1", 4, false, "4 labels, but "},
        {NPY("|u1", "False", "(3, 1)"), "\0\1\0", 3, false, "its shape is (3, 1), but must be (sequences,)"},
        {NPY("<f4", "False", "(3,)"), "\0\0\0\0\0\0\0\0\0\0\0\0", 12, false,
         "its elements are '<f4', but must be whole numbers, signed or unsigned"},
        {NPY("|b1", "False", "(3,)"), "\0\1\0", 3, false, "its elements are '|b1'"},
        {NPY("|u1", "False", "(3,)"), "\2\0\1", 3, true, "the length of sequence 1 is 0, but must be 1 to 2"},
        {NPY("|u1", "False", "(3,)"), "\2\1\3", 3, true, "the length of sequence 2 is 3, but must be 1 to 2"},
        {NPY("|i1", "False", "(3,)"), "\377\1\2", 3, true, "the length of sequence 0 is -1"},
        {NPY("|u1", "False", "(2,)"), "\1\1", 2, true, "2 lengths, but "},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        npy_start(1, wrong[i].header);
        append_bytes(wrong[i].values, wrong[i].bytes);
        const char *path = write_made(s, "wrong.npy");
        tally_sequences *sequences;
        assert_error(
            tally_sequences_read_npy(x, wrong[i].lengths ? labels : path, wrong[i].lengths ? path : NULL, &sequences),
            TALLY_DATA, path, wrong[i].part);
        assert_null(sequences);
    }
}

static void test_values_that_are_not_finite(void **state) {
    scratch *s = *state;
    const float floats[] = {NAN, INFINITY, -INFINITY};
    const double doubles[] = {(double)NAN, (double)INFINITY, -(double)INFINITY, 1e300, -3.5e38};
    tally_sequences *sequences;
    for (size_t i = 0; i < 8; i++) {
        if (i < 3) {
            npy_start(1, NPY("<f4", "False", "(2, 2, 3)"));
            put_zeros(11 * sizeof(float));
            append_bytes(&floats[i], sizeof(float));
        } else {
            npy_start(1, NPY("<f8", "False", "(2, 2, 3)"));
            put_zeros(11 * sizeof(double));
            append_bytes(&doubles[i - 3], sizeof(double));
        }
        const char *x = write_made(s, "x.npy");
        assert_error(tally_sequences_read_npy(x, NULL, NULL, &sequences), TALLY_DATA, x, "value [1, 1, 2] is ");
        assert_non_null(strstr(tally_error_text(), "which is not finite as float32"));
        /* Anything may follow the end of a sequence: it is ignored. */
        npy_start(1, NPY("|u1", "False", "(2,)"));
        append_bytes("\2\1", 2);
        sequences = read_npy(x, NULL, write_made(s, "lengths.npy"));
        assert_true(isfinite((float)tally_sequences_measure(sequences).deviation));
        float *read = read_all(tally_sequences_kept(sequences), NULL);
        assert_true(read[11] == 0.0f);
        free(read);
        tally_sequences_free(sequences);
    }
}

static void test_lengths(void **state) {
    scratch *s = *state;
    const char *x = good_x(s), *labels = good_labels(s);
    npy_start(1, NPY(">i8", "False", "(3,)"));
    append_bytes("\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2", 24);
    tally_sequences *sequences = read_npy(x, labels, write_made(s, "lengths.npy"));
    const tally_dataset *data = tally_sequences_kept(sequences);
    int32_t lengths[3];
    assert_non_null(data->lengths);
    assert_int_equal(data->lengths(data, (size_t[]){1, 0, 2}, 3, lengths), TALLY_OK);
    assert_true(lengths[0] == 1 && lengths[1] == 2 && lengths[2] == 2);
    /* Bytes 0 to 11 without 6 and 7, which follow the end of a sequence. */
    tally_normalization n = tally_sequences_measure(sequences);
    assert_true(n.mean == (66.0 - 13.0) / 10);
    double squares = 0;
    for (int v = 0; v < 12; v++)
        squares += v == 6 || v == 7 ? 0 : (v - n.mean) * (v - n.mean);
    assert_true(n.deviation == sqrt(squares / 10));
    assert_int_equal(tally_sequences_normalize(sequences, n), TALLY_OK);
    float *read = read_all(data, NULL);
    for (int v = 0; v < 12; v++)
        assert_true(read[v] == (v == 6 || v == 7 ? 0.0f : ((float)v - (float)n.mean) * (float)(1 / n.deviation)));
    free(read);

    /* Training and testing use them unchanged. */
    tally_device *device;
    tally_model *model;
    assert_int_equal(tally_device_open("cpu", NULL, &device), TALLY_OK);
    assert_int_equal(
        tally_model_new(device, &(tally_model_config){.inputs = 2, .hidden = 4, .classes = 3, .layers = 1}, &model),
        TALLY_OK);
    assert_int_equal(tally_model_init(model, 1), TALLY_OK);
    tally_train_options options = tally_train_defaults();
    options.epochs = 200;
    options.optimizer.rate = 0.05;
    tally_test_result result = {0};
    assert_int_equal(tally_train(model, data, &options, NULL, NULL), TALLY_OK);
    assert_int_equal(tally_test(model, data, 0, 3, NULL, &result), TALLY_OK);
    assert_int_equal(result.mistakes, 0);
    tally_model_free(model);
    tally_device_close(device);
    tally_sequences_free(sequences);
}

static void test_normalization(void **state) {
    scratch *s = *state;
    tally_sequences *sequences = read_idx(TALLY_FIXTURES "/mnist/train-images-idx3-ubyte.gz",
                                          TALLY_FIXTURES "/mnist/train-labels-idx1-ubyte.gz");
    const tally_dataset *data = tally_sequences_kept(sequences);
    assert_true(data->size == 64 && data->steps == 28 && data->inputs == 28 && data->classes == 10);
    tally_normalization n = tally_sequences_measure(sequences);
    /* Python's results for the same bytes, with both sums in order. */
    assert_true(n.mean == 0x1.02a61f58d0facp+5);
    assert_true(n.deviation == 0x1.357fe27465052p+6);
    float *plain = read_all(data, NULL);
    assert_int_equal(tally_sequences_normalize(sequences, n), TALLY_OK);
    float *x = read_all(data, NULL);
    for (size_t i = 0; i < 64 * 28 * 28; i++)
        assert_true(x[i] == (plain[i] - (float)n.mean) * (float)(1 / n.deviation));
    /* The division is in double and then rounded: here a float division gives a different result. */
    assert_true((float)(1 / 58.3) != 1.0f / 58.3f);
    assert_int_equal(tally_sequences_normalize(sequences, (tally_normalization){-0.1, 58.3}), TALLY_OK);
    free(x);
    x = read_all(data, NULL);
    for (size_t i = 0; i < 64 * 28 * 28; i++)
        assert_true(x[i] == (plain[i] - -0.1f) * (float)(1 / 58.3));
    free(plain);
    free(x);

    const tally_normalization wrong[] = {{0, 0},    {0, -1},    {0, (double)NAN}, {(double)NAN, 1},
                                         {1e39, 1}, {0, 1e-39}, {0, 1e300}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_error(tally_sequences_normalize(sequences, wrong[i]), TALLY_DATA, "train-images-idx3-ubyte.gz",
                     "values cannot be normalized by a mean of ");
    tally_sequences_free(sequences);
    (void)s;
}

/* Sequences whose only value, and label, is their number. */
static tally_sequences *numbered(scratch *s, size_t count) {
    char header[128];
    snprintf(header, sizeof header, NPY("<f4", "False", "(%zu, 1, 1)"), count);
    npy_start(1, header);
    for (size_t i = 0; i < count; i++)
        append_bytes(&(float){(float)i}, sizeof(float));
    const char *x = write_made(s, "x.npy");
    snprintf(header, sizeof header, NPY("<i4", "False", "(%zu,)"), count);
    npy_start(1, header);
    for (int32_t i = 0; i < (int32_t)count; i++)
        append_bytes(&i, sizeof i);
    return read_npy(x, write_made(s, "y.npy"), NULL);
}

static void test_hold_out(void **state) {
    scratch *s = *state;
    enum { COUNT = 1000 };
    tally_sequences *sequences = numbered(s, COUNT);
    const tally_dataset *parts[] = {tally_sequences_kept(sequences), tally_sequences_held_out(sequences)};
    uint32_t hash = 0;
    const double shares[] = {0.1, 0, 0.0004, 0.9994, 0.5, 0.1};
    for (size_t round = 0; round < sizeof shares / sizeof shares[0]; round++) {
        assert_int_equal(tally_sequences_hold_out(sequences, shares[round], 7), TALLY_OK);
        size_t held_out = (size_t)(shares[round] * COUNT + 0.5);
        assert_int_equal(parts[1]->size, held_out);
        assert_int_equal(parts[0]->size, COUNT - held_out);
        /* Each sequence is in one part, once, in the order of the file, and keeps its label; both parts have the
         * classes of the whole. */
        bool seen[COUNT] = {false};
        hash = 2166136261u;
        for (int p = 0; p < 2; p++) {
            int32_t labels[COUNT];
            float *x = read_all(parts[p], labels);
            for (size_t i = 0; i < parts[p]->size; i++) {
                assert_true((float)labels[i] == x[i] && !seen[labels[i]] && (i == 0 || x[i] > x[i - 1]));
                seen[labels[i]] = true;
                hash = (hash ^ (uint32_t)labels[i]) * 16777619u;
            }
            free(x);
            assert_int_equal(parts[p]->classes, COUNT);
        }
    }
    /* FNV-1a over the numbers in both parts: a constant that must be the same on every machine. */
    assert_int_equal(hash, 0xaf6e6721u);
    /* The mean is that of the kept part. */
    double sum = 0;
    float *x = read_all(parts[0], NULL);
    for (size_t i = 0; i < parts[0]->size; i++)
        sum += (double)x[i];
    free(x);
    assert_true(tally_sequences_measure(sequences).mean == sum / (double)parts[0]->size);

    /* Another seed chooses other sequences; any sequence may be chosen, each about as often. */
    size_t chosen[10] = {0};
    for (uint64_t seed = 0; seed < 1000; seed++) {
        tally_sequences_hold_out(sequences, 0.001, seed);
        assert_int_equal(parts[1]->size, 1);
        int32_t label;
        parts[1]->read(parts[1], (size_t[]){0}, 1, NULL, &label);
        chosen[label / 100]++;
    }
    /* 1,000 draws into 10 cells of probability 0.1: five standard deviations of a cell, sqrt(1000 * 0.1 * 0.9). */
    for (int cell = 0; cell < 10; cell++)
        assert_in_range(chosen[cell], 100 - 47, 100 + 47);
    const double wrong[] = {1, -0.1, (double)NAN, 2, 0.9996};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_error(tally_sequences_hold_out(sequences, wrong[i], 1), TALLY_USAGE, NULL, "holding out a share");
    tally_sequences_free(sequences);
}

static void test_classes(void **state) {
    scratch *s = *state;
    const char *labels = good_labels(s);
    tally_sequences *sequences = read_npy(good_x(s), labels, NULL);
    assert_int_equal(tally_sequences_kept(sequences)->classes, 3);
    assert_int_equal(tally_sequences_set_classes(sequences, 10), TALLY_OK);
    assert_int_equal(tally_sequences_kept(sequences)->classes, 10);
    assert_int_equal(tally_sequences_held_out(sequences)->classes, 10);
    assert_error(tally_sequences_set_classes(sequences, 2), TALLY_DATA, labels,
                 "the label of sequence 1 is 2, but there are only the classes 0 to 1");
    assert_error(tally_sequences_set_classes(sequences, 1), TALLY_USAGE, NULL, "there must be at least 2");
    assert_int_equal(tally_sequences_kept(sequences)->classes, 10);
    tally_sequences_free(sequences);
}

/* The data that the headers promise, some 60 GB, is missing. */
static void test_no_memory_for_promises(void **state) {
    scratch *s = *state;
    tally_sequences *sequences;
    for (int packed = 0; packed < 2; packed++)
        for (int npy = 0; npy < 2; npy++) {
            if (npy)
                npy_start(1, NPY("<f8", "False", "(60000, 1000, 1000)"));
            else
                idx_start(8, 3, SIZES(60000, 1000, 1000));
            for (int i = 0; i < 100; i++)
                put_zeros(1000);
            const char *path = packed ? pack_made(s, "x.gz") : write_made(s, "x");
            largest_allocation = 0;
            tally_status status = npy ? tally_sequences_read_npy(path, NULL, NULL, &sequences)
                                      : tally_sequences_read_idx(path, NULL, &sequences);
            /* A compressed file is read in pieces of 64 KiB; the buffer for its content starts at that size and is
             * doubled. */
            assert_in_range(largest_allocation, 1, packed ? 1 << 17 : 4096);
            assert_error(status, TALLY_DATA, path, "but it has only 100000");
        }
}

static void test_each_allocation_fails_once(void **state) {
    scratch *s = *state;
    npy_start(2, NPY("<f4", "False", "(3, 200, 100)"));
    for (int i = 0; i < 60; i++)
        put_zeros(4000);
    const char *x[] = {write_made(s, "x.npy"), pack_made(s, "x.npy.gz")}, *labels = good_labels(s);
    for (int packed = 0; packed < 2; packed++) {
        int failures = 0;
        tally_status status = TALLY_MEMORY;
        for (; status == TALLY_MEMORY; failures++) {
            tally_sequences *sequences;
            allocations_left = failures;
            status = tally_sequences_read_npy(x[packed], labels, NULL, &sequences);
            if (!status)
                status = tally_sequences_hold_out(sequences, 0.3, 1);
            allocations_left = NEVER;
            if (status)
                assert_error(status, TALLY_MEMORY, NULL, "no memory left");
            tally_sequences_free(sequences);
        }
        assert_int_equal(status, TALLY_OK);
        assert_in_range(failures, 6, 20);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_wrong_numbers, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_values_that_are_not_finite, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_lengths, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_normalization, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_hold_out, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_classes, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_no_memory_for_promises, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_each_allocation_fails_once, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
