/* In a step, the pre-activations of a few units are summed in registers for all columns, a block of columns after another while their
 * weights are in the cache, and the cell follows at once. */
#include "backend/cpu/layer.h"

#if defined(__AVX512F__)
enum { UNITS = 3, VECTORS = 2 };
#elif defined(__AVX2__)
enum { UNITS = 1, VECTORS = 2 };
#else
enum { UNITS = 1, VECTORS = 1 };
#endif
enum { ROWS = 4 * UNITS, BLOCK = VECTORS * TL_W };

size_t tl_isa_layer_forward_scratch(sizes s) {
    return round_up(s.hidden, UNITS) * 4 * (1 + s.inputs + s.hidden);
}

/* For each UNITS units: biases, then for each input and each hidden unit the weights; [unit][gate] innermost. Units beyond the last
 * repeat it. */
static void pack(sizes s, const tally_layer_weights *weights, float *packed) {
    const float *w_ih = tl_view_floats(&weights->w_ih), *w_hh = tl_view_floats(&weights->w_hh);
    const float *bias = tl_view_floats(&weights->bias);
    for (size_t first = 0; first < s.hidden; first += UNITS) {
        const float *from_ih[ROWS], *from_hh[ROWS];
        for (size_t r = 0; r < ROWS; r++) {
            size_t unit = first + r / 4 < s.hidden ? first + r / 4 : s.hidden - 1, row = r % 4 * s.hidden + unit;
            from_ih[r] = w_ih + row * s.inputs;
            from_hh[r] = w_hh + row * s.hidden;
            *packed++ = 0.0f + bias[row];
        }
        for (size_t k = 0; k < s.inputs; k++)
            for (size_t r = 0; r < ROWS; r++)
                *packed++ = from_ih[r][k];
        for (size_t k = 0; k < s.hidden; k++)
            for (size_t r = 0; r < ROWS; r++)
                *packed++ = from_hh[r][k];
    }
}

typedef struct forward_step {
    rows x, h_prev, c_prev, gates, c, tanh_c, h;
} forward_step;

TL_INLINE const float *accumulate(size_t vectors, size_t valid, const float *w, size_t count, rows in, size_t column,
                                  tl_vf acc[ROWS][VECTORS]) {
    for (size_t k = 0; k < count; k++, w += ROWS) {
        tl_vf value[VECTORS];
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            value[v] = load(in, k, column + v * TL_W, valid);
#pragma GCC unroll 12
        for (size_t r = 0; r < ROWS; r++) {
            tl_vf weight = TL_SPLAT(w[r]);
#pragma GCC unroll 2
            for (size_t v = 0; v < vectors; v++)
                acc[r][v] = TL_FMA(weight, value[v], acc[r][v]);
        }
    }
    return w;
}

/* UNITS units from first on, of vectors times TL_W columns; of a lone vector valid may be fewer. */
TL_INLINE void block(size_t vectors, size_t valid, sizes s, const float *packed, const forward_step *at, size_t first,
                     size_t column) {
    tl_vf acc[ROWS][VECTORS];
#pragma GCC unroll 12
    for (size_t r = 0; r < ROWS; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            acc[r][v] = TL_SPLAT(packed[r]);
    packed = accumulate(vectors, valid, packed + ROWS, s.inputs, at->x, column, acc);
    accumulate(vectors, valid, packed, s.hidden, at->h_prev, column, acc);
#pragma GCC unroll 3
    for (size_t u = 0; u < UNITS; u++) {
        size_t unit = first + u;
        if (unit >= s.hidden)
            break;
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++) {
            size_t from = column + v * TL_W;
            tl_vf gate[4] = {acc[u * 4][v], acc[u * 4 + 1][v], acc[u * 4 + 2][v], acc[u * 4 + 3][v]};
            tl_vf c, tanh_c, h;
            tl_v_lstm_cell(gate, load(at->c_prev, unit, from, valid), &c, &tanh_c, &h);
            for (size_t g = 0; g < 4; g++)
                store(at->gates, g * s.hidden + unit, from, valid, gate[g]);
            store(at->c, unit, from, valid, c);
            store(at->tanh_c, unit, from, valid, tanh_c);
            store(at->h, unit, from, valid, h);
        }
    }
}

static void step(sizes s, const float *packed, const forward_step *at) {
    for (size_t first = 0; first < s.hidden; first += UNITS, packed += ROWS * (1 + s.inputs + s.hidden)) {
        size_t column = 0;
        for (; s.columns - column >= BLOCK; column += BLOCK)
            block(VECTORS, TL_W, s, packed, at, first, column);
        for (; s.columns - column >= TL_W; column += TL_W)
            block(1, TL_W, s, packed, at, first, column);
        if (column < s.columns)
            block(1, s.columns - column, s, packed, at, first, column);
    }
}

tally_status tl_isa_layer_forward(const tally_layer_weights *weights, const tally_tensor *x,
                                  const tally_layer_state *state) {
    sizes s = sizes_of(x, state);
    float *packed = tl_view_floats(&state->scratch);
    pack(s, weights, packed);
    for (size_t t = 0; t < s.steps; t++)
        step(s, packed,
             &(forward_step){.x = rows_at(x, t),
                             .h_prev = rows_at(&state->h, t),
                             .c_prev = rows_at(&state->c, t),
                             .gates = rows_at(&state->gates, t),
                             .c = rows_at(&state->c, t + 1),
                             .tanh_c = rows_at(&state->tanh_c, t),
                             .h = rows_at(&state->h, t + 1)});
    return TALLY_OK;
}
