#include "backend/cpu/kernels.h"

/* A block of columns runs through all time steps before the next one starts. In a step the pre-activations of a few
 * units are summed in registers and the cell follows at once. */
#if defined(__AVX512F__)
enum { UNITS = 3, VECTORS = 2, BACK_ROWS = 12 };
#elif defined(__AVX2__)
enum { UNITS = 1, VECTORS = 2, BACK_ROWS = 4 };
#else
enum { UNITS = 1, VECTORS = 1, BACK_ROWS = 2 };
#endif
enum { BLOCK = VECTORS * TL_W };

typedef struct sizes {
    size_t inputs, hidden, steps, columns;
} sizes;

static size_t round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

/* Scratch: packed weights of either pass, and one step's gate gradients of one block of columns. */
static size_t forward_scratch(sizes s) {
    return round_up(s.hidden, UNITS) * 4 * (1 + s.inputs + s.hidden);
}

static size_t backward_packed(sizes s) {
    return round_up(s.hidden, BACK_ROWS) * 4 * s.hidden;
}

size_t tl_isa_lstm_scratch(tally_device *device, size_t inputs, size_t hidden, size_t steps, size_t columns) {
    (void)device;
    sizes s = {inputs, hidden, steps, columns};
    size_t forward = forward_scratch(s), backward = backward_packed(s) + 4 * hidden * BLOCK;
    return forward > backward ? forward : backward;
}

/* For each UNITS units: biases, then for each input and each hidden unit the weights; [unit][gate] innermost. */
static void pack_forward(sizes s, const tally_lstm_weights *weights, float *packed) {
    const float *w_ih = tl_view_floats(&weights->w_ih), *w_hh = tl_view_floats(&weights->w_hh);
    const float *bias = tl_view_floats(&weights->bias);
    for (size_t first = 0; first < s.hidden; first += UNITS)
        for (size_t k = 0; k < 1 + s.inputs + s.hidden; k++)
            for (size_t u = 0; u < UNITS; u++)
                for (size_t gate = 0; gate < 4; gate++, packed++) {
                    size_t row = gate * s.hidden + first + u;
                    if (first + u >= s.hidden)
                        *packed = 0.0f;
                    else if (k == 0)
                        *packed = 0.0f + bias[row];
                    else if (k <= s.inputs)
                        *packed = w_ih[row * s.inputs + k - 1];
                    else
                        *packed = w_hh[row * s.hidden + k - 1 - s.inputs];
                }
}

/* W_hh^T: for each BACK_ROWS hidden units, for each of the 4H rows their weights. */
static void pack_backward(sizes s, const tally_lstm_weights *weights, float *packed) {
    const float *w_hh = tl_view_floats(&weights->w_hh);
    for (size_t first = 0; first < s.hidden; first += BACK_ROWS)
        for (size_t row = 0; row < 4 * s.hidden; row++)
            for (size_t u = 0; u < BACK_ROWS; u++)
                *packed++ = first + u < s.hidden ? w_hh[row * s.hidden + first + u] : 0.0f;
}

/* Where a block of columns lies at one step: first element and distance from row to row. */
typedef struct rows {
    float *data;
    size_t row;
} rows;

static rows rows_at(const tally_tensor *t, size_t step, size_t column) {
    return (rows){tl_view_floats(t) + step * t->shape[2] + column, t->stride[0]};
}

/* valid: columns of the last vector; the others are whole. */
TL_INLINE tl_vf load(rows r, size_t row, size_t vector, size_t vectors, size_t valid) {
    const float *p = r.data + row * r.row + vector * TL_W;
    return vector + 1 < vectors ? tl_v_load(p) : tl_v_load_some(p, 1, valid);
}

TL_INLINE void store(rows r, size_t row, size_t vector, size_t vectors, size_t valid, tl_vf value) {
    float *p = r.data + row * r.row + vector * TL_W;
    if (vector + 1 < vectors)
        tl_v_store(p, value);
    else
        tl_v_store_some(p, 1, valid, value);
}

typedef struct forward_step {
    rows x, h_prev, c_prev, gates, c, tanh_c, h;
} forward_step;

