/* cell_list.h: the recurrent cells, read by the C compiler and by the OpenCL compiler. A cell is a row of TL_CELLS and
 * its two functions in cell_arith.h; tally/tensor.h describes it to users.
 *
 *   name      begins the names of the cell's functions
 *   gates     rows of pre-activations and of the bias for each hidden unit
 *   weights   rows of each weight matrix for each hidden unit: those of w_ih belong to the first gates
 *   first_hh  the first gate that w_hh has rows for
 *   state     1: the cell has a state c beside h, and saves a value for backward
 *   previous  which value of the time step before the cell itself reads: TL_READS_NOTHING, TL_READS_C or TL_READS_H
 *   bypass    1: backward leaves in dh the part that goes to the h before past the gates
 *   torch_ih, torch_hh  the gates in PyTorch's order of rows; where both have the same gate its two biases are one
 *   label     the cell in files, options and messages
 */
#ifndef TL_CELL_LIST_H
#define TL_CELL_LIST_H

#define TL_READS_NOTHING 0
#define TL_READS_C 1
#define TL_READS_H 2

/*    ID        name      gates weights first_hh state previous       bypass torch_ih torch_hh label */
#define TL_CELLS(X)                                                                                                    \
    X(LSTM, lstm, 4, 4, 0, 1, TL_READS_C, 0, "0123", "0123", "lstm")                                                   \
    X(GRU, gru, 4, 3, 1, 0, TL_READS_H, 1, "120", "123", "gru")                                                        \
    X(RNN, rnn, 1, 1, 0, 0, TL_READS_NOTHING, 0, "0", "0", "rnn")                                                      \
    X(RNN_RELU, rnn_relu, 1, 1, 0, 0, TL_READS_NOTHING, 0, "0", "0", "rnn-relu")

#define TL_CELL_ID(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label) TL_##ID,
enum { TL_CELLS(TL_CELL_ID) TL_CELL_COUNT };

/* The most gates that a cell has. */
#define TL_MOST_GATES 4

/* Each property as a function of the cell, which compilers resolve where the cell is a constant. */
#define TL_CELL_PROPERTY(property)                                                                                     \
    static inline tl_size tl_cell_##property(unsigned int cell) {                                                      \
        switch (cell) { TL_CELLS(TL_CELL_CASE_##property) }                                                            \
        return 0;                                                                                                      \
    }
#define TL_CELL_CASE_gates(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label)     \
    case TL_##ID:                                                                                                      \
        return gates;
#define TL_CELL_CASE_weights(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label)   \
    case TL_##ID:                                                                                                      \
        return weights;
#define TL_CELL_CASE_first_hh(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label)  \
    case TL_##ID:                                                                                                      \
        return first_hh;
#define TL_CELL_CASE_state(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label)     \
    case TL_##ID:                                                                                                      \
        return state;
#define TL_CELL_CASE_previous(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label)  \
    case TL_##ID:                                                                                                      \
        return previous;
#define TL_CELL_CASE_bypass(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label)    \
    case TL_##ID:                                                                                                      \
        return bypass;
TL_CELL_PROPERTY(gates)
TL_CELL_PROPERTY(weights)
TL_CELL_PROPERTY(first_hh)
TL_CELL_PROPERTY(state)
TL_CELL_PROPERTY(previous)
TL_CELL_PROPERTY(bypass)

#endif
