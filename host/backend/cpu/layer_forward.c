/* In a step, the pre-activations of a few units are summed in registers for all columns, a block of columns after another while their
 * weights are in the cache, and the cell follows at once. */
#include "backend/cpu/layer.h"

/* Rows of pre-activations: of ROWS / G units. */
#if defined(__AVX512F__)
enum { ROWS = 12, VECTORS = 2 };
#elif defined(__AVX2__)
enum { ROWS = 4, VECTORS = 2 };
#else
enum { ROWS = 4, VECTORS = 1 };
#endif
enum { BLOCK = VECTORS * TL_W };

/* Where a gate's pre-activation comes from. */
typedef enum side { FROM_X, FROM_H } side;

/* Whether that side has weights for this row of a block. */
TL_INLINE bool has(tally_cell cell, side from, size_t r) {
    size_t gate = r % tl_cell_gates(cell), first = from == FROM_H ? tl_cell_first_hh(cell) : 0;
    return gate >= first && gate < first + tl_cell_weights(cell);
}

TL_INLINE size_t units_of(tally_cell cell) {
    return ROWS / tl_cell_gates(cell);
}

static size_t packed_block(tally_cell cell, sizes s) {
    return ROWS + units_of(cell) * tl_cell_weights(cell) * (s.inputs + s.hidden);
}

size_t TL_ISA_NAME(layer_forward_scratch)(tally_cell cell, sizes s) {
    return round_up(s.hidden, units_of(cell)) / units_of(cell) * packed_block(cell, s);
}

/* The weights of a block's rows for k < count. */
TL_INLINE float *pack_side(tally_cell cell, side from, size_t hidden, const float *w, size_t count, size_t first,
                           float *packed) {
    size_t gates = tl_cell_gates(cell), skipped = from == FROM_H ? tl_cell_first_hh(cell) : 0;
    for (size_t k = 0; k < count; k++)
        for (size_t r = 0; r < ROWS; r++)
            if (has(cell, from, r)) {
                size_t unit = first + r / gates < hidden ? first + r / gates : hidden - 1;
                *packed++ = w[((r % gates - skipped) * hidden + unit) * count + k];
            }
    return packed;
}

/* For each few units: biases, then for each input and each hidden unit the weights; [unit][gate] innermost. Units beyond the last
 * repeat it. */
TL_INLINE void pack(tally_cell cell, sizes s, const tally_layer_weights *weights, float *packed) {
    const float *w_ih = tl_view_floats(&weights->w_ih), *w_hh = tl_view_floats(&weights->w_hh);
    const float *bias = tl_view_floats(&weights->bias);
    size_t gates = tl_cell_gates(cell);
    for (size_t first = 0; first < s.hidden; first += units_of(cell)) {
        for (size_t r = 0; r < ROWS; r++) {
            size_t unit = first + r / gates < s.hidden ? first + r / gates : s.hidden - 1;
            *packed++ = 0.0f + bias[r % gates * s.hidden + unit];
        }
        packed = pack_side(cell, FROM_X, s.hidden, w_ih, s.inputs, first, packed);
        packed = pack_side(cell, FROM_H, s.hidden, w_hh, s.hidden, first, packed);
    }
}

/* c_prev, c and tanh_c: the LSTM's. */
typedef struct forward_step {
    rows x, h_prev, c_prev, gates, c, tanh_c, h;
    const int32_t *starts; /* NULL where all start at 0 */
    float now;
} forward_step;

TL_INLINE const float *accumulate(tally_cell cell, side from, size_t vectors, size_t valid, const float *w,
                                  size_t count, rows in, size_t column, tl_vf acc[ROWS][VECTORS]) {
    for (size_t k = 0; k < count; k++) {
        tl_vf value[VECTORS];
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            value[v] = load(in, k, column + v * TL_W, valid);
#pragma GCC unroll 12
        for (size_t r = 0; r < ROWS; r++) {
            if (!has(cell, from, r))
                continue;
            tl_vf weight = TL_SPLAT(*w);
            w++;
#pragma GCC unroll 2
            for (size_t v = 0; v < vectors; v++)
                acc[r][v] = TL_FMA(weight, value[v], acc[r][v]);
        }
    }
    return w;
}

/* A unit's cell, from its pre-activations. late: some columns may not have started. */
TL_INLINE void finish(tally_cell cell, bool late, sizes s, const forward_step *at, tl_vf gate[TL_MOST_GATES],
                      size_t unit, size_t column, size_t valid) {
    tl_vf c, tanh_c, h;
    if (cell == TALLY_LSTM) {
        tl_v_lstm_cell(gate, load(at->c_prev, unit, column, valid), &c, &tanh_c, &h);
    } else if (cell == TALLY_GRU) {
        tl_v_gru_cell(gate, load(at->h_prev, unit, column, valid), &h);
    } else {
        gate[0] = tl_v_tanh(gate[0]);
        h = gate[0];
    }
    if (late) {
        tl_vf starts = load_starts(at->starts, column, valid), now = TL_SPLAT(at->now), zero = TL_SPLAT(0.0f);
        h = TL_PICK_LESS(now, starts, zero, h);
        if (cell == TALLY_LSTM)
            c = TL_PICK_LESS(now, starts, zero, c);
    }
    for (size_t g = 0; g < tl_cell_gates(cell); g++)
        store(at->gates, g * s.hidden + unit, column, valid, gate[g]);
    if (cell == TALLY_LSTM) {
        store(at->c, unit, column, valid, c);
        store(at->tanh_c, unit, column, valid, tanh_c);
    }
    store(at->h, unit, column, valid, h);
}

