/* Sequences of unequal length in one batch: each column gives the bits that it gives alone with only its own time
 * steps, and does not depend on anything before its start. */
#include "compare.h"
#include "ops.h"
#include "suite.h"

#include <stdlib.h>

typedef struct sizes {
    tally_cell cell;
    size_t inputs, hidden, steps, columns;
} sizes;

/* The host's arrays of a layer, row-major, as in tally/tensor.h. */
typedef struct layer {
    sizes s;
    float *w_ih, *w_hh, *bias, *x, *dy, *h0, *c0, *dh_last, *dc_last;
    int32_t *starts; /* NULL: no tensor */
    float *gates, *h, *c, *dgates, *dh, *dc, *dx, *dw_ih, *dw_hh, *dbias;
} layer;

static float *uniforms(size_t count) {
    float *values = suite_memory(count, sizeof *values);
    suite_uniforms(values, count, -0.9f, 0.9f);
    return values;
}

static layer layer_new(sizes s) {
    size_t gates = tally_cell_gates(s.cell) * s.hidden, rows = tally_cell_weights(s.cell) * s.hidden, n = s.columns;
    layer l = {.s = s,
               .w_ih = uniforms(rows * s.inputs),
               .w_hh = uniforms(rows * s.hidden),
               .bias = uniforms(gates),
               .x = uniforms(s.inputs * s.steps * n),
               .dy = uniforms(s.hidden * s.steps * n),
               .h0 = uniforms(s.hidden * n),
               .c0 = uniforms(s.hidden * n),
               .dh_last = uniforms(s.hidden * n),
               .dc_last = uniforms(s.hidden * n)};
    float **results[] = {&l.gates, &l.dgates, &l.h, &l.c, &l.dx, &l.dh, &l.dc, &l.dw_ih, &l.dw_hh, &l.dbias};
    size_t largest = (gates + s.inputs + rows) * (s.steps + 1) * (n + s.inputs + s.hidden);
    for (size_t i = 0; i < sizeof results / sizeof *results; i++)
        *results[i] = suite_memory(largest, sizeof(float));
    return l;
}

