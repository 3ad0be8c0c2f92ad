/* Elementwise arithmetic: exp, log, sigmoid and tanh within their stated errors, IEEE 754's operations within one
 * rounding. */
#include "parity/checks.h"

#include <string.h>

/* Case 0 is small enough for a simulator but covers every exponent and the tail of a vector. Case 1 is a single
 * value. The next cases sample all floats evenly, with random low bits; those from TL_FUNCTION_SAMPLES on cover
 * every float. */
enum { FEW = 512 + 11, FIRST_SAMPLE = 2, CASE_FLOATS = 1 << 16 };

static size_t count_of(size_t number) {
    return number == 0 ? FEW : number < FIRST_SAMPLE ? 1 : CASE_FLOATS;
}

static size_t function_cost(size_t number) {
    return number < FIRST_SAMPLE ? FEW : (size_t)CASE_FLOATS * 32;
}

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float argument(tl_case *c, size_t i) {
    if (c->number < FIRST_SAMPLE)
        return float_of((uint32_t)(c->number ? 127 : i) << 23 | (tl_random_u32(&c->random) & 0x7fffff));
    if (c->number < TL_FUNCTION_SAMPLES)
        return float_of((uint32_t)((c->number - FIRST_SAMPLE) * CASE_FLOATS + i) << 12 |
                        (tl_random_u32(&c->random) & 0xfff));
    return float_of((uint32_t)((c->number - TL_FUNCTION_SAMPLES) * CASE_FLOATS + i));
}

/* The nearest argument in the function's domain. */
static float in_domain(tally_function function, float x) {
    if (function == TALLY_EXP)
        return -fabsf(x);
    if (function == TALLY_LOG)
        return isnan(x) ? x : fminf(fmaxf(fabsf(x), 0x1p-126f), 0x1.fffffep127f);
    return x;
}

static tl_bounded bounded_value_of(tally_function function, float x) {
    tl_bounded at = tl_bounded_of((double)x);
    switch (function) {
    case TALLY_EXP:
        return tl_bounded_exp_negative(at);
    case TALLY_LOG:
        return tl_bounded_log(at);
    case TALLY_SIGMOID:
        return tl_bounded_sigmoid(at);
    default:
        return tl_bounded_tanh(at);
    }
}

static void check_function(tl_case *c, tally_function which) {
    size_t n = count_of(c->number);
    tl_operand *x = tl_case_operand(c, "x", false, 1, &n), *y = tl_case_operand(c, "y", false, 1, &n);
    float *values = tl_case_memory(c, n, sizeof *values);
    for (size_t i = 0; i < n && values; i++)
        values[i] = in_domain(which, argument(c, i));
    if (c->status)
        return;
    if (n == 1)
        tl_case_describe(c, "%g alone", (double)values[0]);
    else if (c->number)
        tl_case_describe(c, "%zu floats from %g to %g", n, (double)values[0], (double)values[n - 1]);
    else
        tl_case_describe(c, "%zu floats of all exponents", n);
    tl_case_write(c, x, values);
    for (int side = 0; side < TL_SIDES && !c->status; side++)
        tl_case_keep(c, tally_apply(which, &x->on[side], NULL, NULL, &y->on[side]));
    tl_case_read(c, y);
    tl_bounded *want = tl_case_memory(c, n, sizeof *want);
    for (size_t i = 0; i < n && want; i++)
        want[i] = bounded_value_of(which, values[i]);
    tl_case_compare(c, y, want);
}

static void check_exp(tl_case *c) {
    check_function(c, TALLY_EXP);
}
static void check_log(tl_case *c) {
    check_function(c, TALLY_LOG);
}
static void check_sigmoid(tl_case *c) {
    check_function(c, TALLY_SIGMOID);
}
static void check_tanh(tl_case *c) {
    check_function(c, TALLY_TANH);
}

const tl_check tl_check_exp = {"exp", TL_FUNCTION_SAMPLES, function_cost, check_exp, false};
const tl_check tl_check_log = {"log", TL_FUNCTION_SAMPLES, function_cost, check_log, false};
const tl_check tl_check_sigmoid = {"sigmoid", TL_FUNCTION_SAMPLES, function_cost, check_sigmoid, false};
const tl_check tl_check_tanh = {"tanh", TL_FUNCTION_SAMPLES, function_cost, check_tanh, false};

