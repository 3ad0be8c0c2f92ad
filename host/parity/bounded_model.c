#include "parity/bounded_model.h"

#include "core/fail.h"

#include <stdlib.h>

static tl_bounded one(void) {
    return (tl_bounded){1, 0};
}

/* What one column's sequence goes through; a new value at every step. */
typedef struct sequence {
    tl_bounded *x;       /* [T][I] */
    tl_bounded *gates;   /* [T][4H] */
    tl_bounded *c, *h;   /* [T + 1][H] */
    tl_bounded *tanh_c;  /* [T][H] */
    tl_bounded *logits;  /* [C], then probabilities */
    tl_bounded *dh, *dc; /* [H] */
    tl_bounded *dx;      /* [I] */
} sequence;

static void *room(size_t count) {
    return calloc(count, sizeof(tl_bounded));
}

/* Parts are NULL without memory. */
static sequence sequence_new(const tl_model_sizes *s) {
    return (sequence){.x = room(s->steps * s->inputs),
                      .gates = room(s->steps * 4 * s->hidden),
                      .c = room((s->steps + 1) * s->hidden),
                      .h = room((s->steps + 1) * s->hidden),
                      .tanh_c = room(s->steps * s->hidden),
                      .logits = room(s->classes),
                      .dh = room(s->hidden),
                      .dc = room(s->hidden),
                      .dx = room(s->inputs)};
}

static bool sequence_whole(const sequence *q) {
    return q->x && q->gates && q->c && q->h && q->tanh_c && q->logits && q->dh && q->dc && q->dx;
}

static void sequence_free(sequence *q) {
    free(q->x);
    free(q->gates);
    free(q->c);
    free(q->h);
    free(q->tanh_c);
    free(q->logits);
    free(q->dh);
    free(q->dc);
    free(q->dx);
}

static tl_bounded forward(const tl_model_sizes *s, const tl_bounded_layer *l, const tl_bounded *values, size_t column,
                          int32_t label, sequence *q) {
    size_t hidden = s->hidden;
    const tl_bounded *head_w = values + tl_model_part_at(s, TL_PART_HEAD_W),
                     *head_b = values + tl_model_part_at(s, TL_PART_HEAD_B);
    for (size_t u = 0; u < hidden; u++) {
        q->h[u] = values[tl_model_part_at(s, TL_PART_H0) + u * s->columns + column];
        q->c[u] = values[tl_model_part_at(s, TL_PART_C0) + u * s->columns + column];
    }
    for (size_t t = 0; t < s->steps; t++) {
        for (size_t i = 0; i < s->inputs; i++)
            q->x[t * s->inputs + i] = values[tl_model_part_at(s, TL_PART_X) + (i * s->steps + t) * s->columns + column];
        tl_bounded_step(l, q->x + t * s->inputs, q->h + t * hidden, q->c + t * hidden, q->gates + t * 4 * hidden,
                        q->c + (t + 1) * hidden, q->tanh_c + t * hidden, q->h + (t + 1) * hidden);
    }
    for (size_t k = 0; k < s->classes; k++) {
        tl_bounded_sum sum = tl_bounded_sum_start(head_b[k]);
        for (size_t u = 0; u < hidden; u++)
            tl_bounded_sum_product(&sum, head_w[k * hidden + u], q->h[s->steps * hidden + u]);
        q->logits[k] = tl_bounded_sum_end(&sum);
    }
    tl_bounded_softmax(s->classes, 1, q->logits, q->logits);
    return tl_bounded_loss(s->classes, 1, q->logits, label);
}

