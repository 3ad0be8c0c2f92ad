/* Backward through all time steps: in each, the gate gradients of all units replace the gates, and the gradients of h and x before it
 * are their product with the turned weights. The gradients of the weights follow, in one pass over the sequence. */
#include "backend/cpu/layer.h"
#include "backend/cpu/sums.h"

#if defined(__AVX512F__)
enum { ROWS = 12, VECTORS = 2 };
#elif defined(__AVX2__)
enum { ROWS = 4, VECTORS = 2 };
#else
enum { ROWS = 2, VECTORS = 1 };
#endif
/* What is left of ROWS is taken so many at a time. */
enum { FEW_ROWS = ROWS >= 4 ? ROWS / 3 : 1, BLOCK = VECTORS * TL_W };

/* Rows of a turned matrix: whole blocks, then what is left in small ones. */
static size_t packed_size(size_t count, size_t sums) {
    return round_up(count, FEW_ROWS) * sums;
}

size_t TL_ISA_NAME(layer_backward_scratch)(tally_cell cell, sizes s) {
    size_t sums = tl_cell_weights(cell) * s.hidden;
    return packed_size(s.hidden, sums) + packed_size(s.inputs, sums) + TL_SUMS_SCRATCH(s.columns);
}

/* w [sums, out] turned, in blocks of its rows; those beyond the last repeat it. */
static void pack(const float *w, size_t out, size_t sums, float *packed) {
    for (size_t first = 0, count; first < out; first += count) {
        count = out - first >= ROWS ? ROWS : FEW_ROWS;
        size_t there = out - first < count ? out - first : count;
        for (size_t k = 0; k < sums; k++)
            for (size_t r = 0; r < count; r++)
                *packed++ = w[k * out + first + (r < there ? r : there - 1)];
    }
}

/* How a product of a turned matrix and in [sums, columns] becomes out: its chains begin with what is there, or with 0. */
typedef struct product {
    size_t sums, columns;
    rows in, out;
    bool onto;
} product;