/* The units of a block from first on, of vectors times TL_W columns; of a lone vector valid may be fewer. */
TL_INLINE void block(tally_cell cell, bool late, size_t vectors, size_t valid, sizes s, const float *packed,
                     const forward_step *at, size_t first, size_t column) {
    const size_t gates = tl_cell_gates(cell);
    tl_vf acc[ROWS][VECTORS];
#pragma GCC unroll 12
    for (size_t r = 0; r < ROWS; r++)
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++)
            acc[r][v] = TL_SPLAT(packed[r]);
    packed = accumulate(cell, FROM_X, vectors, valid, packed + ROWS, s.inputs, at->x, column, acc);
    accumulate(cell, FROM_H, vectors, valid, packed, s.hidden, at->h_prev, column, acc);
#pragma GCC unroll 12
    for (size_t u = 0; u < units_of(cell); u++) {
        if (first + u >= s.hidden)
            break;
#pragma GCC unroll 2
        for (size_t v = 0; v < vectors; v++) {
            tl_vf gate[TL_MOST_GATES];
            for (size_t g = 0; g < gates; g++)
                gate[g] = acc[u * gates + g][v];
            finish(cell, late, s, at, gate, first + u, column + v * TL_W, valid);
        }
    }
}

TL_INLINE void step(tally_cell cell, bool late, sizes s, const float *packed, const forward_step *at) {
    size_t length = packed_block(cell, s);
    for (size_t first = 0; first < s.hidden; first += units_of(cell), packed += length) {
        size_t column = 0;
        for (; s.columns - column >= BLOCK; column += BLOCK)
            block(cell, late, VECTORS, TL_W, s, packed, at, first, column);
        for (; s.columns - column >= TL_W; column += TL_W)
            block(cell, late, 1, TL_W, s, packed, at, first, column);
        if (column < s.columns)
            block(cell, late, 1, s.columns - column, s, packed, at, first, column);
    }
}

TL_INLINE void sequence(tally_cell cell, bool late, const tally_layer_weights *weights, const tally_tensor *x,
                        const tally_layer_state *state) {
    sizes s = sizes_of(x, state);
    float *packed = tl_view_floats(&state->scratch);
    pack(cell, s, weights, packed);
    for (size_t t = 0; t < s.steps; t++) {
        forward_step at = {.x = rows_at(x, t),
                           .h_prev = rows_at(&state->h, t),
                           .gates = rows_at(&state->gates, t),
                           .h = rows_at(&state->h, t + 1),
                           .starts = late ? tl_view_ints(&state->starts) : NULL,
                           .now = (float)t};
        if (cell == TALLY_LSTM) {
            at.c_prev = rows_at(&state->c, t);
            at.c = rows_at(&state->c, t + 1);
            at.tanh_c = rows_at(&state->tanh_c, t);
        }
        step(cell, late, s, packed, &at);
    }
}

/* A function for each form, of constants. */
typedef void sequence_of(const tally_layer_weights *weights, const tally_tensor *x, const tally_layer_state *state);
#define SEQUENCE(name, cell, late)                                                                                     \
    static void name(const tally_layer_weights *weights, const tally_tensor *x, const tally_layer_state *state) {      \
        sequence(cell, late, weights, x, state);                                                                       \
    }
SEQUENCE(lstm, TALLY_LSTM, false)
SEQUENCE(late_lstm, TALLY_LSTM, true)
SEQUENCE(gru, TALLY_GRU, false)
SEQUENCE(late_gru, TALLY_GRU, true)
SEQUENCE(rnn, TALLY_RNN, false)
SEQUENCE(late_rnn, TALLY_RNN, true)

tally_status TL_ISA_NAME(layer_forward)(const tally_layer_weights *weights, const tally_tensor *x,
                                        const tally_layer_state *state) {
    static sequence_of *const forms[TALLY_CELLS][2] = {{lstm, late_lstm}, {gru, late_gru}, {rnn, late_rnn}};
    forms[weights->cell][state->starts.storage != NULL](weights, x, state);
    return TALLY_OK;
}

size_t TL_ISA_NAME(layer_scratch)(tally_device *device, tally_cell cell, size_t inputs, size_t hidden, size_t steps,
                                  size_t columns) {
    (void)device;
    sizes s = {inputs, hidden, steps, columns};
    size_t forward = TL_ISA_NAME(layer_forward_scratch)(cell, s),
           backward = TL_ISA_NAME(layer_backward_scratch)(cell, s);
    return forward > backward ? forward : backward;
}
