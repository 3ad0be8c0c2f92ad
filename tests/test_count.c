/* The counting experiment's strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <tally/tally.h>

static tally_count *new_strings(tally_count_options options) {
    tally_count *count;
    if (tally_count_new(&options, &count))
        fail_msg("%s", tally_error_text());
    return count;
}

/* The string of a sequence; checks that x and the label agree. */
static uint32_t string_of(const tally_dataset *data, size_t number) {
    float x[24];
    int32_t label;
    assert_int_equal(data->read(data, &number, 1, x, &label), TALLY_OK);
    uint32_t string = 0;
    int32_t ones = 0;
    for (size_t t = 0; t < data->steps; t++) {
        assert_true(x[t] == 0.0f || x[t] == 1.0f);
        string = string << 1 | (x[t] == 1.0f);
        ones += x[t] == 1.0f;
    }
    assert_int_equal(ones, label);
    return string;
}

static void each_string_is_in_one_part_once(void **state) {
    (void)state;
    for (int draw = TALLY_DRAW_RANDOM; draw <= TALLY_DRAW_RUNS; draw++)
        for (unsigned length = 1; length <= 10; length += 3) {
            size_t total = (size_t)1 << length;
            tally_count *count = new_strings((tally_count_options){length, total / 2, 7, (tally_draw)draw, 0});
            const tally_dataset *parts[] = {tally_count_train(count), tally_count_test(count)};
            assert_int_equal(parts[0]->size, total / 2);
            assert_int_equal(parts[1]->size, total - total / 2);
            unsigned char *seen = calloc(total, 1);
            for (int p = 0; p < 2; p++)
                for (size_t i = 0; i < parts[p]->size; i++)
                    assert_int_equal(seen[string_of(parts[p], i)]++, 0);
            free(seen);
            tally_count_free(count);
        }
}

static void a_seed_means_the_same_data_everywhere(void **state) {
    (void)state;
    tally_count *count = new_strings(tally_count_defaults());
    tally_count_options other = tally_count_defaults();
    other.seed = 2;
    tally_count *second = new_strings(other);
    /* FNV-1a over the training strings in order: a constant that must be the same on every machine. */
    uint32_t hash = 2166136261u, other_hash = 2166136261u;
    for (size_t i = 0; i < 10000; i++) {
        hash = (hash ^ string_of(tally_count_train(count), i)) * 16777619u;
        other_hash = (other_hash ^ string_of(tally_count_train(second), i)) * 16777619u;
    }
    assert_int_equal(hash, 0x78847c14u);
    assert_int_not_equal(hash, other_hash);
    tally_count_free(count);
    tally_count_free(second);
}

static void an_even_draw_takes_all_of_the_scarce_counts(void **state) {
    (void)state;
    tally_count_options options = tally_count_defaults();
    options.draw = TALLY_DRAW_EVEN;
    tally_count *count = new_strings(options);
    size_t drawn[21] = {0};
    for (size_t i = 0; i < 10000; i++)
        drawn[__builtin_popcount(string_of(tally_count_train(count), i))]++;
    const size_t all[3] = {1, 20, 190};
    for (int k = 0; k < 3; k++) {
        assert_int_equal(drawn[k], all[k]);
        assert_int_equal(drawn[20 - k], all[k]);
    }
    /* The other 15 counts have more strings than their share of the rest. */
    size_t share = (10000 - 2 * (1 + 20 + 190)) / 15;
    for (int k = 3; k <= 17; k++)
        assert_in_range(drawn[k], share, share + 1);
    tally_count_free(count);
}

/* The number of boundaries between runs. */
static size_t changes_of(uint32_t string, size_t length) {
    size_t changes = 0;
    for (size_t bit = 1; bit < length; bit++)
        changes += (string >> bit & 1) != (string >> (bit - 1) & 1);
    return changes;
}

static void a_draw_over_runs_takes_one_of_each_kind_before_two(void **state) {
    (void)state;
    /* 0000, 1111, and two strings for each number of changes: one 1 with 1 and 2 changes, two 1s with 1, 2 and 3,
     * three 1s with 1 and 2. */
    tally_count *count = new_strings((tally_count_options){4, 9, 1, TALLY_DRAW_RUNS, 0});
    size_t drawn[5][4] = {{0}};
    for (size_t i = 0; i < 9; i++) {
        uint32_t string = string_of(tally_count_train(count), i);
        assert_int_equal(drawn[__builtin_popcount(string)][changes_of(string, 4)]++, 0);
    }
    tally_count_free(count);
}

static void a_draw_over_runs_is_even_over_counts_and_runs(void **state) {
    (void)state;
    tally_count_options options = tally_count_defaults();
    options.draw = TALLY_DRAW_RUNS;
    tally_count *count = new_strings(options);
    const tally_dataset *parts[] = {tally_count_train(count), tally_count_test(count)};
    size_t drawn[21][20] = {{0}}, left[21][20] = {{0}}, most = 0, least = SIZE_MAX;
    uint32_t hash = 2166136261u; /* as above */
    for (int p = 0; p < 2; p++)
        for (size_t i = 0; i < parts[p]->size; i++) {
            uint32_t string = string_of(parts[p], i);
            (p == 0 ? drawn : left)[__builtin_popcount(string)][changes_of(string, 20)]++;
            hash = p == 0 ? (hash ^ string) * 16777619u : hash;
        }
    for (int k = 0; k <= 20; k++)
        for (int c = 0; c < 20; c++) {
            most = drawn[k][c] > most ? drawn[k][c] : most;
            if (left[k][c] > 0)
                least = drawn[k][c] < least ? drawn[k][c] : least;
        }
    assert_in_range(most - least, 0, 1);
    /* All strings with one change are drawn: one run of ones and one of zeros. */
    for (int k = 1; k < 20; k++) {
        assert_int_equal(drawn[k][1], 2);
        assert_int_equal(left[k][1], 0);
    }
    assert_int_equal(hash, 0xd18711d2u);
    tally_count_free(count);
}

