/* Random numbers: the generator against Random123's known answers, and the numbers drawn with it against their
 * distributions. The seeds are fixed, so the statistical checks always have the same outcome. */
#include "core/philox.h"
#include "suite.h"

#include <math.h>
#include <string.h>

/* philox4x32-10 of Random123's examples/kat_vectors: counter, key, result. */
static void known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } answers[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        tl_philox(answers[i].counter, answers[i].key, out);
        assert_memory_equal(out, answers[i].out, sizeof out);
    }
}

static void streams_differ_and_repeat(void **state) {
    (void)state;
    enum { N = 64 };
    static const struct {
        uint64_t seed;
        uint32_t stream, substream;
    } starts[] = {{1, 1, 0}, {1, 2, 0}, {1, 1, 1}, {2, 1, 0}, {1 + (UINT64_C(1) << 32), 1, 0}, {1, 1, 0}};
    uint32_t drawn[6][N];
    for (size_t s = 0; s < 6; s++) {
        tl_random random;
        tl_random_start(&random, starts[s].seed, starts[s].stream, starts[s].substream);
        for (size_t i = 0; i < N; i++)
            drawn[s][i] = tl_random_u32(&random);
    }
    assert_memory_equal(drawn[0], drawn[5], sizeof drawn[0]);
    for (size_t a = 0; a < 5; a++)
        for (size_t b = a + 1; b < 5; b++) {
            size_t same = 0;
            for (size_t i = 0; i < N; i++)
                for (size_t j = 0; j < N; j++)
                    same += drawn[a][i] == drawn[b][j];
            assert_int_equal(same, 0); /* 4096 pairs of 2^32 */
        }
}

/* The share of hits among count draws must be within five standard deviations of p. */
static void check_share(size_t hits, size_t count, double p) {
    double n = (double)count, deviation = sqrt(n * p * (1 - p));
    if (fabs((double)hits - n * p) > 5 * deviation)
        fail_msg("%zu of %zu, not %.1f of them, with a deviation of %.1f", hits, count, n * p, deviation);
}

/* If the bound does not divide 2^32, using only the high or only the low bits would prefer some numbers. For 3 *
 * 2^30 every third number would come twice as often: multiples of three in one half of the draws instead of in a
 * third. */
static void bounded_draws_have_no_bias(void **state) {
    (void)state;
    enum { COUNT = 60000 };
    tl_random random;
    tl_random_start(&random, 1, TL_STREAM_SHUFFLE, 0);
    size_t residues[3] = {0}, lower = 0;
    const uint32_t bound = UINT32_C(3) << 30;
    for (size_t i = 0; i < COUNT; i++) {
        uint32_t drawn = tl_random_below(&random, bound);
        assert_true(drawn < bound);
        residues[drawn % 3]++;
        lower += drawn < bound / 2;
    }
    for (size_t r = 0; r < 3; r++)
        check_share(residues[r], COUNT, 1.0 / 3);
    check_share(lower, COUNT, 0.5);
}

static void small_bounds(void **state) {
    (void)state;
    enum { COUNT = 70000 };
    tl_random random;
    tl_random_start(&random, 7, TL_STREAM_SHUFFLE, 3);
    for (int i = 0; i < 100; i++)
        assert_int_equal(tl_random_below(&random, 1), 0);
    for (uint32_t bound = 2; bound <= 7; bound++) {
        size_t hits[7] = {0};
        for (size_t i = 0; i < COUNT; i++) {
            uint32_t drawn = tl_random_below(&random, bound);
            assert_true(drawn < bound);
            hits[drawn]++;
        }
        for (uint32_t value = 0; value < bound; value++)
            check_share(hits[value], COUNT, 1.0 / bound);
    }
    for (int i = 0; i < 100; i++)
        assert_true(tl_random_below(&random, UINT32_MAX) < UINT32_MAX);
}

static void units(void **state) {
    (void)state;
    enum { COUNT = 100000 };
    tl_random random;
    tl_random_start(&random, 3, TL_STREAM_INIT, 0);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < COUNT; i++) {
        float drawn = tl_random_unit(&random);
        assert_true(drawn >= 0 && drawn < 1);
        assert_true(drawn * 0x1p24f == floorf(drawn * 0x1p24f));
        sum += (double)drawn;
        squares += (double)drawn * (double)drawn;
    }
    /* Uniform: mean 1/2, variance 1/12; its square: mean 1/3, variance 4/45. */
    assert_true(fabs(sum / COUNT - 0.5) < 5 * sqrt(1.0 / 12 / COUNT));
    assert_true(fabs(squares / COUNT - 1.0 / 3) < 5 * sqrt(4.0 / 45 / COUNT));
}

static void truncated_normals(void **state) {
    (void)state;
    enum { COUNT = 200000 };
    tl_random random;
    tl_random_start(&random, 5, TL_STREAM_INIT, 1);
    double sum = 0, squares = 0;
    size_t inner = 0, positive = 0, outer = 0;
    for (size_t i = 0; i < COUNT; i++) {
        double drawn = (double)tl_random_truncated_normal(&random);
        assert_true(fabs(drawn) <= 2);
        sum += drawn;
        squares += drawn * drawn;
        inner += fabs(drawn) < 1;
        outer += fabs(drawn) > 1.9;
        positive += drawn > 0;
    }
    /* Truncated at a = 2: with the density d = phi(a) / Phi and Phi the probability of [-a, a], E x^2 = 1 - 2 a d
     * and E x^4 = 3 E x^2 - 2 a^3 d. */
    double inside = erf(2 / sqrt(2)), density = exp(-2.0) / sqrt(2 * acos(-1.0)) / inside;
    double second = 1 - 4 * density, fourth = 3 * second - 16 * density;
    assert_true(fabs(sum / COUNT) < 5 * sqrt(second / COUNT));
    assert_true(fabs(squares / COUNT - second) < 5 * sqrt((fourth - second * second) / COUNT));
    check_share(inner, COUNT, erf(1 / sqrt(2)) / inside);
    check_share(outer, COUNT, (inside - erf(1.9 / sqrt(2))) / inside);
    check_share(positive, COUNT, 0.5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(streams_differ_and_repeat),
        cmocka_unit_test(bounded_draws_have_no_bias),
        cmocka_unit_test(small_bounds),
        cmocka_unit_test(units),
        cmocka_unit_test(truncated_normals),
    };
    return cmocka_run_group_tests_name("random numbers", tests, NULL, NULL);
}
