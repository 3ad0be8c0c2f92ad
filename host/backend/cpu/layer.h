/* layer.h: what the two directions of a whole sequence share. */
#ifndef TALLY_BACKEND_CPU_LAYER_H
#define TALLY_BACKEND_CPU_LAYER_H

#include "backend/cells.h"
#include "backend/cpu/kernels.h"

typedef struct sizes {
    size_t inputs, hidden, steps, columns;
} sizes;

TL_INLINE sizes sizes_of(const tally_tensor *x, const tally_layer_state *state) {
    return (sizes){x->shape[0], state->h.shape[0], x->shape[1], x->shape[2]};
}

/* One step of a tensor: first element and distance from row to row. */
typedef struct rows {
    float *data;
    size_t row;
} rows;

TL_INLINE rows rows_at(const tally_tensor *t, size_t step) {
    return (rows){tl_view_floats(t) + step * t->stride[1], t->stride[0]};
}

TL_INLINE rows rows_of(const tally_tensor *t) {
    return (rows){tl_view_floats(t), t->stride[0]};
}

/* A vector of columns; valid of them are in the matrix. */
TL_INLINE tl_vf load(rows r, size_t row, size_t column, size_t valid) {
    return tl_v_load_some(r.data + row * r.row + column, 1, valid);
}

TL_INLINE void store(rows r, size_t row, size_t column, size_t valid, tl_vf value) {
    tl_v_store_some(r.data + row * r.row + column, 1, valid, value);
}

/* The steps at which columns start, to be compared with the one that is on. */
TL_INLINE tl_vf load_starts(const int32_t *starts, size_t column, size_t valid) {
    float lanes[TL_W];
    for (size_t l = 0; l < TL_W; l++)
        lanes[l] = l < valid ? (float)starts[column + l] : 0.0f;
    return tl_v_load(lanes);
}

TL_INLINE size_t round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

/* Floats of scratch that the directions need. */
size_t TL_ISA_NAME(layer_forward_scratch)(tally_cell cell, sizes s);
size_t TL_ISA_NAME(layer_backward_scratch)(tally_cell cell, sizes s);

#endif
