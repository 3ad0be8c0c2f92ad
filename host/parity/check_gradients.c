/* The classifier's whole gradient, from initial states that are not zero, against double precision in one go. */
#include "parity/bounded_model.h"
#include "parity/checks.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* The bound of a long or wide model grows beyond use. */
static const tl_model_sizes cases[] = {
    {.inputs = 1, .hidden = 1, .steps = 1, .columns = 1, .classes = 2},
    {.inputs = 2, .hidden = 5, .steps = 4, .columns = 19, .classes = 4},
    {.inputs = 3, .hidden = 4, .steps = 3, .columns = 70, .classes = 3},
    {.inputs = 1, .hidden = 9, .steps = 5, .columns = 33, .classes = 7},
};

static size_t cost(size_t number) {
    const tl_model_sizes *s = &cases[number];
    return 12 * s->hidden * (s->inputs + s->hidden + 16) * s->steps * s->columns;
}

typedef struct model {
    const tl_model_sizes *sizes;
    tl_operand *value[TL_MODEL_PARTS], *gradient[TL_MODEL_PARTS], *labels, *probabilities, *loss;
} model;

static tl_operand *part_operand(tl_case *c, const tl_model_sizes *s, int part) {
    size_t rows = 4 * s->hidden;
    const size_t shapes[TL_MODEL_PARTS][3] = {
        [TL_PART_W_IH] = {rows, s->inputs},
        [TL_PART_W_HH] = {rows, s->hidden},
        [TL_PART_BIAS] = {rows},
        [TL_PART_HEAD_W] = {s->classes, s->hidden},
        [TL_PART_HEAD_B] = {s->classes},
        [TL_PART_X] = {s->inputs, s->steps, s->columns},
        [TL_PART_H0] = {s->hidden, s->columns},
        [TL_PART_C0] = {s->hidden, s->columns},
    };
    int ndim = 1;
    while (ndim < 3 && shapes[part][ndim])
        ndim++;
    return tl_case_operand(c, tl_model_part_names[part], false, ndim, shapes[part]);
}

static model prepare(tl_case *c) {
    const tl_model_sizes *s = &cases[c->number];
    tl_case_describe(c, "%zu inputs, %zu hidden, %zu steps, %zu columns, %zu classes", s->inputs, s->hidden, s->steps,
                     s->columns, s->classes);
    model m = {.sizes = s};
    for (int part = 0; part < TL_MODEL_PARTS; part++) {
        m.value[part] = part_operand(c, s, part);
        m.gradient[part] = part_operand(c, s, part);
        tl_case_uniform(c, m.value[part], -0.9f, 0.9f);
        tl_case_uniform(c, m.gradient[part], 0, 0); /* weights' are added to */
    }
    m.labels = tl_case_labels(c, s->columns, s->classes);
    m.probabilities = tl_case_operand(c, "probabilities", false, 2, (size_t[]){s->classes, s->columns});
    tl_case_uniform(c, m.probabilities, 0, 0); /* the bias is added to them */
    m.loss = tl_case_operand(c, "loss", false, 1, &s->columns);
    return m;
}

static tally_status pass(const model *m, int i, const tally_lstm_state *state) {
    const tl_model_sizes *s = m->sizes;
    tl_operand *const *value = m->value, *const *gradient = m->gradient;
    tally_lstm_weights weights = {value[TL_PART_W_IH]->on[i], value[TL_PART_W_HH]->on[i], value[TL_PART_BIAS]->on[i]};
    tally_lstm_weights to = {gradient[TL_PART_W_IH]->on[i], gradient[TL_PART_W_HH]->on[i],
                             gradient[TL_PART_BIAS]->on[i]};
    const tally_tensor *logits = &m->probabilities->on[i];
    tally_tensor first, last, last_step, dlogits;
    tally_status status = tally_tensor_select(&state->h, 1, 0, &first);
    if (!status)
        status = tally_copy(&value[TL_PART_H0]->on[i], &first);
    if (!status)
        status = tally_tensor_select(&state->c, 1, 0, &first);
    if (!status)
        status = tally_copy(&value[TL_PART_C0]->on[i], &first);
    if (!status)
        status = tally_lstm_forward(&weights, &value[TL_PART_X]->on[i], state);
    if (!status)
        status = tally_tensor_select(&state->h, 1, s->steps, &last);
    if (!status)
        status = tally_tensor_slice(&state->h, 1, s->steps, 1, &last_step);
    if (!status)
        status = tally_tensor_reshape(logits, 3, (size_t[]){s->classes, 1, s->columns}, &dlogits);
    if (!status)
        status = tally_bias(&value[TL_PART_HEAD_B]->on[i], logits);
    if (!status)
        status = tally_gemm(false, false, 1, &value[TL_PART_HEAD_W]->on[i], &last, 1, logits);
    if (!status)
        status = tally_softmax_loss(logits, &m->labels->on[i], logits, &m->loss->on[i]);
    if (!status)
        status = tally_softmax_loss_backward(logits, &m->labels->on[i], logits);
    if (!status)
        status = tally_accumulate(&dlogits, &last_step, &gradient[TL_PART_HEAD_W]->on[i]);
    if (!status)
        status = tally_accumulate(&dlogits, NULL, &gradient[TL_PART_HEAD_B]->on[i]);
    if (!status)
        status = tally_gemm(true, false, 1, &value[TL_PART_HEAD_W]->on[i], logits, 0, &state->dh);
    if (!status)
        status = tally_lstm_backward(&weights, &value[TL_PART_X]->on[i], NULL, state, &to, &gradient[TL_PART_X]->on[i]);
    if (!status)
        status = tally_copy(&state->dh, &gradient[TL_PART_H0]->on[i]);
    return status ? status : tally_copy(&state->dc, &gradient[TL_PART_C0]->on[i]);
}

static void check(tl_case *c) {
    model m = prepare(c);
    const tl_model_sizes *s = m.sizes;
    for (int i = 0; i < TL_SIDES && !c->status; i++) {
        tally_lstm_state state = {0};
        tl_case_keep(c, tally_lstm_state_new(c->device[i], s->inputs, s->hidden, s->steps, s->columns, &state));
        if (!c->status)
            tl_case_keep(c, pass(&m, i, &state));
        tally_lstm_state_free(&state);
    }
    size_t all = tl_model_part_at(s, TL_MODEL_PARTS);
    tl_bounded *values = tl_case_memory(c, all, sizeof *values), *want = tl_case_memory(c, all, sizeof *want), loss;
    int32_t *labels = tl_case_memory(c, s->columns, sizeof *labels);
    if (c->status)
        return;
    memcpy(labels, m.labels->before, s->columns * sizeof *labels);
    for (int part = 0; part < TL_MODEL_PARTS; part++)
        for (size_t i = 0; i < m.value[part]->elements; i++)
            values[tl_model_part_at(s, (tl_model_part)part) + i] = tl_bounded_of((double)m.value[part]->before[i]);
    tl_case_keep(c, tl_bounded_model_gradients(s, values, labels, want, &loss));
    for (int part = 0; part < TL_MODEL_PARTS; part++) {
        tl_case_read(c, m.gradient[part]);
        if (!c->status)
            tl_case_compare(c, m.gradient[part], want + tl_model_part_at(s, (tl_model_part)part));
    }
    m.probabilities->name = "dlogits"; /* what they were replaced by */
    tl_case_read(c, m.probabilities);
    tl_case_read(c, m.loss);
    tl_case_bits(c, m.probabilities);
    tl_case_bits(c, m.loss);
}

const tl_check tl_check_gradients = {"gradients", COUNT(cases), cost, check, true};
