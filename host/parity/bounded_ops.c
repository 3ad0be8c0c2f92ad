#include "parity/bounded_ops.h"

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

void tl_bounded_cell(tl_bounded gate[4], tl_bounded c_prev, tl_bounded *c, tl_bounded *tanh_c, tl_bounded *h) {
    gate[0] = tl_bounded_sigmoid(gate[0]);
    gate[1] = tl_bounded_sigmoid(gate[1]);
    gate[2] = tl_bounded_tanh(gate[2]);
    gate[3] = tl_bounded_sigmoid(gate[3]);
    *c = tl_bounded_fma(gate[1], c_prev, tl_bounded_mul(gate[0], gate[2]));
    *tanh_c = tl_bounded_tanh(*c);
    *h = tl_bounded_mul(gate[3], *tanh_c);
}

void tl_bounded_cell_backward(tl_bounded gate[4], tl_bounded c_prev, tl_bounded tanh_c, tl_bounded dh, tl_bounded *dc) {
    tl_bounded i = gate[0], f = gate[1], g = gate[2], o = gate[3];
    tl_bounded dcell = tl_bounded_fma(tl_bounded_mul(dh, o), tl_bounded_fma(negative(tanh_c), tanh_c, one()), *dc);
    gate[0] = tl_bounded_mul(tl_bounded_mul(dcell, g), tl_bounded_fma(negative(i), i, i));
    gate[1] = tl_bounded_mul(tl_bounded_mul(dcell, c_prev), tl_bounded_fma(negative(f), f, f));
    gate[2] = tl_bounded_mul(tl_bounded_mul(dcell, i), tl_bounded_fma(negative(g), g, one()));
    gate[3] = tl_bounded_mul(tl_bounded_mul(dh, tanh_c), tl_bounded_fma(negative(o), o, o));
    *dc = tl_bounded_mul(dcell, f);
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
    /* Cutting off moves p by no more than it was off, and never below the clip as the float has it. */
    double clip = 1e-10, p = probabilities[(size_t)label * stride].v, e = probabilities[(size_t)label * stride].e;
    p = p < clip ? clip : p;
    e += clip * TL_UNIT;
    return tl_bounded_function(-log(p), e / fmax(p - e, clip * (1 - TL_UNIT)), TL_LOG_ULPS);
}

/* A float made of options in double, where a subtraction from 1 may lose three or four of sixteen digits. */
static tl_bounded constant(double v) {
    return tl_bounded_rounded(v, 1e-12 * fabs(v));
}

void tl_bounded_adam(const tally_adam_options *o, uint64_t step, tl_bounded gradient, tl_bounded *weight, tl_bounded *m,
                     tl_bounded *v) {
    double t = (double)step;
    tl_bounded rate = constant(o->rate / (1 - pow(o->beta1, t))), root = constant(1 / sqrt(1 - pow(o->beta2, t)));
    tl_bounded keep1 = constant(1 - o->beta1), beta2 = constant(o->beta2), keep2 = constant(1 - o->beta2);
    *m = tl_bounded_fma(keep1, tl_bounded_sub(gradient, *m), *m);
    *v = tl_bounded_fma(beta2, *v, tl_bounded_mul(tl_bounded_mul(keep2, gradient), gradient));
    tl_bounded denominator = tl_bounded_fma(tl_bounded_sqrt(*v), root, constant(o->epsilon));
    tl_bounded change = tl_bounded_mul(rate, tl_bounded_div(*m, denominator));
    *weight = tl_bounded_sub(*weight, change);
}

void tl_bounded_step(const tl_bounded_layer *l, const tl_bounded *x, const tl_bounded *h_prev, const tl_bounded *c_prev,
                     tl_bounded *gates, tl_bounded *c, tl_bounded *tanh_c, tl_bounded *h) {
    for (size_t u = 0; u < l->hidden; u++) {
        tl_bounded gate[4];
        for (size_t g = 0; g < 4; g++) {
            size_t row = g * l->hidden + u;
            tl_bounded_sum sum = tl_bounded_sum_start(l->bias[row]);
            for (size_t i = 0; i < l->inputs; i++)
                tl_bounded_sum_product(&sum, l->w_ih[row * l->inputs + i], x[i]);
            for (size_t j = 0; j < l->hidden; j++)
                tl_bounded_sum_product(&sum, l->w_hh[row * l->hidden + j], h_prev[j]);
            gate[g] = tl_bounded_sum_end(&sum);
        }
        tl_bounded_cell(gate, c_prev[u], &c[u], &tanh_c[u], &h[u]);
        for (size_t g = 0; g < 4; g++)
            gates[g * l->hidden + u] = gate[g];
    }
}

void tl_bounded_step_backward(const tl_bounded_layer *l, const tl_bounded *c_prev, const tl_bounded *tanh_c,
                              const tl_bounded *dh, tl_bounded *gates, tl_bounded *dc) {
    for (size_t u = 0; u < l->hidden; u++) {
        tl_bounded gate[4];
        for (size_t g = 0; g < 4; g++)
            gate[g] = gates[g * l->hidden + u];
        tl_bounded_cell_backward(gate, c_prev[u], tanh_c[u], dh[u], &dc[u]);
        for (size_t g = 0; g < 4; g++)
            gates[g * l->hidden + u] = gate[g];
    }
}

void tl_bounded_through(size_t rows, size_t columns, const tl_bounded *w, const tl_bounded *gates, tl_bounded *out) {
    for (size_t j = 0; j < columns; j++) {
        tl_bounded_sum sum = tl_bounded_sum_start((tl_bounded){0, 0});
        for (size_t row = 0; row < rows; row++)
            tl_bounded_sum_product(&sum, w[row * columns + j], gates[row]);
        out[j] = tl_bounded_sum_end(&sum);
    }
}
