/* Gradients of the whole classifier. The reference's backward pass in double is compared with finite differences of
 * its loss; the device's operations and its training are compared with the reference. Initial states are not zero,
 * except in training, and sizes are uneven. */
#include "compare.h"
#include "core/philox.h"
#include "device_model.h"
#include "nn/classifier.h"
#include "parity/bounded_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tl_model_sizes cases[] = {
    {3, 5, 7, 11, 4, 1, TALLY_LSTM, NULL, NULL},   {1, 1, 1, 1, 2, 1, TALLY_LSTM, NULL, NULL},
    {2, 7, 3, 17, 3, 1, TALLY_LSTM, NULL, NULL},   {1, 8, 6, 16, 9, 1, TALLY_LSTM, NULL, NULL},
    {3, 5, 4, 11, 4, 2, TALLY_LSTM, NULL, NULL},   {1, 1, 1, 1, 2, 2, TALLY_LSTM, NULL, NULL},
    {2, 4, 3, 17, 3, 3, TALLY_LSTM, NULL, NULL},   {3, 5, 4, 11, 4, 1, TALLY_GRU, NULL, NULL},
    {1, 1, 1, 1, 2, 1, TALLY_GRU, NULL, NULL},     {2, 7, 3, 17, 3, 1, TALLY_GRU, NULL, NULL},
    {2, 3, 3, 11, 3, 3, TALLY_GRU, NULL, NULL},    {1, 1, 2, 1, 2, 3, TALLY_GRU, NULL, NULL},
    {3, 13, 2, 11, 4, 1, TALLY_RNN, NULL, NULL},   {1, 1, 1, 1, 2, 1, TALLY_RNN, NULL, NULL},
    {2, 7, 3, 17, 3, 1, TALLY_RNN, NULL, NULL},    {2, 3, 3, 11, 3, 3, TALLY_RNN, NULL, NULL},
    {1, 1, 2, 1, 2, 3, TALLY_RNN, NULL, NULL},     {3, 5, 3, 5, 4, 1, TALLY_RNN_RELU, NULL, NULL},
    {2, 3, 3, 5, 3, 3, TALLY_RNN_RELU, NULL, NULL}};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct problem {
    const tl_model_sizes *sizes;
    size_t count;
    float *values; /* everything the loss depends on, as floats, so that the device has the same numbers */
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

/* The loss, and a hash of the rectifiers' branches. */
static double loss_at(const problem *p, uint64_t *branches) {
    reference_branches = 0;
    double loss = reference_model_loss(p->sizes, p->exact, p->labels);
    *branches = reference_branches;
    return loss;
}

/* d loss / d value by the five-point rule, (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h. Its error is h^4 / 30
 * times the fifth derivative plus 3/2 of the loss's own rounding over h. With h = 2^-10 the first is below 1e-13
 * times that derivative; the second is below 2e-10 for a loss below 100 that is off by some 1e-13 at most. NaN if a
 * rectifier has a kink between the points. */
static double difference(const problem *p, size_t i) {
    const double h = 0x1p-10, at = p->exact[i];
    double loss[4], points[4] = {at + h, at - h, at + 2 * h, at - 2 * h};
    uint64_t branches, branches_here;
    bool smooth = true;
    loss_at(p, &branches_here);
    for (int k = 0; k < 4; k++) {
        p->exact[i] = points[k];
        loss[k] = loss_at(p, &branches);
        smooth = smooth && branches == branches_here;
    }
    p->exact[i] = at;
    if (!smooth)
        return (double)NAN;
    return (8 * (loss[0] - loss[1]) - (loss[2] - loss[3])) / (12 * h);
}

static void the_gradient_is_of_the_loss(const problem *p) {
    double *gradients = suite_memory(p->count, sizeof *gradients);
    double loss = reference_model_gradients(p->sizes, p->exact, p->labels, gradients);
    size_t kinks = 0;
    assert_true(loss == reference_model_loss(p->sizes, p->exact, p->labels));
    for (int part = 0; part < TL_MODEL_PARTS; part++)
        for (size_t i = 0; i < tl_model_part_size(p->sizes, (tl_model_part)part); i++) {
            size_t at = tl_model_part_at(p->sizes, (tl_model_part)part) + i;
            double estimate = difference(p, at);
            kinks += isnan(estimate) ? 1 : 0;
            if (!isnan(estimate) && !(fabs(estimate - gradients[at]) <= 1e-8 * fmax(1, fabs(gradients[at]))))
                suite_fail("%s[%zu]: %.12g, but %.12g by differences", tl_model_part_names[part], i, gradients[at],
                           estimate);
        }
    assert_true(p->sizes->cell == TALLY_RNN_RELU ? 2 * kinks < p->count : kinks == 0);
    free(gradients);
}

static void the_reference_has_the_gradient_of_its_loss(void **state) {
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        problem p = problem_new(&cases[c]);
        the_gradient_is_of_the_loss(&p);
        problem_free(&p);
    }
}

