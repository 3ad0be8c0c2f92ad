/* Elementwise arithmetic: every function gives the C path's bits, over all exponents. */
#include "compare.h"
#include "guarded.h"
#include "ops.h"

#include <math.h>
#include <string.h>

enum { COUNT = 4099 };
static const char *const function_names[TALLY_FUNCTIONS] = {"exp",     "log",      "sigmoid", "tanh", "sum",
                                                            "product", "quotient", "root",    "fma"};

static void apply_function(tally_device *device, tally_function function, tl_layout how, float operands[3][COUNT],
                           float *out) {
    tl_guarded in[3], result = guarded_vector(device, how, COUNT, NULL);
    for (int o = 0; o < 3; o++)
        in[o] = guarded_vector(device, how, COUNT, operands[o]);
    suite_ok(tally_apply(function, &in[0].tensor, &in[1].tensor, &in[2].tensor, &result.tensor));
    for (int o = 0; o < 3; o++)
        guarded_unchanged(&in[o], "an operand");
    guarded_read(&result, "out", out);
    for (int o = 0; o < 3; o++)
        tl_guarded_free(&in[o]);
    tl_guarded_free(&result);
}

/* Any float; if denormals are flushed, one that neither is a denormal nor produces one. */
static float draw_operand(tally_function function) {
    uint32_t bits = (uint32_t)suite_random();
    if (!the.keeps_denormal)
        bits = (bits & 0x807fffff) | (uint32_t)(120 + suite_pick(10)) << 23;
    float value;
    memcpy(&value, &bits, sizeof value);
    if (function == TALLY_EXP)
        return -fabsf(value);
    return function == TALLY_LOG ? fmaxf(fabsf(value), 0x1p-126f) : value;
}

static void every_function(void **state) {
    (void)state;
    static float operands[3][COUNT], got[COUNT], want[COUNT];
    for (int f = 0; f < TALLY_FUNCTIONS; f++)
        for (int how = TL_FLAT; how <= TL_STRIDED; how++) {
            suite_case("function %s, %s", function_names[f], tl_layout_name((tl_layout)how));
            for (int o = 0; o < 3; o++)
                for (size_t i = 0; i < COUNT; i++)
                    operands[o][i] = draw_operand((tally_function)f);
            apply_function(the.device, (tally_function)f, (tl_layout)how, operands, got);
            apply_function(the.peer, (tally_function)f, (tl_layout)how, operands, want);
            compare_bits("out", got, want, COUNT);
        }
}

static float signed_at_random(float value) {
    return suite_pick(2) ? value : -value;
}

/* Sums within a tiny distance of the midpoint of two floats, too small for a double to represent. */
static void fma_next_to_the_middle(void **state) {
    (void)state;
    static float operands[3][COUNT], got[COUNT], want[COUNT];
    suite_case("fma next to the middle of two floats");
    for (size_t i = 0; i < COUNT; i++) {
        if (i % 2) { /* an odd product of 25 bits is a midpoint; the addend decides */
            operands[0][i] = signed_at_random((float)(4097 + 2 * suite_pick(800)));
            operands[1][i] = signed_at_random((float)(4097 + 2 * suite_pick(800)));
            operands[2][i] = signed_at_random(ldexpf(suite_uniform(1, 2), -30 - (int)suite_pick(60)));
        } else { /* 1 to 2, and half a unit in the last place less j^2 2^-46 of it, j at most 64 */
            float j = (float)(1 + suite_pick(64));
            operands[0][i] = signed_at_random(0x1p-12f * (1 + j * 0x1p-23f));
            operands[1][i] = signed_at_random(0x1p-12f * (1 - j * 0x1p-23f));
            operands[2][i] = signed_at_random(suite_uniform(1, 2));
        }
        want[i] = fmaf(operands[0][i], operands[1][i], operands[2][i]);
    }
    apply_function(the.device, TALLY_FMA, TL_FLAT, operands, got);
    compare_bits("out", got, want, COUNT);
    apply_function(the.peer, TALLY_FMA, TL_FLAT, operands, got);
    compare_bits("the baseline's", got, want, COUNT);
}

static void operands_are_checked(void **state) {
    (void)state;
    size_t n = 3, other = 4;
    tally_tensor a, b;
    suite_ok(tally_tensor_new(the.device, TALLY_F32, 1, &n, &a));
    suite_ok(tally_tensor_new(the.device, TALLY_F32, 1, &other, &b));
    assert_int_equal(tally_apply(TALLY_SUM, &a, NULL, NULL, &a), TALLY_USAGE);
    assert_int_equal(tally_apply(TALLY_SUM, &a, &b, NULL, &a), TALLY_USAGE);
    assert_int_equal(tally_apply(TALLY_FMA, &a, &a, NULL, &a), TALLY_USAGE);
    assert_int_equal(tally_apply(TALLY_TANH, &a, NULL, NULL, &b), TALLY_USAGE);
    assert_int_equal(tally_apply(TALLY_FUNCTIONS, &a, &a, &a, &a), TALLY_USAGE);
    tally_tensor_free(&a);
    tally_tensor_free(&b);
}

int ops_functions(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function),
        cmocka_unit_test(fma_next_to_the_middle),
        cmocka_unit_test(operands_are_checked),
    };
    return cmocka_run_group_tests_name("functions", tests, NULL, NULL);
}
