#include "lstm_record.h"

#include "bounded_model.h"
#include "compare.h"

#include <stdlib.h>

/* A column of [feature][steps][columns] at one step. */
static void column_of(const lstm_record *r, size_t features, size_t steps, size_t step, size_t column,
                      const float *from, bounded *out) {
    for (size_t i = 0; i < features; i++)
        out[i] = bounded_of((double)from[(i * steps + step) * r->columns + column]);
}

static void compare_column(const lstm_record *r, const char *name, size_t features, size_t steps, size_t step,
                           size_t column, const float *got, const bounded *want) {
    for (size_t i = 0; i < features; i++)
        compare_element(name, (size_t[]){i, step, column}, got[(i * steps + step) * r->columns + column], want[i].v,
                        want[i].e);
}

/* The weights, and one step of one column. */
typedef struct work {
    bounded_layer layer;
    bounded *w_ih, *w_hh, *bias;
    bounded *x, *h_prev, *c_prev, *gates, *c, *tanh_c, *h, *dh, *dc, *dx;
} work;

static bounded *bounded_copy(size_t count, const float *from) {
    bounded *copy = suite_memory(count, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = bounded_of((double)from[i]);
    return copy;
}

static work work_new(const lstm_record *r) {
    size_t rows = 4 * r->hidden;
    work w = {.w_ih = bounded_copy(rows * r->inputs, r->w_ih),
              .w_hh = bounded_copy(rows * r->hidden, r->w_hh),
              .bias = bounded_copy(rows, r->bias)};
    w.layer = (bounded_layer){r->inputs, r->hidden, w.w_ih, w.w_hh, w.bias};
    bounded **inputs[] = {&w.x, &w.dx};
    bounded **units[] = {&w.h_prev, &w.c_prev, &w.c, &w.tanh_c, &w.h, &w.dh, &w.dc};
    for (size_t i = 0; i < 2; i++)
        *inputs[i] = suite_memory(r->inputs, sizeof(bounded));
    for (size_t i = 0; i < 7; i++)
        *units[i] = suite_memory(r->hidden, sizeof(bounded));
    w.gates = suite_memory(rows, sizeof(bounded));
    return w;
}

static void work_free(work *w) {
    bounded *all[] = {w->w_ih, w->w_hh, w->bias,   w->x,  w->h_prev, w->c_prev, w->gates,
                      w->c,    w->h,    w->tanh_c, w->dh, w->dc,     w->dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

void lstm_check_forward(const lstm_record *r) {
    size_t steps = r->steps, hidden = r->hidden;
    work w = work_new(r);
    for (size_t n = 0; n < r->columns; n++)
        for (size_t t = 0; t < steps; t++) {
            column_of(r, r->inputs, steps, t, n, r->x, w.x);
            column_of(r, hidden, steps + 1, t, n, r->h, w.h_prev);
            column_of(r, hidden, steps + 1, t, n, r->c, w.c_prev);
            bounded_step(&w.layer, w.x, w.h_prev, w.c_prev, w.gates, w.c, w.tanh_c, w.h);
            compare_column(r, "gates", 4 * hidden, steps, t, n, r->gates, w.gates);
            compare_column(r, "c", hidden, steps + 1, t + 1, n, r->c, w.c);
            compare_column(r, "tanh_c", hidden, steps, t, n, r->tanh_c, w.tanh_c);
            compare_column(r, "h", hidden, steps + 1, t + 1, n, r->h, w.h);
        }
    work_free(&w);
}

/* The gradients of gates are kept for every step, those of cells are not: their bound is carried along. */
static void check_through_time(const lstm_record *r, work *w, size_t n) {
    size_t steps = r->steps, hidden = r->hidden;
    column_of(r, hidden, 1, 0, n, r->dh_last, w->dh);
    column_of(r, hidden, 1, 0, n, r->dc_last, w->dc);
    for (size_t t = steps; t-- > 0;) {
        column_of(r, 4 * hidden, steps, t, n, r->gates, w->gates);
        column_of(r, hidden, steps + 1, t, n, r->c, w->c_prev);
        column_of(r, hidden, steps, t, n, r->tanh_c, w->tanh_c);
        for (size_t u = 0; u < hidden && r->dy; u++)
            w->dh[u] = bounded_add(w->dh[u], bounded_of((double)r->dy[(u * steps + t) * r->columns + n]));
        bounded_step_backward(&w->layer, w->c_prev, w->tanh_c, w->dh, w->gates, w->dc);
        compare_column(r, "gate gradients", 4 * hidden, steps, t, n, r->dgates, w->gates);
        column_of(r, 4 * hidden, steps, t, n, r->dgates, w->gates);
        bounded_through(4 * hidden, hidden, w->w_hh, w->gates, w->dh);
        if (r->dx) {
            bounded_through(4 * hidden, r->inputs, w->w_ih, w->gates, w->dx);
            compare_column(r, "dx", r->inputs, steps, t, n, r->dx, w->dx);
        }
    }
    compare_column(r, "dh", hidden, 1, 0, n, r->dh, w->dh);
    compare_column(r, "dc", hidden, 1, 0, n, r->dc, w->dc);
}

/* Element [row, j] of a weight's gradient: row row of the gate gradients times row j of right, or times ones. */
static void check_weight(const lstm_record *r, const char *name, size_t row, size_t j, const float *right_row,
                         const float *before, float after) {
    bounded_sum sum = bounded_sum_start(bounded_of(before ? (double)*before : 0));
    const float *left = r->dgates + row * r->steps * r->columns;
    for (size_t p = 0; p < r->steps * r->columns; p++)
        bounded_sum_product(&sum, bounded_of((double)left[p]), bounded_of(right_row ? (double)right_row[p] : 1));
    bounded want = bounded_sum_end(&sum);
    compare_element(name, (size_t[]){row, j, 0}, after, want.v, want.e);
}

static void check_weights(const lstm_record *r) {
    size_t x_row = r->steps * r->columns, h_row = (r->steps + 1) * r->columns;
    for (size_t row = 0; row < 4 * r->hidden; row++) {
        for (size_t j = 0; j < r->inputs; j++) {
            size_t at = row * r->inputs + j;
            check_weight(r, "w_ih gradient", row, j, r->x + j * x_row, r->before[0] ? r->before[0] + at : NULL,
                         r->after[0][at]);
        }
        for (size_t j = 0; j < r->hidden; j++) {
            size_t at = row * r->hidden + j;
            check_weight(r, "w_hh gradient", row, j, r->h + j * h_row, r->before[1] ? r->before[1] + at : NULL,
                         r->after[1][at]);
        }
        check_weight(r, "bias gradient", row, 0, NULL, r->before[2] ? r->before[2] + row : NULL, r->after[2][row]);
    }
}

void lstm_check_backward(const lstm_record *r) {
    work w = work_new(r);
    for (size_t n = 0; n < r->columns; n++)
        check_through_time(r, &w, n);
    check_weights(r);
    work_free(&w);
}
