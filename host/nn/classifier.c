#include "nn/classifier.h"

#include "core/fail.h"
#include "core/size.h"
#include "tensor/activations.h"

#include <stdlib.h>
#include <string.h>

enum { LANES = 16 };

static tally_status make_tensors(tl_classifier *c) {
    const tally_model_config *config = &c->model->config;
    tally_device *device = c->model->device;
    size_t columns = c->capacity, sums = tl_loss_sums(columns);
    tally_status status = tl_activations_new(device, config->inputs, c->steps, columns, &c->x);
    if (!status)
        status = tally_tensor_new(device, TALLY_I32, 1, &columns, &c->labels);
    if (!status)
        status = tally_tensor_new(device, TALLY_F32, 2, (size_t[]){config->classes, columns}, &c->probabilities);
    if (!status)
        status = tally_tensor_new(device, TALLY_F32, 1, &columns, &c->loss);
    if (!status)
        status = tally_tensor_new(device, TALLY_F32, 1, &sums, &c->loss_sums);
    if (!status)
        status = tally_lstm_state_new(device, config->inputs, config->hidden, c->steps, columns, &c->state);
    if (!status)
        status = tl_model_flat_new(c->model, &c->gradient);
    if (!status)
        status = tl_model_views(c->model, &c->model->weights, &c->weights);
    if (!status)
        status = tl_model_views(c->model, &c->gradient, &c->gradients);
    return status;
}

tally_status tl_classifier_new(const tally_model *model, size_t steps, size_t columns, tl_classifier *classifier) {
    memset(classifier, 0, sizeof *classifier);
    classifier->model = model;
    classifier->steps = steps;
    if (!tl_size_add(columns, LANES - 1, &classifier->capacity))
        return tl_fail(TALLY_MEMORY, "%zu columns do not fit a size", columns);
    classifier->capacity -= classifier->capacity % LANES;
    tally_status status = make_tensors(classifier);
    if (!status) { /* the tensors' sizes fit, so these do */
        classifier->x_columns = malloc(tally_tensor_elements(&classifier->x) * sizeof(float));
        classifier->label_columns = malloc(classifier->capacity * sizeof(int32_t));
        if (!classifier->x_columns || !classifier->label_columns)
            status = tl_fail(TALLY_MEMORY, "no memory left for %zu columns of %zu steps", columns, steps);
    }
    if (status)
        tl_classifier_free(classifier);
    return status;
}

void tl_classifier_free(tl_classifier *classifier) {
    tally_tensor_free(&classifier->gradient);
    tally_lstm_state_free(&classifier->state);
    tally_tensor_free(&classifier->x);
    tally_tensor_free(&classifier->labels);
    tally_tensor_free(&classifier->probabilities);
    tally_tensor_free(&classifier->loss);
    tally_tensor_free(&classifier->loss_sums);
    free(classifier->x_columns);
    free(classifier->label_columns);
    memset(classifier, 0, sizeof *classifier);
}

tally_status tl_classifier_slice(const tl_classifier *classifier, size_t count, tl_slice *slice) {
    const tally_model_config *config = &classifier->model->config;
    size_t columns = (count + LANES - 1) / LANES * LANES;
    slice->of = classifier;
    slice->count = count;
    tally_status status = tally_lstm_state_narrow(&classifier->state, columns, &slice->state);
    slice->x = tl_activations_narrow(&classifier->x, columns);
    if (!status)
        status = tally_tensor_reshape(&classifier->labels, 1, &columns, &slice->labels);
    if (!status)
        status = tally_tensor_reshape(&classifier->probabilities, 2, (size_t[]){config->classes, columns},
                                      &slice->probabilities);
    if (!status)
        status = tally_tensor_reshape(&classifier->loss, 1, &columns, &slice->loss);
    return status;
}

/* Rows of a cache line each, so that what is read and what is written both stay in the cache. */
enum { TURN = 16 };

/* Row-major x [count, T, I] as the slice's x lies in memory. */
static void turn(const tl_slice *slice, const float *x) {
    const tally_tensor *t = &slice->x;
    size_t inputs = t->shape[0], values = inputs * t->shape[1], columns = t->shape[2];
    for (size_t first = 0; first < values; first += TURN)
        for (size_t n = 0; n < columns; n++)
            for (size_t v = first; v < values && v < first + TURN; v++)
                slice->of->x_columns[v % inputs * t->stride[0] + v / inputs * t->stride[1] + n] =
                    n < slice->count ? x[n * values + v] : 0.0f;
}

