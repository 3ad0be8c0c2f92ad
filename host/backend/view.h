/* view.h: parts of tensors, for code that knows its shapes; tally/tensor.h has the checked ones. */
#ifndef TALLY_BACKEND_VIEW_H
#define TALLY_BACKEND_VIEW_H

#include "backend/backend.h"

/* t[:, index, :] of [A, B, C] as [A, C]. */
static inline tally_tensor tl_view_step(const tally_tensor *t, size_t index) {
    tally_tensor view = *t;
    view.ndim = 2;
    view.offset += index * t->stride[1];
    view.shape[1] = t->shape[2];
    view.stride[1] = t->stride[2];
    return view;
}

/* The first steps of [A, B, C], B and C contiguous, as [A, steps C]: rows of all steps' columns. */
static inline tally_tensor tl_view_rows(const tally_tensor *t, size_t steps) {
    tally_tensor view = *t;
    view.ndim = 2;
    view.shape[1] = steps * t->shape[2];
    view.stride[1] = 1;
    return view;
}

/* The first steps of [A, B, C]. */
static inline tally_tensor tl_view_steps(const tally_tensor *t, size_t steps) {
    tally_tensor view = *t;
    view.shape[1] = steps;
    return view;
}

/* Features from first on of [A, B, C], or rows of [A, B]. */
static inline tally_tensor tl_view_features(const tally_tensor *t, size_t first, size_t count) {
    tally_tensor view = *t;
    view.offset += first * t->stride[0];
    view.shape[0] = count;
    return view;
}

static inline bool tl_view_contiguous(const tally_tensor *t) {
    size_t expected = 1;
    for (int d = t->ndim - 1; d >= 0; d--) {
        if (t->shape[d] != 1 && t->stride[d] != expected)
            return false;
        expected *= t->shape[d];
    }
    return true;
}

/* Where the host sees the first element; the storage must be the C path's or mapped. */
static inline float *tl_view_floats(const tally_tensor *t) {
    return (float *)t->storage->host + t->offset;
}

static inline int32_t *tl_view_ints(const tally_tensor *t) {
    return (int32_t *)t->storage->host + t->offset;
}

#endif