TL_INLINE void accumulate(size_t vectors, size_t valid, const float **packed, size_t count, rows in,
                          tl_vf acc[UNITS * 4][VECTORS]) {
    const float *w = *packed;
    for (size_t k = 0; k < count; k++, w += UNITS * 4) {
        tl_vf column[VECTORS];
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            column[v] = load(in, k, v, vectors, valid);
#pragma GCC unroll 12
        for (size_t r = 0; r < UNITS * 4; r++) {
            tl_vf weight = TL_SPLAT(w[r]);
#pragma GCC unroll 2
            for (size_t v = 0; v < vectors; v++)
                acc[r][v] = TL_FMA(weight, column[v], acc[r][v]);
        }
    }
    *packed = w;
}

TL_INLINE void forward_units(size_t vectors, size_t valid, sizes s, const float *packed, const forward_step *at,
                             size_t first) {
    tl_vf acc[UNITS * 4][VECTORS];
#pragma GCC unroll 12
    for (size_t r = 0; r < UNITS * 4; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            acc[r][v] = TL_SPLAT(packed[r]);
    packed += UNITS * 4;
    accumulate(vectors, valid, &packed, s.inputs, at->x, acc);
    accumulate(vectors, valid, &packed, s.hidden, at->h_prev, acc);
#pragma GCC unroll 3
    for (size_t u = 0; u < UNITS; u++) {
        size_t unit = first + u;
        if (unit >= s.hidden)
            break;
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++) {
            tl_vf gate[4] = {acc[u * 4][v], acc[u * 4 + 1][v], acc[u * 4 + 2][v], acc[u * 4 + 3][v]};
            tl_vf c, tanh_c, h;
            tl_v_lstm_cell(gate, load(at->c_prev, unit, v, vectors, valid), &c, &tanh_c, &h);
            for (size_t g = 0; g < 4; g++)
                store(at->gates, g * s.hidden + unit, v, vectors, valid, gate[g]);
            store(at->c, unit, v, vectors, valid, c);
            store(at->tanh_c, unit, v, vectors, valid, tanh_c);
            store(at->h, unit, v, vectors, valid, h);
        }
    }
}

TL_INLINE void forward_columns(size_t vectors, size_t valid, sizes s, const float *packed, const tally_tensor *x,
                               const tally_lstm_state *state, size_t column) {
    for (size_t t = 0; t < s.steps; t++) {
        forward_step at = {rows_at(x, t, column),
                           rows_at(&state->h, t, column),
                           rows_at(&state->c, t, column),
                           rows_at(&state->gates, t, column),
                           rows_at(&state->c, t + 1, column),
                           rows_at(&state->tanh_c, t, column),
                           rows_at(&state->h, t + 1, column)};
        const float *w = packed;
        for (size_t first = 0; first < s.hidden; first += UNITS, w += UNITS * 4 * (1 + s.inputs + s.hidden))
            forward_units(vectors, valid, s, w, &at, first);
    }
}

tally_status tl_isa_lstm_forward(const tally_lstm_weights *weights, const tally_tensor *x,
                                 const tally_lstm_state *state) {
    sizes s = {x->shape[0], state->h.shape[0], x->shape[1], x->shape[2]};
    float *packed = tl_view_floats(&state->scratch);
    pack_forward(s, weights, packed);
    size_t column = 0;
    for (; s.columns - column >= BLOCK; column += BLOCK)
        forward_columns(VECTORS, TL_W, s, packed, x, state, column);
    for (; s.columns - column >= TL_W; column += TL_W)
        forward_columns(1, TL_W, s, packed, x, state, column);
    if (column < s.columns)
        forward_columns(1, s.columns - column, s, packed, x, state, column);
    return TALLY_OK;
}

typedef struct backward_step {
    rows gates, c_prev, tanh_c, dy, dh, dc;
    bool has_dy;
} backward_step;

