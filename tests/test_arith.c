/* The functions of cl/arith.h compared with the C library's double functions: their largest errors must be those
 * stated in the header. Every 251st float by default; every float with TALLY_TEST_ALL=1, which takes a quarter of
 * an hour. */
#include "compare.h"
#include "core/scalar_arith.h"
#include "parity/bounded.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static float as_float(uint32_t bits) {
    return tl_s_as_f((int32_t)bits);
}

static uint32_t stride = 251;

enum { PLUS_ZERO = 0, SMALLEST_NORMAL = 0x00800000, INFINITE = 0x7f800000 };
static const uint32_t MINUS = 0x80000000;

static double sigmoid(double x) {
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* Returns the largest error over the floats whose bits are first to last. */
static double largest_error(float (*function)(float), double (*exact)(double), uint32_t first, uint32_t last) {
    double largest = 0;
    for (uint64_t bits = first; bits <= last; bits += stride) {
        float x = as_float((uint32_t)bits), got = function(x);
        double want = exact((double)x), error = fabs((double)got - want) / tl_bounded_ulp(want);
        if (!(error <= largest)) { /* a NaN counts as the largest error */
            largest = error;
            if (isnan(error))
                suite_fail("f(%a) is %a, not %a", (double)x, (double)got, want);
        }
    }
    return largest;
}

static void check_error(const char *name, float (*function)(float), double (*exact)(double), uint32_t first,
                        uint32_t last, double bound) {
    suite_case("%s", name);
    double largest = largest_error(function, exact, first, last);
    printf("%s: at most %.4f ULP from 0x%08x to 0x%08x\n", name, largest, (unsigned)first, (unsigned)last);
    if (largest > bound)
        suite_fail("%.4f ULP, but %.2f are stated", largest, bound);
}

static void errors_are_as_stated(void **state) {
    (void)state;
    check_error("exp_negative", tl_s_exp_negative, exp, MINUS, MINUS | INFINITE, TL_EXP_ULPS);
    check_error("sigmoid", tl_s_sigmoid, sigmoid, PLUS_ZERO, INFINITE, TL_SIGMOID_ULPS);
    check_error("sigmoid", tl_s_sigmoid, sigmoid, MINUS, MINUS | INFINITE, TL_SIGMOID_ULPS);
    check_error("tanh", tl_s_tanh, tanh, PLUS_ZERO, INFINITE, TL_TANH_ULPS);
    check_error("tanh", tl_s_tanh, tanh, MINUS, MINUS | INFINITE, TL_TANH_ULPS);
    check_error("log", tl_s_log, log, SMALLEST_NORMAL, INFINITE - 1, TL_LOG_ULPS);
}

/* Compares a hash of the result bits (FNV-1a): a bound on the error does not notice a change in the last place. */
static void check_bits(const char *name, float (*function)(float), uint32_t first, uint32_t last, uint32_t step,
                       uint64_t want) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint64_t bits = first; bits <= last; bits += step)
        hash = (hash ^ (uint32_t)tl_s_as_i(function(as_float((uint32_t)bits)))) * 0x100000001b3u;
    if (hash != want)
        fail_msg("%s: the hash of its results from 0x%08x to 0x%08x is 0x%016llx, not 0x%016llx", name, (unsigned)first,
                 (unsigned)last, (unsigned long long)hash, (unsigned long long)want);
}

static void bits_are_what_they_were(void **state) {
    (void)state;
    enum { EVERY = 1, SOME = 251 };
    /* Between -16 and -104, a change in the last place of ln 2 alters a few of a million results. */
    check_bits("exp_negative", tl_s_exp_negative, 0xc1800000, 0xc2d00000, EVERY, 0x622da0f1e4809004);
    check_bits("exp_negative", tl_s_exp_negative, MINUS, MINUS | INFINITE, SOME, 0x6f447231bfa0bbcd);
    check_bits("sigmoid", tl_s_sigmoid, PLUS_ZERO, INFINITE, SOME, 0x9a30bc7d4069657e);
    check_bits("sigmoid", tl_s_sigmoid, MINUS, MINUS | INFINITE, SOME, 0x534f339f0529fae2);
    check_bits("tanh", tl_s_tanh, PLUS_ZERO, INFINITE, SOME, 0xa3ca596d23139d02);
    check_bits("log", tl_s_log, 0x3f3504f3, 0x3fb504f2, EVERY, 0xc80f3830c9c8f67e); /* sqrt(1/2) to sqrt(2) */
    check_bits("log", tl_s_log, SMALLEST_NORMAL, INFINITE - 1, SOME, 0xdae9639e705e6a1a);
    /* Three of the 14 floats for which the last digit of TL_LN2_LO decides. */
    assert_true(tl_s_log(0x1.e69cb4p-116f) == -0x1.3f0d18p+6f && tl_s_log(0x1.fb3bf8p+20f) == 0x1.d17ee4p+3f);
    assert_true(tl_s_log(0x1.e372aep+114f) == 0x1.3e9e42p+6f);
}

