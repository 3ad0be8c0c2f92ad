#include "nn/operations_executor.h"

#include "core/fail.h"
#include "core/philox.h"
#include "tensor/activations.h"

#include <stdlib.h>

typedef struct operations_executor {
    tl_executor base;
    const tally_model *model;
    size_t steps;
    double dropout;
    tally_layer_state *states; /* one for each layer */
    tally_tensor between[2];   /* [H, T, N]: gradients of what a layer put out, alternately; as many as are needed */
    tally_tensor *dropped;     /* [H, T, N]: what is left of it, of each layer but the last; NULL without dropout */
    tally_tensor loss;         /* [N] */
} operations_executor;

static tally_status state_of(const operations_executor *e, const tl_chunk *chunk, size_t layer,
                             tally_layer_state *state) {
    tally_status status = tally_layer_state_narrow(&e->states[layer], chunk->x.shape[2], state);
    state->starts = chunk->starts;
    return status;
}

/* What a layer hands to the next, before dropout. */
static tally_status output_of(const operations_executor *e, const tl_chunk *chunk, size_t layer,
                              tally_tensor *outputs) {
    tally_layer_state state;
    tally_status status = state_of(e, chunk, layer, &state);
    return status ? status : tally_tensor_slice(&state.h, 1, 1, e->steps, outputs);
}

/* A layer's x: the sequences, or what the layer before handed on. */
static tally_status input_of(const operations_executor *e, const tl_chunk *chunk, size_t layer, tally_tensor *x) {
    *x = chunk->x;
    if (layer > 0 && e->dropped)
        *x = tl_activations_narrow(&e->dropped[layer - 1], chunk->x.shape[2]);
    return layer == 0 || e->dropped ? TALLY_OK : output_of(e, chunk, layer - 1, x);
}

/* Which of a layer's outputs are dropped: each layer, step of training and position has its own. */
static tally_dropout_options dropout_of(const operations_executor *e, const tl_chunk *chunk, size_t layer) {
    const tl_step_position *position = &chunk->position;
    const uint32_t counter[4] = {(uint32_t)position->step, (uint32_t)(position->step >> 32), (uint32_t)layer,
                                 TL_STREAM_DROPOUT};
    const uint32_t key[2] = {(uint32_t)position->seed, (uint32_t)(position->seed >> 32)};
    uint32_t word[4];
    tl_philox(counter, key, word);
    return (tally_dropout_options){e->dropout, (uint64_t)word[1] << 32 | word[0], (uint32_t)position->first};
}

/* [H, 1, N]: the last output of the last layer. */
static tally_status last_output(const operations_executor *e, const tl_chunk *chunk, tally_tensor *h_last) {
    tally_layer_state state;
    tally_status status = state_of(e, chunk, e->model->config.layers - 1, &state);
    return status ? status : tally_tensor_slice(&state.h, 1, e->steps, 1, h_last);
}

