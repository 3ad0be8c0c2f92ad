/* The gradients of the whole classifier, from initial states that are not zero, against double precision. */
#include "backend/cells.h"
#include "parity/bounded_model.h"
#include "parity/checks.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { MAX_LAYERS = 3 };

/* Small sizes: the bound of a long or wide model grows until it is useless. In the model with several layers inputs
 * equals hidden, so that the layers' weights have one shape and are consecutive rows of one matrix. */
static const tl_model_sizes sizes[] = {
    {.inputs = 1, .hidden = 1, .steps = 1, .columns = 1, .classes = 2, .layers = 1},
    {.inputs = 2, .hidden = 5, .steps = 4, .columns = 19, .classes = 4, .layers = 1},
    {.inputs = 3, .hidden = 4, .steps = 3, .columns = 70, .classes = 3, .layers = 1},
    {.inputs = 1, .hidden = 9, .steps = 5, .columns = 33, .classes = 7, .layers = 1},
    {.inputs = 4, .hidden = 4, .steps = 3, .columns = 19, .classes = 3, .layers = 3},
};

enum { CASES = COUNT(sizes) * TALLY_CELLS };

static tl_model_sizes sizes_of(size_t number) {
    tl_model_sizes s = sizes[number % COUNT(sizes)];
    s.cell = (tally_cell)(number / COUNT(sizes));
    return s;
}

static size_t cost(size_t number) {
    const tl_model_sizes of = sizes_of(number), *s = &of;
    return 3 * tl_cell_gates(s->cell) * s->layers * s->hidden * (s->inputs + s->hidden + 16) * s->steps * s->columns;
}

typedef struct model {
    const tl_model_sizes *sizes;
    /* NULL where the model has no such part */
    tl_operand *value[TL_MODEL_PARTS], *gradient[TL_MODEL_PARTS], *labels, *probabilities, *loss;
    tl_operand *between[MAX_LAYERS - 1]; /* gradients of the outputs of all layers but the last */
} model;

static tl_operand *part_operand(tl_case *c, const tl_model_sizes *s, int part) {
    size_t units = s->layers * s->hidden, rows = tl_cell_weights(s->cell) * units;
    const size_t shapes[TL_MODEL_PARTS][3] = {
        [TL_PART_W_IH] = {rows, s->inputs},
        [TL_PART_W_HH] = {rows, s->hidden},
        [TL_PART_BIAS] = {tl_cell_gates(s->cell) * units},
        [TL_PART_HEAD_W] = {s->classes, s->hidden},
        [TL_PART_HEAD_B] = {s->classes},
        [TL_PART_X] = {s->inputs, s->steps, s->columns},
        [TL_PART_H0] = {units, s->columns},
        [TL_PART_C0] = {units, s->columns},
    };
    int ndim = 1;
    while (ndim < 3 && shapes[part][ndim])
        ndim++;
    return tl_case_operand(c, tl_model_part_names[part], false, ndim, shapes[part]);
}

static model new_model(tl_case *c, const tl_model_sizes *s) {
    tl_case_describe(c, "%s, %zu inputs, %zu hidden, %zu steps, %zu columns, %zu classes, %zu layer%s",
                     tally_cell_name(s->cell), s->inputs, s->hidden, s->steps, s->columns, s->classes, s->layers,
                     s->layers > 1 ? "s" : "");
    model m = {.sizes = s};
    for (int part = 0; part < TL_MODEL_PARTS; part++) {
        if (tl_model_part_size(s, (tl_model_part)part) == 0)
            continue;
        m.value[part] = part_operand(c, s, part);
        m.gradient[part] = part_operand(c, s, part);
        tl_case_uniform(c, m.value[part], -0.9f, 0.9f);
        tl_case_uniform(c, m.gradient[part], 0, 0); /* the gradients of weights are added to */
    }
    m.labels = tl_case_labels(c, s->columns, s->classes);
    m.probabilities = tl_case_operand(c, "probabilities", false, 2, (size_t[]){s->classes, s->columns});
    tl_case_uniform(c, m.probabilities, 0, 0); /* they are computed onto the bias */
    m.loss = tl_case_operand(c, "loss", false, 1, &s->columns);
    for (size_t layer = 0; layer + 1 < s->layers; layer++)
        m.between[layer] = tl_case_operand(c, "dy", false, 3, (size_t[]){s->hidden, s->steps, s->columns});
    return m;
}

/* The rows of a part that belong to a layer. */
static tally_status rows_of(const tl_operand *part, int i, size_t layers, size_t layer, tally_tensor *rows) {
    size_t count = part->on[i].shape[0] / layers;
    return tally_tensor_slice(&part->on[i], 0, layer * count, count, rows);
}

static tally_status weights_of(const model *m, tl_operand *const part[], int i, size_t layer, tally_layer_weights *to) {
    to->cell = m->sizes->cell;
    tally_status status = rows_of(part[TL_PART_W_IH], i, m->sizes->layers, layer, &to->w_ih);
    if (!status)
        status = rows_of(part[TL_PART_W_HH], i, m->sizes->layers, layer, &to->w_hh);
    return status ? status : rows_of(part[TL_PART_BIAS], i, m->sizes->layers, layer, &to->bias);
}

static tally_status input_of(const model *m, int i, const tally_layer_state *states, size_t layer, tally_tensor *x) {
    *x = m->value[TL_PART_X]->on[i];
    return layer == 0 ? TALLY_OK : tally_tensor_slice(&states[layer - 1].h, 1, 1, m->sizes->steps, x);
}

