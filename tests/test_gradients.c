/* Gradients of the whole classifier: the plain double backward against finite differences of the plain double loss, and against the
 * plain backward the device's, of its operations and of what training makes of them. Initial states are not zero but in training, and the
 * sizes are uneven. */
#include "compare.h"
#include "device_model.h"
#include "nn/classifier.h"
#include "parity/bounded_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tl_model_sizes cases[] = {
    {3, 5, 7, 11, 4, 1, TALLY_LSTM}, {1, 1, 1, 1, 2, 1, TALLY_LSTM},  {2, 7, 3, 17, 3, 1, TALLY_LSTM},
    {1, 8, 6, 16, 9, 1, TALLY_LSTM}, {3, 5, 4, 11, 4, 2, TALLY_LSTM}, {1, 1, 1, 1, 2, 2, TALLY_LSTM},
    {2, 4, 3, 17, 3, 3, TALLY_LSTM}, {3, 5, 4, 11, 4, 1, TALLY_GRU},  {1, 1, 1, 1, 2, 1, TALLY_GRU},
    {2, 7, 3, 17, 3, 1, TALLY_GRU},  {2, 3, 3, 11, 3, 3, TALLY_GRU},  {1, 1, 2, 1, 2, 3, TALLY_GRU},
    {3, 13, 2, 11, 4, 1, TALLY_RNN}, {1, 1, 1, 1, 2, 1, TALLY_RNN},   {2, 7, 3, 17, 3, 1, TALLY_RNN},
    {2, 3, 3, 11, 3, 3, TALLY_RNN},  {1, 1, 2, 1, 2, 3, TALLY_RNN}};
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
    suite_case("classifier of %zu inputs, %zu hidden, %zu steps, %zu columns, %zu classes, %zu %s layers", s->inputs,
               s->hidden, s->steps, s->columns, s->classes, s->layers, tally_cell_name(s->cell));
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

/* What is wanted of a problem, and how far a device may be from it. */
typedef struct wanted {
    double *gradients, *bounds, loss, loss_bound;
} wanted;

/* The bounds are a running analysis of every operation from the first to the last. */
static wanted wanted_of(const problem *p) {
    wanted w = {.gradients = suite_memory(p->count, sizeof *w.gradients),
                .bounds = suite_memory(p->count, sizeof *w.bounds)};
    tl_bounded *values = suite_memory(p->count, sizeof *values), *running = suite_memory(p->count, sizeof *running);
    w.loss = reference_model_gradients(p->sizes, p->exact, p->labels, w.gradients);
    for (size_t i = 0; i < p->count; i++)
        values[i] = tl_bounded_of(p->exact[i]);
    tl_bounded loss;
    suite_ok(tl_bounded_model_gradients(p->sizes, values, p->labels, running, &loss));
    /* Two double programs of one formula: each is off by some 1e-13. */
    assert_true(fabs(loss.v - w.loss) <= 1e-11 * fmax(1, fabs(w.loss)));
    double largest = 0;
    for (size_t i = 0; i < p->count; i++) {
        assert_true(fabs(running[i].v - w.gradients[i]) <= 1e-11 * fmax(1, fabs(w.gradients[i])));
        w.bounds[i] = running[i].e;
        largest = fmax(largest, w.bounds[i]);
    }
    w.loss_bound = loss.e;
    printf("bounds up to %.3g, of the loss %.3g\n", largest, w.loss_bound);
    assert_true(largest < 0.01); /* else they would say little */
    free(values);
    free(running);
    return w;
}

static void wanted_free(wanted *w) {
    free(w->gradients);
    free(w->bounds);
}

static void the_device_has_the_gradient_of_the_reference(void **state) {
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        problem p = problem_new(&cases[c]);
        wanted w = wanted_of(&p);
        float *got = suite_memory(p.count, sizeof *got), got_loss;
        device_model model = device_model_new(p.sizes, p.values, p.labels);
        device_model_forward(&model);
        suite_ok(tally_tensor_read(&model.loss, &got_loss, 1));
        device_model_head_backward(&model);
        device_model_layers_backward(&model);
        device_model_gradients(&model, got);
        compare_within("loss", &got_loss, &w.loss, &w.loss_bound, 1);
        for (int part = 0; part < TL_MODEL_PARTS; part++) {
            size_t at = tl_model_part_at(p.sizes, (tl_model_part)part);
            compare_within(tl_model_part_names[part], got + at, w.gradients + at, w.bounds + at,
                           tl_model_part_size(p.sizes, (tl_model_part)part));
        }
        device_model_free(&model);
        free(got);
        wanted_free(&w);
        problem_free(&p);
    }
}

