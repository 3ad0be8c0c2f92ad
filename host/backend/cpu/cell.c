/* The gate math alone, for any strides. */
#include "backend/cells.h"
#include "backend/cpu/kernels.h"

/* TL_W columns of a row; valid of them are there. */
typedef struct place {
    size_t row, column, valid;
} place;

static tl_vf get(const tally_tensor *t, place at) {
    return tl_v_load_some(tl_view_floats(t) + at.row * t->stride[0] + at.column * t->stride[1], t->stride[1], at.valid);
}

static void put(const tally_tensor *t, place at, tl_vf value) {
    tl_v_store_some(tl_view_floats(t) + at.row * t->stride[0] + at.column * t->stride[1], t->stride[1], at.valid,
                    value);
}

static void get_gates(tally_cell cell, const tally_tensor *gates, size_t hidden, place at, tl_vf gate[TL_MOST_GATES]) {
    for (size_t g = 0; g < tl_cell_gates(cell); g++)
        gate[g] = get(gates, (place){g * hidden + at.row, at.column, at.valid});
}

static void put_gates(tally_cell cell, const tally_tensor *gates, size_t hidden, place at,
                      const tl_vf gate[TL_MOST_GATES]) {
    for (size_t g = 0; g < tl_cell_gates(cell); g++)
        put(gates, (place){g * hidden + at.row, at.column, at.valid}, gate[g]);
}

tally_status TL_ISA_NAME(cell_forward)(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                       const tally_tensor *c, const tally_tensor *tanh_c, const tally_tensor *h) {
    size_t hidden = h->shape[0], n = h->shape[1];
    for (size_t unit = 0; unit < hidden; unit++)
        for (size_t column = 0; column < n; column += TL_W) {
            place at = {unit, column, n - column < TL_W ? n - column : TL_W};
            tl_vf gate[TL_MOST_GATES], new_c, new_tanh_c, new_h;
            get_gates(cell, gates, hidden, at, gate);
            if (cell == TALLY_LSTM) {
                tl_v_lstm_cell(gate, get(previous, at), &new_c, &new_tanh_c, &new_h);
                put(c, at, new_c);
                put(tanh_c, at, new_tanh_c);
            } else if (cell == TALLY_GRU) {
                tl_v_gru_cell(gate, get(previous, at), &new_h);
            } else {
                gate[0] = tl_v_tanh(gate[0]);
                new_h = gate[0];
            }
            put_gates(cell, gates, hidden, at, gate);
            put(h, at, new_h);
        }
    return TALLY_OK;
}

tally_status TL_ISA_NAME(cell_backward)(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                        const tally_tensor *tanh_c, const tally_tensor *dh, const tally_tensor *dc) {
    size_t hidden = dh->shape[0], n = dh->shape[1];
    for (size_t unit = 0; unit < hidden; unit++)
        for (size_t column = 0; column < n; column += TL_W) {
            place at = {unit, column, n - column < TL_W ? n - column : TL_W};
            tl_vf gate[TL_MOST_GATES], gradient = get(dh, at);
            get_gates(cell, gates, hidden, at, gate);
            if (cell == TALLY_LSTM) {
                tl_vf new_dc = get(dc, at);
                tl_v_lstm_cell_backward(gate, get(previous, at), get(tanh_c, at), gradient, &new_dc);
                put(dc, at, new_dc);
            } else if (cell == TALLY_GRU) {
                tl_v_gru_cell_backward(gate, get(previous, at), &gradient);
                put(dh, at, gradient);
            } else {
                tl_v_rnn_cell_backward(gate, gradient);
            }
            put_gates(cell, gates, hidden, at, gate);
        }
    return TALLY_OK;
}