/* Gate gradients of one step, kept close together in step_gates [4H][BLOCK] for the product that follows. */
TL_INLINE void backward_cells(size_t vectors, size_t valid, sizes s, const backward_step *at, float *step_gates) {
    for (size_t unit = 0; unit < s.hidden; unit++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++) {
            tl_vf gate[4];
            for (size_t g = 0; g < 4; g++)
                gate[g] = load(at->gates, g * s.hidden + unit, v, vectors, valid);
            tl_vf dh = load(at->dh, unit, v, vectors, valid), dc = load(at->dc, unit, v, vectors, valid);
            if (at->has_dy)
                dh = dh + load(at->dy, unit, v, vectors, valid);
            tl_v_lstm_cell_backward(gate, load(at->c_prev, unit, v, vectors, valid),
                                    load(at->tanh_c, unit, v, vectors, valid), dh, &dc);
            for (size_t g = 0; g < 4; g++) {
                size_t row = g * s.hidden + unit;
                store(at->gates, row, v, vectors, valid, gate[g]);
                tl_v_store(step_gates + row * BLOCK + v * TL_W, gate[g]);
            }
            store(at->dc, unit, v, vectors, valid, dc);
        }
}

TL_INLINE void backward_units(size_t vectors, size_t valid, sizes s, const float *packed, const float *step_gates,
                              rows dh, size_t first) {
    tl_vf acc[BACK_ROWS][VECTORS];
#pragma GCC unroll 12
    for (size_t r = 0; r < BACK_ROWS; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            acc[r][v] = TL_SPLAT(0.0f);
    for (size_t row = 0; row < 4 * s.hidden; row++, packed += BACK_ROWS) {
        tl_vf gate[VECTORS];
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            gate[v] = tl_v_load(step_gates + row * BLOCK + v * TL_W);
#pragma GCC unroll 12
        for (size_t r = 0; r < BACK_ROWS; r++) {
            tl_vf weight = TL_SPLAT(packed[r]);
#pragma GCC unroll 2
            for (size_t v = 0; v < vectors; v++)
                acc[r][v] = TL_FMA(weight, gate[v], acc[r][v]);
        }
    }
    for (size_t r = 0; r < BACK_ROWS && first + r < s.hidden; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            store(dh, first + r, v, vectors, valid, acc[r][v]);
}

TL_INLINE void backward_columns(size_t vectors, size_t valid, sizes s, const float *packed, float *step_gates,
                                const tally_tensor *dy, const tally_lstm_state *state, size_t column) {
    rows dh = {tl_view_floats(&state->dh) + column, s.columns}, dc = {tl_view_floats(&state->dc) + column, s.columns};
    for (size_t t = s.steps; t-- > 0;) {
        backward_step at = {.gates = rows_at(&state->gates, t, column),
                            .c_prev = rows_at(&state->c, t, column),
                            .tanh_c = rows_at(&state->tanh_c, t, column),
                            .dh = dh,
                            .dc = dc,
                            .has_dy = dy != NULL};
        if (dy)
            at.dy = rows_at(dy, t, column);
        backward_cells(vectors, valid, s, &at, step_gates);
        const float *w = packed;
        for (size_t first = 0; first < s.hidden; first += BACK_ROWS, w += BACK_ROWS * 4 * s.hidden)
            backward_units(vectors, valid, s, w, step_gates, dh, first);
    }
}

tally_status tl_isa_lstm_backward(const tally_lstm_weights *weights, const tally_tensor *x, const tally_tensor *dy,
                                  const tally_lstm_state *state, const tally_lstm_weights *gradients,
                                  const tally_tensor *dx) {
    sizes s = {x->shape[0], state->h.shape[0], x->shape[1], x->shape[2]};
    float *packed = tl_view_floats(&state->scratch), *step_gates = packed + backward_packed(s);
    pack_backward(s, weights, packed);
    size_t column = 0;
    for (; s.columns - column >= BLOCK; column += BLOCK)
        backward_columns(VECTORS, TL_W, s, packed, step_gates, dy, state, column);
    for (; s.columns - column >= TL_W; column += TL_W)
        backward_columns(1, TL_W, s, packed, step_gates, dy, state, column);
    if (column < s.columns)
        backward_columns(1, s.columns - column, s, packed, step_gates, dy, state, column);

    tally_tensor h_prev = tl_view_steps(&state->h, s.steps);
    tl_isa_accumulate(&state->gates, x, &gradients->w_ih);
    tl_isa_accumulate(&state->gates, &h_prev, &gradients->w_hh);
    tl_isa_accumulate(&state->gates, NULL, &gradients->bias);
    if (dx) {
        tally_tensor gates = tl_view_rows(&state->gates, s.steps), inputs_gradient = tl_view_rows(dx, s.steps);
        tl_isa_gemm(true, false, 1.0f, &weights->w_ih, &gates, 0.0f, &inputs_gradient);
    }
    return TALLY_OK;
}

/* The gate math alone, for any strides. */
tally_status tl_isa_lstm_gates(const tally_tensor *gates, const tally_tensor *c_prev, const tally_tensor *c,
                               const tally_tensor *tanh_c, const tally_tensor *h) {
    size_t hidden = h->shape[0], n = h->shape[1];
    for (size_t unit = 0; unit < hidden; unit++)
        for (size_t column = 0; column < n; column += TL_W) {
            size_t valid = n - column < TL_W ? n - column : TL_W;
            float *out[4];
            tl_vf gate[4], new_c, new_tanh_c, new_h;
            for (size_t g = 0; g < 4; g++) {
                out[g] = tl_view_floats(gates) + (g * hidden + unit) * gates->stride[0] + column * gates->stride[1];
                gate[g] = tl_v_load_some(out[g], gates->stride[1], valid);
            }
            const float *previous = tl_view_floats(c_prev) + unit * c_prev->stride[0] + column * c_prev->stride[1];
            tl_v_lstm_cell(gate, tl_v_load_some(previous, c_prev->stride[1], valid), &new_c, &new_tanh_c, &new_h);
            for (size_t g = 0; g < 4; g++)
                tl_v_store_some(out[g], gates->stride[1], valid, gate[g]);
            tl_v_store_some(tl_view_floats(c) + unit * c->stride[0] + column * c->stride[1], c->stride[1], valid,
                            new_c);
            tl_v_store_some(tl_view_floats(tanh_c) + unit * tanh_c->stride[0] + column * tanh_c->stride[1],
                            tanh_c->stride[1], valid, new_tanh_c);
            tl_v_store_some(tl_view_floats(h) + unit * h->stride[0] + column * h->stride[1], h->stride[1], valid,
                            new_h);
        }
    return TALLY_OK;
}

tally_status tl_isa_lstm_gates_backward(const tally_tensor *gates, const tally_tensor *c_prev,
                                        const tally_tensor *tanh_c, const tally_tensor *dh, const tally_tensor *dc) {
    size_t hidden = dh->shape[0], n = dh->shape[1];
    for (size_t unit = 0; unit < hidden; unit++)
        for (size_t column = 0; column < n; column += TL_W) {
            size_t valid = n - column < TL_W ? n - column : TL_W;
            float *out[4];
            tl_vf gate[4];
            for (size_t g = 0; g < 4; g++) {
                out[g] = tl_view_floats(gates) + (g * hidden + unit) * gates->stride[0] + column * gates->stride[1];
                gate[g] = tl_v_load_some(out[g], gates->stride[1], valid);
            }
            const float *c_at = tl_view_floats(c_prev) + unit * c_prev->stride[0] + column * c_prev->stride[1];
            const float *t_at = tl_view_floats(tanh_c) + unit * tanh_c->stride[0] + column * tanh_c->stride[1];
            const float *dh_at = tl_view_floats(dh) + unit * dh->stride[0] + column * dh->stride[1];
            float *dc_at = tl_view_floats(dc) + unit * dc->stride[0] + column * dc->stride[1];
            tl_vf new_dc = tl_v_load_some(dc_at, dc->stride[1], valid);
            tl_v_lstm_cell_backward(gate, tl_v_load_some(c_at, c_prev->stride[1], valid),
                                    tl_v_load_some(t_at, tanh_c->stride[1], valid),
                                    tl_v_load_some(dh_at, dh->stride[1], valid), &new_dc);
            for (size_t g = 0; g < 4; g++)
                tl_v_store_some(out[g], gates->stride[1], valid, gate[g]);
            tl_v_store_some(dc_at, dc->stride[1], valid, new_dc);
        }
    return TALLY_OK;
}