static tally_status forward_layer(const operations_executor *e, const tl_chunk *chunk, size_t layer) {
    const tally_model *model = e->model;
    tally_layer_weights weights;
    tally_layer_state state;
    tally_tensor x, h_first, c_first;
    tally_status status = tl_model_layer(model, &chunk->weights, layer, &weights);
    if (!status)
        status = state_of(e, chunk, layer, &state);
    if (!status)
        status = input_of(e, chunk, layer, &x);
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

static tally_status drop_outputs(const operations_executor *e, const tl_chunk *chunk, size_t layer) {
    const tally_dropout_options options = dropout_of(e, chunk, layer);
    tally_tensor outputs, dropped;
    tally_status status = output_of(e, chunk, layer, &outputs);
    if (!status)
        status = input_of(e, chunk, layer + 1, &dropped);
    return status ? status : tally_dropout(&options, &outputs, &dropped);
}

static tally_status network_forward(const operations_executor *e, const tl_chunk *chunk) {
    const tally_model *model = e->model;
    tl_head head;
    tally_tensor last_step, h_last, loss;
    tally_status status = tally_tensor_slice(&e->loss, 0, 0, chunk->x.shape[2], &loss);
    if (!status)
        status = tl_model_head(model, &chunk->weights, &head);
    if (!status)
        status = last_output(e, chunk, &last_step);
    if (!status)
        status = tally_tensor_select(&last_step, 1, 0, &h_last);
    for (size_t layer = 0; layer < model->config.layers && !status; layer++) {
        status = forward_layer(e, chunk, layer);
        if (!status && e->dropped && layer + 1 < model->config.layers)
            status = drop_outputs(e, chunk, layer);
    }
    if (!status)
        status = tally_fill(&chunk->probabilities, 0.0f);
    if (!status)
        status = tally_bias(&head.bias, &chunk->probabilities);
    if (!status)
        status = tally_gemm(false, false, 1.0f, &head.weight, &h_last, 1.0f, &chunk->probabilities);
    if (!status)
        status = tally_softmax_loss(&chunk->probabilities, &chunk->labels, &chunk->probabilities, &loss);
    return status;
}

/* Of rows of columns each, from the first loss on, into the sums of their micro-batches. */
static tally_status sum_losses(const operations_executor *e, const tl_chunk *chunk, size_t first, size_t rows,
                               size_t columns) {
    tally_tensor part, matrix, sums;
    tally_status status = tally_tensor_slice(&e->loss, 0, first, rows * columns, &part);
    if (!status)
        status = tally_tensor_reshape(&part, 2, (size_t[]){rows, columns}, &matrix);
    if (!status)
        status = tally_tensor_slice(&chunk->loss_sums, 0, first / TALLY_MICRO_BATCH, rows, &sums);
    return status ? status : tally_reduce(&matrix, 0.0f, &sums);
}

static tally_status sum_all_losses(const operations_executor *e, const tl_chunk *chunk) {
    size_t columns = chunk->x.shape[2], rest = columns % TALLY_MICRO_BATCH, whole = columns - rest;
    tally_status status = TALLY_OK;
    if (whole)
        status = sum_losses(e, chunk, 0, whole / TALLY_MICRO_BATCH, TALLY_MICRO_BATCH);
    if (!status && rest)
        status = sum_losses(e, chunk, whole, 1, rest);
    return status;
}

/* To the last layer's dh. */
static tally_status head_backward(const operations_executor *e, const tl_chunk *chunk) {
    const tally_model *model = e->model;
    const tally_tensor *dlogits = &chunk->probabilities;
    const size_t shape[3] = {dlogits->shape[0], 1, dlogits->shape[1]};
    tl_head weights, gradients;
    tally_layer_state state;
    tally_tensor h_last, dlogits_step;
    tally_status status = tl_model_head(model, &chunk->weights, &weights);
    if (!status)
        status = tl_model_head(model, &chunk->gradient, &gradients);
    if (!status)
        status = last_output(e, chunk, &h_last);
    if (!status)
        status = state_of(e, chunk, model->config.layers - 1, &state);
    if (!status)
        status = tally_tensor_reshape(dlogits, 3, shape, &dlogits_step);
    if (!status)
        status = tally_softmax_loss_backward(&chunk->probabilities, &chunk->labels, dlogits);
    if (!status)
        status = tally_accumulate(&dlogits_step, &h_last, &gradients.weight);
    if (!status)
        status = tally_accumulate(&dlogits_step, NULL, &gradients.bias);
    return status ? status : tally_gemm(true, false, 1.0f, &weights.weight, dlogits, 0.0f, &state.dh);
}

/* The gradient of what a layer puts out, which the layer behind it gives. */
static void output_gradient(const operations_executor *e, const tl_chunk *chunk, size_t layer, tally_tensor *view) {
    *view = tl_activations_narrow(&e->between[layer % 2], chunk->x.shape[2]);
}

static tally_status backward_layer(const operations_executor *e, const tl_chunk *chunk, size_t layer) {
    const tally_model *model = e->model;
    bool last = layer + 1 == model->config.layers;
    tally_layer_weights weights, gradients;
    tally_layer_state state;
    tally_tensor x, dy, dx;
    tally_status status = tl_model_layer(model, &chunk->weights, layer, &weights);
    if (!status)
        status = tl_model_layer(model, &chunk->gradient, layer, &gradients);
    if (!status)
        status = state_of(e, chunk, layer, &state);
    if (!status)
        status = input_of(e, chunk, layer, &x);
    if (layer > 0)
        output_gradient(e, chunk, layer - 1, &dx);
    if (!last)
        output_gradient(e, chunk, layer, &dy);
    if (!status && !last)
        status = tally_fill(&state.dh, 0.0f);
    if (!status && state.dc.storage)
        status = tally_fill(&state.dc, 0.0f);
    if (!status)
        status = tally_layer_backward(&weights, &x, last ? NULL : &dy, &state, &gradients, layer > 0 ? &dx : NULL);
    if (status || layer == 0 || !e->dropped)
        return status;
    const tally_dropout_options options = dropout_of(e, chunk, layer - 1);
    return tally_dropout(&options, &dx, &dx);
}

static tally_status network_backward(const operations_executor *e, const tl_chunk *chunk) {
    tally_status status = head_backward(e, chunk);
    for (size_t layer = e->model->config.layers; layer-- > 0 && !status;)
        status = backward_layer(e, chunk, layer);
    return status;
}

static tally_status train_chunk(tl_executor *base, const tl_chunk *chunk) {
    const operations_executor *e = (const operations_executor *)base;
    tally_status status = network_forward(e, chunk);
    if (!status)
        status = sum_all_losses(e, chunk);
    return status ? status : network_backward(e, chunk);
}

static tally_status predict_chunk(tl_executor *base, const tl_chunk *chunk) {
    return network_forward((const operations_executor *)base, chunk);
}

static void free_executor(tl_executor *base) {
    operations_executor *e = (operations_executor *)base;
    size_t layers = e->model->config.layers;
    for (size_t l = 0; e->states && l < layers; l++)
        tally_layer_state_free(&e->states[l]);
    for (size_t l = 0; e->dropped && l + 1 < layers; l++)
        tally_tensor_free(&e->dropped[l]);
    for (size_t i = 0; i < 2; i++)
        tally_tensor_free(&e->between[i]);
    tally_tensor_free(&e->loss);
    free(e->states);
    free(e->dropped);
    free(e);
}

static tally_status make_tensors(operations_executor *e, const tl_executor_options *o) {
    const tally_model_config *c = &e->model->config;
    tally_device *device = e->model->device;
    tally_status status = tally_tensor_new(device, TALLY_F32, 1, &o->columns, &e->loss);
    for (size_t l = 0; l < c->layers && !status; l++)
        status = (o->training ? tally_layer_state_new : tally_layer_state_new_inference)(
            device, c->cell, l == 0 ? c->inputs : c->hidden, c->hidden, e->steps, o->columns, &e->states[l]);
    for (size_t i = 0; o->training && i < 2 && i + 1 < c->layers && !status; i++)
        status = tl_activations_new(device, c->hidden, e->steps, o->columns, &e->between[i]);
    for (size_t l = 0; e->dropped && l + 1 < c->layers && !status; l++)
        status = tl_activations_new(device, c->hidden, e->steps, o->columns, &e->dropped[l]);
    return status;
}

tally_status tl_operations_executor_new(const tally_model *model, size_t steps, const tl_executor_options *options,
                                        tl_executor **executor) {
    static const tl_executor_methods methods = {.train = train_chunk, .predict = predict_chunk, .free = free_executor};
    size_t layers = model->config.layers;
    bool drops = options->dropout > 0;
    operations_executor *made = calloc(1, sizeof *made);
    if (!made)
        return tl_fail(TALLY_MEMORY, "no memory left for an executor");
    *made =
        (operations_executor){.base.methods = &methods, .model = model, .steps = steps, .dropout = options->dropout};
    made->states = calloc(layers, sizeof *made->states);
    made->dropped = drops ? calloc(layers - 1, sizeof *made->dropped) : NULL;
    tally_status status = made->states && (!drops || made->dropped)
                              ? make_tensors(made, options)
                              : tl_fail(TALLY_MEMORY, "no memory left for %zu layers", layers);
    if (status)
        free_executor(&made->base);
    else
        *executor = &made->base;
    return status;
}
