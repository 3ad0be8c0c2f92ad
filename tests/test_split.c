/* A data set in two parts: which sequences are in each, and that each part is read from the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <tally/tally.h>

enum { SIZE = 1000, STEPS = 3, INPUTS = 2 };

/* Sequence n has the label n % 7, and its values are derived from n. */
static tally_status read_numbered(const tally_dataset *data, const size_t *numbers, size_t count, float *x,
                                  int32_t *labels) {
    for (size_t i = 0; i < count; i++) {
        assert_true(numbers[i] < data->size);
        for (size_t v = 0; x && v < STEPS * INPUTS; v++)
            x[i * STEPS * INPUTS + v] = (float)(numbers[i] * 10 + v);
        if (labels)
            labels[i] = (int32_t)(numbers[i] % 7);
    }
    return TALLY_OK;
}

static tally_status read_lengths(const tally_dataset *data, const size_t *numbers, size_t count, int32_t *lengths) {
    for (size_t i = 0; i < count; i++) {
        assert_true(numbers[i] < data->size);
        lengths[i] = (int32_t)(numbers[i] % STEPS + 1);
    }
    return TALLY_OK;
}

static const tally_dataset whole = {
    .size = SIZE, .steps = STEPS, .inputs = INPUTS, .classes = 7, .read = read_numbered, .lengths = read_lengths};

/* The numbers, in the whole data set, of a part's sequences. */
static void numbers_of(const tally_dataset *part, size_t *found) {
    static float x[SIZE * STEPS * INPUTS];
    static int32_t labels[SIZE];
    static size_t numbers[SIZE];
    assert_int_equal(part->steps, STEPS);
    assert_int_equal(part->inputs, INPUTS);
    assert_int_equal(part->classes, 7);
    for (size_t i = 0; i < part->size; i++)
        numbers[i] = part->size - 1 - i;
    assert_int_equal(part->read(part, numbers, part->size, x, labels), TALLY_OK);
    for (size_t i = 0; i < part->size; i++) {
        size_t n = (size_t)x[i * STEPS * INPUTS] / 10;
        for (size_t v = 0; v < STEPS * INPUTS; v++)
            assert_true(x[i * STEPS * INPUTS + v] == (float)(n * 10 + v));
        assert_int_equal(labels[i], n % 7);
        found[numbers[i]] = n;
    }
    assert_int_equal(part->lengths(part, numbers, part->size, labels), TALLY_OK);
    for (size_t i = 0; i < part->size; i++)
        assert_int_equal(labels[i], found[numbers[i]] % STEPS + 1);
    assert_int_equal(part->read(part, numbers, part->size, NULL, labels), TALLY_OK);
    int32_t last;
    assert_int_equal(part->read(part, &numbers[part->size - 1], 1, NULL, &last), TALLY_OK);
    assert_int_equal(last, labels[part->size - 1]);
    assert_int_equal(part->read(part, numbers, 1, x, NULL), TALLY_OK);
}

static void check_parts(double share, uint64_t seed, size_t valid, bool seen[SIZE]) {
    tally_split *split;
    assert_int_equal(tally_split_new(&whole, share, seed, &split), TALLY_OK);
    const tally_dataset *parts[] = {tally_split_train(split), tally_split_valid(split)};
    assert_int_equal(parts[1]->size, valid);
    assert_int_equal(parts[0]->size, SIZE - valid);
    bool taken[SIZE] = {false};
    for (int part = 0; part < 2; part++) {
        static size_t found[SIZE];
        numbers_of(parts[part], found);
        for (size_t i = 0; i < parts[part]->size; i++) {
            assert_true(i == 0 || found[i] > found[i - 1]);
            assert_false(taken[found[i]]);
            taken[found[i]] = true;
            if (part == 1)
                seen[found[i]] = true;
        }
    }
    tally_split_free(split);
}

static void each_sequence_is_in_one_part(void **state) {
    (void)state;
    bool unused[SIZE];
    check_parts(0.1, 1, 100, unused);
    check_parts(0.0005, 1, 1, unused);
    check_parts(0.0125, 1, 13, unused);
    check_parts(0.9994, 7, 999, unused);
}

/* The probability of a sequence to be held out is a tenth. That one of 1,000 is in none of 400 draws has a
 * probability of 1,000 times 0.9^400, 5e-16. */
static void every_sequence_may_be_held_out_and_the_seed_says_which(void **state) {
    (void)state;
    static bool all[SIZE], one[SIZE], again[SIZE], other[SIZE];
    for (uint64_t seed = 0; seed < 400; seed++)
        check_parts(0.1, seed, 100, all);
    for (size_t n = 0; n < SIZE; n++)
        assert_true(all[n]);
    check_parts(0.1, 3, 100, one);
    check_parts(0.1, 3, 100, again);
    check_parts(0.1, (uint64_t)1 << 32 | 3, 100, other);
    assert_memory_equal(one, again, sizeof one);
    assert_memory_not_equal(one, other, sizeof one);
}

static void refuse(double share, const char *text) {
    tally_split *split;
    assert_int_equal(tally_split_new(&whole, share, 1, &split), TALLY_USAGE);
    assert_null(split);
    if (!strstr(tally_error_text(), text))
        fail_msg("\"%s\" does not have \"%s\"", tally_error_text(), text);
}

static void shares_that_cannot_be(void **state) {
    (void)state;
    refuse(0, "a share of 0 for validation: it must be above 0 and below 1");
    refuse(1, "a share of 1 for validation");
    refuse(-0.5, "a share of -0.5 for validation");
    refuse(0.0 / 0.0, "for validation: it must be above 0");
    refuse(0.0004, "a share of 0.0004 of 1000 sequences for validation leaves none to validate on");
    refuse(0.9996, "a share of 0.9996 of 1000 sequences for validation leaves none to train on");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sequence_is_in_one_part),
        cmocka_unit_test(every_sequence_may_be_held_out_and_the_seed_says_which),
        cmocka_unit_test(shares_that_cannot_be),
    };
    return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
