#include "parity/layer_record.h"

#include "backend/cells.h"
#include "core/fail.h"

#include <stdlib.h>

/* Converts one time step of a column of [feature][steps][columns]. */
static void column_of(const tl_layer_record *r, size_t features, size_t steps, size_t step, size_t column,
                      const float *from, tl_bounded *out) {
    for (size_t i = 0; i < features; i++)
        out[i] = tl_bounded_of((double)from[(i * steps + step) * r->columns + column]);
}

/* The function that is called for each element. */
typedef struct listener {
    tl_element_check *check;
    void *context;
} listener;

static void compare_column(const listener *to, const tl_layer_record *r, const char *name, size_t features,
                           size_t steps, size_t step, size_t column, const float *got, const tl_bounded *want) {
    for (size_t i = 0; i < features; i++)
        to->check(to->context, name, (size_t[]){i, step, column}, got[(i * steps + step) * r->columns + column],
                  want[i]);
}

/* The weights, and the values of one time step of one column. */
typedef struct work {
    tl_bounded_layer layer;
    tl_bounded *w_ih, *w_hh, *bias;
    tl_bounded *x, *h_prev, *c_prev, *gates, *c, *tanh_c, *h, *dh, *dc, *dx;
} work;

static tl_bounded *copy_of(size_t count, const float *from) {
    tl_bounded *copy = calloc(count, sizeof *copy);
    for (size_t i = 0; i < count && copy; i++)
        copy[i] = tl_bounded_of((double)from[i]);
    return copy;
}

static tally_status work_new(const tl_layer_record *r, work *w) {
    size_t rows = tl_cell_weights(r->cell) * r->hidden, gates = tl_cell_gates(r->cell) * r->hidden;
    *w = (work){.w_ih = copy_of(rows * r->inputs, r->w_ih),
                .w_hh = copy_of(rows * r->hidden, r->w_hh),
                .bias = copy_of(gates, r->bias),
                .gates = calloc(gates, sizeof(tl_bounded))};
    w->layer = (tl_bounded_layer){r->cell, r->inputs, r->hidden, w->w_ih, w->w_hh, w->bias};
    bool there = w->w_ih && w->w_hh && w->bias && w->gates;
    tl_bounded **inputs[] = {&w->x, &w->dx};
    tl_bounded **units[] = {&w->h_prev, &w->c_prev, &w->c, &w->tanh_c, &w->h, &w->dh, &w->dc};
    for (size_t i = 0; i < 2; i++)
        there &= (*inputs[i] = calloc(r->inputs, sizeof(tl_bounded))) != NULL;
    for (size_t i = 0; i < 7; i++)
        there &= (*units[i] = calloc(r->hidden, sizeof(tl_bounded))) != NULL;
    return there ? TALLY_OK : tl_fail(TALLY_MEMORY, "no memory left for the bounds of a sequence");
}

