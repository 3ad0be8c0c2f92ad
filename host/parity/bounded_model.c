#include "parity/bounded_model.h"

#include "backend/cells.h"
#include "core/fail.h"

#include <stdlib.h>

static tl_bounded one(void) {
    return (tl_bounded){1, 0};
}

/* The values of one column's sequence in a layer, for every time step. */
typedef struct trace {
    tl_bounded *x;       /* [T][I] */
    tl_bounded *gates;   /* [T][GH] */
    tl_bounded *c, *h;   /* [T + 1][H]; c, tanh_c and dc are zeros unless the cell is the LSTM */
    tl_bounded *tanh_c;  /* [T][H] */
    tl_bounded *dh, *dc; /* [H] */
    tl_bounded *dx;      /* [T][I] */
    tl_bounded_layer layer;
} trace;

typedef struct work {
    const tl_model_sizes *s;
    const tl_bounded *values;
    trace *layers;
    tl_bounded *logits;   /* [C], then probabilities, then their gradients */
    tl_bounded_sum *sums; /* of the parameters' gradients */
    tl_bounded *gradients;
} work;

static void *new_array(size_t count) {
    return calloc(count, sizeof(tl_bounded));
}

/* false if there is no memory */
static bool trace_new(const tl_model_sizes *s, size_t layer, const tl_bounded *values, trace *q) {
    size_t inputs = tl_model_inputs(s, layer);
    *q = (trace){.x = new_array(s->steps * inputs),
                 .gates = new_array(s->steps * tl_cell_gates(s->cell) * s->hidden),
                 .c = new_array((s->steps + 1) * s->hidden),
                 .h = new_array((s->steps + 1) * s->hidden),
                 .tanh_c = new_array(s->steps * s->hidden),
                 .dh = new_array(s->hidden),
                 .dc = new_array(s->hidden),
                 .dx = new_array(s->steps * inputs),
                 .layer = {s->cell, inputs, s->hidden, values + tl_model_layer_at(s, TL_PART_W_IH, layer),
                           values + tl_model_layer_at(s, TL_PART_W_HH, layer),
                           values + tl_model_layer_at(s, TL_PART_BIAS, layer)}};
    return q->x && q->gates && q->c && q->h && q->tanh_c && q->dh && q->dc && q->dx;
}

static void trace_free(trace *q) {
    free(q->x);
    free(q->gates);
    free(q->c);
    free(q->h);
    free(q->tanh_c);
    free(q->dh);
    free(q->dc);
    free(q->dx);
}

/* A layer's output times its multiplier; a multiplier of 1 adds no rounding. */
static tl_bounded scaled(const tl_model_sizes *s, size_t layer, size_t unit, size_t step, size_t column, tl_bounded x) {
    return s->factors ? tl_bounded_mul(x, tl_bounded_of((double)tl_model_factor(s, layer, unit, step, column))) : x;
}

static void clear(tl_bounded *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        values[i] = (tl_bounded){0, 0};
}

static void layer_forward(work *w, size_t layer, size_t column) {
    const tl_model_sizes *s = w->s;
    size_t hidden = s->hidden, inputs = tl_model_inputs(s, layer), rows = tl_cell_gates(s->cell) * hidden;
    const tl_bounded *x = w->values + tl_model_part_at(s, TL_PART_X);
    trace *q = &w->layers[layer];
    for (size_t u = 0; u < hidden; u++) {
        q->h[u] = w->values[tl_model_layer_at(s, TL_PART_H0, layer) + u * s->columns + column];
        if (tl_cell_state(s->cell))
            q->c[u] = w->values[tl_model_layer_at(s, TL_PART_C0, layer) + u * s->columns + column];
    }
    for (size_t t = 0; t < s->steps; t++) {
        for (size_t i = 0; i < inputs; i++)
            q->x[t * inputs + i] = layer == 0 ? x[(i * s->steps + t) * s->columns + column]
                                              : scaled(s, layer - 1, i, t, column, q[-1].h[(t + 1) * hidden + i]);
        tl_bounded_step(&q->layer, q->x + t * inputs, q->h + t * hidden, q->c + t * hidden, q->gates + t * rows,
                        q->c + (t + 1) * hidden, q->tanh_c + t * hidden, q->h + (t + 1) * hidden);
        if (tl_model_ahead(s, t, column)) {
            clear(q->h + (t + 1) * hidden, hidden);
            clear(q->c + (t + 1) * hidden, hidden);
        }
    }
}