static void backward(const tl_model_sizes *s, const tl_bounded_layer *l, const tl_bounded *values, size_t column,
                     int32_t label, sequence *q, tl_bounded_sum *sums, tl_bounded *gradients) {
    size_t hidden = s->hidden, rows = 4 * hidden;
    const tl_bounded *head_w = values + tl_model_part_at(s, TL_PART_HEAD_W);
    tl_bounded_sum *dw_ih = sums + tl_model_part_at(s, TL_PART_W_IH), *dw_hh = sums + tl_model_part_at(s, TL_PART_W_HH);
    tl_bounded_sum *dbias = sums + tl_model_part_at(s, TL_PART_BIAS);
    tl_bounded_sum *dhead_w = sums + tl_model_part_at(s, TL_PART_HEAD_W),
                   *dhead_b = sums + tl_model_part_at(s, TL_PART_HEAD_B);
    tl_bounded *dh = q->dh, *dc = q->dc, *dx = q->dx;

    for (size_t u = 0; u < hidden; u++)
        dc[u] = (tl_bounded){0, 0};
    for (size_t k = 0; k < s->classes; k++) {
        double target = k == (size_t)label ? 1 : 0;
        tl_bounded *dlogit = &q->logits[k];
        *dlogit = label < 0 ? (tl_bounded){0, 0} : tl_bounded_sub(*dlogit, (tl_bounded){target, 0});
        tl_bounded_sum_product(&dhead_b[k], *dlogit, one());
        for (size_t u = 0; u < hidden; u++)
            tl_bounded_sum_product(&dhead_w[k * hidden + u], *dlogit, q->h[s->steps * hidden + u]);
    }
    tl_bounded_through(s->classes, hidden, head_w, q->logits, dh);
    for (size_t t = s->steps; t-- > 0;) {
        tl_bounded *gates = q->gates + t * rows;
        tl_bounded_step_backward(l, q->c + t * hidden, q->tanh_c + t * hidden, dh, gates, dc);
        tl_bounded_through(rows, hidden, l->w_hh, gates, dh);
        tl_bounded_through(rows, s->inputs, l->w_ih, gates, dx);
        for (size_t i = 0; i < s->inputs; i++)
            gradients[tl_model_part_at(s, TL_PART_X) + (i * s->steps + t) * s->columns + column] = dx[i];
        for (size_t row = 0; row < rows; row++) {
            tl_bounded_sum_product(&dbias[row], gates[row], one());
            for (size_t i = 0; i < s->inputs; i++)
                tl_bounded_sum_product(&dw_ih[row * s->inputs + i], gates[row], q->x[t * s->inputs + i]);
            for (size_t j = 0; j < hidden; j++)
                tl_bounded_sum_product(&dw_hh[row * hidden + j], gates[row], q->h[t * hidden + j]);
        }
    }
    for (size_t u = 0; u < hidden; u++) {
        gradients[tl_model_part_at(s, TL_PART_H0) + u * s->columns + column] = dh[u];
        gradients[tl_model_part_at(s, TL_PART_C0) + u * s->columns + column] = dc[u];
    }
}

tally_status tl_bounded_model_gradients(const tl_model_sizes *s, const tl_bounded *values, const int32_t *labels,
                                        tl_bounded *gradients, tl_bounded *loss) {
    tl_bounded_layer l = {s->inputs, s->hidden, values + tl_model_part_at(s, TL_PART_W_IH),
                          values + tl_model_part_at(s, TL_PART_W_HH), values + tl_model_part_at(s, TL_PART_BIAS)};
    size_t parameters = tl_model_part_at(s, TL_PART_X);
    tl_bounded_sum *sums = calloc(parameters, sizeof *sums), all = tl_bounded_sum_start((tl_bounded){0, 0});
    sequence q = sequence_new(s);
    bool there = sums && sequence_whole(&q);
    for (size_t column = 0; column < s->columns && there; column++) {
        tl_bounded_sum_product(&all, forward(s, &l, values, column, labels[column], &q), one());
        backward(s, &l, values, column, labels[column], &q, sums, gradients);
    }
    for (size_t i = 0; i < parameters && there; i++)
        gradients[i] = tl_bounded_sum_end(&sums[i]);
    *loss = tl_bounded_sum_end(&all);
    sequence_free(&q);
    free(sums);
    return there ? TALLY_OK : tl_fail(TALLY_MEMORY, "no memory left for the bounds of a model's gradients");
}