/* The expected gradients and loss, and how far a device may be from them. */
typedef struct wanted {
    double *gradients, *bounds, loss, loss_bound;
} wanted;

/* The bounds come from running error analysis of all operations. */
static wanted wanted_of(const problem *p) {
    wanted w = {.gradients = suite_memory(p->count, sizeof *w.gradients),
                .bounds = suite_memory(p->count, sizeof *w.bounds)};
    tl_bounded *values = suite_memory(p->count, sizeof *values), *running = suite_memory(p->count, sizeof *running);
    w.loss = reference_model_gradients(p->sizes, p->exact, p->labels, w.gradients);
    for (size_t i = 0; i < p->count; i++)
        values[i] = tl_bounded_of(p->exact[i]);
    tl_bounded loss;
    suite_ok(tl_bounded_model_gradients(p->sizes, values, p->labels, running, &loss));
    /* Two programs in double for one formula: each is off by some 1e-13. */
    assert_true(fabs(loss.v - w.loss) <= 1e-11 * fmax(1, fabs(w.loss)));
    double largest = 0;
    for (size_t i = 0; i < p->count; i++) {
        assert_true(fabs(running[i].v - w.gradients[i]) <= 1e-11 * fmax(1, fabs(w.gradients[i])));
        w.bounds[i] = running[i].e;
        largest = fmax(largest, w.bounds[i]);
    }
    w.loss_bound = loss.e;
    printf("bounds up to %.3g, of the loss %.3g\n", largest, w.loss_bound);
    assert_true(largest < 0.01); /* otherwise the bounds would prove little */
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

/* The index of a model parameter's first value in a problem. */
static size_t parameter_at(const tl_model_sizes *s, const tl_parameter *parameter) {
    static const tl_model_part parts[TL_ROLES] = {
        [TL_HEAD_BIAS] = TL_PART_HEAD_B, [TL_HEAD_WEIGHT] = TL_PART_HEAD_W, [TL_BIAS_HH] = TL_PART_BIAS,
        [TL_BIAS_IH] = TL_PART_BIAS,     [TL_WEIGHT_HH] = TL_PART_W_HH,     [TL_WEIGHT_IH] = TL_PART_W_IH,
    };
    tl_model_part part = parts[parameter->role];
    return parameter->role < TL_BIAS_HH ? tl_model_part_at(s, part) : tl_model_layer_at(s, part, parameter->layer);
}

/* A parameter in PyTorch's layout. PyTorch orders the GRU's gates r, z, n. tally orders them n, r, z; its biases
 * end with the bias of n's share of h, which is the last third of PyTorch's bias_hh. */
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

/* Sequences one after the other, as in a data set. */
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

/* Compares the gradient that training computes with the reference. The classifier has more columns than the batch. */
static void compare_training(const problem *p, double dropout, const float *x, const int32_t *lengths,
                             const tl_step_position *position) {
    const tl_model_sizes *s = p->sizes;
    wanted w = wanted_of(p);
    tally_model *model = model_of(p);
    float loss;
    tally_tensor gradient;
    tl_classifier classifier;
    suite_ok(tl_classifier_new(model, s->steps, &(tl_executor_options){s->columns + 20, true, lengths != NULL, dropout},
                               &classifier));
    tl_classifier_stage(&classifier, 0, s->columns, x, p->labels, lengths);
    suite_ok(tl_classifier_load(&classifier, 0));
    suite_ok(tl_model_flat_new(model, &gradient));
    suite_ok(tl_classifier_train(&classifier, position, &gradient));
    suite_ok(tl_classifier_losses(&classifier, &loss));
    compare_within("loss", &loss, &w.loss, &w.loss_bound, 1);
    size_t count = tally_tensor_elements(&gradient);
    float *got = suite_memory(count, sizeof *got);
    suite_ok(tally_tensor_read(&gradient, got, count));
    for (size_t i = 0; i < model->parameter_count; i++) {
        const tl_parameter *parameter = &model->parameters[i];
        size_t at = parameter_at(s, parameter);
        compare_within(parameter->name, got + parameter->start, w.gradients + at, w.bounds + at, parameter->stored);
    }
    tally_tensor_free(&gradient);
    tl_classifier_free(&classifier);
    tally_model_free(model);
    free(got);
    wanted_free(&w);
}

static void the_classifier_has_the_gradient_of_the_reference(void **state) {
    (void)state;
    for (size_t c = 0; c < CASES; c++) {
        problem p = problem_new(&cases[c]);
        for (size_t i = tl_model_part_at(p.sizes, TL_PART_H0); i < p.count; i++)
            p.values[i] = 0, p.exact[i] = 0;
        float *x = sequences_of(&p);
        compare_training(&p, 0, x, NULL, &(tl_step_position){0});
        free(x);
        problem_free(&p);
    }
}

/* The multiplier of a layer's output, as tally/tensor.h and nn/classifier.c define dropout. */
static float factor_of(double probability, const tl_step_position *position, size_t layer, size_t unit, size_t step,
                       size_t column) {
    const uint32_t position_counter[4] = {(uint32_t)position->step, (uint32_t)(position->step >> 32), (uint32_t)layer,
                                          TL_STREAM_DROPOUT};
    const uint32_t seed[2] = {(uint32_t)position->seed, (uint32_t)(position->seed >> 32)};
    const uint32_t counter[4] = {(uint32_t)(position->first + column), (uint32_t)step, (uint32_t)(unit / 4), 0};
    uint32_t key[4], word[4];
    tl_philox(position_counter, seed, key);
    tl_philox(counter, key, word);
    return (double)word[unit % 4] < floor(probability * 0x1p32) ? 0 : (float)(1 / (1 - probability));
}

static float *factors_of(const tl_model_sizes *s, double probability, const tl_step_position *position) {
    float *factors = suite_memory((s->layers - 1) * s->hidden * s->steps * s->columns, sizeof *factors), *to = factors;
    for (size_t l = 0; l + 1 < s->layers; l++)
        for (size_t u = 0; u < s->hidden; u++)
            for (size_t t = 0; t < s->steps; t++)
                for (size_t n = 0; n < s->columns; n++)
                    *to++ = factor_of(probability, position, l, u, t, n);
    return factors;
}

/* Dropout between three layers, sequences of unequal length, and both. */
static const struct irregular {
    tl_model_sizes sizes;
    double dropout;
    bool uneven;
} irregular[] = {{{2, 5, 4, 19, 3, 3, TALLY_LSTM, NULL, NULL}, 0.3, false},
                 {{2, 5, 4, 19, 3, 3, TALLY_LSTM, NULL, NULL}, 0, true},
                 {{2, 5, 4, 19, 3, 3, TALLY_LSTM, NULL, NULL}, 0.3, true},
                 {{2, 5, 3, 19, 3, 3, TALLY_GRU, NULL, NULL}, 0.3, false},
                 {{2, 5, 3, 19, 3, 3, TALLY_GRU, NULL, NULL}, 0, true},
                 {{2, 5, 3, 19, 3, 3, TALLY_GRU, NULL, NULL}, 0.3, true},
                 {{2, 5, 3, 19, 3, 3, TALLY_RNN, NULL, NULL}, 0.3, true},
                 {{2, 3, 3, 7, 3, 3, TALLY_RNN_RELU, NULL, NULL}, 0.3, true}};
enum { IRREGULAR = sizeof irregular / sizeof *irregular };
static const tl_step_position trained_at = {0x123456789abcdef, 0x100000007, 128};

/* The problem for one of the cases above, from zero states as in training; the caller provides sizes, lengths and
 * starts. */
static problem irregular_problem(const struct irregular *how, tl_model_sizes *s, int32_t *lengths, int32_t *starts) {
    *s = how->sizes;
    for (size_t n = 0; n < s->columns; n++) {
        lengths[n] = how->uneven ? (int32_t)(n % s->steps) + 1 : (int32_t)s->steps;
        starts[n] = (int32_t)s->steps - lengths[n];
    }
    if (how->uneven)
        s->starts = starts;
    if (how->dropout > 0)
        s->factors = factors_of(s, how->dropout, &trained_at);
    problem p = problem_new(s);
    for (size_t i = tl_model_part_at(s, TL_PART_H0); i < p.count; i++)
        p.values[i] = 0, p.exact[i] = 0;
    return p;
}

static void irregular_free(problem *p) {
    free((float *)(uintptr_t)p->sizes->factors);
    problem_free(p);
}

enum { MAX_COLUMNS = 32 };

static void the_reference_has_the_gradient_of_dropout_and_starts(void **state) {
    (void)state;
    for (size_t c = 0; c < IRREGULAR; c++) {
        int32_t lengths[MAX_COLUMNS], starts[MAX_COLUMNS];
        tl_model_sizes sizes;
        problem p = irregular_problem(&irregular[c], &sizes, lengths, starts);
        the_gradient_is_of_the_loss(&p);
        irregular_free(&p);
    }
}

/* Moves each sequence's own time steps to the front and fills the rest with NaN, which must not be read. */
static void move_to_the_front(const tl_model_sizes *s, const int32_t *lengths, float *x) {
    for (size_t n = 0; n < s->columns; n++, x += s->steps * s->inputs) {
        size_t own = (size_t)lengths[n] * s->inputs, all = s->steps * s->inputs;
        memmove(x, x + all - own, own * sizeof *x);
        for (size_t i = own; i < all; i++)
            x[i] = (float)NAN;
    }
}

static void the_classifier_has_the_gradient_of_dropout_and_starts(void **state) {
    (void)state;
    for (size_t c = 0; c < IRREGULAR; c++) {
        int32_t lengths[MAX_COLUMNS], starts[MAX_COLUMNS];
        tl_model_sizes sizes;
        problem p = irregular_problem(&irregular[c], &sizes, lengths, starts);
        float *x = sequences_of(&p);
        move_to_the_front(&sizes, lengths, x);
        compare_training(&p, irregular[c].dropout, x, irregular[c].uneven ? lengths : NULL, &trained_at);
        free(x);
        irregular_free(&p);
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
        cmocka_unit_test(the_reference_has_the_gradient_of_dropout_and_starts),
        cmocka_unit_test(the_classifier_has_the_gradient_of_dropout_and_starts),
    };
    int failed = cmocka_run_group_tests_name("gradients", tests, NULL, NULL);
    suite_end();
    return failed;
}