static tl_bounded forward(work *w, size_t column, int32_t label) {
    const tl_model_sizes *s = w->s;
    const tl_bounded *head_w = w->values + tl_model_part_at(s, TL_PART_HEAD_W),
                     *head_b = w->values + tl_model_part_at(s, TL_PART_HEAD_B);
    for (size_t layer = 0; layer < s->layers; layer++)
        layer_forward(w, layer, column);
    const tl_bounded *last = w->layers[s->layers - 1].h + s->steps * s->hidden;
    for (size_t k = 0; k < s->classes; k++) {
        tl_bounded_sum sum = tl_bounded_sum_start(head_b[k]);
        for (size_t u = 0; u < s->hidden; u++)
            tl_bounded_sum_product(&sum, head_w[k * s->hidden + u], last[u]);
        w->logits[k] = tl_bounded_sum_end(&sum);
    }
    tl_bounded_softmax(s->classes, 1, w->logits, w->logits);
    return tl_bounded_loss(s->classes, 1, w->logits, label);
}

/* Computes the last layer's dh. */
static void head_backward(work *w, int32_t label) {
    const tl_model_sizes *s = w->s;
    size_t hidden = s->hidden;
    tl_bounded_sum *dhead_w = w->sums + tl_model_part_at(s, TL_PART_HEAD_W),
                   *dhead_b = w->sums + tl_model_part_at(s, TL_PART_HEAD_B);
    const trace *top = &w->layers[s->layers - 1];
    for (size_t k = 0; k < s->classes; k++) {
        double target = k == (size_t)label ? 1 : 0;
        tl_bounded *dlogit = &w->logits[k];
        *dlogit = label < 0 ? (tl_bounded){0, 0} : tl_bounded_sub(*dlogit, (tl_bounded){target, 0});
        tl_bounded_sum_product(&dhead_b[k], *dlogit, one());
        for (size_t u = 0; u < hidden; u++)
            tl_bounded_sum_product(&dhead_w[k * hidden + u], *dlogit, top->h[s->steps * hidden + u]);
    }
    tl_bounded_through(s->classes, hidden, w->values + tl_model_part_at(s, TL_PART_HEAD_W), w->logits, top->dh);
}

/* Adds a time step's share of the gradients of a layer's parameters. */
static void add_gradients(work *w, size_t layer, size_t t) {
    const tl_model_sizes *s = w->s;
    size_t hidden = s->hidden, inputs = tl_model_inputs(s, layer), gates = tl_cell_gates(s->cell) * hidden;
    tl_bounded_sum *dw_ih = w->sums + tl_model_layer_at(s, TL_PART_W_IH, layer);
    tl_bounded_sum *dw_hh = w->sums + tl_model_layer_at(s, TL_PART_W_HH, layer);
    tl_bounded_sum *dbias = w->sums + tl_model_layer_at(s, TL_PART_BIAS, layer);
    const trace *q = &w->layers[layer];
    const tl_bounded *from_x = q->gates + t * gates, *from_h = from_x + tl_cell_first_hh(s->cell) * hidden;
    for (size_t row = 0; row < gates; row++)
        tl_bounded_sum_product(&dbias[row], from_x[row], one());
    for (size_t row = 0; row < tl_cell_weights(s->cell) * hidden; row++) {
        for (size_t i = 0; i < inputs; i++)
            tl_bounded_sum_product(&dw_ih[row * inputs + i], from_x[row], q->x[t * inputs + i]);
        for (size_t j = 0; j < hidden; j++)
            tl_bounded_sum_product(&dw_hh[row * hidden + j], from_h[row], q->h[t * hidden + j]);
    }
}