static void work_free(work *w) {
    tl_bounded *all[] = {w->w_ih, w->w_hh, w->bias,   w->x,  w->h_prev, w->c_prev, w->gates,
                         w->c,    w->h,    w->tanh_c, w->dh, w->dc,     w->dx};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

/* Whether the column's sequence starts after this time step. */
static bool ahead(const tl_layer_record *r, size_t step, size_t column) {
    return r->starts && (int32_t)step < r->starts[column];
}

static void clear(tl_bounded *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        values[i] = (tl_bounded){0, 0};
}

tally_status tl_layer_record_forward(const tl_layer_record *r, tl_element_check *check, void *context) {
    size_t steps = r->steps, hidden = r->hidden, gates = tl_cell_gates(r->cell) * hidden;
    const listener told = {check, context}, *to = &told;
    work w;
    tally_status status = work_new(r, &w);
    for (size_t n = 0; n < r->columns && !status; n++)
        for (size_t t = 0; t < steps; t++) {
            column_of(r, r->inputs, steps, t, n, r->x, w.x);
            column_of(r, hidden, steps + 1, t, n, r->h, w.h_prev);
            if (tl_cell_state(r->cell))
                column_of(r, hidden, steps + 1, t, n, r->c, w.c_prev);
            tl_bounded_step(&w.layer, w.x, w.h_prev, w.c_prev, w.gates, w.c, w.tanh_c, w.h);
            if (ahead(r, t, n)) {
                clear(w.h, hidden);
                clear(w.c, hidden);
            }
            compare_column(to, r, "gates", gates, steps, t, n, r->gates, w.gates);
            compare_column(to, r, "h", hidden, steps + 1, t + 1, n, r->h, w.h);
            if (!tl_cell_state(r->cell))
                continue;
            compare_column(to, r, "c", hidden, steps + 1, t + 1, n, r->c, w.c);
            compare_column(to, r, "tanh_c", hidden, steps, t, n, r->tanh_c, w.tanh_c);
        }
    work_free(&w);
    return status;
}

/* The device keeps the gradients of the gates for every time step. It does not keep those of c, nor the part of the
 * GRU's gradient of h that bypasses the gates, so their bounds are carried from one time step to the next. */
static void check_through_time(const listener *to, const tl_layer_record *r, work *w, size_t n) {
    size_t steps = r->steps, hidden = r->hidden, gates = tl_cell_gates(r->cell) * hidden;
    const bool lstm = tl_cell_state(r->cell);
    column_of(r, hidden, 1, 0, n, r->dh_last, w->dh);
    if (lstm)
        column_of(r, hidden, 1, 0, n, r->dc_last, w->dc);
    for (size_t t = steps; t-- > 0;) {
        column_of(r, gates, steps, t, n, r->gates, w->gates);
        column_of(r, hidden, steps + 1, t, n, r->h, w->h_prev);
        if (lstm) {
            column_of(r, hidden, steps + 1, t, n, r->c, w->c_prev);
            column_of(r, hidden, steps, t, n, r->tanh_c, w->tanh_c);
        }
        for (size_t u = 0; u < hidden && r->dy; u++)
            w->dh[u] = tl_bounded_add(w->dh[u], tl_bounded_of((double)r->dy[(u * steps + t) * r->columns + n]));
        tl_bounded_step_backward(&w->layer, w->h_prev, w->c_prev, w->tanh_c, w->gates, w->dh, w->dc);
        if (ahead(r, t, n)) {
            clear(w->gates, gates);
            clear(w->dh, hidden);
            clear(w->dc, hidden);
        }
        compare_column(to, r, "gate gradients", gates, steps, t, n, r->dgates, w->gates);
        column_of(r, gates, steps, t, n, r->dgates, w->gates);
        tl_bounded_step_through(&w->layer, w->gates, w->dh, r->dx ? w->dx : NULL);
        if (r->dx)
            compare_column(to, r, "dx", r->inputs, steps, t, n, r->dx, w->dx);
    }
    compare_column(to, r, "dh", hidden, 1, 0, n, r->dh, w->dh);
    if (lstm)
        compare_column(to, r, "dc", hidden, 1, 0, n, r->dc, w->dc);
}

/* Element [row, j] of a weight's gradient: row gate_row of the gate gradients times row j of right, or times ones. */
static void check_weight(const listener *to, const tl_layer_record *r, const char *name, size_t row, size_t j,
                         size_t gate_row, const float *right_row, const float *before, float after) {
    tl_bounded_sum sum = tl_bounded_sum_start(tl_bounded_of(before ? (double)*before : 0));
    const float *left = r->dgates + gate_row * r->steps * r->columns;
    for (size_t p = 0; p < r->steps * r->columns; p++)
        tl_bounded_sum_product(&sum, tl_bounded_of((double)left[p]),
                               tl_bounded_of(right_row ? (double)right_row[p] : 1));
    tl_bounded want = tl_bounded_sum_end(&sum);
    to->check(to->context, name, (size_t[]){row, j, 0}, after, want);
}

static void check_weights(const listener *to, const tl_layer_record *r) {
    size_t x_row = r->steps * r->columns, h_row = (r->steps + 1) * r->columns;
    size_t skipped = tl_cell_first_hh(r->cell) * r->hidden;
    for (size_t row = 0; row < tl_cell_weights(r->cell) * r->hidden; row++) {
        for (size_t j = 0; j < r->inputs; j++) {
            size_t at = row * r->inputs + j;
            check_weight(to, r, "w_ih gradient", row, j, row, r->x + j * x_row, r->before[0] ? r->before[0] + at : NULL,
                         r->after[0][at]);
        }
        for (size_t j = 0; j < r->hidden; j++) {
            size_t at = row * r->hidden + j;
            check_weight(to, r, "w_hh gradient", row, j, skipped + row, r->h + j * h_row,
                         r->before[1] ? r->before[1] + at : NULL, r->after[1][at]);
        }
    }
    for (size_t row = 0; row < tl_cell_gates(r->cell) * r->hidden; row++)
        check_weight(to, r, "bias gradient", row, 0, row, NULL, r->before[2] ? r->before[2] + row : NULL,
                     r->after[2][row]);
}

tally_status tl_layer_record_backward(const tl_layer_record *r, tl_element_check *check, void *context) {
    const listener told = {check, context}, *to = &told;
    work w;
    tally_status status = work_new(r, &w);
    for (size_t n = 0; n < r->columns && !status; n++)
        check_through_time(to, r, &w, n);
    if (!status)
        check_weights(to, r);
    work_free(&w);
    return status;
}
