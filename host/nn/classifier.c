#include "nn/classifier.h"

#include "core/fail.h"
#include "core/philox.h"
#include "core/size.h"
#include "tensor/activations.h"

#include <stdlib.h>
#include <string.h>

enum { LANES = 16 };

static tally_status make_tensors(tl_classifier *c, const tl_classifier_options *o) {
    bool training = o->training;
    tl_network network = tl_model_network(c->model, c->steps, c->offsets);
    network.dropout = c->dropout;
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
    if (!status && o->uneven)
        status = tally_tensor_new(device, TALLY_I32, 1, &columns, &c->starts);
    if (!status)
        status = device->backend->plan_new(device, &network, columns, training, &c->plan);
    for (size_t l = 0; l < config->layers && !c->plan && !status; l++)
        status = tally_layer_state_new(device, config->cell, l == 0 ? config->inputs : config->hidden, config->hidden,
                                       c->steps, columns, &c->states[l]);
    for (size_t i = 0; i < 2 && i + 1 < config->layers && !c->plan && training && !status; i++)
        status = tl_activations_new(device, config->hidden, c->steps, columns, &c->between[i]);
    for (size_t l = 0; c->dropped && !c->plan && l + 1 < config->layers && !status; l++)
        status = tl_activations_new(device, config->hidden, c->steps, columns, &c->dropped[l]);
    return status;
}

tally_status tl_classifier_new(const tally_model *model, const tl_classifier_options *options,
                               tl_classifier *classifier) {
    size_t columns = options->columns;
    memset(classifier, 0, sizeof *classifier);
    classifier->model = model;
    classifier->steps = options->steps;
    if (!tl_size_add(columns, LANES - 1, &classifier->capacity))
        return tl_fail(TALLY_MEMORY, "%zu columns do not fit a size", columns);
    classifier->capacity -= classifier->capacity % LANES;
    classifier->states = calloc(model->config.layers, sizeof *classifier->states);
    classifier->offsets = calloc(2 + 3 * model->config.layers, sizeof *classifier->offsets);
    classifier->dropout = options->training && model->config.layers > 1 ? options->dropout : 0;
    bool drops = classifier->dropout > 0;
    if (drops)
        classifier->dropped = calloc(model->config.layers - 1, sizeof *classifier->dropped);
    tally_status status = classifier->states && classifier->offsets && (!drops || classifier->dropped)
                              ? make_tensors(classifier, options)
                              : tl_fail(TALLY_MEMORY, "no memory left for %zu layers", model->config.layers);
    if (!status) { /* the tensors' sizes fit, so these do */
        classifier->x_columns = malloc(tally_tensor_elements(&classifier->x) * sizeof(float));
        classifier->label_columns = malloc(classifier->capacity * sizeof(int32_t));
        classifier->start_columns = malloc(classifier->capacity * sizeof(int32_t));
        if (!classifier->x_columns || !classifier->label_columns || !classifier->start_columns)
            status = tl_fail(TALLY_MEMORY, "no memory left for %zu columns of %zu steps", columns, options->steps);
    }
    if (status)
        tl_classifier_free(classifier);
    return status;
}

void tl_classifier_free(tl_classifier *classifier) {
    if (classifier->plan)
        classifier->model->device->backend->plan_free(classifier->plan);
    for (size_t l = 0; classifier->states && l < classifier->model->config.layers; l++)
        tally_layer_state_free(&classifier->states[l]);
    for (size_t l = 0; classifier->dropped && l + 1 < classifier->model->config.layers; l++)
        tally_tensor_free(&classifier->dropped[l]);
    for (size_t i = 0; i < 2; i++)
        tally_tensor_free(&classifier->between[i]);
    tally_tensor_free(&classifier->x);
    tally_tensor_free(&classifier->labels);
    tally_tensor_free(&classifier->starts);
    tally_tensor_free(&classifier->probabilities);
    tally_tensor_free(&classifier->loss);
    tally_tensor_free(&classifier->loss_sums);
    free(classifier->states);
    free(classifier->dropped);
    free(classifier->offsets);
    free(classifier->x_columns);
    free(classifier->label_columns);
    free(classifier->start_columns);
    memset(classifier, 0, sizeof *classifier);
}

