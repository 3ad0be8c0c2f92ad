/* Adam, several steps on from each other. */
#include "compare.h"
#include "guarded.h"
#include "ops.h"
#include "parity/bounded_model.h"
#include "reference.h"

#include <stdlib.h>
#include <string.h>

static const tally_adam_options usual = {1e-3, 0.9, 0.999, 1e-8};

/* One step on the device: weights, m and v replaced; returns the faults, which begin at 7. */
static int32_t run(tally_device *device, const tally_adam_options *options, uint64_t step, size_t n,
                   const float *gradient, float *weights, float *m, float *v) {
    static const int32_t before = 7;
    int32_t after;
    guarded gradients = guarded_vector(device, FLAT, n, gradient), gweights = guarded_vector(device, FLAT, n, weights);
    guarded gm = guarded_vector(device, FLAT, n, m), gv = guarded_vector(device, FLAT, n, v);
    guarded faults = guarded_ints(device, FLAT, 1, &before);
    suite_ok(tally_adam(options, step, &gradients.tensor, &gweights.tensor, &gm.tensor, &gv.tensor, &faults.tensor));
    guarded_unchanged(&gradients, "gradient");
    guarded_read(&gweights, "weights", weights);
    guarded_read(&gm, "m", m);
    guarded_read(&gv, "v", v);
    guarded_read(&faults, "faults", &after);
    guarded *all[] = {&gradients, &gweights, &gm, &gv, &faults};
    for (size_t i = 0; i < 5; i++)
        guarded_free(all[i]);
    return after - before;
}

/* One step from w, m and v, which it replaces by the device's. */
static int32_t check_step(const tally_adam_options *o, uint64_t step, size_t n, const float *gradient, float *w,
                          float *m, float *v, bool bits) {
    suite_case("adam, %zu weights, step %llu, rate %g, betas %g and %g, epsilon %g", n, (unsigned long long)step,
               o->rate, o->beta1, o->beta2, o->epsilon);
    double *want[3], *bound[3];
    float *other[3], *mine[] = {w, m, v};
    for (int part = 0; part < 3; part++) {
        want[part] = suite_memory(n, sizeof(double));
        bound[part] = suite_memory(n, sizeof(double));
        other[part] = suite_memory(n, sizeof(float));
        memcpy(other[part], mine[part], n * sizeof(float));
    }
    for (size_t i = 0; i < n; i++) {
        double values[3] = {(double)w[i], (double)m[i], (double)v[i]};
        tl_bounded running[3] = {tl_bounded_of(values[0]), tl_bounded_of(values[1]), tl_bounded_of(values[2])};
        reference_adam(o->rate, o->beta1, o->beta2, o->epsilon, step, (double)gradient[i], &values[0], &values[1],
                       &values[2]);
        tl_bounded_adam(o, step, tl_bounded_of((double)gradient[i]), &running[0], &running[1], &running[2]);
        for (int part = 0; part < 3; part++) {
            want[part][i] = values[part];
            bound[part][i] = running[part].e;
        }
    }
    int32_t faults = run(the.device, o, step, n, gradient, w, m, v);
    compare_within("weights", w, want[0], bound[0], n);
    compare_within("m", m, want[1], bound[1], n);
    compare_within("v", v, want[2], bound[2], n);
    run(the.peer, o, step, n, gradient, other[0], other[1], other[2]);
    for (int part = 0; part < 3; part++) {
        static const char *const names[] = {"weights", "m", "v"};
        if (bits || the.keeps_denormal)
            compare_bits(names[part], mine[part], other[part], n);
        free(want[part]);
        free(bound[part]);
        free(other[part]);
    }
    return faults;
}

static void every_size(void **state) {
    (void)state;
    static const tally_adam_options others[] = {{0.1, 0, 0, 1e-3}, {1, 0.5, 0.9, 1}, {-1e-2, 0.99, 0.9999, 1e-8}};
    static const uint64_t steps[] = {1, 2, 3, 10, 1000, 50000, UINT64_MAX};
    for (size_t i = 0; i < odd_sizes_used() + 1; i++)
        for (size_t options = 0; options < 4; options++) {
            size_t n = i < odd_sizes_used() ? odd_sizes[i] : 1000;
            float *w = suite_memory(n, sizeof *w), *m = suite_memory(n, sizeof *m), *v = suite_memory(n, sizeof *v);
            float *gradient = suite_memory(n, sizeof *gradient);
            suite_uniforms(w, n, -1, 1);
            for (size_t s = 0; s < 7; s++) {
                suite_uniforms(gradient, n, -3, 3);
                assert_int_equal(
                    check_step(options ? &others[options - 1] : &usual, steps[s], n, gradient, w, m, v, true), 0);
            }
            free(w);
            free(m);
            free(v);
            free(gradient);
        }
}

static void small_gradients(void **state) {
    (void)state;
    static const float gradients[] = {0.0f, -0.0f, 1e-8f, 1e-15f, 1e-19f, -1e-22f, 0x1p-126f, 0x1p-149f, 1e15f, -1e15f};
    enum { N = sizeof gradients / sizeof *gradients };
    float w[N], m[N] = {0}, v[N] = {0};
    suite_uniforms(w, N, -1, 1);
    for (uint64_t step = 1; step <= 5; step++)
        assert_int_equal(check_step(&usual, step, N, gradients, w, m, v, false), 0);
}

static void a_gradient_of_zero_changes_nothing(void **state) {
    (void)state;
    suite_case("adam, gradient zero");
    enum { N = 33 };
    float gradient[N] = {0}, w[N], before[N], m[N] = {0}, v[N] = {0};
    suite_uniforms(w, N, -1, 1);
    memcpy(before, w, sizeof w);
    assert_int_equal(run(the.device, &usual, 1, N, gradient, w, m, v), 0);
    assert_memory_equal(w, before, sizeof w);
}

static void faults_are_counted(void **state) {
    (void)state;
    static const float faulty[] = {NAN, INFINITY, -INFINITY};
    enum { N = 41 };
    for (size_t which = 0; which < 3; which++)
        for (int part = 0; part < 2; part++)
            for (int position = 0; position < 3; position++) {
                suite_case("adam, %g in %s", (double)faulty[which], part ? "weights" : "gradient");
                size_t at = position == 0 ? 0 : position == 1 ? N - 1 : suite_pick(N);
                float gradient[N], w[N], m[N] = {0}, v[N] = {0};
                suite_uniforms(gradient, N, -1, 1);
                suite_uniforms(w, N, -1, 1);
                (part ? w : gradient)[at] = faulty[which];
                assert_true(run(the.device, &usual, 1, N, gradient, w, m, v) >= 1);
                for (size_t i = 0; i < N; i++)
                    assert_true(isfinite(w[i]) == (i != at));
            }
}

int ops_adam(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size),
        cmocka_unit_test(small_gradients),
        cmocka_unit_test(a_gradient_of_zero_changes_nothing),
        cmocka_unit_test(faults_are_counted),
    };
    return cmocka_run_group_tests_name("adam", tests, NULL, NULL);
}
