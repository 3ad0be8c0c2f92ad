#include "device_model.h"

static tally_tensor tensor(const tl_model_sizes *s, tl_model_part part) {
    const struct {
        int ndim;
        size_t shape[3];
    } shapes[TL_MODEL_PARTS] = {
        [TL_PART_W_IH] = {2, {4 * s->hidden, s->inputs}},
        [TL_PART_W_HH] = {2, {4 * s->hidden, s->hidden}},
        [TL_PART_BIAS] = {1, {4 * s->hidden}},
        [TL_PART_HEAD_W] = {2, {s->classes, s->hidden}},
        [TL_PART_HEAD_B] = {1, {s->classes}},
        [TL_PART_X] = {3, {s->inputs, s->steps, s->columns}},
        [TL_PART_H0] = {2, {s->hidden, s->columns}},
        [TL_PART_C0] = {2, {s->hidden, s->columns}},
    };
    tally_tensor t;
    suite_ok(tally_tensor_new(the.device, TALLY_F32, shapes[part].ndim, shapes[part].shape, &t));
    return t;
}

device_model device_model_new(const tl_model_sizes *s, const float *values, const int32_t *labels) {
    device_model d = {.sizes = *s};
    for (int part = 0; part < TL_MODEL_PARTS; part++) {
        d.values[part] = tensor(s, (tl_model_part)part);
        d.gradients[part] = tensor(s, (tl_model_part)part);
        d.m[part] = tensor(s, (tl_model_part)part);
        d.v[part] = tensor(s, (tl_model_part)part);
        suite_ok(tally_tensor_write(&d.values[part], values + tl_model_part_at(s, (tl_model_part)part),
                                    tl_model_part_size(s, (tl_model_part)part)));
    }
    suite_ok(tally_tensor_new(the.device, TALLY_I32, 1, (size_t[]){1}, &d.faults));
    suite_ok(tally_tensor_new(the.device, TALLY_I32, 1, &s->columns, &d.labels));
    suite_ok(tally_tensor_write(&d.labels, labels, s->columns));
    tally_tensor *of_classes[] = {&d.logits, &d.probabilities, &d.dlogits};
    for (size_t i = 0; i < 3; i++)
        suite_ok(tally_tensor_new(the.device, TALLY_F32, 2, (size_t[]){s->classes, s->columns}, of_classes[i]));
    suite_ok(tally_tensor_new(the.device, TALLY_F32, 1, &s->columns, &d.losses));
    suite_ok(tally_tensor_new(the.device, TALLY_F32, 1, (size_t[]){1}, &d.loss));
    suite_ok(tally_lstm_state_new(the.device, s->inputs, s->hidden, s->steps, s->columns, &d.state));
    return d;
}

void device_model_free(device_model *d) {
    for (int part = 0; part < TL_MODEL_PARTS; part++) {
        tally_tensor_free(&d->values[part]);
        tally_tensor_free(&d->gradients[part]);
        tally_tensor_free(&d->m[part]);
        tally_tensor_free(&d->v[part]);
    }
    tally_tensor *rest[] = {&d->faults, &d->labels, &d->logits, &d->probabilities, &d->losses, &d->loss, &d->dlogits};
    for (size_t i = 0; i < sizeof rest / sizeof *rest; i++)
        tally_tensor_free(rest[i]);
    tally_lstm_state_free(&d->state);
}

static tally_tensor last_output(const device_model *d) {
    tally_tensor last;
    suite_ok(tally_tensor_select(&d->state.h, 1, d->sizes.steps, &last));
    return last;
}

static tally_lstm_weights layer(const tally_tensor parts[TL_MODEL_PARTS]) {
    return (tally_lstm_weights){parts[TL_PART_W_IH], parts[TL_PART_W_HH], parts[TL_PART_BIAS]};
}

void device_model_forward(device_model *d) {
    tally_tensor first, row, last = last_output(d);
    tally_lstm_weights weights = layer(d->values);
    suite_ok(tally_tensor_select(&d->state.h, 1, 0, &first));
    suite_ok(tally_copy(&d->values[TL_PART_H0], &first));
    suite_ok(tally_tensor_select(&d->state.c, 1, 0, &first));
    suite_ok(tally_copy(&d->values[TL_PART_C0], &first));
    suite_ok(tally_lstm_forward(&weights, &d->values[TL_PART_X], &d->state));
    suite_ok(tally_fill(&d->logits, 0));
    suite_ok(tally_bias(&d->values[TL_PART_HEAD_B], &d->logits));
    suite_ok(tally_gemm(false, false, 1, &d->values[TL_PART_HEAD_W], &last, 1, &d->logits));
    suite_ok(tally_softmax_loss(&d->logits, &d->labels, &d->probabilities, &d->losses));
    suite_ok(tally_tensor_reshape(&d->losses, 2, (size_t[]){1, d->sizes.columns}, &row));
    suite_ok(tally_reduce(&row, 0, &d->loss));
}

void device_model_head_backward(device_model *d) {
    tally_tensor last = last_output(d);
    suite_ok(tally_softmax_loss_backward(&d->probabilities, &d->labels, &d->dlogits));
    suite_ok(tally_gemm(false, true, 1, &d->dlogits, &last, 0, &d->gradients[TL_PART_HEAD_W]));
    suite_ok(tally_reduce(&d->dlogits, 0, &d->gradients[TL_PART_HEAD_B]));
    suite_ok(tally_gemm(true, false, 1, &d->values[TL_PART_HEAD_W], &d->dlogits, 0, &d->state.dh));
    suite_ok(tally_fill(&d->state.dc, 0));
}

void device_model_layer_backward(device_model *d) {
    tally_lstm_weights weights = layer(d->values), gradients = layer(d->gradients);
    for (int part = TL_PART_W_IH; part <= TL_PART_BIAS; part++)
        suite_ok(tally_fill(&d->gradients[part], 0));
    suite_ok(
        tally_lstm_backward(&weights, &d->values[TL_PART_X], NULL, &d->state, &gradients, &d->gradients[TL_PART_X]));
}

void device_model_gradients(const device_model *d, float *gradients) {
    for (int part = 0; part < TL_MODEL_PARTS; part++) {
        const tally_tensor *from = part == TL_PART_H0   ? &d->state.dh
                                   : part == TL_PART_C0 ? &d->state.dc
                                                        : &d->gradients[part];
        suite_ok(tally_tensor_read(from, gradients + tl_model_part_at(&d->sizes, (tl_model_part)part),
                                   tl_model_part_size(&d->sizes, (tl_model_part)part)));
    }
}

void device_model_adam(device_model *d, tl_model_part part, const tally_adam_options *options, uint64_t step) {
    tally_tensor *all[] = {&d->gradients[part], &d->values[part], &d->m[part], &d->v[part]};
    tally_tensor flat[4];
    size_t count = tl_model_part_size(&d->sizes, part);
    for (int i = 0; i < 4; i++)
        suite_ok(tally_tensor_reshape(all[i], 1, &count, &flat[i]));
    suite_ok(tally_adam(options, step, &flat[0], &flat[1], &flat[2], &flat[3], &d->faults));
    int32_t faults;
    suite_ok(tally_tensor_read(&d->faults, &faults, 1));
    assert_int_equal(faults, 0);
}

void device_model_parameters(const device_model *d, float *values) {
    for (int part = 0; part < TL_PART_X; part++)
        suite_ok(tally_tensor_read(&d->values[part], values + tl_model_part_at(&d->sizes, (tl_model_part)part),
                                   tl_model_part_size(&d->sizes, (tl_model_part)part)));
}
