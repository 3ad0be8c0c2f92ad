/* A layer forward through all time steps by the blocks of cl/recurrent.h. */
#include "backend/cpu/layer.h"

size_t TL_ISA_NAME(layer_forward_scratch)(tally_cell cell, size_t inputs, size_t hidden) {
    return tl_packed_forward_size(cell, TL_BLOCK_ROWS, inputs, hidden);
}

TL_INLINE void sequence_forward(unsigned cell, const tally_layer_weights *weights, const tally_tensor *x,
                                const tally_layer_state *state) {
    size_t inputs = x->shape[0], hidden = state->h.shape[0];
    const float *bias = tl_view_floats(&weights->bias), *w_ih = tl_view_floats(&weights->w_ih);
    float *packed = tl_view_floats(&state->scratch);
    for (size_t block = 0; block < tl_packed_blocks(cell, TL_BLOCK_ROWS, hidden); block++)
        tl_pack_block(cell, inputs, hidden, bias, w_ih, tl_view_floats(&weights->w_hh), block, packed);
    tl_steps x_steps = tl_steps_of(x), h = tl_steps_of(&state->h), c = tl_steps_of(&state->c);
    tl_steps gates = tl_steps_of(&state->gates), saved = tl_steps_of(&state->tanh_c);
    for (size_t t = 0; t < x->shape[1]; t++) {
        tl_forward_step at = {.inputs = inputs,
                              .hidden = hidden,
                              .columns = x->shape[2],
                              .packed = packed,
                              .x = tl_rows_at(x_steps, t),
                              .h_prev = tl_rows_at(h, t),
                              .h = tl_rows_at(h, t + 1),
                              .gates = tl_rows_at(gates, t),
                              .starts = state->starts.storage ? tl_view_ints(&state->starts) : NULL,
                              .now = (float)t};
        if (tl_cell_state(cell)) {
            at.c_prev = tl_rows_at(c, t);
            at.c = tl_rows_at(c, t + 1);
            at.saved = tl_rows_at(saved, t);
        }
        tl_step_forward(cell, &at);
    }
}

/* A function for each cell, of which the cell is a constant. */
#define CELL_FORWARD(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label)           \
    static void name##_forward(const tally_layer_weights *w, const tally_tensor *x, const tally_layer_state *s) {      \
        sequence_forward(TL_##ID, w, x, s);                                                                            \
    }
TL_CELLS(CELL_FORWARD)

tally_status TL_ISA_NAME(layer_forward)(const tally_layer_weights *weights, const tally_tensor *x,
                                        const tally_layer_state *state) {
    typedef void forward(const tally_layer_weights *w, const tally_tensor *x, const tally_layer_state *s);
#define CELL_NAME(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label)              \
    name##_forward,
    static forward *const forms[TALLY_CELLS] = {TL_CELLS(CELL_NAME)};
    forms[weights->cell](weights, x, state);
    return TALLY_OK;
}

size_t TL_ISA_NAME(layer_scratch)(tally_device *device, tally_cell cell, size_t inputs, size_t hidden, size_t steps,
                                  size_t columns) {
    (void)device, (void)steps;
    size_t forward = TL_ISA_NAME(layer_forward_scratch)(cell, inputs, hidden);
    size_t backward = TL_ISA_NAME(layer_backward_scratch)(cell, inputs, hidden, columns);
    return forward > backward ? forward : backward;
}
