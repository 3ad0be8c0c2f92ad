#include "bounded_model.h"

#include <stdlib.h>
#include <string.h>

bounded_sum bounded_sum_start(bounded start) {
    return (bounded_sum){start.v, fabs(start.v) + start.e, start.e, 0};
}

void bounded_sum_product(bounded_sum *sum, bounded a, bounded b) {
    sum->v += a.v * b.v;
    sum->e += bounded_product_error(a, b);
    sum->magnitude += (fabs(a.v) + a.e) * (fabs(b.v) + b.e);
    sum->terms++;
}

bounded bounded_sum_end(const bounded_sum *sum) {
    double terms = (double)sum->terms;
    return (bounded){sum->v, sum->e + bounded_gamma(terms + 2) * sum->magnitude + (2 * terms + 2) * bounded_tiny()};
}

static bounded one(void) {
    return (bounded){1, 0};
}

static bounded negative(bounded a) {
    return (bounded){-a.v, a.e};
}

void bounded_cell(bounded gate[4], bounded c_prev, bounded *c, bounded *tanh_c, bounded *h) {
    gate[0] = bounded_sigmoid(gate[0]);
    gate[1] = bounded_sigmoid(gate[1]);
    gate[2] = bounded_tanh(gate[2]);
    gate[3] = bounded_sigmoid(gate[3]);
    *c = bounded_fma(gate[1], c_prev, bounded_mul(gate[0], gate[2]));
    *tanh_c = bounded_tanh(*c);
    *h = bounded_mul(gate[3], *tanh_c);
}

void bounded_cell_backward(bounded gate[4], bounded c_prev, bounded tanh_c, bounded dh, bounded *dc) {
    bounded i = gate[0], f = gate[1], g = gate[2], o = gate[3];
    bounded dcell = bounded_fma(bounded_mul(dh, o), bounded_fma(negative(tanh_c), tanh_c, one()), *dc);
    gate[0] = bounded_mul(bounded_mul(dcell, g), bounded_fma(negative(i), i, i));
    gate[1] = bounded_mul(bounded_mul(dcell, c_prev), bounded_fma(negative(f), f, f));
    gate[2] = bounded_mul(bounded_mul(dcell, i), bounded_fma(negative(g), g, one()));
    gate[3] = bounded_mul(bounded_mul(dh, tanh_c), bounded_fma(negative(o), o, o));
    *dc = bounded_mul(dcell, f);
}

void bounded_softmax(size_t classes, size_t stride, const bounded *logits, bounded *probabilities) {
    /* The largest float is within the largest error of the largest exact logit. */
    bounded largest = logits[0], sum = {0, 0};
    for (size_t k = 1; k < classes; k++) {
        bounded logit = logits[k * stride];
        largest.v = isnan(logit.v) || logit.v > largest.v ? logit.v : largest.v;
        largest.e = fmax(largest.e, logit.e);
    }
    for (size_t k = 0; k < classes; k++) {
        probabilities[k * stride] = bounded_exp_negative(bounded_sub(logits[k * stride], largest));
        sum = bounded_add(sum, probabilities[k * stride]);
    }
    for (size_t k = 0; k < classes; k++)
        probabilities[k * stride] = bounded_div(probabilities[k * stride], sum);
}

bounded bounded_loss(size_t classes, size_t stride, const bounded *probabilities, int32_t label) {
    if (label < 0)
        return (bounded){0, 0};
    if ((size_t)label >= classes)
        return (bounded){(double)NAN, 0};
    /* Cutting off moves p by no more than it was off, and never below the clip as the float has it. */
    double clip = 1e-10, p = probabilities[(size_t)label * stride].v, e = probabilities[(size_t)label * stride].e;
    p = p < clip ? clip : p;
    e += clip * UNIT;
    return bounded_function(-log(p), e / fmax(p - e, clip * (1 - UNIT)), LOG_ULPS);
}

/* A float made of options in double, where a subtraction from 1 may lose three or four of sixteen digits. */
static bounded constant(double v) {
    return bounded_rounded(v, 1e-12 * fabs(v));
}

