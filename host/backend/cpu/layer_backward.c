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

size_t tl_isa_layer_backward_scratch(sizes s) {
    return packed_size(s.hidden, 4 * s.hidden) + packed_size(s.inputs, 4 * s.hidden) + TL_SUMS_SCRATCH;
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

TL_INLINE void block(size_t count, size_t vectors, size_t valid, const float *packed, size_t sums, rows in, rows out,
                     size_t first, size_t there, size_t column) {
    tl_vf acc[ROWS][VECTORS];
#pragma GCC unroll 12
    for (size_t r = 0; r < count; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            acc[r][v] = TL_SPLAT(0.0f);
    for (size_t k = 0; k < sums; k++, packed += count) {
        tl_vf value[VECTORS];
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            value[v] = load(in, k, column + v * TL_W, valid);
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
            store(out, first + r, column + v * TL_W, valid, acc[r][v]);
    }
}

TL_INLINE void blocks(size_t count, const float *packed, size_t sums, size_t columns, rows in, rows out, size_t first,
                      size_t there) {
    size_t column = 0;
    for (; columns - column >= BLOCK; column += BLOCK)
        block(count, VECTORS, TL_W, packed, sums, in, out, first, there, column);
    for (; columns - column >= TL_W; column += TL_W)
        block(count, 1, TL_W, packed, sums, in, out, first, there, column);
    if (column < columns)
        block(count, 1, columns - column, packed, sums, in, out, first, there, column);
}

/* out [rows, columns] = the turned matrix times in [sums, columns]. */
static void turned_product(const float *packed, size_t out_rows, size_t sums, size_t columns, rows in, rows out) {
    size_t first = 0;
    for (; out_rows - first >= ROWS; first += ROWS, packed += ROWS * sums)
        blocks(ROWS, packed, sums, columns, in, out, first, ROWS);
    for (; first < out_rows; first += FEW_ROWS, packed += FEW_ROWS * sums)
        blocks(FEW_ROWS, packed, sums, columns, in, out, first, out_rows - first);
}

typedef struct backward_step {
    rows gates, c_prev, tanh_c, dy, dh, dc;
    bool has_dy;
} backward_step;

TL_INLINE void cell(size_t valid, sizes s, const backward_step *at, size_t unit, size_t column) {
    tl_vf gate[4];
    for (size_t g = 0; g < 4; g++)
        gate[g] = load(at->gates, g * s.hidden + unit, column, valid);
    tl_vf dh = load(at->dh, unit, column, valid), dc = load(at->dc, unit, column, valid);
    if (at->has_dy)
        dh = dh + load(at->dy, unit, column, valid);
    tl_v_lstm_cell_backward(gate, load(at->c_prev, unit, column, valid), load(at->tanh_c, unit, column, valid), dh,
                            &dc);
    for (size_t g = 0; g < 4; g++)
        store(at->gates, g * s.hidden + unit, column, valid, gate[g]);
    store(at->dc, unit, column, valid, dc);
}

static void cells(sizes s, const backward_step *at) {
    for (size_t unit = 0; unit < s.hidden; unit++) {
        size_t column = 0;
        for (; s.columns - column >= TL_W; column += TL_W)
            cell(TL_W, s, at, unit, column);
        if (column < s.columns)
            cell(s.columns - column, s, at, unit, column);
    }
}

tally_status tl_isa_layer_backward(const tally_layer_weights *weights, const tally_tensor *x, const tally_tensor *dy,
                                   const tally_layer_state *state, const tally_layer_weights *gradients,
                                   const tally_tensor *dx) {
    sizes s = sizes_of(x, state);
    float *packed_hh = tl_view_floats(&state->scratch), *packed_ih = packed_hh + packed_size(s.hidden, 4 * s.hidden);
    float *sums = packed_ih + packed_size(s.inputs, 4 * s.hidden);
    pack(tl_view_floats(&weights->w_hh), s.hidden, 4 * s.hidden, packed_hh);
    if (dx)
        pack(tl_view_floats(&weights->w_ih), s.inputs, 4 * s.hidden, packed_ih);
    for (size_t t = s.steps; t-- > 0;) {
        backward_step at = {.gates = rows_at(&state->gates, t),
                            .c_prev = rows_at(&state->c, t),
                            .tanh_c = rows_at(&state->tanh_c, t),
                            .dh = rows_of(&state->dh),
                            .dc = rows_of(&state->dc),
                            .has_dy = dy != NULL};
        if (dy)
            at.dy = rows_at(dy, t);
        cells(s, &at);
        turned_product(packed_hh, s.hidden, 4 * s.hidden, s.columns, at.gates, at.dh);
        if (dx)
            turned_product(packed_ih, s.inputs, 4 * s.hidden, s.columns, at.gates, rows_at(dx, t));
    }

    tally_tensor h_prev = tl_view_steps(&state->h, s.steps);
    const tl_sum_right rights[] = {{&h_prev, &gradients->w_hh}, {x, &gradients->w_ih}, {NULL, &gradients->bias}};
    tl_isa_accumulate_all(&state->gates, rights, 3, sums);
    return TALLY_OK;
}
