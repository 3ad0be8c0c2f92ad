#include "parity/bounded_ops.h"

#include "backend/cells.h"

_Thread_local bool tl_bounded_flushes;

tl_bounded_sum tl_bounded_sum_start(tl_bounded start) {
    return (tl_bounded_sum){start.v, fabs(start.v) + start.e, start.e, 0};
}

void tl_bounded_sum_product(tl_bounded_sum *sum, tl_bounded a, tl_bounded b) {
    sum->v += a.v * b.v;
    sum->e += tl_bounded_product_error(a, b);
    sum->magnitude += (fabs(a.v) + a.e) * (fabs(b.v) + b.e);
    sum->terms++;
}

tl_bounded tl_bounded_sum_end(const tl_bounded_sum *sum) {
    double terms = (double)sum->terms;
    return (tl_bounded){sum->v,
                        sum->e + tl_bounded_gamma(terms + 2) * sum->magnitude + (2 * terms + 2) * tl_bounded_tiny()};
}

static tl_bounded one(void) {
    return (tl_bounded){1, 0};
}

static tl_bounded negative(tl_bounded a) {
    return (tl_bounded){-a.v, a.e};
}

static void lstm_cell(tl_bounded *gate, tl_bounded c_prev, tl_bounded *c, tl_bounded *tanh_c, tl_bounded *h) {
    gate[0] = tl_bounded_sigmoid(gate[0]);
    gate[1] = tl_bounded_sigmoid(gate[1]);
    gate[2] = tl_bounded_tanh(gate[2]);
    gate[3] = tl_bounded_sigmoid(gate[3]);
    *c = tl_bounded_fma(gate[1], c_prev, tl_bounded_mul(gate[0], gate[2]));
    *tanh_c = tl_bounded_tanh(*c);
    *h = tl_bounded_mul(gate[3], *tanh_c);
}

/* If the float may be on either side of the limit, the error covers both outcomes. */
static tl_bounded carried(tl_bounded a) {
    const double limit = 0x1p-95;
    if (fabs(a.v) + a.e < limit)
        return (tl_bounded){0, 0};
    return (tl_bounded){a.v, fabs(a.v) - a.e < limit ? fmax(a.e, fabs(a.v)) : a.e};
}

static void lstm_cell_backward(tl_bounded *gate, tl_bounded c_prev, tl_bounded tanh_c, tl_bounded dh, tl_bounded *dc) {
    tl_bounded i = gate[0], f = gate[1], g = gate[2], o = gate[3];
    dh = carried(dh);
    tl_bounded dcell =
        carried(tl_bounded_fma(tl_bounded_mul(dh, o), tl_bounded_fma(negative(tanh_c), tanh_c, one()), *dc));
    gate[0] = tl_bounded_mul(tl_bounded_mul(dcell, g), tl_bounded_fma(negative(i), i, i));
    gate[1] = tl_bounded_mul(tl_bounded_mul(dcell, c_prev), tl_bounded_fma(negative(f), f, f));
    gate[2] = tl_bounded_mul(tl_bounded_mul(dcell, i), tl_bounded_fma(negative(g), g, one()));
    gate[3] = tl_bounded_mul(tl_bounded_mul(dh, tanh_c), tl_bounded_fma(negative(o), o, o));
    *dc = tl_bounded_mul(dcell, f);
}

static void gru_cell(tl_bounded *gate, tl_bounded h_prev, tl_bounded *h) {
    gate[1] = tl_bounded_sigmoid(gate[1]);
    gate[2] = tl_bounded_sigmoid(gate[2]);
    gate[0] = tl_bounded_tanh(tl_bounded_fma(gate[1], gate[3], gate[0]));
    *h = tl_bounded_fma(gate[2], tl_bounded_sub(h_prev, gate[0]), gate[0]);
}

static void gru_cell_backward(tl_bounded *gate, tl_bounded h_prev, tl_bounded *dh) {
    tl_bounded n = gate[0], r = gate[1], z = gate[2], a = gate[3];
    *dh = carried(*dh);
    gate[0] = tl_bounded_mul(tl_bounded_mul(*dh, tl_bounded_sub(one(), z)), tl_bounded_fma(negative(n), n, one()));
    gate[1] = tl_bounded_mul(tl_bounded_mul(gate[0], a), tl_bounded_fma(negative(r), r, r));
    gate[2] = tl_bounded_mul(tl_bounded_mul(*dh, tl_bounded_sub(h_prev, n)), tl_bounded_fma(negative(z), z, z));
    gate[3] = tl_bounded_mul(gate[0], r);
    *dh = tl_bounded_mul(*dh, z);
}