tally_status tl_classifier_slice(const tl_classifier *classifier, size_t count, tl_slice *slice) {
    const tally_model_config *config = &classifier->model->config;
    size_t columns = (count + LANES - 1) / LANES * LANES;
    slice->of = classifier;
    slice->count = count;
    slice->x = tl_activations_narrow(&classifier->x, columns);
    tally_status status = tally_tensor_reshape(&classifier->labels, 1, &columns, &slice->labels);
    slice->starts = classifier->starts;
    if (!status && classifier->starts.storage)
        status = tally_tensor_slice(&classifier->starts, 0, 0, columns, &slice->starts);
    if (!status)
        status = tally_tensor_reshape(&classifier->probabilities, 2, (size_t[]){config->classes, columns},
                                      &slice->probabilities);
    if (!status)
        status = tally_tensor_reshape(&classifier->loss, 1, &columns, &slice->loss);
    return status;
}

/* A tile of LANES sequences by TURN values is turned at a time: whole cache lines are read and written, so that it does not matter how many
 * rows a power of two apart the cache can hold. */
enum { TURN = 16 };

/* Row-major x [count, T, I] as the slice's x lies in memory: a shorter sequence at the end of its steps, zeros behind the last. */
static void turn(const tl_slice *slice, const float *x, const int32_t *lengths) {
    const tally_tensor *t = &slice->x;
    size_t inputs = t->shape[0], values = inputs * t->shape[1], columns = t->shape[2];
    for (size_t first = 0; first < values; first += TURN) {
        size_t some = values - first < TURN ? values - first : TURN;
        float *rows[TURN];
        for (size_t v = 0; v < some; v++)
            rows[v] = slice->of->x_columns + (first + v) % inputs * t->stride[0] + (first + v) / inputs * t->stride[1];
        for (size_t column = 0; column < columns; column += LANES) {
            float tile[TURN][LANES] = {{0}};
            for (size_t n = 0; n < LANES && column + n < slice->count; n++) {
                size_t missing = lengths ? values - (size_t)lengths[column + n] * inputs : 0;
                for (size_t v = missing < first ? 0 : missing - first; v < some; v++)
                    tile[v][n] = x[(column + n) * values + first + v - missing];
            }
            for (size_t v = 0; v < some; v++)
                memcpy(rows[v] + column, tile[v], sizeof tile[v]);
        }
    }
}

tally_status tl_slice_load(const tl_slice *slice, const float *x, const int32_t *labels, const int32_t *lengths) {
    size_t inputs = slice->x.shape[0], steps = slice->x.shape[1], columns = slice->x.shape[2];
    turn(slice, x, lengths);
    int32_t *padded = slice->of->label_columns;
    for (size_t n = 0; n < columns; n++)
        padded[n] = labels && n < slice->count ? labels[n] : -1;
    const tl_backend *backend = slice->x.device->backend;
    size_t bytes = columns * sizeof *padded;
    tally_status status =
        backend->load(slice->x.storage, 0, slice->of->x_columns, inputs * steps * columns * sizeof(float));
    if (!status)
        status = backend->load(slice->labels.storage, 0, padded, bytes);
    if (status || !slice->starts.storage)
        return status;
    int32_t *starts = slice->of->start_columns;
    for (size_t n = 0; n < columns; n++)
        starts[n] = lengths && n < slice->count ? (int32_t)steps - lengths[n] : 0;
    return backend->load(slice->starts.storage, 0, starts, bytes);
}

static tally_status state_of(const tl_slice *slice, size_t layer, tally_layer_state *state) {
    tally_status status = tally_layer_state_narrow(&slice->of->states[layer], slice->x.shape[2], state);
    state->starts = slice->starts;
    return status;
}

/* What a layer hands to the next, before dropout. */
static tally_status output_of(const tl_slice *slice, size_t layer, tally_tensor *outputs) {
    tally_layer_state state;
    tally_status status = state_of(slice, layer, &state);
    return status ? status : tally_tensor_slice(&state.h, 1, 1, slice->of->steps, outputs);
}

/* A layer's x: the sequences, or what the layer before handed on. */
static tally_status input_of(const tl_slice *slice, size_t layer, tally_tensor *x) {
    const tl_classifier *c = slice->of;
    *x = slice->x;
    if (layer > 0 && c->dropped)
        *x = tl_activations_narrow(&c->dropped[layer - 1], slice->x.shape[2]);
    return layer == 0 || c->dropped ? TALLY_OK : output_of(slice, layer - 1, x);
}

/* Which of a layer's outputs are dropped: every layer, step and place has its own. */
static tally_dropout_options dropout_of(const tl_slice *slice, const tl_place *place, size_t layer) {
    const uint32_t counter[4] = {(uint32_t)place->step, (uint32_t)(place->step >> 32), (uint32_t)layer,
                                 TL_STREAM_DROPOUT};
    const uint32_t key[2] = {(uint32_t)place->seed, (uint32_t)(place->seed >> 32)};
    uint32_t word[4];
    tl_philox(counter, key, word);
    return (tally_dropout_options){slice->of->dropout, (uint64_t)word[1] << 32 | word[0], (uint32_t)place->first};
}