static void strings_of_a_count_keep_their_shuffled_order(void **state) {
    (void)state;
    /* In both draws the strings of one count come in the shuffled order. */
    tally_count_options options = {8, 100, 3, TALLY_DRAW_RANDOM, 0};
    tally_count *random = new_strings(options);
    options.draw = TALLY_DRAW_EVEN;
    tally_count *even = new_strings(options);
    for (int k = 0; k <= 8; k++) {
        uint32_t first_even = UINT32_MAX, first_random = UINT32_MAX;
        for (size_t i = 0; i < 100 && first_even == UINT32_MAX; i++)
            if (__builtin_popcount(string_of(tally_count_train(even), i)) == k)
                first_even = string_of(tally_count_train(even), i);
        for (size_t i = 0; i < 100 && first_random == UINT32_MAX; i++)
            if (__builtin_popcount(string_of(tally_count_train(random), i)) == k)
                first_random = string_of(tally_count_train(random), i);
        assert_int_not_equal(first_even, UINT32_MAX);
        if (first_random != UINT32_MAX)
            assert_int_equal(first_even, first_random);
    }
    tally_count_free(random);
    tally_count_free(even);
}

/* Strings of several lengths: each occurs once and has as many time steps as bits. */
static void strings_of_several_lengths(void **state) {
    (void)state;
    enum { SHORTEST = 2, LONGEST = 6, TOTAL = (2 << LONGEST) - (1 << SHORTEST) };
    for (int draw = TALLY_DRAW_RANDOM; draw <= TALLY_DRAW_RUNS; draw++) {
        tally_count *count = new_strings((tally_count_options){LONGEST, 50, 7, (tally_draw)draw, SHORTEST});
        const tally_dataset *parts[] = {tally_count_train(count), tally_count_test(count)};
        assert_int_equal(parts[0]->size, 50);
        assert_int_equal(parts[0]->size + parts[1]->size, TOTAL);
        unsigned char seen[2 << LONGEST] = {0};
        size_t of_ones[LONGEST + 1] = {0};
        for (int p = 0; p < 2; p++)
            for (size_t i = 0; i < parts[p]->size; i++) {
                float x[LONGEST] = {2, 2, 2, 2, 2, 2};
                int32_t label, length, ones = 0;
                assert_int_equal(parts[p]->steps, LONGEST);
                assert_int_equal(parts[p]->read(parts[p], &i, 1, x, &label), TALLY_OK);
                assert_int_equal(parts[p]->lengths(parts[p], &i, 1, &length), TALLY_OK);
                assert_in_range(length, SHORTEST, LONGEST);
                uint32_t string = 1;
                for (int32_t t = 0; t < length; t++) {
                    string = string << 1 | (x[t] == 1.0f);
                    ones += x[t] == 1.0f;
                }
                for (int32_t t = length; t < LONGEST; t++)
                    assert_true(x[t] == 0.0f);
                assert_int_equal(ones, label);
                assert_int_equal(seen[string]++, 0);
                of_ones[label] += p == 0;
            }
        /* There is one string of six ones, 7 of five, none of 5; the others share the rest. */
        if (draw == TALLY_DRAW_EVEN) {
            const size_t even[LONGEST + 1] = {5, 9, 9, 10, 9, 7, 1};
            for (int k = 0; k <= LONGEST; k++)
                assert_int_equal(of_ones[k], even[k]);
        }
        tally_count_free(count);
    }
    tally_count *count = new_strings((tally_count_options){6, 10, 7, TALLY_DRAW_RANDOM, 6});
    assert_null(tally_count_train(count)->lengths);
    tally_count_free(count);
}

static void expect_usage(tally_count_options options, const char *part) {
    tally_count *count;
    assert_int_equal(tally_count_new(&options, &count), TALLY_USAGE);
    assert_null(count);
    assert_non_null(strstr(tally_error_text(), part));
}

static void wrong_sizes_are_refused(void **state) {
    (void)state;
    expect_usage((tally_count_options){0, 1, 1, TALLY_DRAW_RANDOM, 0}, "0 bits");
    expect_usage((tally_count_options){25, 1, 1, TALLY_DRAW_RANDOM, 0}, "25 bits");
    expect_usage((tally_count_options){4, 17, 1, TALLY_DRAW_RANDOM, 0}, "17 training strings");
    expect_usage((tally_count_options){4, 0, 1, TALLY_DRAW_EVEN, 0}, "0 training strings");
    expect_usage((tally_count_options){4, 4, 1, TALLY_DRAW_RANDOM, 5}, "5 bits");
    expect_usage((tally_count_options){4, 4, 1, (tally_draw)(TALLY_DRAW_RUNS + 1), 0}, "unknown draw 3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_string_is_in_one_part_once),
        cmocka_unit_test(a_seed_means_the_same_data_everywhere),
        cmocka_unit_test(an_even_draw_takes_all_of_the_scarce_counts),
        cmocka_unit_test(a_draw_over_runs_takes_one_of_each_kind_before_two),
        cmocka_unit_test(a_draw_over_runs_is_even_over_counts_and_runs),
        cmocka_unit_test(strings_of_a_count_keep_their_shuffled_order),
        cmocka_unit_test(strings_of_several_lengths),
        cmocka_unit_test(wrong_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
