#include "device_model.h"

#include <stdlib.h>

/* A view of a part, or of a layer's share of it, with its proper shape. */
static tally_tensor view(const device_model *d, const tally_tensor parts[TL_MODEL_PARTS], tl_model_part part,
                         size_t layer) {
    const tl_model_sizes *s = &d->sizes;
    size_t rows = tally_cell_weights(s->cell) * s->hidden;
    const struct {
        int ndim;
        size_t shape[3];
    } shapes[TL_MODEL_PARTS] = {
        [TL_PART_W_IH] = {2, {rows, tl_model_inputs(s, layer)}},
        [TL_PART_W_HH] = {2, {rows, s->hidden}},
        [TL_PART_BIAS] = {1, {tally_cell_gates(s->cell) * s->hidden}},
        [TL_PART_HEAD_W] = {2, {s->classes, s->hidden}},
        [TL_PART_HEAD_B] = {1, {s->classes}},
        [TL_PART_X] = {3, {s->inputs, s->steps, s->columns}},
        [TL_PART_H0] = {2, {s->hidden, s->columns}},
        [TL_PART_C0] = {2, {s->hidden, s->columns}},
    };
    size_t start = layer == 0 ? 0 : tl_model_layer_at(s, part, layer) - tl_model_part_at(s, part);
    tally_tensor rest, shaped;
    suite_ok(tally_tensor_slice(&parts[part], 0, start, tl_model_part_size(s, part) - start, &rest));
    suite_ok(tally_tensor_reshape(&rest, shapes[part].ndim, shapes[part].shape, &shaped));
    return shaped;
}

static tally_tensor row(size_t count) {
    tally_tensor t;
    suite_ok(tally_tensor_new(the.device, TALLY_F32, 1, &count, &t));
    return t;
}

device_model device_model_new(const tl_model_sizes *s, const float *values, const int32_t *labels) {
    device_model d = {.sizes = *s};
    for (int part = 0; part < TL_MODEL_PARTS; part++) {
        size_t count = tl_model_part_size(s, (tl_model_part)part);
        if (count == 0)
            continue;
        d.values[part] = row(count);
        d.gradients[part] = row(count);
        for (int i = 0; i < TALLY_MAX_OPTIMIZER_STATES; i++)
            d.optimizer_states[part][i] = row(count);
        suite_ok(tally_tensor_write(&d.values[part], values + tl_model_part_at(s, (tl_model_part)part), count));
    }
    suite_ok(tally_tensor_new(the.device, TALLY_I32, 1, (size_t[]){1}, &d.faults));
    suite_ok(tally_tensor_new(the.device, TALLY_I32, 1, &s->columns, &d.labels));
    suite_ok(tally_tensor_write(&d.labels, labels, s->columns));
    tally_tensor *of_classes[] = {&d.logits, &d.probabilities, &d.dlogits};
    for (size_t i = 0; i < 3; i++)
        suite_ok(tally_tensor_new(the.device, TALLY_F32, 2, (size_t[]){s->classes, s->columns}, of_classes[i]));
    suite_ok(tally_tensor_new(the.device, TALLY_F32, 1, &s->columns, &d.losses));
    suite_ok(tally_tensor_new(the.device, TALLY_F32, 1, (size_t[]){1}, &d.loss));
    d.states = suite_memory(s->layers, sizeof *d.states);
    d.dy = suite_memory(s->layers, sizeof *d.dy);
    for (size_t l = 0; l < s->layers; l++) {
        suite_ok(tally_layer_state_new(the.device, s->cell, tl_model_inputs(s, l), s->hidden, s->steps, s->columns,
                                       &d.states[l]));
        suite_ok(tally_tensor_new(the.device, TALLY_F32, 3, (size_t[]){s->hidden, s->steps, s->columns}, &d.dy[l]));
    }
    return d;
}

void device_model_free(device_model *d) {
    for (int part = 0; part < TL_MODEL_PARTS; part++) {
        tally_tensor_free(&d->values[part]);
        tally_tensor_free(&d->gradients[part]);
        for (int s = 0; s < TALLY_MAX_OPTIMIZER_STATES; s++)
            tally_tensor_free(&d->optimizer_states[part][s]);
    }
    tally_tensor *rest[] = {&d->faults, &d->labels, &d->logits, &d->probabilities, &d->losses, &d->loss, &d->dlogits};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        tally_tensor_free(rest[i]);
    for (size_t l = 0; l < d->sizes.layers; l++) {
        tally_layer_state_free(&d->states[l]);
        tally_tensor_free(&d->dy[l]);
    }
    free(d->states);
    free(d->dy);
}

static tally_tensor last_output(const device_model *d) {
    tally_tensor last;
    suite_ok(tally_tensor_select(&d->states[d->sizes.layers - 1].h, 1, d->sizes.steps, &last));
    return last;
}

static tally_layer_weights weights_of(const device_model *d, const tally_tensor parts[TL_MODEL_PARTS], size_t layer) {
    return (tally_layer_weights){view(d, parts, TL_PART_W_IH, layer), view(d, parts, TL_PART_W_HH, layer),
                                 view(d, parts, TL_PART_BIAS, layer), d->sizes.cell};
}