/* Copies a layer's initial state into the first entry of all_steps. */
static tally_status set_initial_state(const model *m, int part, int i, size_t layer, const tally_tensor *all_steps) {
    tally_tensor initial, first;
    tally_status status = rows_of(m->value[part], i, m->sizes->layers, layer, &initial);
    if (!status)
        status = tally_tensor_select(all_steps, 1, 0, &first);
    return status ? status : tally_copy(&initial, &first);
}

static tally_status layer_forward(const model *m, int i, const tally_layer_state *states, size_t layer) {
    const tally_layer_state *state = &states[layer];
    tally_layer_weights weights;
    tally_tensor x;
    tally_status status = weights_of(m, m->value, i, layer, &weights);
    if (!status)
        status = input_of(m, i, states, layer, &x);
    if (!status)
        status = set_initial_state(m, TL_PART_H0, i, layer, &state->h);
    if (!status && m->value[TL_PART_C0])
        status = set_initial_state(m, TL_PART_C0, i, layer, &state->c);
    return status ? status : tally_layer_forward(&weights, &x, state);
}

static tally_status run_head(const model *m, int i, const tally_layer_state *state) {
    const tl_model_sizes *s = m->sizes;
    tl_operand *const *value = m->value, *const *gradient = m->gradient;
    const tally_tensor *logits = &m->probabilities->on[i];
    tally_tensor last, last_step, dlogits;
    tally_status status = tally_tensor_select(&state->h, 1, s->steps, &last);
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
    return status ? status : tally_gemm(true, false, 1, &value[TL_PART_HEAD_W]->on[i], logits, 0, &state->dh);
}

/* Copies the gradient of a layer's initial state into its part. */
static tally_status save_state_gradient(const model *m, int part, int i, size_t layer, const tally_tensor *gradient) {
    tally_tensor initial;
    tally_status status = rows_of(m->gradient[part], i, m->sizes->layers, layer, &initial);
    return status ? status : tally_copy(gradient, &initial);
}

static tally_status layer_backward(const model *m, int i, const tally_layer_state *states, size_t layer) {
    const tally_layer_state *state = &states[layer];
    const tally_tensor *dy = layer + 1 < m->sizes->layers ? &m->between[layer]->on[i] : NULL;
    const tl_operand *dx = layer > 0 ? m->between[layer - 1] : m->gradient[TL_PART_X];
    tally_layer_weights weights, to;
    tally_tensor x;
    tally_status status = weights_of(m, m->value, i, layer, &weights);
    if (!status)
        status = weights_of(m, m->gradient, i, layer, &to);
    if (!status)
        status = input_of(m, i, states, layer, &x);
    if (!status)
        status = tally_layer_backward(&weights, &x, dy, state, &to, &dx->on[i]);
    if (!status)
        status = save_state_gradient(m, TL_PART_H0, i, layer, &state->dh);
    return status || !m->gradient[TL_PART_C0] ? status : save_state_gradient(m, TL_PART_C0, i, layer, &state->dc);
}

static tally_status forward_and_backward(const model *m, int i, const tally_layer_state *states) {
    tally_status status = TALLY_OK;
    for (size_t layer = 0; layer < m->sizes->layers && !status; layer++)
        status = layer_forward(m, i, states, layer);
    if (!status)
        status = run_head(m, i, &states[m->sizes->layers - 1]);
    for (size_t layer = m->sizes->layers; layer-- > 0 && !status;)
        status = layer_backward(m, i, states, layer);
    return status;
}

static void check_gradients(tl_case *c) {
    const tl_model_sizes of = sizes_of(c->number), *s = &of;
    model m = new_model(c, s);
    for (int i = 0; i < TL_SIDES && !c->status; i++) {
        tally_layer_state states[MAX_LAYERS] = {0};
        for (size_t layer = 0; layer < s->layers && !c->status; layer++)
            tl_case_keep(c, tally_layer_state_new(c->device[i], s->cell, tl_model_inputs(s, layer), s->hidden, s->steps,
                                                  s->columns, &states[layer]));
        if (!c->status)
            tl_case_keep(c, forward_and_backward(&m, i, states));
        for (size_t layer = 0; layer < s->layers; layer++)
            tally_layer_state_free(&states[layer]);
    }
    size_t all = tl_model_part_at(s, TL_MODEL_PARTS);
    tl_bounded *values = tl_case_memory(c, all, sizeof *values), *want = tl_case_memory(c, all, sizeof *want), loss;
    int32_t *labels = tl_case_memory(c, s->columns, sizeof *labels);
    if (c->status)
        return;
    memcpy(labels, m.labels->before, s->columns * sizeof *labels);
    for (int part = 0; part < TL_MODEL_PARTS; part++)
        for (size_t i = 0; m.value[part] && i < m.value[part]->elements; i++)
            values[tl_model_part_at(s, (tl_model_part)part) + i] = tl_bounded_of((double)m.value[part]->before[i]);
    tl_case_keep(c, tl_bounded_model_gradients(s, values, labels, want, &loss));
    for (int part = 0; part < TL_MODEL_PARTS; part++) {
        if (!m.gradient[part])
            continue;
        tl_case_read(c, m.gradient[part]);
        if (!c->status)
            tl_case_compare(c, m.gradient[part], want + tl_model_part_at(s, (tl_model_part)part));
    }
    m.probabilities->name = "dlogits"; /* they were replaced in place */
    tl_case_read(c, m.probabilities);
    tl_case_read(c, m.loss);
    for (size_t layer = 0; layer + 1 < s->layers; layer++) {
        tl_case_read(c, m.between[layer]);
        tl_case_bits(c, m.between[layer]);
    }
    tl_case_bits(c, m.probabilities);
    tl_case_bits(c, m.loss);
}

const tl_check tl_check_gradients = {"gradients", CASES, cost, check_gradients, true};
