/* cell_arith.h: the arithmetic of the recurrent cells over arith.h, two functions for each row of TL_CELLS in
 * cell_list.h.
 *
 * NAME_cell: gate[] holds the pre-activations, replaced by the activated gates; previous is what the cell reads of the
 * time step before; *c and *saved are set by cells with a state, *h by all. NAME_cell_backward: gate[] holds the
 * activated gates, replaced by the gradients of their pre-activations; *dh is the gradient of h, replaced where the
 * cell has a bypass; *dc is the gradient of c from later steps, replaced by that of the c before.
 */

/* A gradient that is carried back through time is 0 below 2^-95. A million such gradients together are below 2^-75,
 * whose square is 0 for Adam. Where gradients vanish, in long sequences, they would otherwise end as denormals and
 * stay, which many processors compute with a hundred times as slowly. */
TL_FN TL_F TL_NAME(carried)(TL_F gradient) {
    return TL_PICK_LESS(TL_NAME(abs)(gradient), TL_SPLAT(0x1p-95f), TL_SPLAT(0.0f), gradient);
}

/* The LSTM's gates are i, f, g, o; it saves tanh(c). */
TL_FN void TL_NAME(lstm_cell)(TL_F gate[4], TL_F previous, TL_F *c, TL_F *saved, TL_F *h) {
    gate[0] = TL_NAME(sigmoid)(gate[0]);
    gate[1] = TL_NAME(sigmoid)(gate[1]);
    gate[2] = TL_NAME(tanh)(gate[2]);
    gate[3] = TL_NAME(sigmoid)(gate[3]);
    *c = TL_FMA(gate[1], previous, gate[0] * gate[2]);
    *saved = TL_NAME(tanh)(*c);
    *h = gate[3] * *saved;
}

TL_FN void TL_NAME(lstm_cell_backward)(TL_F gate[4], TL_F previous, TL_F saved, TL_F *dh, TL_F *dc) {
    TL_F one = TL_SPLAT(1.0f);
    TL_F i = gate[0], f = gate[1], g = gate[2], o = gate[3];
    TL_F dh_now = TL_NAME(carried)(*dh);
    TL_F dcell = TL_NAME(carried)(TL_FMA(dh_now * o, TL_FMA(-saved, saved, one), *dc));
    gate[0] = dcell * g * TL_FMA(-i, i, i);
    gate[1] = dcell * previous * TL_FMA(-f, f, f);
    gate[2] = dcell * i * TL_FMA(-g, g, one);
    gate[3] = dh_now * saved * TL_FMA(-o, o, o);
    *dc = dcell * f;
}

/* The GRU with its reset gate behind the product, as PyTorch and cuDNN have it. Its gates are n, r, z and a, what n
 * reads of h: n has no product with h and a none with x. */
TL_FN void TL_NAME(gru_cell)(TL_F gate[4], TL_F previous, TL_F *c, TL_F *saved, TL_F *h) {
    (void)c, (void)saved;
    gate[1] = TL_NAME(sigmoid)(gate[1]);
    gate[2] = TL_NAME(sigmoid)(gate[2]);
    gate[0] = TL_NAME(tanh)(TL_FMA(gate[1], gate[3], gate[0]));
    *h = TL_FMA(gate[2], previous - gate[0], gate[0]);
}

TL_FN void TL_NAME(gru_cell_backward)(TL_F gate[4], TL_F previous, TL_F saved, TL_F *dh, TL_F *dc) {
    (void)saved, (void)dc;
    TL_F one = TL_SPLAT(1.0f);
    TL_F n = gate[0], r = gate[1], z = gate[2], a = gate[3];
    *dh = TL_NAME(carried)(*dh);
    gate[0] = *dh * (one - z) * TL_FMA(-n, n, one);
    gate[1] = gate[0] * a * TL_FMA(-r, r, r);
    gate[2] = *dh * (previous - n) * TL_FMA(-z, z, z);
    gate[3] = gate[0] * r;
    *dh = *dh * z;
}

/* Elman's cell with tanh: its gate is h. */
TL_FN void TL_NAME(rnn_cell)(TL_F gate[1], TL_F previous, TL_F *c, TL_F *saved, TL_F *h) {
    (void)previous, (void)c, (void)saved;
    gate[0] = TL_NAME(tanh)(gate[0]);
    *h = gate[0];
}

TL_FN void TL_NAME(rnn_cell_backward)(TL_F gate[1], TL_F previous, TL_F saved, TL_F *dh, TL_F *dc) {
    (void)previous, (void)saved, (void)dc;
    gate[0] = TL_NAME(carried)(*dh) * TL_FMA(-gate[0], gate[0], TL_SPLAT(1.0f));
}

/* Elman's cell with the rectifier, max(0, x), whose derivative at 0 is 0, as in PyTorch. */
TL_FN void TL_NAME(rnn_relu_cell)(TL_F gate[1], TL_F previous, TL_F *c, TL_F *saved, TL_F *h) {
    (void)previous, (void)c, (void)saved;
    gate[0] = TL_PICK_LESS(gate[0], TL_SPLAT(0.0f), TL_SPLAT(0.0f), gate[0]);
    *h = gate[0];
}

TL_FN void TL_NAME(rnn_relu_cell_backward)(TL_F gate[1], TL_F previous, TL_F saved, TL_F *dh, TL_F *dc) {
    (void)previous, (void)saved, (void)dc;
    gate[0] = TL_PICK_LESS(TL_SPLAT(0.0f), gate[0], TL_NAME(carried)(*dh), TL_SPLAT(0.0f));
}

/* The functions of a cell by its number, which is a constant wherever speed matters. */
#define TL_CELL_FORWARD(ID, name, gates, weights, first_hh, state, past, bypass, torch_ih, torch_hh, label)            \
    case TL_##ID:                                                                                                      \
        TL_NAME(name##_cell)(gate, previous, c, saved, h);                                                             \
        break;
TL_FN void TL_NAME(cell)(unsigned int cell, TL_F gate[TL_MOST_GATES], TL_F previous, TL_F *c, TL_F *saved, TL_F *h) {
    switch (cell) { TL_CELLS(TL_CELL_FORWARD) }
}

#define TL_CELL_BACKWARD(ID, name, gates, weights, first_hh, state, past, bypass, torch_ih, torch_hh, label)           \
    case TL_##ID:                                                                                                      \
        TL_NAME(name##_cell_backward)(gate, previous, saved, dh, dc);                                                  \
        break;
TL_FN void TL_NAME(cell_backward)(unsigned int cell, TL_F gate[TL_MOST_GATES], TL_F previous, TL_F saved, TL_F *dh,
                                  TL_F *dc) {
    switch (cell) { TL_CELLS(TL_CELL_BACKWARD) }
}