/* [H, 1, N]: the last output of the last layer. */
static tally_status last_output(const tl_slice *slice, tally_tensor *h_last) {
    tally_layer_state state;
    tally_status status = state_of(slice, slice->of->model->config.layers - 1, &state);
    return status ? status : tally_tensor_slice(&state.h, 1, slice->of->steps, 1, h_last);
}

static tally_status layer_forward(const tl_slice *slice, size_t layer) {
    const tally_model *model = slice->of->model;
    tally_layer_weights weights;
    tally_layer_state state;
    tally_tensor x, h_first, c_first;
    tally_status status = tl_model_layer(model, &model->weights, layer, &weights);
    if (!status)
        status = state_of(slice, layer, &state);
    if (!status)
        status = input_of(slice, layer, &x);
    if (!status)
        status = tally_tensor_select(&state.h, 1, 0, &h_first);
    if (!status)
        status = tally_fill(&h_first, 0.0f);
    if (!status && state.c.storage)
        status = tally_tensor_select(&state.c, 1, 0, &c_first);
    if (!status && state.c.storage)
        status = tally_fill(&c_first, 0.0f);
    return status ? status : tally_layer_forward(&weights, &x, &state);
}

static tally_status drop(const tl_slice *slice, const tl_place *place, size_t layer) {
    const tally_dropout_options options = dropout_of(slice, place, layer);
    tally_tensor outputs, dropped;
    tally_status status = output_of(slice, layer, &outputs);
    if (!status)
        status = input_of(slice, layer + 1, &dropped);
    return status ? status : tally_dropout(&options, &outputs, &dropped);
}

static tally_status forward(const tl_slice *slice, const tl_place *place) {
    const tally_model *model = slice->of->model;
    tl_head head;
    tally_tensor last_step, h_last;
    tally_status status = tl_model_head(model, &model->weights, &head);
    if (!status)
        status = last_output(slice, &last_step);
    if (!status)
        status = tally_tensor_select(&last_step, 1, 0, &h_last);
    for (size_t layer = 0; layer < model->config.layers && !status; layer++) {
        status = layer_forward(slice, layer);
        if (!status && slice->of->dropped && layer + 1 < model->config.layers)
            status = drop(slice, place, layer);
    }
    if (!status)
        status = tally_fill(&slice->probabilities, 0.0f);
    if (!status)
        status = tally_bias(&head.bias, &slice->probabilities);
    if (!status)
        status = tally_gemm(false, false, 1.0f, &head.weight, &h_last, 1.0f, &slice->probabilities);
    if (!status)
        status = tally_softmax_loss(&slice->probabilities, &slice->labels, &slice->probabilities, &slice->loss);
    return status;
}

size_t tl_loss_sums(size_t count) {
    return count / TALLY_MICRO_BATCH + (count % TALLY_MICRO_BATCH != 0);
}

/* Losses from first on, as rows of columns each, into the sums from the same slice on. */
static tally_status sum_losses(const tl_slice *slice, size_t first, size_t rows, size_t columns) {
    tally_tensor part, matrix, sums;
    tally_status status = tally_tensor_slice(&slice->loss, 0, first, rows * columns, &part);
    if (!status)
        status = tally_tensor_reshape(&part, 2, (size_t[]){rows, columns}, &matrix);
    if (!status)
        status = tally_tensor_slice(&slice->of->loss_sums, 0, first / TALLY_MICRO_BATCH, rows, &sums);
    return status ? status : tally_reduce(&matrix, 0.0f, &sums);
}

static tally_status all_losses(const tl_slice *slice) {
    size_t columns = slice->loss.shape[0], rest = columns % TALLY_MICRO_BATCH, whole = columns - rest;
    tally_status status = TALLY_OK;
    if (whole)
        status = sum_losses(slice, 0, whole / TALLY_MICRO_BATCH, TALLY_MICRO_BATCH);
    if (!status && rest)
        status = sum_losses(slice, whole, 1, rest);
    return status;
}

