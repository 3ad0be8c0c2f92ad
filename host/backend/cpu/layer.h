/* layer.h: a layer's tensors as cl/recurrent.h has them. */
#ifndef TALLY_BACKEND_CPU_LAYER_H
#define TALLY_BACKEND_CPU_LAYER_H

#include "backend/cells.h"
#include "backend/cpu/kernels.h"

#include "cell_arith.h"
#include "packed_sizes.h"
#include "recurrent.h"

/* All time steps of [feature][time][column]; without data where there is no tensor. */
TL_INLINE tl_steps tl_steps_of(const tally_tensor *t) {
    if (!t || !t->storage)
        return (tl_steps){NULL, 0, 0};
    return (tl_steps){tl_view_floats(t), t->stride[0], t->stride[1]};
}

/* The one step of [feature][column]. */
TL_INLINE tl_steps tl_one_step_of(const tally_tensor *t) {
    if (!t->storage)
        return (tl_steps){NULL, 0, 0};
    return (tl_steps){tl_view_floats(t), t->stride[0], 0};
}

/* Floats of scratch that the directions need. */
size_t TL_ISA_NAME(layer_forward_scratch)(tally_cell cell, size_t inputs, size_t hidden);
size_t TL_ISA_NAME(layer_backward_scratch)(tally_cell cell, size_t inputs, size_t hidden, size_t columns);

#endif
