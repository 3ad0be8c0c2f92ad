#include "reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void reference_gemm(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, double alpha, const float *a,
                    const float *b, double beta, const float *c, double *out, double *magnitude) {
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0, absolute = 0;
            for (size_t p = 0; p < k; p++) {
                double product = alpha * (double)a[transpose_a ? p * m + i : i * k + p] *
                                 (double)b[transpose_b ? j * k + p : p * n + j];
                sum += product;
                absolute += fabs(product);
            }
            if (beta != 0) {
                sum += beta * (double)c[i * n + j];
                absolute += fabs(beta * (double)c[i * n + j]);
            }
            out[i * n + j] = sum;
            magnitude[i * n + j] = absolute;
        }
}

void reference_reduce(size_t m, size_t n, const float *x, double beta, const float *old, double *out,
                      double *magnitude) {
    for (size_t i = 0; i < m; i++) {
        double sum = 0, absolute = 0;
        for (size_t j = 0; j < n; j++) {
            sum += (double)x[i * n + j];
            absolute += fabs((double)x[i * n + j]);
        }
        if (beta != 0) {
            sum += beta * (double)old[i];
            absolute += fabs(beta * (double)old[i]);
        }
        out[i] = sum;
        magnitude[i] = absolute;
    }
}

static double sigmoid(double x) {
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

static void lstm_cell(double gate[4], double c_prev, double *c, double *tanh_c, double *h) {
    gate[0] = sigmoid(gate[0]);
    gate[1] = sigmoid(gate[1]);
    gate[2] = tanh(gate[2]);
    gate[3] = sigmoid(gate[3]);
    *c = gate[1] * c_prev + gate[0] * gate[2];
    *tanh_c = tanh(*c);
    *h = gate[3] * *tanh_c;
}

/* Vanished gradients are 0. */
static double carried(double gradient) {
    return fabs(gradient) < 0x1p-95 ? 0 : gradient;
}

static void lstm_cell_backward(double gate[4], double c_prev, double tanh_c, double dh, double *dc) {
    double i = gate[0], f = gate[1], g = gate[2], o = gate[3];
    dh = carried(dh);
    double dcell = carried(*dc + dh * o * (1 - tanh_c * tanh_c));
    gate[0] = dcell * g * i * (1 - i);
    gate[1] = dcell * c_prev * f * (1 - f);
    gate[2] = dcell * i * (1 - g * g);
    gate[3] = dh * tanh_c * o * (1 - o);
    *dc = dcell * f;
}

/* gate: n, r, z, a; n = tanh(n + r a), h = (1 - z) n + z h_prev. */
static void gru_cell(double gate[4], double h_prev, double *h) {
    gate[1] = sigmoid(gate[1]);
    gate[2] = sigmoid(gate[2]);
    gate[0] = tanh(gate[0] + gate[1] * gate[3]);
    *h = (1 - gate[2]) * gate[0] + gate[2] * h_prev;
}

static void gru_cell_backward(double gate[4], double h_prev, double *dh) {
    *dh = carried(*dh);
    double n = gate[0], r = gate[1], z = gate[2], a = gate[3], dsum = *dh * (1 - z) * (1 - n * n);
    gate[0] = dsum;
    gate[1] = dsum * a * r * (1 - r);
    gate[2] = *dh * (h_prev - n) * z * (1 - z);
    gate[3] = dsum * r;
    *dh *= z;
}

uint64_t reference_branches;

static double rectified(double x) {
    reference_branches = reference_branches * 6364136223846793005u + (x > 0 ? 2 : 1);
    return x < 0 ? 0 : x;
}

void reference_cell(tally_cell cell, double gate[4], double previous, double *c, double *tanh_c, double *h) {
    if (cell == TALLY_LSTM)
        lstm_cell(gate, previous, c, tanh_c, h);
    else if (cell == TALLY_GRU)
        gru_cell(gate, previous, h);
    else if (cell == TALLY_RNN)
        *h = gate[0] = tanh(gate[0]);
    else
        *h = gate[0] = rectified(gate[0]);
}

void reference_cell_backward(tally_cell cell, double gate[4], double previous, double tanh_c, double *dh, double *dc) {
    if (cell == TALLY_LSTM)
        lstm_cell_backward(gate, previous, tanh_c, *dh, dc);
    else if (cell == TALLY_GRU)
        gru_cell_backward(gate, previous, dh);
    else if (cell == TALLY_RNN)
        gate[0] = carried(*dh) * (1 - gate[0] * gate[0]);
    else
        gate[0] = gate[0] > 0 ? carried(*dh) : 0;
}

void reference_softmax(size_t classes, size_t stride, const double *logits, double *probabilities) {
    double largest = logits[0], sum = 0;
    for (size_t k = 1; k < classes; k++)
        largest = fmax(largest, logits[k * stride]);
    for (size_t k = 0; k < classes; k++)
        sum += exp(logits[k * stride] - largest);
    for (size_t k = 0; k < classes; k++)
        probabilities[k * stride] = exp(logits[k * stride] - largest) / sum;
}

double reference_loss(size_t classes, size_t stride, const double *probabilities, int32_t label) {
    if (label < 0)
        return 0;
    if ((size_t)label >= classes)
        return (double)NAN;
    double p = probabilities[(size_t)label * stride];
    return p < 1e-10 ? -log(1e-10) : -log(p);
}

/* The values of one column's sequence in a layer, for every time step. */
typedef struct trace {
    double *x;            /* [T][I] */
    double *gates;        /* [T][G][H], activated */
    double *c, *h;        /* [T + 1][H]; c and tanh_c are the LSTM's */
    double *tanh_c;       /* [T][H] */
    double *dy, *dh, *dc; /* [T][H], [H], [H] */
} trace;

static double *numbers(size_t count) {
    double *memory = calloc(count, sizeof *memory);
    if (!memory)
        abort();
    return memory;
}

static trace *traces_new(const tl_model_sizes *s) {
    trace *q = calloc(s->layers, sizeof *q);
    if (!q)
        abort();
    for (size_t l = 0; l < s->layers; l++)
        q[l] = (trace){numbers(s->steps * tl_model_inputs(s, l)),
                       numbers(s->steps * tally_cell_gates(s->cell) * s->hidden),
                       numbers((s->steps + 1) * s->hidden),
                       numbers((s->steps + 1) * s->hidden),
                       numbers(s->steps * s->hidden),
                       numbers(s->steps * s->hidden),
                       numbers(s->hidden),
                       numbers(s->hidden)};
    return q;
}

static void traces_free(const tl_model_sizes *s, trace *q) {
    for (size_t l = 0; l < s->layers; l++) {
        double *all[] = {q[l].x, q[l].gates, q[l].c, q[l].h, q[l].tanh_c, q[l].dy, q[l].dh, q[l].dc};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            free(all[i]);
    }
    free(q);
}

/* w_ih has the rows of the first gates, w_hh those of the last ones. */
static bool reads_x(tally_cell cell, size_t gate) {
    return gate < tally_cell_weights(cell);
}

static bool reads_h(tally_cell cell, size_t gate) {
    return gate >= tally_cell_gates(cell) - tally_cell_weights(cell);
}

static size_t w_hh_row(const tl_model_sizes *s, size_t gate, size_t unit) {
    return (gate - (tally_cell_gates(s->cell) - tally_cell_weights(s->cell))) * s->hidden + unit;
}

/* The previous value that the cell reads besides its gates: the LSTM's c, the GRU's h. */
static double previous_of(const tl_model_sizes *s, const trace *q, size_t step, size_t unit) {
    return (s->cell == TALLY_LSTM ? q->c : q->h)[step * s->hidden + unit];
}

static void layer_forward(const tl_model_sizes *s, const double *values, size_t layer, size_t column, trace *q) {
    size_t hidden = s->hidden, inputs = tl_model_inputs(s, layer), gates = tally_cell_gates(s->cell);
    const double *w_ih = values + tl_model_layer_at(s, TL_PART_W_IH, layer);
    const double *w_hh = values + tl_model_layer_at(s, TL_PART_W_HH, layer);
    const double *bias = values + tl_model_layer_at(s, TL_PART_BIAS, layer);
    for (size_t u = 0; u < hidden; u++) {
        q->h[u] = values[tl_model_layer_at(s, TL_PART_H0, layer) + u * s->columns + column];
        if (s->cell == TALLY_LSTM)
            q->c[u] = values[tl_model_layer_at(s, TL_PART_C0, layer) + u * s->columns + column];
    }
    for (size_t t = 0; t < s->steps; t++)
        for (size_t u = 0; u < hidden; u++) {
            double gate[4];
            for (size_t g = 0; g < gates; g++) {
                size_t row = g * hidden + u;
                gate[g] = bias[row];
                for (size_t i = 0; i < inputs && reads_x(s->cell, g); i++)
                    gate[g] += w_ih[row * inputs + i] * q->x[t * inputs + i];
                for (size_t j = 0; j < hidden && reads_h(s->cell, g); j++)
                    gate[g] += w_hh[w_hh_row(s, g, u) * hidden + j] * q->h[t * hidden + j];
            }
            reference_cell(s->cell, gate, previous_of(s, q, t, u), &q->c[(t + 1) * hidden + u],
                           &q->tanh_c[t * hidden + u], &q->h[(t + 1) * hidden + u]);
            for (size_t g = 0; g < gates; g++)
                q->gates[(t * gates + g) * hidden + u] = gate[g];
            if (tl_model_ahead(s, t, column))
                q->h[(t + 1) * hidden + u] = q->c[(t + 1) * hidden + u] = 0;
        }
}

/* Returns the column's loss. */
static double forward(const tl_model_sizes *s, const double *values, size_t column, int32_t label, trace *q,
                      double *probabilities) {
    size_t hidden = s->hidden;
    const double *head_w = values + tl_model_part_at(s, TL_PART_HEAD_W),
                 *head_b = values + tl_model_part_at(s, TL_PART_HEAD_B), *x = values + tl_model_part_at(s, TL_PART_X);
    for (size_t l = 0; l < s->layers; l++) {
        for (size_t t = 0; t < s->steps && l == 0; t++)
            for (size_t i = 0; i < s->inputs; i++)
                q[l].x[t * s->inputs + i] = x[(i * s->steps + t) * s->columns + column];
        if (l > 0)
            for (size_t i = 0; i < s->steps * hidden; i++)
                q[l].x[i] = q[l - 1].h[hidden + i] * (double)tl_model_factor(s, l - 1, i % hidden, i / hidden, column);
        layer_forward(s, values, l, column, &q[l]);
    }
    const double *last = q[s->layers - 1].h + s->steps * hidden;
    for (size_t k = 0; k < s->classes; k++) {
        probabilities[k] = head_b[k];
        for (size_t u = 0; u < hidden; u++)
            probabilities[k] += head_w[k * hidden + u] * last[u];
    }
    reference_softmax(s->classes, 1, probabilities, probabilities);
    return reference_loss(s->classes, 1, probabilities, label);
}

/* Starts from q's dy and dh. dx [T][I] is zero before the call. */
static void layer_backward(const tl_model_sizes *s, const double *values, size_t layer, size_t column, trace *q,
                           double *gradients, double *dx) {
    size_t hidden = s->hidden, inputs = tl_model_inputs(s, layer), gates = tally_cell_gates(s->cell);
    const double *w_ih = values + tl_model_layer_at(s, TL_PART_W_IH, layer);
    const double *w_hh = values + tl_model_layer_at(s, TL_PART_W_HH, layer);
    double *dw_ih = gradients + tl_model_layer_at(s, TL_PART_W_IH, layer);
    double *dw_hh = gradients + tl_model_layer_at(s, TL_PART_W_HH, layer);
    double *dbias = gradients + tl_model_layer_at(s, TL_PART_BIAS, layer);
    double *dgates = numbers(gates * hidden);
    memset(q->dc, 0, hidden * sizeof *q->dc);
    for (size_t t = s->steps; t-- > 0;) {
        for (size_t u = 0; u < hidden; u++) {
            double gate[4];
            for (size_t g = 0; g < gates; g++)
                gate[g] = q->gates[(t * gates + g) * hidden + u];
            q->dh[u] += q->dy[t * hidden + u];
            reference_cell_backward(s->cell, gate, previous_of(s, q, t, u), q->tanh_c[t * hidden + u], &q->dh[u],
                                    &q->dc[u]);
            for (size_t g = 0; g < gates; g++)
                dgates[g * hidden + u] = tl_model_ahead(s, t, column) ? 0 : gate[g];
            if (tl_model_ahead(s, t, column))
                q->dh[u] = q->dc[u] = 0;
            if (s->cell != TALLY_GRU)
                q->dh[u] = 0; /* all of it reaches h_prev through the gates */
        }
        for (size_t g = 0; g < gates; g++)
            for (size_t u = 0; u < hidden; u++) {
                size_t row = g * hidden + u;
                dbias[row] += dgates[row];
                for (size_t i = 0; i < inputs && reads_x(s->cell, g); i++) {
                    dw_ih[row * inputs + i] += dgates[row] * q->x[t * inputs + i];
                    dx[t * inputs + i] += dgates[row] * w_ih[row * inputs + i];
                }
                for (size_t j = 0; j < hidden && reads_h(s->cell, g); j++) {
                    size_t at = w_hh_row(s, g, u) * hidden + j;
                    dw_hh[at] += dgates[row] * q->h[t * hidden + j];
                    q->dh[j] += dgates[row] * w_hh[at];
                }
            }
    }
    for (size_t u = 0; u < hidden; u++) {
        gradients[tl_model_layer_at(s, TL_PART_H0, layer) + u * s->columns + column] = q->dh[u];
        if (s->cell == TALLY_LSTM)
            gradients[tl_model_layer_at(s, TL_PART_C0, layer) + u * s->columns + column] = q->dc[u];
    }
    free(dgates);
}

static void backward(const tl_model_sizes *s, const double *values, size_t column, int32_t label, trace *q,
                     const double *probabilities, double *gradients) {
    size_t hidden = s->hidden;
    const double *head_w = values + tl_model_part_at(s, TL_PART_HEAD_W);
    double *dhead_w = gradients + tl_model_part_at(s, TL_PART_HEAD_W),
           *dhead_b = gradients + tl_model_part_at(s, TL_PART_HEAD_B),
           *all_dx = gradients + tl_model_part_at(s, TL_PART_X);
    for (size_t l = 0; l < s->layers; l++) {
        memset(q[l].dh, 0, hidden * sizeof *q[l].dh);
        memset(q[l].dy, 0, s->steps * hidden * sizeof *q[l].dy);
    }
    trace *top = &q[s->layers - 1];
    const double *last = top->h + s->steps * hidden;
    for (size_t k = 0; k < s->classes && label >= 0; k++) {
        double dlogit = probabilities[k] - (k == (size_t)label ? 1 : 0);
        dhead_b[k] += dlogit;
        for (size_t u = 0; u < hidden; u++) {
            dhead_w[k * hidden + u] += dlogit * last[u];
            top->dh[u] += dlogit * head_w[k * hidden + u];
        }
    }
    double *dx = numbers(s->steps * s->inputs);
    for (size_t l = s->layers; l-- > 0;) {
        layer_backward(s, values, l, column, &q[l], gradients, l > 0 ? q[l - 1].dy : dx);
        for (size_t i = 0; i < s->steps * hidden && l > 0; i++)
            q[l - 1].dy[i] *= (double)tl_model_factor(s, l - 1, i % hidden, i / hidden, column);
    }
    for (size_t t = 0; t < s->steps; t++)
        for (size_t i = 0; i < s->inputs; i++)
            all_dx[(i * s->steps + t) * s->columns + column] = dx[t * s->inputs + i];
    free(dx);
}

double reference_model_loss(const tl_model_sizes *s, const double *values, const int32_t *labels) {
    trace *q = traces_new(s);
    double loss = 0, *probabilities = numbers(s->classes);
    for (size_t column = 0; column < s->columns; column++)
        loss += forward(s, values, column, labels[column], q, probabilities);
    traces_free(s, q);
    free(probabilities);
    return loss;
}

double reference_model_gradients(const tl_model_sizes *s, const double *values, const int32_t *labels,
                                 double *gradients) {
    trace *q = traces_new(s);
    double loss = 0, *probabilities = numbers(s->classes);
    memset(gradients, 0, tl_model_part_at(s, TL_MODEL_PARTS) * sizeof *gradients);
    for (size_t column = 0; column < s->columns; column++) {
        loss += forward(s, values, column, labels[column], q, probabilities);
        backward(s, values, column, labels[column], q, probabilities, gradients);
    }
    traces_free(s, q);
    free(probabilities);
    return loss;
}
