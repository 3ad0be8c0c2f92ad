/* cells.h: cl/cell_list.h on the host, and the parts of the gates that a weight has rows for. */
#ifndef TALLY_BACKEND_CELLS_H
#define TALLY_BACKEND_CELLS_H

#include "backend/view.h"

#include <assert.h>

/* The names of the cells, by their numbers, NULL behind the last; see tally_cell_name. */
extern const char *const tl_cell_names[TALLY_CELLS + 1];

typedef size_t tl_size;
#include "cell_list.h"

#define TL_CELL_NUMBER(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label)         \
    static_assert((int)TL_##ID == (int)TALLY_##ID, "cells have the numbers of tally_cell");
TL_CELLS(TL_CELL_NUMBER)
#undef TL_CELL_NUMBER
static_assert((int)TL_CELL_COUNT == (int)TALLY_CELLS, "every cell of tally_cell is described");

/* The gates that w_ih has rows for, and those that w_hh has; of [G H, T, N] or [G H, N]. */
static inline tally_tensor tl_gates_from_x(const tally_layer_weights *weights, const tally_tensor *gates) {
    return tl_view_features(gates, 0, weights->w_ih.shape[0]);
}

static inline tally_tensor tl_gates_from_h(const tally_layer_weights *weights, const tally_tensor *gates) {
    return tl_view_features(gates, tl_cell_first_hh(weights->cell) * weights->w_hh.shape[1], weights->w_hh.shape[0]);
}

#endif
