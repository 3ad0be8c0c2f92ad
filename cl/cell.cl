/* The kernels of one cell, TL_CELL: its gate math, its packed weights, and a whole layer. */
#include "arith_opencl.h"
#include "cell_list.h"
#include "cell_arith.h"
#include "gate_math.h"
#include "packed_sizes.h"
#include "recurrent.h"
#include "view.h"

#define GATE_VIEW(t) {t + t##_offset, t##_row, t##_column}

/* See tally_cell_forward: TL_W columns of one hidden unit a work-item. What the cell does not have is not read. */
kernel void tally_gates(ulong hidden, global float *gates, VIEW2(gates), global float *previous, VIEW2(previous),
                        global float *c, VIEW2(c), global float *saved, VIEW2(saved), global float *h, VIEW2(h),
                        ulong columns) {
    ulong column = get_global_id(0) * TL_W;
    if (column >= columns)
        return;
    tl_gate_math m = {hidden,        GATE_VIEW(gates), GATE_VIEW(previous), GATE_VIEW(c),
                      GATE_VIEW(saved), GATE_VIEW(h)};
    tl_gate_math_forward(TL_CELL, &m, get_global_id(1), column, columns - column);
}

/* See tally_cell_backward. */
kernel void tally_gates_backward(ulong hidden, global float *gates, VIEW2(gates), global float *previous,
                                 VIEW2(previous), global float *saved, VIEW2(saved), global float *dh, VIEW2(dh),
                                 global float *dc, VIEW2(dc), ulong columns) {
    ulong column = get_global_id(0) * TL_W;
    if (column >= columns)
        return;
    tl_gate_math m = {hidden,        GATE_VIEW(gates), GATE_VIEW(previous), GATE_VIEW(dc),
                      GATE_VIEW(saved), GATE_VIEW(dh)};
    tl_gate_math_backward(TL_CELL, &m, get_global_id(1), column, columns - column);
}

/* Packs the blocks of that number of a layer's weights, as far as there are: those of forward, then the transposes of
 * w_hh and w_ih. */
static void pack_layer(ulong inputs, ulong hidden, global const float *bias, global const float *w_ih,
                       global const float *w_hh, ulong block, global float *packed, global float *packed_hh,
                       global float *packed_ih) {
    ulong sums = tl_cell_weights(TL_CELL) * hidden;
    if (block < tl_packed_blocks(TL_CELL, TL_BLOCK_ROWS, hidden))
        tl_pack_block(TL_CELL, inputs, hidden, bias, w_ih, w_hh, block, packed);
    if (block < tl_transpose_blocks(TL_BLOCK_ROWS, TL_SMALL_BLOCK_ROWS, hidden))
        tl_pack_transpose_block(w_hh, hidden, sums, block, packed_hh);
    if (block < tl_transpose_blocks(TL_BLOCK_ROWS, TL_SMALL_BLOCK_ROWS, inputs))
        tl_pack_transpose_block(w_ih, inputs, sums, block, packed_ih);
}

/* columns: the most blocks of a kind. */
kernel void tally_pack_layer(ulong inputs, ulong hidden, global const float *w_ih, ulong w_ih_offset,
                             global const float *w_hh, ulong w_hh_offset, global const float *bias, ulong bias_offset,
                             global float *packed, ulong packed_offset, ulong packed_hh, ulong packed_ih,
                             ulong columns) {
    packed += packed_offset;
    if (get_global_id(0) < columns)
        pack_layer(inputs, hidden, bias + bias_offset, w_ih + w_ih_offset, w_hh + w_hh_offset, get_global_id(0), packed,
                   packed + packed_hh, packed + packed_ih);
}

/* Columns that a work-item takes through all time steps. */
#define STRETCH (TL_W == 1 ? 1 : TL_MICRO_BATCH)

#define STEPS(t, column) {t + t##_offset + (column), t##_plane, t##_row}

/* See tally_layer_forward. starts is not read unless late. */
kernel void tally_layer_forward(ulong inputs, ulong hidden, ulong steps, global const float *packed,
                                ulong packed_offset, global float *x, VIEW3(x), global float *gates, VIEW3(gates),
                                global float *c, VIEW3(c), global float *h, VIEW3(h), global float *saved, VIEW3(saved),
                                int late, global const int *starts, ulong starts_offset, ulong columns) {
    ulong first = get_global_id(0) * STRETCH;
    if (first >= columns)
        return;
#if TL_SUMS_IN_MEMORY
    TL_F sums[TL_BLOCK_ROWS * TL_MICRO_BATCH / TL_W];
#endif
    tl_steps x_at = STEPS(x, first), gates_at = STEPS(gates, first), c_at = STEPS(c, first), h_at = STEPS(h, first);
    tl_steps saved_at = STEPS(saved, first);
    tl_forward_step at;
    at.inputs = inputs;
    at.hidden = hidden;
    at.columns = min((ulong)STRETCH, columns - first);
    at.packed = packed + packed_offset;
    at.starts = late ? starts + starts_offset + first : 0;
#if TL_SUMS_IN_MEMORY
    at.sums = (float *)sums;
#endif
    for (ulong t = 0; t < steps; t++) {
        at.x = tl_rows_at(x_at, t);
        at.h_prev = tl_rows_at(h_at, t);
        at.h = tl_rows_at(h_at, t + 1);
        at.c_prev = tl_rows_at(c_at, t);
        at.c = tl_rows_at(c_at, t + 1);
        at.gates = tl_rows_at(gates_at, t);
        at.saved = tl_rows_at(saved_at, t);
        at.now = (float)t;
        tl_step_forward(TL_CELL, &at);
    }
}

/* See tally_layer_backward, but for the gradients of the weights. previous: c or h, as the cell reads it. */
kernel void tally_layer_backward(ulong inputs, ulong hidden, ulong steps, global const float *packed,
                                 ulong packed_offset, ulong packed_hh, ulong packed_ih, global float *gates,
                                 VIEW3(gates), global float *previous, VIEW3(previous), global float *saved,
                                 VIEW3(saved), int has_dy, global float *dy, VIEW3(dy), int has_dx, global float *dx,
                                 VIEW3(dx), global float *dh, ulong dh_offset, global float *dc, ulong dc_offset,
                                 int late, global const int *starts, ulong starts_offset, ulong columns) {
    ulong first = get_global_id(0) * STRETCH;
    if (first >= columns)
        return;
    tl_steps gates_at = STEPS(gates, first), previous_at = STEPS(previous, first), saved_at = STEPS(saved, first);
    tl_steps dy_at = STEPS(dy, first), dx_at = STEPS(dx, first);
    tl_rows dh_at = {dh + dh_offset + first, columns}, dc_at = {dc + dc_offset + first, columns}, none = {0, 0};
    tl_backward_step at;
    at.inputs = inputs;
    at.hidden = hidden;
    at.columns = min((ulong)STRETCH, columns - first);
    at.packed_hh = packed + packed_offset + packed_hh;
    at.packed_ih = packed + packed_offset + packed_ih;
    at.dh = dh_at;
    at.dc = dc_at;
    at.starts = late ? starts + starts_offset + first : 0;
    for (ulong t = steps; t-- > 0;) {
        at.gates = tl_rows_at(gates_at, t);
        at.previous = tl_rows_at(previous_at, t);
        at.saved = tl_rows_at(saved_at, t);
        at.dy = none;
        if (has_dy)
            at.dy = tl_rows_at(dy_at, t);
        at.dx = none;
        if (has_dx)
            at.dx = tl_rows_at(dx_at, t);
        at.now = (float)t;
        tl_step_backward(TL_CELL, &at);
    }
}