static void layer_free(layer *l) {
    float *all[] = {l->w_ih,   l->w_hh, l->bias, l->x,  l->dy, l->h0, l->c0,    l->dh_last, l->dc_last, l->gates,
                    l->dgates, l->h,    l->c,    l->dx, l->dh, l->dc, l->dw_ih, l->dw_hh,   l->dbias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    free(l->starts);
}

static tally_tensor tensor_of(int ndim, const size_t *shape, const float *values) {
    tally_tensor t;
    suite_ok(tally_tensor_new(the.device, TALLY_F32, ndim, shape, &t));
    if (values)
        suite_ok(tally_tensor_write(&t, values, tally_tensor_elements(&t)));
    return t;
}

static tally_layer_weights weights_of(sizes s, const float *w_ih, const float *w_hh, const float *bias) {
    size_t gates = tally_cell_gates(s.cell) * s.hidden, rows = tally_cell_weights(s.cell) * s.hidden;
    return (tally_layer_weights){tensor_of(2, (size_t[]){rows, s.inputs}, w_ih),
                                 tensor_of(2, (size_t[]){rows, s.hidden}, w_hh), tensor_of(1, &gates, bias), s.cell};
}

static void weights_free(tally_layer_weights *w) {
    tally_tensor_free(&w->w_ih);
    tally_tensor_free(&w->w_hh);
    tally_tensor_free(&w->bias);
}

static void set_first(const tally_tensor *states, const float *values) {
    tally_tensor first;
    suite_ok(tally_tensor_select(states, 1, 0, &first));
    suite_ok(tally_tensor_write(&first, values, tally_tensor_elements(&first)));
}

static void read_into(const tally_tensor *t, float *values) {
    suite_ok(tally_tensor_read(t, values, tally_tensor_elements(t)));
}

/* The gradients of the weights must be tally_accumulate's of the gradients of the gates. */
static void check_sums(const layer *l, const tally_tensor *gates, const tally_tensor *x, const tally_tensor *h) {
    sizes s = l->s;
    size_t rows = tally_cell_weights(s.cell) * s.hidden, skipped = s.cell == TALLY_GRU ? s.hidden : 0;
    tally_layer_weights want = weights_of(s, NULL, NULL, NULL);
    tally_tensor from_x, from_h, h_prev;
    suite_ok(tally_tensor_slice(gates, 0, 0, rows, &from_x));
    suite_ok(tally_tensor_slice(gates, 0, skipped, rows, &from_h));
    suite_ok(tally_tensor_slice(h, 1, 0, s.steps, &h_prev));
    suite_ok(tally_accumulate(&from_x, x, &want.w_ih));
    suite_ok(tally_accumulate(&from_h, &h_prev, &want.w_hh));
    suite_ok(tally_accumulate(gates, NULL, &want.bias));
    float *values = suite_memory(rows * (s.inputs + s.hidden) + 4 * s.hidden, sizeof *values);
    read_into(&want.w_ih, values);
    compare_bits("w_ih gradient", l->dw_ih, values, rows * s.inputs);
    read_into(&want.w_hh, values);
    compare_bits("w_hh gradient", l->dw_hh, values, rows * s.hidden);
    read_into(&want.bias, values);
    compare_bits("bias gradient", l->dbias, values, tally_tensor_elements(&want.bias));
    free(values);
    weights_free(&want);
}

/* Runs both passes and reads all results. */
static void run_layer(layer *l) {
    sizes s = l->s;
    tally_layer_weights weights = weights_of(s, l->w_ih, l->w_hh, l->bias), gradients = weights_of(s, NULL, NULL, NULL);
    tally_layer_state state;
    suite_ok(tally_layer_state_new(the.device, s.cell, s.inputs, s.hidden, s.steps, s.columns, &state));
    tally_tensor starts = {0}, x = tensor_of(3, (size_t[]){s.inputs, s.steps, s.columns}, l->x);
    tally_tensor dx = tensor_of(3, x.shape, NULL), dy = tensor_of(3, (size_t[]){s.hidden, s.steps, s.columns}, l->dy);
    if (l->starts) {
        suite_ok(tally_tensor_new(the.device, TALLY_I32, 1, &s.columns, &starts));
        suite_ok(tally_tensor_write(&starts, l->starts, s.columns));
    }
    state.starts = starts;
    set_first(&state.h, l->h0);
    if (s.cell == TALLY_LSTM) {
        set_first(&state.c, l->c0);
        suite_ok(tally_tensor_write(&state.dc, l->dc_last, s.hidden * s.columns));
    }
    suite_ok(tally_tensor_write(&state.dh, l->dh_last, s.hidden * s.columns));
    suite_ok(tally_layer_forward(&weights, &x, &state));
    read_into(&state.gates, l->gates);
    read_into(&state.h, l->h);
    suite_ok(tally_layer_backward(&weights, &x, &dy, &state, &gradients, &dx));
    read_into(&state.gates, l->dgates);
    read_into(&state.dh, l->dh);
    read_into(&dx, l->dx);
    if (s.cell == TALLY_LSTM) {
        read_into(&state.c, l->c);
        read_into(&state.dc, l->dc);
    }
    read_into(&gradients.w_ih, l->dw_ih);
    read_into(&gradients.w_hh, l->dw_hh);
    read_into(&gradients.bias, l->dbias);
    if (the.exact)
        check_sums(l, &state.gates, &x, &state.h);
    tally_tensor_free(&starts);
    tally_tensor_free(&x);
    tally_tensor_free(&dx);
    tally_tensor_free(&dy);
    weights_free(&weights);
    weights_free(&gradients);
    tally_layer_state_free(&state);
}

/* Copies the time steps of column n of [rows][steps][columns] from step first on. */
static void copy_column(const float *from, size_t rows, size_t steps, size_t columns, size_t first, size_t n,
                        float *to) {
    for (size_t r = 0; r < rows; r++)
        for (size_t t = first; t < steps; t++)
            *to++ = from[(r * steps + t) * columns + n];
}

/* A column of the batch must equal the single one from step first on. */
static void compare_column(const char *name, const float *batch, const float *single, size_t rows, size_t steps,
                           size_t columns, size_t first, size_t n) {
    float *part = suite_memory(rows * (steps - first), sizeof *part);
    copy_column(batch, rows, steps, columns, first, n, part);
    compare_bits(name, part, single, rows * (steps - first));
    free(part);
}

static void check_zeros_before(const char *name, const float *batch, size_t rows, size_t steps, size_t columns,
                               size_t end, size_t n) {
    for (size_t r = 0; r < rows; r++)
        for (size_t t = 0; t < end; t++)
            if (batch[(r * steps + t) * columns + n] != 0)
                suite_fail("%s[%zu][%zu][%zu] is %g before the sequence starts", name, r, t, n,
                           (double)batch[(r * steps + t) * columns + n]);
}

static void compare_with_single_sequence(const layer *l, size_t n) {
    sizes s = l->s;
    size_t start = (size_t)l->starts[n], gates = tally_cell_gates(s.cell) * s.hidden, units = s.hidden;
    layer single = layer_new((sizes){s.cell, s.inputs, units, s.steps - start, 1});
    size_t rows = tally_cell_weights(s.cell) * units;
    for (size_t i = 0; i < rows * s.inputs; i++)
        single.w_ih[i] = l->w_ih[i];
    for (size_t i = 0; i < rows * units; i++)
        single.w_hh[i] = l->w_hh[i];
    for (size_t i = 0; i < gates; i++)
        single.bias[i] = l->bias[i];
    for (size_t u = 0; u < units; u++) {
        single.h0[u] = start ? 0 : l->h0[u * s.columns + n];
        single.c0[u] = start ? 0 : l->c0[u * s.columns + n];
        single.dh_last[u] = l->dh_last[u * s.columns + n];
        single.dc_last[u] = l->dc_last[u * s.columns + n];
    }
    copy_column(l->x, s.inputs, s.steps, s.columns, start, n, single.x);
    copy_column(l->dy, units, s.steps, s.columns, start, n, single.dy);
    if (!the.exact) /* CLBlast is not used for sequences with starts */
        single.starts = suite_memory(1, sizeof *single.starts);
    run_layer(&single);
    compare_column("gates", l->gates, single.gates, gates, s.steps, s.columns, start, n);
    compare_column("gate gradients", l->dgates, single.dgates, gates, s.steps, s.columns, start, n);
    compare_column("dx", l->dx, single.dx, s.inputs, s.steps, s.columns, start, n);
    compare_column("h", l->h, single.h, units, s.steps + 1, s.columns, start, n);
    check_zeros_before("gate gradients", l->dgates, gates, s.steps, s.columns, start, n);
    check_zeros_before("dx", l->dx, s.inputs, s.steps, s.columns, start, n);
    const float *first_dh = single.dh, *first_dc = single.dc;
    float *none = suite_memory(units, sizeof *none);
    if (start > 0)
        first_dh = first_dc = none;
    compare_column("dh", l->dh, first_dh, units, 1, s.columns, 0, n);
    if (s.cell == TALLY_LSTM) {
        compare_column("c", l->c, single.c, units, s.steps + 1, s.columns, start, n);
        compare_column("dc", l->dc, first_dc, units, 1, s.columns, 0, n);
    }
    free(none);
    layer_free(&single);
}

static void columns_are_as_alone(void **state) {
    (void)state;
    static const size_t shapes[][4] = {{2, 3, 5, 19}, {1, 13, 4, 33}, {3, 24, 6, 70}};
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        for (size_t i = 0; i < (the.small ? 1 : sizeof shapes / sizeof *shapes); i++) {
            sizes s = {(tally_cell)cell, shapes[i][0], shapes[i][1], shapes[i][2], shapes[i][3]};
            suite_case("%s, %zu inputs, %zu hidden, %zu steps, %zu columns", tally_cell_name(s.cell), s.inputs,
                       s.hidden, s.steps, s.columns);
            layer l = layer_new(s);
            l.starts = suite_memory(s.columns, sizeof *l.starts);
            for (size_t n = 2; n < s.columns; n++)
                l.starts[n] = (int32_t)suite_pick(s.steps);
            l.starts[1] = (int32_t)s.steps - 1;
            run_layer(&l);
            for (size_t n = 0; n < s.columns; n += the.small ? 3 : 1)
                compare_with_single_sequence(&l, n);
            layer_free(&l);
        }
}

int ops_starts(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(columns_are_as_alone)};
    return cmocka_run_group_tests_name("starts", tests, NULL, NULL);
}
