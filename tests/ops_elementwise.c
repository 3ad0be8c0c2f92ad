/* bias, add, copy and fill: with at most one addition, the result is the rounded double sum, bit for bit. */
#include "compare.h"
#include "guarded.h"
#include "ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The sum of two floats computed in double and rounded to float is the float sum: with 53 bits, rounding twice
 * makes no difference (Figueroa 1995). */
static float sum(float a, float b) {
    return (float)((double)a + (double)b);
}

static void check_bias(tl_layout how, size_t m, size_t n) {
    suite_case("bias %zux%zu %s", m, n, tl_layout_name(how));
    float *bias = suite_memory(m, sizeof *bias), *y = suite_memory(m * n, sizeof *y);
    float *got = suite_memory(m * n, sizeof *got);
    suite_uniforms(bias, m, -1, 1);
    suite_uniforms(y, m * n, -1, 1);
    y[suite_pick(m * n)] = NAN;
    if (m > 1)
        bias[suite_pick(m)] = INFINITY;
    tl_guarded gbias = guarded_vector(the.device, how == TL_TRANSPOSED ? TL_STRIDED : how, m, bias);
    tl_guarded gy = guarded_matrix(the.device, how, m, n, y);
    suite_ok(tally_bias(&gbias.tensor, &gy.tensor));
    guarded_unchanged(&gbias, "bias");
    guarded_read(&gy, "Y", got);
    for (size_t i = 0; i < m * n; i++)
        y[i] = sum(y[i], bias[i / n]);
    compare_bits("Y", got, y, m * n);
    tl_guarded_free(&gbias);
    tl_guarded_free(&gy);
    free(bias);
    free(y);
    free(got);
}

static void adds_bias(void **state) {
    (void)state;
    for (size_t i = 0; i < odd_sizes_used(); i++)
        for (size_t j = 0; j < odd_sizes_used(); j++)
            for (int how = 0; how < TL_MATRIX_LAYOUTS; how++)
                check_bias((tl_layout)how, odd_sizes[i], odd_sizes[j]);
}

static tl_guarded new_operand(int ndim, const size_t *shape, tl_layout how, const float *values) {
    if (ndim == 1)
        return guarded_vector(the.device, how == TL_TRANSPOSED ? TL_PADDED : how, shape[0], values);
    if (ndim == 2)
        return guarded_matrix(the.device, how, shape[0], shape[1], values);
    return guarded_cube(the.device, how == TL_FLAT ? TL_FLAT : TL_PADDED, shape, values);
}

static void check_pair(int ndim, const size_t *shape, tl_layout from, tl_layout to) {
    size_t count = 1;
    for (int d = 0; d < ndim; d++)
        count *= shape[d];
    float *src = suite_memory(count, sizeof *src), *dst = suite_memory(count, sizeof *dst);
    float *got = suite_memory(count, sizeof *got);
    suite_uniforms(src, count, -1, 1);
    suite_uniforms(dst, count, -1, 1);
    src[suite_pick(count)] = NAN;
    dst[suite_pick(count)] = -INFINITY;

    suite_case("add %d dimensions, %zu elements, %s to %s", ndim, count, tl_layout_name(from), tl_layout_name(to));
    tl_guarded gsrc = new_operand(ndim, shape, from, src), gdst = new_operand(ndim, shape, to, dst);
    suite_ok(tally_add(&gsrc.tensor, &gdst.tensor));
    guarded_unchanged(&gsrc, "source");
    guarded_read(&gdst, "destination", got);
    for (size_t i = 0; i < count; i++)
        dst[i] = sum(dst[i], src[i]);
    compare_bits("destination", got, dst, count);
    tl_guarded_free(&gsrc);
    tl_guarded_free(&gdst);

    suite_case("copy %d dimensions, %zu elements, %s to %s", ndim, count, tl_layout_name(from), tl_layout_name(to));
    static const uint32_t patterns[] = {0x7fa00001, 0x80000000, 0x00000001,
                                        0xff800000}; /* copied as bits, not as values */
    for (size_t i = 0; i < 4 && i < count; i++)
        memcpy(&src[i], &patterns[i], sizeof src[i]);
    gsrc = new_operand(ndim, shape, from, src);
    gdst = new_operand(ndim, shape, to, dst);
    suite_ok(tally_copy(&gsrc.tensor, &gdst.tensor));
    guarded_unchanged(&gsrc, "source");
    guarded_read(&gdst, "destination", got);
    for (size_t i = 0; i < count; i++)
        if (memcmp(&got[i], &src[i], sizeof got[i]) != 0)
            suite_fail("element %zu is not copied as it is", i);

    suite_case("fill %d dimensions, %zu elements, %s", ndim, count, tl_layout_name(to));
    float value = suite_pick(4) ? suite_uniform(-1, 1) : -0.0f;
    suite_ok(tally_fill(&gdst.tensor, value));
    guarded_read(&gdst, "tensor", got);
    for (size_t i = 0; i < count; i++)
        if (memcmp(&got[i], &value, sizeof value) != 0)
            suite_fail("element %zu is %a, not %a", i, (double)got[i], (double)value);
    tl_guarded_free(&gsrc);
    tl_guarded_free(&gdst);
    free(src);
    free(dst);
    free(got);
}

static void adds_copies_fills(void **state) {
    (void)state;
    for (int from = 0; from < TL_MATRIX_LAYOUTS; from++)
        for (int to = 0; to < TL_MATRIX_LAYOUTS; to++) {
            for (size_t i = 0; i < odd_sizes_used(); i++)
                check_pair(1, &odd_sizes[i], (tl_layout)from, (tl_layout)to);
            for (size_t i = 0; i < odd_sizes_used(); i++)
                for (size_t j = 0; j < odd_sizes_used(); j++)
                    if (!the.small || (i + j) % 3 == 0)
                        check_pair(2, (size_t[]){odd_sizes[i], odd_sizes[j]}, (tl_layout)from, (tl_layout)to);
            check_pair(3, (size_t[]){1, 1, 1}, (tl_layout)from, (tl_layout)to);
            check_pair(3, (size_t[]){3, 7, 31}, (tl_layout)from, (tl_layout)to);
            check_pair(3, (size_t[]){33, 2, 3}, (tl_layout)from, (tl_layout)to);
        }
}

static void copies_integers(void **state) {
    (void)state;
    suite_case("copy of int32");
    int32_t values[33], got[33];
    for (int i = 0; i < 33; i++)
        values[i] = (int32_t)suite_random();
    tl_guarded src = guarded_ints(the.device, TL_STRIDED, 33, values),
               dst = guarded_ints(the.device, TL_PADDED, 33, NULL);
    suite_ok(tally_copy(&src.tensor, &dst.tensor));
    guarded_unchanged(&src, "source");
    guarded_read(&dst, "destination", got);
    assert_memory_equal(got, values, sizeof got);
    tl_guarded_free(&src);
    tl_guarded_free(&dst);
}

int ops_elementwise(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_bias),
        cmocka_unit_test(adds_copies_fills),
        cmocka_unit_test(copies_integers),
    };
    return cmocka_run_group_tests_name("bias, add, copy and fill", tests, NULL, NULL);
}