/* Where the numbers of a model's parameter begin in a problem's. */
static size_t parameter_at(const tl_model_sizes *s, const tl_parameter *parameter) {
    static const tl_model_part parts[TL_ROLES] = {
        [TL_HEAD_BIAS] = TL_PART_HEAD_B, [TL_HEAD_WEIGHT] = TL_PART_HEAD_W, [TL_BIAS_HH] = TL_PART_BIAS,
        [TL_BIAS_IH] = TL_PART_BIAS,     [TL_WEIGHT_HH] = TL_PART_W_HH,     [TL_WEIGHT_IH] = TL_PART_W_IH,
    };
    tl_model_part part = parts[parameter->role];
    return parameter->role < TL_BIAS_HH ? tl_model_part_at(s, part) : tl_model_layer_at(s, part, parameter->layer);
}

/* A parameter as PyTorch has it. Its GRU's gates are r, z, n; tally keeps n, r, z, and behind their biases what n has of h, which is the
 * last third of bias_hh. */
static float *as_in_pytorch(const tl_model_sizes *s, const tl_parameter *parameter, const float *kept) {
    float *values = suite_memory(parameter->elements, sizeof *values);
    size_t third = parameter->elements / 3, bytes = third * sizeof *values;
    if (s->cell != TALLY_GRU || parameter->role < TL_BIAS_HH || parameter->role == TL_WEIGHT_HH) {
        memcpy(values, kept, parameter->elements * sizeof *values);
    } else if (parameter->role == TL_BIAS_HH) {
        memcpy(values + 2 * third, kept + 3 * third, bytes);
    } else {
        memcpy(values, kept + third, 2 * bytes);
        memcpy(values + 2 * third, kept, bytes);
    }
    return values;
}

static tally_model *model_of(const problem *p) {
    const tl_model_sizes *s = p->sizes;
    tally_model_config config = {s->inputs, s->hidden, s->classes, s->layers, s->cell};
    tally_model *model;
    suite_ok(tally_model_new(the.device, &config, &model));
    for (size_t i = 0; i < model->parameter_count; i++) {
        const tl_parameter *parameter = &model->parameters[i];
        if (parameter->role == TL_BIAS_HH && s->cell != TALLY_GRU)
            continue;
        float *values = as_in_pytorch(s, parameter, p->values + parameter_at(s, parameter));
        suite_ok(tally_model_set(model, i, values, parameter->elements));
        free(values);
    }
    return model;
}

/* Sequences one after another, as a data set has them. */
static float *sequences_of(const problem *p) {
    const tl_model_sizes *s = p->sizes;
    const float *x = p->values + tl_model_part_at(s, TL_PART_X);
    float *rows = suite_memory(tl_model_part_size(s, TL_PART_X), sizeof *rows), *to = rows;
    for (size_t n = 0; n < s->columns; n++)
        for (size_t t = 0; t < s->steps; t++)
            for (size_t i = 0; i < s->inputs; i++)
                *to++ = x[(i * s->steps + t) * s->columns + n];
    return rows;
}

/* What training uses, made for more columns than it gets. */
static void the_classifier_has_the_gradient_of_the_reference(void **state) {
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        problem p = problem_new(&cases[c]);
        const tl_model_sizes *s = p.sizes;
        for (size_t i = tl_model_part_at(s, TL_PART_H0); i < p.count; i++)
            p.values[i] = 0, p.exact[i] = 0;
        wanted w = wanted_of(&p);
        tally_model *model = model_of(&p);
        float *x = sequences_of(&p), loss;
        tl_classifier classifier;
        tl_slice slice;
        suite_ok(
            tl_classifier_new(model, &(tl_classifier_options){s->steps, s->columns + 20, true, false, 0}, &classifier));
        suite_ok(tl_classifier_slice(&classifier, s->columns, &slice));
        suite_ok(tl_slice_load(&slice, x, p.labels, NULL));
        suite_ok(tl_slice_train(&slice, &(tl_place){0}, &loss));
        compare_within("loss", &loss, &w.loss, &w.loss_bound, 1);
        size_t count = tally_tensor_elements(&classifier.gradient);
        float *got = suite_memory(count, sizeof *got);
        suite_ok(tally_tensor_read(&classifier.gradient, got, count));
        for (size_t i = 0; i < model->parameter_count; i++) {
            const tl_parameter *parameter = &model->parameters[i];
            size_t at = parameter_at(s, parameter);
            compare_within(parameter->name, got + parameter->start, w.gradients + at, w.bounds + at, parameter->stored);
        }
        tl_classifier_free(&classifier);
        tally_model_free(model);
        free(x);
        free(got);
        wanted_free(&w);
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
        cmocka_unit_test(the_classifier_has_the_gradient_of_the_reference),
    };
    int failed = cmocka_run_group_tests_name("gradients", tests, NULL, NULL);
    suite_end();
    return failed;
}