TL_INLINE void block(size_t count, size_t vectors, size_t valid, const float *packed, const product *p, size_t first,
                     size_t there, size_t column) {
    tl_vf acc[ROWS][VECTORS];
#pragma GCC unroll 12
    for (size_t r = 0; r < count; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            acc[r][v] = TL_SPLAT(0.0f);
    if (p->onto)
#pragma GCC unroll 12
        for (size_t r = 0; r < count; r++)
#pragma GCC unroll 2
            for (size_t v = 0; v < vectors; v++)
                acc[r][v] = load(p->out, first + (r < there ? r : there - 1), column + v * TL_W, valid);
    for (size_t k = 0; k < p->sums; k++, packed += count) {
        tl_vf value[VECTORS];
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            value[v] = load(p->in, k, column + v * TL_W, valid);
#pragma GCC unroll 12
        for (size_t r = 0; r < count; r++) {
            tl_vf weight = TL_SPLAT(packed[r]);
#pragma GCC unroll 2
            for (size_t v = 0; v < vectors; v++)
                acc[r][v] = TL_FMA(weight, value[v], acc[r][v]);
        }
    }
#pragma GCC unroll 12
    for (size_t r = 0; r < count; r++) {
        if (r >= there)
            break;
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            store(p->out, first + r, column + v * TL_W, valid, acc[r][v]);
    }
}

TL_INLINE void blocks(size_t count, const float *packed, const product *p, size_t first, size_t there) {
    size_t column = 0;
    for (; p->columns - column >= BLOCK; column += BLOCK)
        block(count, VECTORS, TL_W, packed, p, first, there, column);
    for (; p->columns - column >= TL_W; column += TL_W)
        block(count, 1, TL_W, packed, p, first, there, column);
    if (column < p->columns)
        block(count, 1, p->columns - column, packed, p, first, there, column);
}

static void turned_product(const float *packed, size_t out_rows, const product *p) {
    size_t first = 0;
    for (; out_rows - first >= ROWS; first += ROWS, packed += ROWS * p->sums)
        blocks(ROWS, packed, p, first, ROWS);
    for (; first < out_rows; first += FEW_ROWS, packed += FEW_ROWS * p->sums)
        blocks(FEW_ROWS, packed, p, first, out_rows - first);
}

/* previous: the LSTM's c before the step, the GRU's h; tanh_c and dc: the LSTM's. */
typedef struct backward_step {
    rows gates, previous, tanh_c, dy, dh, dc;
    bool has_dy;
    const int32_t *starts; /* NULL where all start at 0 */
    float now;
} backward_step;

TL_INLINE void cell_at(tally_cell cell, size_t valid, sizes s, const backward_step *at, size_t unit, size_t column) {
    tl_vf gate[TL_MOST_GATES];
    for (size_t g = 0; g < tl_cell_gates(cell); g++)
        gate[g] = load(at->gates, g * s.hidden + unit, column, valid);
    tl_vf dh = load(at->dh, unit, column, valid);
    if (at->has_dy)
        dh = dh + load(at->dy, unit, column, valid);
    tl_vf dc = TL_SPLAT(0.0f);
    if (cell == TALLY_LSTM) {
        dc = load(at->dc, unit, column, valid);
        tl_v_lstm_cell_backward(gate, load(at->previous, unit, column, valid), load(at->tanh_c, unit, column, valid),
                                dh, &dc);
    } else if (cell == TALLY_GRU) {
        tl_v_gru_cell_backward(gate, load(at->previous, unit, column, valid), &dh);
    } else {
        tl_v_rnn_cell_backward(gate, dh);
    }
    if (at->starts) {
        tl_vf starts = load_starts(at->starts, column, valid), now = TL_SPLAT(at->now), zero = TL_SPLAT(0.0f);
        for (size_t g = 0; g < tl_cell_gates(cell); g++)
            gate[g] = TL_PICK_LESS(now, starts, zero, gate[g]);
        dc = TL_PICK_LESS(now, starts, zero, dc);
        dh = TL_PICK_LESS(now, starts, zero, dh);
    }
    if (cell == TALLY_LSTM)
        store(at->dc, unit, column, valid, dc);
    if (cell == TALLY_GRU)
        store(at->dh, unit, column, valid, dh);
    for (size_t g = 0; g < tl_cell_gates(cell); g++)
        store(at->gates, g * s.hidden + unit, column, valid, gate[g]);
}

TL_INLINE void all_cells(tally_cell cell, sizes s, const backward_step *at) {
    for (size_t unit = 0; unit < s.hidden; unit++) {
        size_t column = 0;
        for (; s.columns - column >= TL_W; column += TL_W)
            cell_at(cell, TL_W, s, at, unit, column);
        if (column < s.columns)
            cell_at(cell, s.columns - column, s, at, unit, column);
    }
}

static void cells(tally_cell cell, sizes s, const backward_step *at) {
    if (cell == TALLY_LSTM)
        all_cells(TALLY_LSTM, s, at);
    else if (cell == TALLY_GRU)
        all_cells(TALLY_GRU, s, at);
    else
        all_cells(TALLY_RNN, s, at);
}

/* The gradients of the weights, in one pass where every gate has all of them. */
static void add_gradients(const tally_layer_weights *weights, const tally_tensor *x, const tally_layer_state *state,
                          const tally_layer_weights *gradients, float *scratch) {
    tally_tensor h_prev = tl_view_steps(&state->h, x->shape[1]);
    const tl_sum_right rights[] = {{&h_prev, &gradients->w_hh}, {x, &gradients->w_ih}, {NULL, &gradients->bias}};
    if (weights->cell != TALLY_GRU) {
        TL_ISA_NAME(accumulate_all)(&state->gates, rights, 3, scratch);
        return;
    }
    tally_tensor from_x = tl_gates_from_x(weights, &state->gates), from_h = tl_gates_from_h(weights, &state->gates);
    TL_ISA_NAME(accumulate_all)(&from_h, &rights[0], 1, scratch);
    TL_ISA_NAME(accumulate_all)(&from_x, &rights[1], 1, scratch);
    TL_ISA_NAME(accumulate_all)(&state->gates, &rights[2], 1, scratch);
}

tally_status TL_ISA_NAME(layer_backward)(const tally_layer_weights *weights, const tally_tensor *x,
                                         const tally_tensor *dy, const tally_layer_state *state,
                                         const tally_layer_weights *gradients, const tally_tensor *dx) {
    const tally_cell cell = weights->cell;
    sizes s = sizes_of(x, state);
    size_t sums = tl_cell_weights(cell) * s.hidden, skipped = tl_cell_first_hh(cell) * s.hidden;
    float *packed_hh = tl_view_floats(&state->scratch), *packed_ih = packed_hh + packed_size(s.hidden, sums);
    pack(tl_view_floats(&weights->w_hh), s.hidden, sums, packed_hh);
    if (dx)
        pack(tl_view_floats(&weights->w_ih), s.inputs, sums, packed_ih);
    for (size_t t = s.steps; t-- > 0;) {
        backward_step at = {.gates = rows_at(&state->gates, t),
                            .dh = rows_of(&state->dh),
                            .has_dy = dy != NULL,
                            .starts = state->starts.storage ? tl_view_ints(&state->starts) : NULL,
                            .now = (float)t};
        if (cell == TALLY_LSTM) {
            at.previous = rows_at(&state->c, t);
            at.tanh_c = rows_at(&state->tanh_c, t);
            at.dc = rows_of(&state->dc);
        } else {
            at.previous = rows_at(&state->h, t);
        }
        if (dy)
            at.dy = rows_at(dy, t);
        cells(cell, s, &at);
        rows from_h = {at.gates.data + skipped * at.gates.row, at.gates.row};
        turned_product(packed_hh, s.hidden, &(product){sums, s.columns, from_h, at.dh, cell == TALLY_GRU});
        if (dx)
            turned_product(packed_ih, s.inputs, &(product){sums, s.columns, at.gates, rows_at(dx, t), false});
    }
    add_gradients(weights, x, state, gradients, packed_ih + packed_size(s.inputs, sums));
    return TALLY_OK;
}