/* To the last layer's dh. */
static tally_status head_backward(const tl_slice *slice, const tally_tensor *gradient) {
    const tally_model *model = slice->of->model;
    const tally_tensor *dlogits = &slice->probabilities;
    const size_t shape[3] = {dlogits->shape[0], 1, dlogits->shape[1]};
    tl_head weights, gradients;
    tally_layer_state state;
    tally_tensor h_last, dlogits_step;
    tally_status status = tl_model_head(model, &model->weights, &weights);
    if (!status)
        status = tl_model_head(model, gradient, &gradients);
    if (!status)
        status = last_output(slice, &h_last);
    if (!status)
        status = state_of(slice, model->config.layers - 1, &state);
    if (!status)
        status = tally_tensor_reshape(dlogits, 3, shape, &dlogits_step);
    if (!status)
        status = tally_softmax_loss_backward(&slice->probabilities, &slice->labels, dlogits);
    if (!status)
        status = tally_accumulate(&dlogits_step, &h_last, &gradients.weight);
    if (!status)
        status = tally_accumulate(&dlogits_step, NULL, &gradients.bias);
    return status ? status : tally_gemm(true, false, 1.0f, &weights.weight, dlogits, 0.0f, &state.dh);
}

/* The gradient of what a layer puts out, which the layer behind it gives. */
static void output_gradient(const tl_slice *slice, size_t layer, tally_tensor *view) {
    *view = tl_activations_narrow(&slice->of->between[layer % 2], slice->x.shape[2]);
}

static tally_status layer_backward(const tl_slice *slice, const tl_place *place, const tally_tensor *gradient,
                                   size_t layer) {
    const tally_model *model = slice->of->model;
    bool last = layer + 1 == model->config.layers;
    tally_layer_weights weights, gradients;
    tally_layer_state state;
    tally_tensor x, dy, dx;
    tally_status status = tl_model_layer(model, &model->weights, layer, &weights);
    if (!status)
        status = tl_model_layer(model, gradient, layer, &gradients);
    if (!status)
        status = state_of(slice, layer, &state);
    if (!status)
        status = input_of(slice, layer, &x);
    if (layer > 0)
        output_gradient(slice, layer - 1, &dx);
    if (!last)
        output_gradient(slice, layer, &dy);
    if (!status && !last)
        status = tally_fill(&state.dh, 0.0f);
    if (!status && state.dc.storage)
        status = tally_fill(&state.dc, 0.0f);
    if (!status)
        status = tally_layer_backward(&weights, &x, last ? NULL : &dy, &state, &gradients, layer > 0 ? &dx : NULL);
    if (status || layer == 0 || !slice->of->dropped)
        return status;
    const tally_dropout_options options = dropout_of(slice, place, layer - 1);
    return tally_dropout(&options, &dx, &dx);
}

static tally_status backward(const tl_slice *slice, const tl_place *place, const tally_tensor *gradient) {
    tally_status status = head_backward(slice, gradient);
    for (size_t layer = slice->of->model->config.layers; layer-- > 0 && !status;)
        status = layer_backward(slice, place, gradient, layer);
    return status;
}

static tl_batch batch_of(const tl_slice *slice, const tl_place *place) {
    const tl_classifier *c = slice->of;
    return (tl_batch){.weights = c->model->weights,
                      .x = slice->x,
                      .labels = slice->labels,
                      .probabilities = slice->probabilities,
                      .loss_sums = c->loss_sums,
                      .starts = slice->starts,
                      .seed = place->seed,
                      .step = place->step,
                      .first = place->first};
}

tally_status tl_slice_predict(const tl_slice *slice) {
    const tl_classifier *c = slice->of;
    const tl_batch batch = batch_of(slice, &(tl_place){0});
    return c->plan ? c->model->device->backend->predict(c->plan, &batch) : forward(slice, NULL);
}

tally_status tl_slice_train(const tl_slice *slice, const tl_place *place, const tally_tensor *gradient, float *sums) {
    const tl_classifier *c = slice->of;
    tl_batch batch = batch_of(slice, place);
    batch.gradient = *gradient;
    tally_status status = c->plan ? c->model->device->backend->train(c->plan, &batch) : forward(slice, place);
    if (!status && !c->plan)
        status = all_losses(slice);
    if (!status && !c->plan)
        status = backward(slice, place, gradient);
    tally_tensor used;
    size_t count = tl_loss_sums(slice->loss.shape[0]);
    if (!status)
        status = tally_tensor_slice(&c->loss_sums, 0, 0, count, &used);
    return status ? status : tally_tensor_read(&used, sums, count);
}

tally_status tl_slice_probabilities(const tl_slice *slice, float *columns, float *rows) {
    size_t classes = slice->probabilities.shape[0], padded = slice->probabilities.shape[1];
    tally_status status = tally_tensor_read(&slice->probabilities, columns, classes * padded);
    for (size_t first = 0; first < padded && !status; first += LANES) /* a cache line of each class */
        for (size_t k = 0; k < classes; k++)
            for (size_t n = first; n < first + LANES && n < slice->count; n++)
                rows[n * classes + k] = columns[k * padded + n];
    return status;
}
