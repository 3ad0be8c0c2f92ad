/* A layer backward through all time steps by the blocks of cl/recurrent.h; the gradients of the weights follow, in one
 * pass over the sequence. */
#include "backend/cpu/layer.h"
#include "backend/cpu/sums.h"

/* Rows of the weights. */
static size_t weight_rows(tally_cell cell, size_t hidden) {
    return tl_cell_weights(cell) * hidden;
}

size_t TL_ISA_NAME(layer_backward_scratch)(tally_cell cell, size_t inputs, size_t hidden, size_t columns) {
    size_t rows = weight_rows(cell, hidden);
    return tl_packed_transpose_size(TL_SMALL_BLOCK_ROWS, hidden, rows) +
           tl_packed_transpose_size(TL_SMALL_BLOCK_ROWS, inputs, rows) + TL_SUMS_SCRATCH(columns);
}

static void pack_transpose(const tally_tensor *w, float *packed) {
    size_t sums = w->shape[0], rows = w->shape[1];
    for (size_t block = 0; block < tl_transpose_blocks(TL_BLOCK_ROWS, TL_SMALL_BLOCK_ROWS, rows); block++)
        tl_pack_transpose_block(tl_view_floats(w), rows, sums, block, packed);
}

/* The gradients of the weights, in one pass where every gate has all of them. */
static void add_gradients(const tally_layer_weights *weights, const tally_tensor *x, const tally_layer_state *state,
                          const tally_layer_weights *gradients, float *scratch) {
    tally_tensor h_prev = tl_view_steps(&state->h, x->shape[1]);
    const tl_sum_right rights[] = {{&h_prev, &gradients->w_hh}, {x, &gradients->w_ih}, {NULL, &gradients->bias}};
    if (tl_cell_weights(weights->cell) == tl_cell_gates(weights->cell)) {
        TL_ISA_NAME(accumulate_all)(&state->gates, rights, 3, scratch);
        return;
    }
    tally_tensor from_x = tl_gates_from_x(weights, &state->gates), from_h = tl_gates_from_h(weights, &state->gates);
    TL_ISA_NAME(accumulate_all)(&from_h, &rights[0], 1, scratch);
    TL_ISA_NAME(accumulate_all)(&from_x, &rights[1], 1, scratch);
    TL_ISA_NAME(accumulate_all)(&state->gates, &rights[2], 1, scratch);
}

/* packed: of w_hh and w_ih. */
TL_INLINE void sequence_backward(unsigned cell, const tally_tensor *x, const tally_tensor *dy,
                                 const tally_layer_state *state, const tally_tensor *dx, const float *packed[2]) {
    tl_steps gates = tl_steps_of(&state->gates), saved = tl_steps_of(&state->tanh_c);
    tl_steps previous = tl_steps_of(tl_cell_previous(cell) == TL_READS_C ? &state->c : &state->h);
    tl_steps dy_steps = tl_steps_of(dy), dx_steps = tl_steps_of(dx);
    for (size_t t = x->shape[1]; t-- > 0;) {
        tl_backward_step at = {.inputs = x->shape[0],
                               .hidden = state->h.shape[0],
                               .columns = x->shape[2],
                               .packed_hh = packed[0],
                               .packed_ih = packed[1],
                               .gates = tl_rows_at(gates, t),
                               .previous = tl_rows_at(previous, t),
                               .dy = tl_rows_at(dy_steps, t),
                               .dh = tl_rows_at(tl_one_step_of(&state->dh), 0),
                               .dx = tl_rows_at(dx_steps, t),
                               .starts = state->starts.storage ? tl_view_ints(&state->starts) : NULL,
                               .now = (float)t};
        if (tl_cell_state(cell)) {
            at.saved = tl_rows_at(saved, t);
            at.dc = tl_rows_at(tl_one_step_of(&state->dc), 0);
        }
        tl_step_backward(cell, &at);
    }
}

/* A function for each cell, of which the cell is a constant. */
#define CELL_BACKWARD(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label)          \
    static void name##_backward(const tally_tensor *x, const tally_tensor *dy, const tally_layer_state *s,             \
                                const tally_tensor *dx, const float *packed[2]) {                                      \
        sequence_backward(TL_##ID, x, dy, s, dx, packed);                                                              \
    }
TL_CELLS(CELL_BACKWARD)

tally_status TL_ISA_NAME(layer_backward)(const tally_layer_weights *weights, const tally_tensor *x,
                                         const tally_tensor *dy, const tally_layer_state *state,
                                         const tally_layer_weights *gradients, const tally_tensor *dx) {
    typedef void backward(const tally_tensor *x, const tally_tensor *dy, const tally_layer_state *s,
                          const tally_tensor *dx, const float *packed[2]);
#define CELL_NAME(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label)              \
    name##_backward,
    static backward *const forms[TALLY_CELLS] = {TL_CELLS(CELL_NAME)};
    size_t hidden = state->h.shape[0], rows = weight_rows(weights->cell, hidden);
    float *packed_hh = tl_view_floats(&state->scratch);
    float *packed_ih = packed_hh + tl_packed_transpose_size(TL_SMALL_BLOCK_ROWS, hidden, rows);
    pack_transpose(&weights->w_hh, packed_hh);
    if (dx)
        pack_transpose(&weights->w_ih, packed_ih);
    forms[weights->cell](x, dy, state, dx, (const float *[2]){packed_hh, packed_ih});
    add_gradients(weights, x, state, gradients,
                  packed_ih + tl_packed_transpose_size(TL_SMALL_BLOCK_ROWS, x->shape[0], rows));
    return TALLY_OK;
}