static void rnn_cell(tl_bounded *gate, tl_bounded *h) {
    *h = gate[0] = tl_bounded_tanh(gate[0]);
}

static void rnn_cell_backward(tl_bounded *gate, tl_bounded dh) {
    gate[0] = tl_bounded_mul(carried(dh), tl_bounded_fma(negative(gate[0]), gate[0], one()));
}

/* The rectifier does not increase errors, and what is certainly below 0 becomes exactly 0. */
static void rnn_relu_cell(tl_bounded *gate, tl_bounded *h) {
    if (gate[0].v < 0)
        gate[0] = (tl_bounded){0, fmax(gate[0].e + gate[0].v, 0)};
    *h = gate[0];
}

/* If the float may be on the other side of 0, the gradient may be passed on or not. */
static void rnn_relu_cell_backward(tl_bounded *gate, tl_bounded dh) {
    tl_bounded gradient = carried(dh);
    bool positive = gate[0].v > 0, either = gate[0].e > 0 && fabs(gate[0].v) <= gate[0].e;
    gate[0].v = positive ? gradient.v : 0;
    gate[0].e = either ? fabs(gradient.v) + gradient.e : positive ? gradient.e : 0;
}

void tl_bounded_cell(tally_cell cell, tl_bounded *gate, tl_bounded previous, tl_bounded *c, tl_bounded *tanh_c,
                     tl_bounded *h) {
    switch (cell) {
    case TALLY_LSTM:
        lstm_cell(gate, previous, c, tanh_c, h);
        break;
    case TALLY_GRU:
        gru_cell(gate, previous, h);
        break;
    case TALLY_RNN:
        rnn_cell(gate, h);
        break;
    case TALLY_RNN_RELU:
        rnn_relu_cell(gate, h);
        break;
    case TALLY_CELLS:
        break;
    }
}

void tl_bounded_cell_backward(tally_cell cell, tl_bounded *gate, tl_bounded previous, tl_bounded tanh_c, tl_bounded *dh,
                              tl_bounded *dc) {
    switch (cell) {
    case TALLY_LSTM:
        lstm_cell_backward(gate, previous, tanh_c, *dh, dc);
        break;
    case TALLY_GRU:
        gru_cell_backward(gate, previous, dh);
        break;
    case TALLY_RNN:
        rnn_cell_backward(gate, *dh);
        break;
    case TALLY_RNN_RELU:
        rnn_relu_cell_backward(gate, *dh);
        break;
    case TALLY_CELLS:
        break;
    }
}

void tl_bounded_softmax(size_t classes, size_t stride, const tl_bounded *logits, tl_bounded *probabilities) {
    /* The largest float is within the largest error of the largest exact logit. */
    tl_bounded largest = logits[0], sum = {0, 0};
    for (size_t k = 1; k < classes; k++) {
        tl_bounded logit = logits[k * stride];
        largest.v = isnan(logit.v) || logit.v > largest.v ? logit.v : largest.v;
        largest.e = fmax(largest.e, logit.e);
    }
    for (size_t k = 0; k < classes; k++) {
        probabilities[k * stride] = tl_bounded_exp_negative(tl_bounded_sub(logits[k * stride], largest));
        sum = tl_bounded_add(sum, probabilities[k * stride]);
    }
    for (size_t k = 0; k < classes; k++)
        probabilities[k * stride] = tl_bounded_div(probabilities[k * stride], sum);
}

tl_bounded tl_bounded_loss(size_t classes, size_t stride, const tl_bounded *probabilities, int32_t label) {
    if (label < 0)
        return (tl_bounded){0, 0};
    if ((size_t)label >= classes)
        return (tl_bounded){(double)NAN, 0};
    /* Clipping moves p by no more than its error, and the result is never below the clip as rounded to a float. */
    double clip = 1e-10, p = probabilities[(size_t)label * stride].v, e = probabilities[(size_t)label * stride].e;
    p = p < clip ? clip : p;
    e += clip * TL_UNIT;
    return tl_bounded_function(-log(p), e / fmax(p - e, clip * (1 - TL_UNIT)), TL_LOG_ULPS);
}