/* IEEE 754's operations, each on every kind of value, on floats of all exponents, and on a single value. */
static const struct {
    tally_function function;
    const char *name;
} operations[] = {{TALLY_SUM, "sum"},
                  {TALLY_PRODUCT, "product"},
                  {TALLY_QUOTIENT, "quotient"},
                  {TALLY_ROOT, "square root"},
                  {TALLY_FMA, "fma"}};
enum {
    OPERATIONS = sizeof operations / sizeof *operations,
    ALL_EXPONENTS = TL_VALUES_KINDS,
    SINGLE_VALUE,
    RANGES,
    OPERANDS = 1999
};

static size_t arithmetic_cost(size_t number) {
    (void)number;
    return OPERANDS;
}

static tl_bounded bounded_result_of(tally_function which, const float x[3]) {
    tl_bounded a = tl_bounded_of((double)x[0]), b = tl_bounded_of((double)x[1]), d = tl_bounded_of((double)x[2]);
    switch (which) {
    case TALLY_SUM:
        return tl_bounded_add(a, b);
    case TALLY_PRODUCT:
        return tl_bounded_mul(a, b);
    case TALLY_QUOTIENT:
        return tl_bounded_div(a, b);
    case TALLY_ROOT:
        return tl_bounded_sqrt(a);
    default:
        return tl_bounded_fma(a, b, d);
    }
}

/* Where the result is out of a float's range only the bits are compared; where a flushed operand makes any result
 * possible, nothing is. */
static tl_bounded comparable(tl_bounded want, float peer) {
    if (isinf(want.e) || (isfinite(want.v) && fabs(want.v) < 0x1.fffffep127))
        return want;
    return (tl_bounded){(double)peer, isfinite(peer) ? (double)INFINITY : 0};
}

static void check_arithmetic(tl_case *c) {
    size_t which = c->number % OPERATIONS, range = c->number / OPERATIONS;
    size_t n = range == SINGLE_VALUE ? 1 : OPERANDS;
    tl_values kind = range < ALL_EXPONENTS ? (tl_values)range : TL_VALUES_ORDINARY;
    tl_operand *in[3], *out = tl_case_operand(c, "result", false, 1, &n);
    static const char *const names[3] = {"a", "b", "c"};
    for (int o = 0; o < 3; o++) {
        in[o] = tl_case_operand(c, names[o], false, 1, &n);
        float *values = tl_case_memory(c, n, sizeof *values);
        for (size_t i = 0; i < n && values; i++) {
            float any = float_of(tl_random_u32(&c->random));
            values[i] = range != ALL_EXPONENTS ? tl_case_value(c, kind) : isfinite(any) ? any : 1.0f;
            if (operations[which].function == TALLY_ROOT)
                values[i] = fabsf(values[i]);
        }
        tl_case_write(c, in[o], values);
    }
    tl_case_describe(c, "%s of %zu number%s, %s", operations[which].name, n, n == 1 ? "" : "s",
                     range == ALL_EXPONENTS ? "of all exponents" : tl_values_name(kind));
    for (int side = 0; side < TL_SIDES && !c->status; side++)
        tl_case_keep(c, tally_apply(operations[which].function, &in[0]->on[side], &in[1]->on[side], &in[2]->on[side],
                                    &out->on[side]));
    tl_case_read(c, out);
    tl_bounded *want = tl_case_memory(c, n, sizeof *want);
    for (size_t i = 0; i < n && want; i++) {
        const float x[3] = {in[0]->before[i], in[1]->before[i], in[2]->before[i]};
        want[i] = comparable(bounded_result_of(operations[which].function, x), out->after[TL_PEER][i]);
    }
    tl_case_compare(c, out, want);
}

const tl_check tl_check_arithmetic = {"arithmetic", OPERATIONS *RANGES, arithmetic_cost, check_arithmetic, false};
