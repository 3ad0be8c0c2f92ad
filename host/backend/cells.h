/* cells.h: how many rows the tensors of a cell have; tally/tensor.h says which. */
#ifndef TALLY_BACKEND_CELLS_H
#define TALLY_BACKEND_CELLS_H

#include "backend/view.h"

enum { TL_MOST_GATES = 4 };

/* Those that tally_cell_name has, NULL behind the last. */
extern const char *const tl_cell_names[TALLY_CELLS + 1];

static inline size_t tl_cell_gates(tally_cell cell) {
    return cell == TALLY_RNN ? 1 : 4;
}

static inline size_t tl_cell_weights(tally_cell cell) {
    return cell == TALLY_RNN ? 1 : cell == TALLY_GRU ? 3 : 4;
}

/* The first gate that w_hh has rows for; w_ih's is 0. */
static inline size_t tl_cell_first_hh(tally_cell cell) {
    return cell == TALLY_GRU ? 1 : 0;
}

/* The gates that w_ih has rows for, and those that w_hh has; of [G H, T, N] or [G H, N]. */
static inline tally_tensor tl_gates_from_x(const tally_layer_weights *weights, const tally_tensor *gates) {
    return tl_view_features(gates, 0, weights->w_ih.shape[0]);
}

static inline tally_tensor tl_gates_from_h(const tally_layer_weights *weights, const tally_tensor *gates) {
    return tl_view_features(gates, tl_cell_first_hh(weights->cell) * weights->w_hh.shape[1], weights->w_hh.shape[0]);
}

#endif
