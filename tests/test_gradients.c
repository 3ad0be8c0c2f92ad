/* Gradients of the whole classifier: the plain double backward against finite differences of the plain double loss, and the device's
 * against the plain backward. Initial states are not zero, and the sizes are uneven. */
#include "compare.h"
#include "device_model.h"
#include "parity/bounded_model.h"

#include <stdio.h>
#include <stdlib.h>

static const tl_model_sizes cases[] = {{3, 5, 7, 11, 4}, {1, 1, 1, 1, 2}, {2, 7, 3, 17, 3}, {1, 8, 6, 16, 9}};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct problem {
    const tl_model_sizes *sizes;
    size_t count;
    float *values; /* everything the loss depends on, as floats so that the device has the same numbers */
    double *exact;
    int32_t *labels;
} problem;

static problem problem_new(const tl_model_sizes *s) {
    problem p = {.sizes = s, .count = tl_model_part_at(s, TL_MODEL_PARTS)};
    p.values = suite_memory(p.count, sizeof *p.values);
    p.exact = suite_memory(p.count, sizeof *p.exact);
    p.labels = suite_memory(s->columns, sizeof *p.labels);
    suite_uniforms(p.values, p.count, -0.5f, 0.5f);
    for (size_t i = 0; i < p.count; i++)
        p.exact[i] = (double)p.values[i];
    for (size_t n = 0; n < s->columns; n++)
        p.labels[n] = suite_label(s->classes);
    suite_case("classifier of %zu inputs, %zu hidden, %zu steps, %zu columns, %zu classes", s->inputs, s->hidden,
               s->steps, s->columns, s->classes);
    return p;
}

static void problem_free(problem *p) {
    free(p->values);
    free(p->exact);
    free(p->labels);
}

/* d loss / d value by the five-point rule: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h, off by h^4 / 30 times the fifth derivative and by
 * 3/2 of the loss's own rounding over h. With h = 2^-10 the first is below 1e-13 times that derivative, the second, with a
 * loss below 100 that is off by some 1e-13 at most, below 2e-10. */
static double difference(const problem *p, size_t i) {
    const double h = 0x1p-10, at = p->exact[i];
    double loss[4], places[4] = {at + h, at - h, at + 2 * h, at - 2 * h};
    for (int k = 0; k < 4; k++) {
        p->exact[i] = places[k];
        loss[k] = reference_model_loss(p->sizes, p->exact, p->labels);
    }
    p->exact[i] = at;
    return (8 * (loss[0] - loss[1]) - (loss[2] - loss[3])) / (12 * h);
}

static void the_reference_has_the_gradient_of_its_loss(void **state) {
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        problem p = problem_new(&cases[c]);
        double *gradients = suite_memory(p.count, sizeof *gradients);
        double loss = reference_model_gradients(p.sizes, p.exact, p.labels, gradients);
        assert_true(loss == reference_model_loss(p.sizes, p.exact, p.labels));
        for (int part = 0; part < TL_MODEL_PARTS; part++)
            for (size_t i = 0; i < tl_model_part_size(p.sizes, (tl_model_part)part); i++) {
                size_t at = tl_model_part_at(p.sizes, (tl_model_part)part) + i;
                double estimate = difference(&p, at);
                if (!(fabs(estimate - gradients[at]) <= 1e-8 * fmax(1, fabs(gradients[at]))))
                    suite_fail("%s[%zu]: %.12g, but %.12g by differences", tl_model_part_names[part], i, gradients[at],
                               estimate);
            }
        free(gradients);
        problem_free(&p);
    }
}

/* The bounds are a running analysis of every operation from the first to the last. */
static void the_device_has_the_gradient_of_the_reference(void **state) {
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        problem p = problem_new(&cases[c]);
        double *want = suite_memory(p.count, sizeof *want), *bound = suite_memory(p.count, sizeof *bound);
        tl_bounded *values = suite_memory(p.count, sizeof *values), *running = suite_memory(p.count, sizeof *running);
        float *got = suite_memory(p.count, sizeof *got);
        double loss = reference_model_gradients(p.sizes, p.exact, p.labels, want), largest = 0;
        for (size_t i = 0; i < p.count; i++)
            values[i] = tl_bounded_of(p.exact[i]);
        tl_bounded running_loss;
        suite_ok(tl_bounded_model_gradients(p.sizes, values, p.labels, running, &running_loss));
        /* Two double programs of one formula: each is off by some 1e-13. */
        assert_true(fabs(running_loss.v - loss) <= 1e-11 * fmax(1, fabs(loss)));
        for (size_t i = 0; i < p.count; i++) {
            assert_true(fabs(running[i].v - want[i]) <= 1e-11 * fmax(1, fabs(want[i])));
            bound[i] = running[i].e;
            largest = fmax(largest, bound[i]);
        }
        printf("bounds up to %.3g, of the loss %.3g\n", largest, running_loss.e);
        assert_true(largest < 0.01); /* else they would say little */

        device_model model = device_model_new(p.sizes, p.values, p.labels);
        float got_loss;
        device_model_forward(&model);
        suite_ok(tally_tensor_read(&model.loss, &got_loss, 1));
        device_model_head_backward(&model);
        device_model_layer_backward(&model);
        device_model_gradients(&model, got);
        compare_within("loss", &got_loss, &loss, &running_loss.e, 1);
        for (int part = 0; part < TL_MODEL_PARTS; part++) {
            size_t at = tl_model_part_at(p.sizes, (tl_model_part)part);
            compare_within(tl_model_part_names[part], got + at, want + at, bound + at,
                           tl_model_part_size(p.sizes, (tl_model_part)part));
        }
        device_model_free(&model);
        free(want);
        free(bound);
        free(values);
        free(running);
        free(got);
        problem_free(&p);
    }
}

int main(void) {
    int status = suite_begin();
    if (status)
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_has_the_gradient_of_its_loss),
        cmocka_unit_test(the_device_has_the_gradient_of_the_reference),
    };
    int failed = cmocka_run_group_tests_name("gradients", tests, NULL, NULL);
    suite_end();
    return failed;
}