/* A row of a weight times a vector. */
static void add_row(tl_bounded_sum *sum, const tl_bounded *row, const tl_bounded *in, size_t count) {
    for (size_t k = 0; k < count; k++)
        tl_bounded_sum_product(sum, row[k], in[k]);
}

static tl_bounded pre_activation(const tl_bounded_layer *l, size_t g, size_t unit, const tl_bounded *x,
                                 const tl_bounded *h_prev) {
    size_t weights = tl_cell_weights(l->cell), first_hh = tl_cell_first_hh(l->cell);
    tl_bounded_sum sum = tl_bounded_sum_start(l->bias[g * l->hidden + unit]);
    if (g < weights)
        add_row(&sum, l->w_ih + (g * l->hidden + unit) * l->inputs, x, l->inputs);
    if (g >= first_hh && g - first_hh < weights)
        add_row(&sum, l->w_hh + ((g - first_hh) * l->hidden + unit) * l->hidden, h_prev, l->hidden);
    return tl_bounded_sum_end(&sum);
}

void tl_bounded_step(const tl_bounded_layer *l, const tl_bounded *x, const tl_bounded *h_prev, const tl_bounded *c_prev,
                     tl_bounded *gates, tl_bounded *c, tl_bounded *tanh_c, tl_bounded *h) {
    const bool has_state = tl_cell_state(l->cell);
    for (size_t u = 0; u < l->hidden; u++) {
        tl_bounded gate[TL_MOST_GATES];
        for (size_t g = 0; g < tl_cell_gates(l->cell); g++)
            gate[g] = pre_activation(l, g, u, x, h_prev);
        tl_bounded_cell(l->cell, gate, has_state ? c_prev[u] : h_prev[u], has_state ? &c[u] : NULL,
                        has_state ? &tanh_c[u] : NULL, &h[u]);
        for (size_t g = 0; g < tl_cell_gates(l->cell); g++)
            gates[g * l->hidden + u] = gate[g];
    }
}

void tl_bounded_step_backward(const tl_bounded_layer *l, const tl_bounded *h_prev, const tl_bounded *c_prev,
                              const tl_bounded *tanh_c, tl_bounded *gates, tl_bounded *dh, tl_bounded *dc) {
    const bool has_state = tl_cell_state(l->cell);
    for (size_t u = 0; u < l->hidden; u++) {
        tl_bounded gate[TL_MOST_GATES];
        for (size_t g = 0; g < tl_cell_gates(l->cell); g++)
            gate[g] = gates[g * l->hidden + u];
        tl_bounded_cell_backward(l->cell, gate, has_state ? c_prev[u] : h_prev[u],
                                 has_state ? tanh_c[u] : (tl_bounded){0, 0}, &dh[u], has_state ? &dc[u] : NULL);
        for (size_t g = 0; g < tl_cell_gates(l->cell); g++)
            gates[g * l->hidden + u] = gate[g];
    }
}

/* Starts the sums from out if onto is set, otherwise from 0. */
static void add_through(size_t rows, size_t columns, const tl_bounded *w, const tl_bounded *gradients, bool onto,
                        tl_bounded *out) {
    for (size_t j = 0; j < columns; j++) {
        tl_bounded_sum sum = tl_bounded_sum_start(onto ? out[j] : (tl_bounded){0, 0});
        for (size_t row = 0; row < rows; row++)
            tl_bounded_sum_product(&sum, w[row * columns + j], gradients[row]);
        out[j] = tl_bounded_sum_end(&sum);
    }
}

void tl_bounded_step_through(const tl_bounded_layer *l, const tl_bounded *gates, tl_bounded *dh, tl_bounded *dx) {
    size_t rows = tl_cell_weights(l->cell) * l->hidden, skipped = tl_cell_first_hh(l->cell) * l->hidden;
    add_through(rows, l->hidden, l->w_hh, gates + skipped, tl_cell_bypass(l->cell), dh);
    if (dx)
        add_through(rows, l->inputs, l->w_ih, gates, false, dx);
}

void tl_bounded_through(size_t rows, size_t columns, const tl_bounded *w, const tl_bounded *gradients,
                        tl_bounded *out) {
    add_through(rows, columns, w, gradients, false, out);
}