tally_status tl_slice_load(const tl_slice *slice, const float *x, const int32_t *labels) {
    size_t inputs = slice->x.shape[0], steps = slice->x.shape[1], columns = slice->x.shape[2];
    turn(slice, x);
    int32_t *padded = slice->of->label_columns;
    for (size_t n = 0; n < columns; n++)
        padded[n] = labels && n < slice->count ? labels[n] : -1;
    tally_tensor all = slice->x; /* in the order of memory */
    all.ndim = 1;
    all.shape[0] = inputs * steps * columns;
    all.stride[0] = 1;
    tally_status status = tally_tensor_write(&all, slice->of->x_columns, inputs * steps * columns);
    return status ? status : tally_tensor_write(&slice->labels, padded, columns);
}

tally_status tl_slice_forward(const tl_slice *slice) {
    const tl_parameters *weights = &slice->of->weights;
    tally_tensor h_first, c_first, h_last;
    tally_status status = tally_tensor_select(&slice->state.h, 1, 0, &h_first);
    if (!status)
        status = tally_tensor_select(&slice->state.c, 1, 0, &c_first);
    if (!status)
        status = tally_tensor_select(&slice->state.h, 1, slice->of->steps, &h_last);
    if (!status)
        status = tally_fill(&h_first, 0.0f);
    if (!status)
        status = tally_fill(&c_first, 0.0f);
    if (!status)
        status = tally_lstm_forward(&weights->lstm, &slice->x, &slice->state);
    if (!status)
        status = tally_fill(&slice->probabilities, 0.0f);
    if (!status)
        status = tally_bias(&weights->head_bias, &slice->probabilities);
    if (!status)
        status = tally_gemm(false, false, 1.0f, &weights->head_weight, &h_last, 1.0f, &slice->probabilities);
    if (!status)
        status = tally_softmax_loss(&slice->probabilities, &slice->labels, &slice->probabilities, &slice->loss);
    return status;
}

size_t tl_loss_sums(size_t count) {
    return count / TALLY_SLICE_COLUMNS + (count % TALLY_SLICE_COLUMNS != 0);
}

/* Losses from first on, as rows of columns each, into the sums from the same slice on. */
static tally_status sum_losses(const tl_slice *slice, size_t first, size_t rows, size_t columns) {
    tally_tensor part, matrix, sums;
    tally_status status = tally_tensor_slice(&slice->loss, 0, first, rows * columns, &part);
    if (!status)
        status = tally_tensor_reshape(&part, 2, (size_t[]){rows, columns}, &matrix);
    if (!status)
        status = tally_tensor_slice(&slice->of->loss_sums, 0, first / TALLY_SLICE_COLUMNS, rows, &sums);
    return status ? status : tally_reduce(&matrix, 0.0f, &sums);
}

tally_status tl_slice_loss(const tl_slice *slice, float *sums) {
    size_t columns = slice->loss.shape[0], rest = columns % TALLY_SLICE_COLUMNS, whole = columns - rest;
    tally_status status = TALLY_OK;
    if (whole)
        status = sum_losses(slice, 0, whole / TALLY_SLICE_COLUMNS, TALLY_SLICE_COLUMNS);
    if (!status && rest)
        status = sum_losses(slice, whole, 1, rest);
    tally_tensor used;
    size_t count = tl_loss_sums(columns);
    if (!status)
        status = tally_tensor_slice(&slice->of->loss_sums, 0, 0, count, &used);
    return status ? status : tally_tensor_read(&used, sums, count);
}

tally_status tl_slice_backward(const tl_slice *slice) {
    const tl_parameters *weights = &slice->of->weights, *gradients = &slice->of->gradients;
    const tally_tensor *dlogits = &slice->probabilities;
    const size_t shape[3] = {dlogits->shape[0], 1, dlogits->shape[1]};
    tally_tensor h_last, dlogits_step;
    tally_status status = tally_tensor_slice(&slice->state.h, 1, slice->of->steps, 1, &h_last);
    if (!status)
        status = tally_tensor_reshape(dlogits, 3, shape, &dlogits_step);
    if (!status)
        status = tally_softmax_loss_backward(&slice->probabilities, &slice->labels, dlogits);
    if (!status)
        status = tally_accumulate(&dlogits_step, &h_last, &gradients->head_weight);
    if (!status)
        status = tally_accumulate(&dlogits_step, NULL, &gradients->head_bias);
    if (!status)
        status = tally_gemm(true, false, 1.0f, &weights->head_weight, dlogits, 0.0f, &slice->state.dh);
    if (!status)
        status = tally_fill(&slice->state.dc, 0.0f);
    if (!status)
        status = tally_lstm_backward(&weights->lstm, &slice->x, NULL, &slice->state, &gradients->lstm, NULL);
    return status;
}

tally_status tl_slice_probabilities(const tl_slice *slice, float *columns, float *rows) {
    size_t classes = slice->probabilities.shape[0], padded = slice->probabilities.shape[1];
    tally_status status = tally_tensor_read(&slice->probabilities, columns, classes * padded);
    for (size_t n = 0; n < slice->count && !status; n++)
        for (size_t k = 0; k < classes; k++)
            rows[n * classes + k] = columns[k * padded + n];
    return status;
}