static tally_tensor input_of(const device_model *d, size_t layer) {
    tally_tensor x;
    if (layer == 0)
        return view(d, d->values, TL_PART_X, 0);
    suite_ok(tally_tensor_slice(&d->states[layer - 1].h, 1, 1, d->sizes.steps, &x));
    return x;
}

static void layer_forward(device_model *d, size_t layer) {
    const tally_layer_state *state = &d->states[layer];
    tally_layer_weights weights = weights_of(d, d->values, layer);
    tally_tensor first, x = input_of(d, layer);
    tally_tensor initial = view(d, d->values, TL_PART_H0, layer);
    suite_ok(tally_tensor_select(&state->h, 1, 0, &first));
    suite_ok(tally_copy(&initial, &first));
    if (d->sizes.cell == TALLY_LSTM) {
        initial = view(d, d->values, TL_PART_C0, layer);
        suite_ok(tally_tensor_select(&state->c, 1, 0, &first));
        suite_ok(tally_copy(&initial, &first));
    }
    suite_ok(tally_layer_forward(&weights, &x, state));
}

void device_model_forward(device_model *d) {
    tally_tensor losses, last = last_output(d), head_w = view(d, d->values, TL_PART_HEAD_W, 0);
    for (size_t l = 0; l < d->sizes.layers; l++)
        layer_forward(d, l);
    suite_ok(tally_fill(&d->logits, 0));
    suite_ok(tally_bias(&d->values[TL_PART_HEAD_B], &d->logits));
    suite_ok(tally_gemm(false, false, 1, &head_w, &last, 1, &d->logits));
    suite_ok(tally_softmax_loss(&d->logits, &d->labels, &d->probabilities, &d->losses));
    suite_ok(tally_tensor_reshape(&d->losses, 2, (size_t[]){1, d->sizes.columns}, &losses));
    suite_ok(tally_reduce(&losses, 0, &d->loss));
}

void device_model_head_backward(device_model *d) {
    tally_tensor last = last_output(d), head_w = view(d, d->values, TL_PART_HEAD_W, 0);
    tally_tensor dhead_w = view(d, d->gradients, TL_PART_HEAD_W, 0);
    for (size_t l = 0; l < d->sizes.layers; l++) {
        suite_ok(tally_fill(&d->states[l].dh, 0));
        if (d->sizes.cell == TALLY_LSTM)
            suite_ok(tally_fill(&d->states[l].dc, 0));
    }
    suite_ok(tally_softmax_loss_backward(&d->probabilities, &d->labels, &d->dlogits));
    suite_ok(tally_gemm(false, true, 1, &d->dlogits, &last, 0, &dhead_w));
    suite_ok(tally_reduce(&d->dlogits, 0, &d->gradients[TL_PART_HEAD_B]));
    suite_ok(tally_gemm(true, false, 1, &head_w, &d->dlogits, 0, &d->states[d->sizes.layers - 1].dh));
}

void device_model_layers_backward(device_model *d) {
    for (int part = TL_PART_W_IH; part <= TL_PART_BIAS; part++)
        suite_ok(tally_fill(&d->gradients[part], 0));
    for (size_t l = d->sizes.layers; l-- > 0;) {
        tally_layer_weights weights = weights_of(d, d->values, l), gradients = weights_of(d, d->gradients, l);
        tally_tensor x = input_of(d, l), dx = l > 0 ? d->dy[l - 1] : view(d, d->gradients, TL_PART_X, 0);
        const tally_tensor *dy = l + 1 < d->sizes.layers ? &d->dy[l] : NULL;
        suite_ok(tally_layer_backward(&weights, &x, dy, &d->states[l], &gradients, &dx));
    }
}

void device_model_gradients(const device_model *d, float *gradients) {
    const tl_model_sizes *s = &d->sizes;
    for (int part = 0; part < TL_PART_H0; part++)
        suite_ok(tally_tensor_read(&d->gradients[part], gradients + tl_model_part_at(s, (tl_model_part)part),
                                   tl_model_part_size(s, (tl_model_part)part)));
    for (size_t l = 0; l < s->layers; l++) {
        size_t count = s->hidden * s->columns;
        suite_ok(tally_tensor_read(&d->states[l].dh, gradients + tl_model_layer_at(s, TL_PART_H0, l), count));
        if (s->cell == TALLY_LSTM)
            suite_ok(tally_tensor_read(&d->states[l].dc, gradients + tl_model_layer_at(s, TL_PART_C0, l), count));
    }
}

void device_model_step(device_model *d, tl_model_part part, const tally_optimizer_options *options, uint64_t step) {
    suite_ok(tally_optimizer_step(options, step, &d->gradients[part], &d->values[part], d->optimizer_states[part],
                                  &d->faults));
    int32_t faults;
    suite_ok(tally_tensor_read(&d->faults, &faults, 1));
    assert_int_equal(faults, 0);
}

void device_model_parameters(const device_model *d, float *values) {
    for (int part = 0; part < TL_PART_X; part++)
        suite_ok(tally_tensor_read(&d->values[part], values + tl_model_part_at(&d->sizes, (tl_model_part)part),
                                   tl_model_part_size(&d->sizes, (tl_model_part)part)));
}