/* All layers but the last start without a gradient of their last output; like those of the other time steps, it
 * comes from the next layer. */
static void layer_backward(work *w, size_t layer, size_t column) {
    const tl_model_sizes *s = w->s;
    size_t hidden = s->hidden, inputs = tl_model_inputs(s, layer), rows = tl_cell_gates(s->cell) * hidden;
    bool last = layer + 1 == s->layers;
    trace *q = &w->layers[layer];
    for (size_t u = 0; u < hidden; u++) {
        q->dc[u] = (tl_bounded){0, 0};
        if (!last)
            q->dh[u] = (tl_bounded){0, 0};
    }
    for (size_t t = s->steps; t-- > 0;) {
        tl_bounded *gates = q->gates + t * rows;
        for (size_t u = 0; u < hidden && !last; u++)
            q->dh[u] = tl_bounded_add(q->dh[u], scaled(s, layer, u, t, column, q[1].dx[t * hidden + u]));
        tl_bounded_step_backward(&q->layer, q->h + t * hidden, q->c + t * hidden, q->tanh_c + t * hidden, gates, q->dh,
                                 q->dc);
        if (tl_model_ahead(s, t, column)) {
            clear(gates, rows);
            clear(q->dh, hidden);
            clear(q->dc, hidden);
        }
        tl_bounded_step_through(&q->layer, gates, q->dh, q->dx + t * inputs);
        add_gradients(w, layer, t);
    }
    for (size_t u = 0; u < hidden; u++) {
        w->gradients[tl_model_layer_at(s, TL_PART_H0, layer) + u * s->columns + column] = q->dh[u];
        if (tl_cell_state(s->cell))
            w->gradients[tl_model_layer_at(s, TL_PART_C0, layer) + u * s->columns + column] = q->dc[u];
    }
}

static void backward(work *w, size_t column, int32_t label) {
    const tl_model_sizes *s = w->s;
    tl_bounded *dx = w->gradients + tl_model_part_at(s, TL_PART_X);
    head_backward(w, label);
    for (size_t layer = s->layers; layer-- > 0;)
        layer_backward(w, layer, column);
    for (size_t t = 0; t < s->steps; t++)
        for (size_t i = 0; i < s->inputs; i++)
            dx[(i * s->steps + t) * s->columns + column] = w->layers[0].dx[t * s->inputs + i];
}

tally_status tl_bounded_model_gradients(const tl_model_sizes *s, const tl_bounded *values, const int32_t *labels,
                                        tl_bounded *gradients, tl_bounded *loss) {
    size_t parameters = tl_model_part_at(s, TL_PART_X);
    tl_bounded_sum all = tl_bounded_sum_start((tl_bounded){0, 0});
    work w = {.s = s,
              .values = values,
              .layers = calloc(s->layers, sizeof *w.layers),
              .logits = new_array(s->classes),
              .sums = calloc(parameters, sizeof *w.sums),
              .gradients = gradients};
    bool there = w.layers && w.logits && w.sums;
    for (size_t layer = 0; layer < s->layers && there; layer++)
        there = trace_new(s, layer, values, &w.layers[layer]);
    for (size_t column = 0; column < s->columns && there; column++) {
        tl_bounded_sum_product(&all, forward(&w, column, labels[column]), one());
        backward(&w, column, labels[column]);
    }
    for (size_t i = 0; i < parameters && there; i++)
        gradients[i] = tl_bounded_sum_end(&w.sums[i]);
    *loss = tl_bounded_sum_end(&all);
    for (size_t layer = 0; w.layers && layer < s->layers; layer++)
        trace_free(&w.layers[layer]);
    free(w.layers);
    free(w.logits);
    free(w.sums);
    return there ? TALLY_OK : tl_fail(TALLY_MEMORY, "no memory left for the bounds of a model's gradients");
}
