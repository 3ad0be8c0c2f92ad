/* The gate math alone, for any strides. */
#include "backend/cells.h"
#include "backend/cpu/kernels.h"

#include "cell_arith.h"
#include "gate_math.h"

static tl_gate_view view_of(const tally_tensor *t) {
    return t ? (tl_gate_view){tl_view_floats(t), t->stride[0], t->stride[1]} : (tl_gate_view){NULL, 0, 0};
}

tally_status TL_ISA_NAME(cell_forward)(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                       const tally_tensor *c, const tally_tensor *tanh_c, const tally_tensor *h) {
    size_t hidden = h->shape[0], columns = h->shape[1];
    tl_gate_math m = {hidden, view_of(gates), view_of(previous), view_of(c), view_of(tanh_c), view_of(h)};
    for (size_t unit = 0; unit < hidden; unit++)
        for (size_t column = 0; column < columns; column += TL_W)
            tl_gate_math_forward(cell, &m, unit, column, columns - column);
    return TALLY_OK;
}

tally_status TL_ISA_NAME(cell_backward)(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                        const tally_tensor *tanh_c, const tally_tensor *dh, const tally_tensor *dc) {
    size_t hidden = dh->shape[0], columns = dh->shape[1];
    tl_gate_math m = {hidden, view_of(gates), view_of(previous), view_of(dc), view_of(tanh_c), view_of(dh)};
    for (size_t unit = 0; unit < hidden; unit++)
        for (size_t column = 0; column < columns; column += TL_W)
            tl_gate_math_backward(cell, &m, unit, column, columns - column);
    return TALLY_OK;
}
