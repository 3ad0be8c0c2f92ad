/* Dropout: key and index alone decide which elements are dropped; those that are kept are scaled exactly. */
#include "compare.h"
#include "core/philox.h"
#include "guarded.h"
#include "ops.h"

#include <math.h>
#include <stdlib.h>

/* The definition in tally/tensor.h, computed with the generator directly. */
static float expected(const tally_dropout_options *o, size_t f, size_t t, size_t n, float x) {
    const uint32_t counter[4] = {o->first + (uint32_t)n, (uint32_t)t, (uint32_t)(f / 4), 0};
    const uint32_t key[2] = {(uint32_t)o->key, (uint32_t)(o->key >> 32)};
    uint32_t word[4];
    tl_philox(counter, key, word);
    return (double)word[f % 4] < floor(o->probability * 4294967296.0) ? 0 : x * (float)(1 / (1 - o->probability));
}

static void drop(const tally_dropout_options *o, tl_layout how, const size_t shape[3], bool in_place) {
    size_t count = shape[0] * shape[1] * shape[2];
    float *values = suite_memory(count, sizeof *values), *want = suite_memory(count, sizeof *want);
    suite_uniforms(values, count, -2, 2);
    suite_case("p %g, first %u, [%zu, %zu, %zu], %s%s", o->probability, (unsigned)o->first, shape[0], shape[1],
               shape[2], tl_layout_name(how), in_place ? ", in place" : "");
    for (size_t f = 0; f < shape[0]; f++)
        for (size_t t = 0; t < shape[1]; t++)
            for (size_t n = 0; n < shape[2]; n++) {
                size_t i = (f * shape[1] + t) * shape[2] + n;
                want[i] = expected(o, f, t, n, values[i]);
            }
    tl_guarded x = guarded_cube(the.device, how, shape, values), out = guarded_cube(the.device, how, shape, NULL);
    suite_ok(tally_dropout(o, &x.tensor, in_place ? &x.tensor : &out.tensor));
    if (!in_place)
        guarded_unchanged(&x, "x");
    guarded_read(in_place ? &x : &out, "out", values);
    compare_bits("out", values, want, count);
    tl_guarded_free(&x);
    tl_guarded_free(&out);
    free(values);
    free(want);
}

static void drops_by_place(void **state) {
    (void)state;
    static const size_t shapes[][3] = {{1, 1, 1}, {3, 2, 17}, {8, 5, 64}, {13, 3, 33}};
    static const double probabilities[] = {0, 0.2, 0.5, 0.999, 0x1p-33};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (size_t p = 0; p < sizeof probabilities / sizeof *probabilities; p++) {
            tally_dropout_options o = {probabilities[p], suite_random(), (uint32_t)suite_pick(3000)};
            drop(&o, TL_FLAT, shapes[s], false);
            drop(&o, TL_PADDED, shapes[s], true);
            drop(&o, TL_STEP_MAJOR, shapes[s], false);
        }
    const tally_dropout_options last = {0.5, suite_random(), UINT32_MAX - 17};
    drop(&last, TL_FLAT, (size_t[]){3, 2, 17}, false);
}

static void refuses(void **state) {
    (void)state;
    tally_tensor x, narrow;
    suite_ok(tally_tensor_new(the.device, TALLY_F32, 3, (size_t[]){3, 2, 17}, &x));
    suite_ok(tally_tensor_slice(&x, 2, 0, 16, &narrow));
    const double wrong[] = {1, -0.1, 2, (double)NAN};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(tally_dropout(&(tally_dropout_options){wrong[i], 1, 0}, &x, &x), TALLY_USAGE);
    assert_int_equal(tally_dropout(NULL, &x, &x), TALLY_USAGE);
    assert_int_equal(tally_dropout(&(tally_dropout_options){0.5, 1, 0}, NULL, &x), TALLY_USAGE);
    assert_int_equal(tally_dropout(&(tally_dropout_options){0.5, 1, 0}, &x, &narrow), TALLY_USAGE);
    assert_int_equal(tally_dropout(&(tally_dropout_options){0.5, 1, UINT32_MAX - 16}, &x, &x), TALLY_USAGE);
    tally_tensor_free(&x);
}

int ops_dropout(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(drops_by_place), cmocka_unit_test(refuses)};
    return cmocka_run_group_tests_name("dropout", tests, NULL, NULL);
}