void bounded_adam(const tally_adam_options *o, uint64_t step, bounded gradient, bounded *weight, bounded *m,
                  bounded *v) {
    double t = (double)step;
    bounded rate = constant(o->rate / (1 - pow(o->beta1, t))), root = constant(1 / sqrt(1 - pow(o->beta2, t)));
    bounded keep1 = constant(1 - o->beta1), beta2 = constant(o->beta2), keep2 = constant(1 - o->beta2);
    *m = bounded_fma(keep1, bounded_sub(gradient, *m), *m);
    *v = bounded_fma(beta2, *v, bounded_mul(bounded_mul(keep2, gradient), gradient));
    bounded denominator = bounded_fma(bounded_sqrt(*v), root, constant(o->epsilon));
    bounded change = bounded_mul(rate, bounded_div(*m, denominator));
    *weight = bounded_sub(*weight, change);
}

void bounded_step(const bounded_layer *l, const bounded *x, const bounded *h_prev, const bounded *c_prev,
                  bounded *gates, bounded *c, bounded *tanh_c, bounded *h) {
    for (size_t u = 0; u < l->hidden; u++) {
        bounded gate[4];
        for (size_t g = 0; g < 4; g++) {
            size_t row = g * l->hidden + u;
            bounded_sum sum = bounded_sum_start(l->bias[row]);
            for (size_t i = 0; i < l->inputs; i++)
                bounded_sum_product(&sum, l->w_ih[row * l->inputs + i], x[i]);
            for (size_t j = 0; j < l->hidden; j++)
                bounded_sum_product(&sum, l->w_hh[row * l->hidden + j], h_prev[j]);
            gate[g] = bounded_sum_end(&sum);
        }
        bounded_cell(gate, c_prev[u], &c[u], &tanh_c[u], &h[u]);
        for (size_t g = 0; g < 4; g++)
            gates[g * l->hidden + u] = gate[g];
    }
}

void bounded_step_backward(const bounded_layer *l, const bounded *c_prev, const bounded *tanh_c, const bounded *dh,
                           bounded *gates, bounded *dc) {
    for (size_t u = 0; u < l->hidden; u++) {
        bounded gate[4];
        for (size_t g = 0; g < 4; g++)
            gate[g] = gates[g * l->hidden + u];
        bounded_cell_backward(gate, c_prev[u], tanh_c[u], dh[u], &dc[u]);
        for (size_t g = 0; g < 4; g++)
            gates[g * l->hidden + u] = gate[g];
    }
}

void bounded_through(size_t rows, size_t columns, const bounded *w, const bounded *gates, bounded *out) {
    for (size_t j = 0; j < columns; j++) {
        bounded_sum sum = bounded_sum_start((bounded){0, 0});
        for (size_t row = 0; row < rows; row++)
            bounded_sum_product(&sum, w[row * columns + j], gates[row]);
        out[j] = bounded_sum_end(&sum);
    }
}

/* What one column's sequence goes through; a new value at every step. */
typedef struct sequence {
    bounded *x;      /* [T][I] */
    bounded *gates;  /* [T][4H] */
    bounded *c, *h;  /* [T + 1][H] */
    bounded *tanh_c; /* [T][H] */
    bounded *logits; /* [C], then probabilities */
} sequence;

static sequence sequence_new(const model_sizes *s) {
    return (sequence){.x = suite_memory(s->steps * s->inputs, sizeof(bounded)),
                      .gates = suite_memory(s->steps * 4 * s->hidden, sizeof(bounded)),
                      .c = suite_memory((s->steps + 1) * s->hidden, sizeof(bounded)),
                      .h = suite_memory((s->steps + 1) * s->hidden, sizeof(bounded)),
                      .tanh_c = suite_memory(s->steps * s->hidden, sizeof(bounded)),
                      .logits = suite_memory(s->classes, sizeof(bounded))};
}

static void sequence_free(sequence *q) {
    free(q->x);
    free(q->gates);
    free(q->c);
    free(q->h);
    free(q->tanh_c);
    free(q->logits);
}

static bounded forward(const model_sizes *s, const bounded_layer *l, const bounded *values, size_t column,
                       int32_t label, sequence *q) {
    size_t hidden = s->hidden;
    const bounded *head_w = values + model_part_at(s, PART_HEAD_W), *head_b = values + model_part_at(s, PART_HEAD_B);
    for (size_t u = 0; u < hidden; u++) {
        q->h[u] = values[model_part_at(s, PART_H0) + u * s->columns + column];
        q->c[u] = values[model_part_at(s, PART_C0) + u * s->columns + column];
    }
    for (size_t t = 0; t < s->steps; t++) {
        for (size_t i = 0; i < s->inputs; i++)
            q->x[t * s->inputs + i] = values[model_part_at(s, PART_X) + (i * s->steps + t) * s->columns + column];
        bounded_step(l, q->x + t * s->inputs, q->h + t * hidden, q->c + t * hidden, q->gates + t * 4 * hidden,
                     q->c + (t + 1) * hidden, q->tanh_c + t * hidden, q->h + (t + 1) * hidden);
    }
    for (size_t k = 0; k < s->classes; k++) {
        bounded_sum sum = bounded_sum_start(head_b[k]);
        for (size_t u = 0; u < hidden; u++)
            bounded_sum_product(&sum, head_w[k * hidden + u], q->h[s->steps * hidden + u]);
        q->logits[k] = bounded_sum_end(&sum);
    }
    bounded_softmax(s->classes, 1, q->logits, q->logits);
    return bounded_loss(s->classes, 1, q->logits, label);
}

