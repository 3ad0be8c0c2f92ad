/* The optimizers, over several consecutive steps. */
#include "compare.h"
#include "guarded.h"
#include "ops.h"
#include "parity/bounded_ops.h"
#include "reference.h"

#include <stdlib.h>
#include <string.h>

static const tally_optimizer_options cases[] = {
    {TALLY_ADAM, .rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
    {TALLY_ADAM, .rate = 0.1, .epsilon = 1e-3},
    {TALLY_ADAM, .rate = 1, .beta1 = 0.5, .beta2 = 0.9, .epsilon = 1},
    {TALLY_ADAM, .rate = 1e-2, .beta1 = 0.99, .beta2 = 0.9999, .epsilon = 1e-8},
    {TALLY_ADAM, .rate = 1e-2, .weight_decay = 0.3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
    {TALLY_ADAMW, .rate = 1e-2, .weight_decay = 0.3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
    {TALLY_ADAMW, .rate = 1e-3, .beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-8},
    {TALLY_SGD, .rate = 1e-2},
    {TALLY_SGD, .rate = 0.3, .weight_decay = 0.1},
    {TALLY_SGD, .rate = 1e-2, .momentum = 0.9},
    {TALLY_SGD, .rate = 0.1, .weight_decay = 0.3, .momentum = 0.7},
    {TALLY_SGD, .rate = 1e-2, .momentum = 0.9, .nesterov = true},
    {TALLY_SGD, .rate = 0.1, .weight_decay = 0.3, .momentum = 0.7, .nesterov = true},
    {TALLY_RMSPROP, .rate = 1e-2, .epsilon = 1e-8, .alpha = 0.99},
    {TALLY_RMSPROP, .rate = 0.1, .weight_decay = 0.3, .epsilon = 1e-3, .alpha = 0.5},
    {TALLY_RMSPROP, .rate = 1e-2, .epsilon = 1e-8, .alpha = 0.9, .momentum = 0.9},
    {TALLY_RMSPROP, .rate = 1e-2, .weight_decay = 0.3, .epsilon = 1e-8, .alpha = 0.99, .momentum = 0.7},
    {TALLY_ADAGRAD, .rate = 1e-2, .epsilon = 1e-10},
    {TALLY_ADAGRAD, .rate = 0.1, .weight_decay = 0.3, .epsilon = 1e-3},
};
enum { CASES = sizeof cases / sizeof *cases };

/* The operands that a step changes. */
enum { WEIGHTS, STATES, PARTS = STATES + TALLY_MAX_OPTIMIZER_STATES };

typedef struct flats {
    size_t n, parts;
    float *part[PARTS];
} flats;

static flats flats_new(const tally_optimizer_options *o, size_t n) {
    flats f = {.n = n, .parts = STATES + tally_optimizer_states(o)};
    for (size_t p = 0; p < f.parts; p++)
        f.part[p] = suite_memory(n, sizeof(float));
    suite_uniforms(f.part[WEIGHTS], n, -1, 1);
    return f;
}

static void flats_free(flats *f) {
    for (size_t p = 0; p < f->parts; p++)
        free(f->part[p]);
}

static const char *part_name(const tally_optimizer_options *o, size_t part) {
    return part == WEIGHTS ? "weights" : tally_optimizer_state_name(o->kind, part - STATES);
}

static void name_case(const tally_optimizer_options *o, uint64_t step, size_t n) {
    suite_case("%s, %zu weights, step %llu, rate %g, decay %g, betas %g and %g, epsilon %g, momentum %g%s, alpha %g",
               tally_optimizer_name(o->kind), n, (unsigned long long)step, o->rate, o->weight_decay, o->beta1, o->beta2,
               o->epsilon, o->momentum, o->nesterov ? " ahead" : "", o->alpha);
}

/* Runs one step on a device and replaces what it changes; returns the faults, which start at 7. */
static int32_t step_on(tally_device *device, const tally_optimizer_options *o, uint64_t step, const float *gradient,
                       flats *f) {
    static const int32_t before = 7;
    int32_t after;
    tl_guarded gradients = guarded_vector(device, TL_FLAT, f->n, gradient),
               faults = guarded_ints(device, TL_FLAT, 1, &before);
    tl_guarded parts[PARTS];
    tally_tensor states[TALLY_MAX_OPTIMIZER_STATES];
    for (size_t p = 0; p < f->parts; p++) {
        parts[p] = guarded_vector(device, TL_FLAT, f->n, f->part[p]);
        if (p >= STATES)
            states[p - STATES] = parts[p].tensor;
    }
    suite_ok(tally_optimizer_step(o, step, &gradients.tensor, &parts[WEIGHTS].tensor, states, &faults.tensor));
    guarded_unchanged(&gradients, "gradient");
    guarded_read(&faults, "faults", &after);
    for (size_t p = 0; p < f->parts; p++) {
        guarded_read(&parts[p], part_name(o, p), f->part[p]);
        tl_guarded_free(&parts[p]);
    }
    tl_guarded_free(&gradients);
    tl_guarded_free(&faults);
    return after - before;
}

/* The expected weights and states, in double and to the bit, and the bounds of the device's errors. */
typedef struct prediction {
    double *want[PARTS], *bound[PARTS];
    flats rounded;
} prediction;

static prediction predict(const tally_optimizer_options *o, uint64_t step, const float *gradient, const flats *f) {
    prediction next = {.rounded = flats_new(o, f->n)};
    for (size_t p = 0; p < f->parts; p++) {
        next.want[p] = suite_memory(f->n, sizeof(double));
        next.bound[p] = suite_memory(f->n, sizeof(double));
    }
    for (size_t i = 0; i < f->n; i++) {
        double values[PARTS];
        float floats[PARTS];
        tl_bounded running[PARTS];
        for (size_t p = 0; p < f->parts; p++) {
            floats[p] = f->part[p][i];
            values[p] = (double)floats[p];
            running[p] = tl_bounded_of(values[p]);
        }
        reference_optimizer_step(o, step, (double)gradient[i], &values[WEIGHTS], values + STATES);
        reference_optimizer_rounded(o, step, gradient[i], &floats[WEIGHTS], floats + STATES);
        tl_bounded_optimizer_step(o, step, tl_bounded_of((double)gradient[i]), &running[WEIGHTS], running + STATES);
        for (size_t p = 0; p < f->parts; p++) {
            next.want[p][i] = values[p];
            next.bound[p][i] = running[p].e;
            next.rounded.part[p][i] = floats[p];
        }
    }
    return next;
}

static void prediction_free(prediction *next) {
    for (size_t p = 0; p < next->rounded.parts; p++) {
        free(next->want[p]);
        free(next->bound[p]);
    }
    flats_free(&next->rounded);
}

/* Checks one step from the values in f, which are then replaced by the device's. */
static int32_t check_step(const tally_optimizer_options *o, uint64_t step, const float *gradient, flats *f, bool bits) {
    name_case(o, step, f->n);
    prediction next = predict(o, step, gradient, f);
    int32_t faults = step_on(the.device, o, step, gradient, f);
    for (size_t p = 0; p < f->parts; p++) {
        compare_within(part_name(o, p), f->part[p], next.want[p], next.bound[p], f->n);
        if (bits || the.keeps_denormal)
            compare_bits(part_name(o, p), f->part[p], next.rounded.part[p], f->n);
    }
    prediction_free(&next);
    return faults;
}

static void every_size(void **state) {
    (void)state;
    static const uint64_t steps[] = {1, 2, 3, 10, 1000, 50000, UINT64_MAX};
    for (size_t i = 0; i < odd_sizes_used() + 1; i++)
        for (size_t c = 0; c < CASES; c++) {
            size_t n = i < odd_sizes_used() ? odd_sizes[i] : 1000;
            float *gradient = suite_memory(n, sizeof *gradient);
            flats f = flats_new(&cases[c], n);
            for (size_t s = 0; s < sizeof steps / sizeof *steps; s++) {
                suite_uniforms(gradient, n, -3, 3);
                assert_int_equal(check_step(&cases[c], steps[s], gradient, &f, true), 0);
            }
            flats_free(&f);
            free(gradient);
        }
}

static void small_gradients(void **state) {
    (void)state;
    static const float gradients[] = {0.0f, -0.0f, 1e-8f, 1e-15f, 1e-19f, -1e-22f, 0x1p-126f, 0x1p-149f, 1e15f, -1e15f};
    for (int kind = 0; kind < TALLY_OPTIMIZERS; kind++) {
        const tally_optimizer_options usual = tally_optimizer_defaults((tally_optimizer)kind);
        flats f = flats_new(&usual, sizeof gradients / sizeof *gradients);
        for (uint64_t step = 1; step <= 5; step++)
            assert_int_equal(check_step(&usual, step, gradients, &f, false), 0);
        flats_free(&f);
    }
}

/* This holds without weight decay. */
static void a_gradient_of_zero_changes_nothing(void **state) {
    (void)state;
    enum { N = 33 };
    static const float gradient[N];
    float before[N];
    for (size_t c = 0; c < CASES; c++) {
        if (cases[c].weight_decay > 0)
            continue;
        flats f = flats_new(&cases[c], N);
        name_case(&cases[c], 1, N);
        memcpy(before, f.part[WEIGHTS], sizeof before);
        assert_int_equal(step_on(the.device, &cases[c], 1, gradient, &f), 0);
        assert_memory_equal(f.part[WEIGHTS], before, sizeof before);
        flats_free(&f);
    }
}

static void faults_are_counted(void **state) {
    (void)state;
    static const float faulty[] = {NAN, INFINITY, -INFINITY};
    enum { N = 41 };
    for (size_t c = 0; c < CASES; c++)
        for (size_t which = 0; which < 6; which++)
            for (int position = 0; position < 3; position++) {
                size_t at = position == 0 ? 0 : position == 1 ? N - 1 : suite_pick(N);
                float gradient[N];
                flats f = flats_new(&cases[c], N);
                name_case(&cases[c], 1, N);
                suite_uniforms(gradient, N, -1, 1);
                (which < 3 ? gradient : f.part[WEIGHTS])[at] = faulty[which % 3];
                assert_true(step_on(the.device, &cases[c], 1, gradient, &f) >= 1);
                for (size_t i = 0; i < N; i++)
                    assert_true(isfinite(f.part[WEIGHTS][i]) == (i != at));
                flats_free(&f);
            }
}

int ops_optimizers(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size),
        cmocka_unit_test(small_gradients),
        cmocka_unit_test(a_gradient_of_zero_changes_nothing),
        cmocka_unit_test(faults_are_counted),
    };
    return cmocka_run_group_tests_name("optimizers", tests, NULL, NULL);
}