static void gates_stay_in_their_range(void **state) {
    (void)state;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += stride) {
        float x = as_float((uint32_t)bits);
        if (isnan(x))
            continue;
        float s = tl_s_sigmoid(x), t = tl_s_tanh(x);
        if (!(s >= 0 && s <= 1 && fabsf(t) <= 1 && !signbit(s) && signbit(t) == signbit(x)))
            fail_msg("sigmoid(%a) is %a, tanh %a", (double)x, (double)s, (double)t);
        /* From here on the rest is less than half a unit in the last place. */
        if ((x >= 17.4f && s != 1) || (x <= -104.0f && s != 0) || (fabsf(x) >= 9.1f && fabsf(t) != 1))
            fail_msg("not saturated: sigmoid(%a) is %a, tanh %a", (double)x, (double)s, (double)t);
        if (tl_s_tanh(-x) != -t)
            fail_msg("tanh is not odd at %a", (double)x);
    }
}

static void special_values(void **state) {
    (void)state;
    assert_true(tl_s_exp_negative(0.0f) == 1.0f && tl_s_exp_negative(-0.0f) == 1.0f);
    assert_true(tl_s_exp_negative(-INFINITY) == 0.0f);
    assert_true(tl_s_sigmoid(0.0f) == 0.5f && tl_s_sigmoid(-0.0f) == 0.5f);
    assert_true(tl_s_sigmoid(INFINITY) == 1.0f && tl_s_sigmoid(-INFINITY) == 0.0f);
    assert_true(tl_s_tanh(INFINITY) == 1.0f && tl_s_tanh(-INFINITY) == -1.0f);
    assert_int_equal(tl_s_as_i(tl_s_tanh(0.0f)), 0);
    assert_int_equal((uint32_t)tl_s_as_i(tl_s_tanh(-0.0f)), MINUS);
    assert_int_equal(tl_s_as_i(tl_s_log(1.0f)), 0);
    static const uint32_t nans[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xffbfffff};
    for (size_t i = 0; i < 4; i++) {
        float nan = as_float(nans[i]);
        assert_true(isnan(tl_s_exp_negative(nan)));
        assert_true(isnan(tl_s_sigmoid(nan)));
        assert_true(isnan(tl_s_tanh(nan)));
        assert_true(isnan(tl_s_log(nan)));
    }
}

/* The C path's vectors compute what was measured above. */
static void vectors_give_the_same_bits(void **state) {
    (void)state;
    enum { N = 1 << 16 };
    tally_tensor gates, parts[4];
    float *values = suite_memory(4 * N, sizeof *values), *want = suite_memory(4 * N, sizeof *want);
    suite_case("the gates of the C path");
    suite_ok(tally_tensor_new(the.device, TALLY_F32, 2, (size_t[]){4, N}, &gates));
    for (int i = 0; i < 4; i++)
        suite_ok(tally_tensor_new(the.device, TALLY_F32, 2, (size_t[]){1, N}, &parts[i]));
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += (uint64_t)stride * N) {
        for (uint64_t i = 0; i < N; i++) {
            float x = as_float((uint32_t)(bits + i * stride));
            for (uint64_t g = 0; g < 4; g++) {
                values[g * N + i] = x;
                want[g * N + i] = g == 2 ? tl_s_tanh(x) : tl_s_sigmoid(x);
            }
        }
        suite_ok(tally_tensor_write(&gates, values, 4 * N));
        suite_ok(tally_cell_forward(TALLY_LSTM, &gates, &parts[0], &parts[1], &parts[2], &parts[3]));
        suite_ok(tally_tensor_read(&gates, values, 4 * N));
        compare_bits("gates", values, want, 4 * N);
    }
    for (int i = 0; i < 4; i++)
        tally_tensor_free(&parts[i]);
    tally_tensor_free(&gates);
    free(values);
    free(want);
}

int main(void) {
    const char *all = getenv("TALLY_TEST_ALL");
    if (all && strcmp(all, "1") == 0)
        stride = 1;
    int status = suite_begin();
    if (status)
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_as_stated),       cmocka_unit_test(bits_are_what_they_were),
        cmocka_unit_test(gates_stay_in_their_range),  cmocka_unit_test(special_values),
        cmocka_unit_test(vectors_give_the_same_bits),
    };
    int failed = cmocka_run_group_tests_name("shared arithmetic", tests, NULL, NULL);
    suite_end();
    return failed;
}
