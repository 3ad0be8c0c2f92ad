/* The whole sequence where a work-item has one column, as on GPUs: a work-group takes `wide` neighbouring columns through all time
 * steps. Consecutive work-items have consecutive columns of a unit, then the next unit's, so that each has a (unit, column) or several.
 * What a step hands to the next is in local memory, and as many of the weights as there is room for: the first `kept` rows of what a
 * chain goes through. Every work-item reaches every barrier; one beyond the last column does nothing between them. */
#include "arith_opencl.h"
#include "view.h"
#include "layer_arguments.h"

#if TL_W == 1

/* What the four gates of a unit have for row k of a step's inputs and hidden values. */
static float4 gate_weights(global const float *w_ih, global const float *w_hh, uint inputs, uint hidden, uint unit,
                           uint k) {
    global const float *w = k < inputs ? w_ih + k : w_hh + (k - inputs);
    ulong length = k < inputs ? inputs : hidden, gate = hidden * length;
    w += unit * length;
    return (float4)(w[0], w[gate], w[2 * gate], w[3 * gate]);
}

/* See tally_lstm_forward. A step's inputs and the hidden values before it are rows of `wide` columns, twice: of this step and of the next;
 * the cells' are behind them. */
kernel void tally_lstm_group_forward(FORWARD_ARGUMENTS, uint wide, uint kept, local float4 *near, local float *room,
                                     ulong columns) {
    uint item = get_local_id(0), items = get_local_size(0), at = item % wide, lane = item / wide, lanes = items / wide;
    uint ins = inputs, units = hidden, rows = ins + units;
    ulong column = get_group_id(0) * wide + at;
    bool here = column < columns;
    FORWARD_FROM(column);
    local float *now = room + at, *next = now + rows * wide, *cells = next + rows * wide;
    for (uint i = item; i < kept * units; i += items)
        near[i] = gate_weights(w_ih, w_hh, ins, units, i % units, i / units);
    for (uint k = lane; here && k < ins; k += lanes)
        now[k * wide] = x[k * x_plane];
    for (uint unit = lane; here && unit < units; unit += lanes) {
        now[(ins + unit) * wide] = h[unit * h_plane];
        cells[unit * wide] = c[unit * c_plane];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (ulong t = 0; t < steps; t++) {
        for (uint k = lane; here && t + 1 < steps && k < ins; k += lanes)
            next[k * wide] = x[k * x_plane + (t + 1) * x_row];
        for (uint unit = lane; here && unit < units; unit += lanes) {
            float4 acc =
                0.0f + (float4)(bias[unit], bias[units + unit], bias[2 * units + unit], bias[3 * units + unit]);
            uint k = 0;
            for (; k < kept; k++)
                acc = fma(near[k * units + unit], (float4)(now[k * wide]), acc);
            for (; k < rows; k++)
                acc = fma(gate_weights(w_ih, w_hh, ins, units, unit, k), (float4)(now[k * wide]), acc);
            float gate[4] = {acc.x, acc.y, acc.z, acc.w}, new_c, new_tanh_c, new_h;
            tl_lstm_cell(gate, cells[unit * wide], &new_c, &new_tanh_c, &new_h);
            for (uint g = 0; g < 4; g++)
                gates[(g * units + unit) * gates_plane + t * gates_row] = gate[g];
            c[unit * c_plane + (t + 1) * c_row] = cells[unit * wide] = new_c;
            tanh_c[unit * tanh_c_plane + t * tanh_c_row] = new_tanh_c;
            h[unit * h_plane + (t + 1) * h_row] = next[(ins + unit) * wide] = new_h;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        local float *other = now;
        now = next;
        next = other;
    }
}

/* See tally_lstm_backward. In local memory: a step's gradients of the gates, 4 hidden rows, and of h and c, which only the work-item of
 * their (unit, column) reads. */
kernel void tally_lstm_group_backward(BACKWARD_ARGUMENTS, uint wide, uint kept, local float *near, local float *room,
                                      ulong columns) {
    uint item = get_local_id(0), items = get_local_size(0), at = item % wide, lane = item / wide, lanes = items / wide;
    uint units = hidden, rows = 4 * units;
    ulong column = get_group_id(0) * wide + at;
    bool here = column < columns;
    BACKWARD_FROM(column);
    local float *dgates = room + at, *now_dh = dgates + rows * wide, *now_dc = now_dh + units * wide;
    for (uint i = item; i < kept * units; i += items)
        near[i] = w_hh[i];
    for (uint unit = lane; here && unit < units; unit += lanes) {
        now_dh[unit * wide] = dh[unit * columns];
        now_dc[unit * wide] = dc[unit * columns];
    }
    for (ulong t = steps; t-- > 0;) {
        for (uint unit = lane; here && unit < units; unit += lanes) {
            float gate[4], new_dh = now_dh[unit * wide], new_dc = now_dc[unit * wide];
            if (has_dy)
                new_dh = new_dh + dy[unit * dy_plane + t * dy_row];
            for (uint g = 0; g < 4; g++)
                gate[g] = gates[(g * units + unit) * gates_plane + t * gates_row];
            tl_lstm_cell_backward(gate, previous[unit * previous_plane + t * previous_row],
                                  tanh_c[unit * tanh_c_plane + t * tanh_c_row], new_dh, &new_dc);
            for (uint g = 0; g < 4; g++)
                gates[(g * units + unit) * gates_plane + t * gates_row] = dgates[(g * units + unit) * wide] = gate[g];
            now_dc[unit * wide] = new_dc;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint unit = lane; here && unit < units; unit += lanes) {
            float acc = 0.0f;
            uint r = 0;
            for (; r < kept; r++)
                acc = fma(near[r * units + unit], dgates[r * wide], acc);
            for (; r < rows; r++)
                acc = fma(w_hh[r * hidden + unit], dgates[r * wide], acc);
            now_dh[unit * wide] = acc;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (uint unit = lane; here && unit < units; unit += lanes) {
        dh[unit * columns] = now_dh[unit * wide];
        dc[unit * columns] = now_dc[unit * wide];
    }
}

#endif