static void backward(const model_sizes *s, const bounded_layer *l, const bounded *values, size_t column, int32_t label,
                     sequence *q, bounded_sum *sums, bounded *gradients) {
    size_t hidden = s->hidden, rows = 4 * hidden;
    const bounded *head_w = values + model_part_at(s, PART_HEAD_W);
    bounded_sum *dw_ih = sums + model_part_at(s, PART_W_IH), *dw_hh = sums + model_part_at(s, PART_W_HH);
    bounded_sum *dbias = sums + model_part_at(s, PART_BIAS);
    bounded_sum *dhead_w = sums + model_part_at(s, PART_HEAD_W), *dhead_b = sums + model_part_at(s, PART_HEAD_B);
    bounded *dh = suite_memory(hidden, sizeof *dh), *dc = suite_memory(hidden, sizeof *dc);
    bounded *dx = suite_memory(s->inputs, sizeof *dx);

    for (size_t k = 0; k < s->classes; k++) {
        double target = k == (size_t)label ? 1 : 0;
        bounded *dlogit = &q->logits[k];
        *dlogit = label < 0 ? (bounded){0, 0} : bounded_sub(*dlogit, (bounded){target, 0});
        bounded_sum_product(&dhead_b[k], *dlogit, one());
        for (size_t u = 0; u < hidden; u++)
            bounded_sum_product(&dhead_w[k * hidden + u], *dlogit, q->h[s->steps * hidden + u]);
    }
    bounded_through(s->classes, hidden, head_w, q->logits, dh);
    for (size_t t = s->steps; t-- > 0;) {
        bounded *gates = q->gates + t * rows;
        bounded_step_backward(l, q->c + t * hidden, q->tanh_c + t * hidden, dh, gates, dc);
        bounded_through(rows, hidden, l->w_hh, gates, dh);
        bounded_through(rows, s->inputs, l->w_ih, gates, dx);
        for (size_t i = 0; i < s->inputs; i++)
            gradients[model_part_at(s, PART_X) + (i * s->steps + t) * s->columns + column] = dx[i];
        for (size_t row = 0; row < rows; row++) {
            bounded_sum_product(&dbias[row], gates[row], one());
            for (size_t i = 0; i < s->inputs; i++)
                bounded_sum_product(&dw_ih[row * s->inputs + i], gates[row], q->x[t * s->inputs + i]);
            for (size_t j = 0; j < hidden; j++)
                bounded_sum_product(&dw_hh[row * hidden + j], gates[row], q->h[t * hidden + j]);
        }
    }
    for (size_t u = 0; u < hidden; u++) {
        gradients[model_part_at(s, PART_H0) + u * s->columns + column] = dh[u];
        gradients[model_part_at(s, PART_C0) + u * s->columns + column] = dc[u];
    }
    free(dh);
    free(dc);
    free(dx);
}

bounded bounded_model_gradients(const model_sizes *s, const bounded *values, const int32_t *labels,
                                bounded *gradients) {
    bounded_layer l = {s->inputs, s->hidden, values + model_part_at(s, PART_W_IH), values + model_part_at(s, PART_W_HH),
                       values + model_part_at(s, PART_BIAS)};
    size_t parameters = model_part_at(s, PART_X);
    bounded_sum *sums = suite_memory(parameters, sizeof *sums), loss = bounded_sum_start((bounded){0, 0});
    sequence q = sequence_new(s);
    for (size_t column = 0; column < s->columns; column++) {
        bounded_sum_product(&loss, forward(s, &l, values, column, labels[column], &q), one());
        backward(s, &l, values, column, labels[column], &q, sums, gradients);
    }
    for (size_t i = 0; i < parameters; i++)
        gradients[i] = bounded_sum_end(&sums[i]);
    sequence_free(&q);
    free(sums);
    return bounded_sum_end(&loss);
}
