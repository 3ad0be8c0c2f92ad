#include "arith_opencl.h"

#define AT(t) (t##_offset + unit * t##_row + column * t##_column)
#define GATE(g) (gates_offset + ((g) * hidden + unit) * gates_row + column * gates_column)
#define VIEW(t) ulong t##_offset, ulong t##_row, ulong t##_column

/* One column of one unit a work-item; see tally_lstm_gates. */
kernel void tally_lstm_gates(ulong hidden, global float *gates, VIEW(gates), global const float *c_prev, VIEW(c_prev),
                             global float *c, VIEW(c), global float *tanh_c, VIEW(tanh_c), global float *h, VIEW(h),
                             ulong columns) {
    size_t column = get_global_id(0), unit = get_global_id(1);
    if (column >= columns)
        return;
    float gate[4], new_c, new_tanh_c, new_h;
    for (int g = 0; g < 4; g++)
        gate[g] = gates[GATE(g)];
    tl_lstm_cell(gate, c_prev[AT(c_prev)], &new_c, &new_tanh_c, &new_h);
    for (int g = 0; g < 4; g++)
        gates[GATE(g)] = gate[g];
    c[AT(c)] = new_c;
    tanh_c[AT(tanh_c)] = new_tanh_c;
    h[AT(h)] = new_h;
}

/* See tally_lstm_gates_backward. */
kernel void tally_lstm_gates_backward(ulong hidden, global float *gates, VIEW(gates), global const float *c_prev,
                                      VIEW(c_prev), global const float *tanh_c, VIEW(tanh_c), global const float *dh,
                                      VIEW(dh), global float *dc, VIEW(dc), ulong columns) {
    size_t column = get_global_id(0), unit = get_global_id(1);
    if (column >= columns)
        return;
    float gate[4], new_dc = dc[AT(dc)];
    for (int g = 0; g < 4; g++)
        gate[g] = gates[GATE(g)];
    tl_lstm_cell_backward(gate, c_prev[AT(c_prev)], tanh_c[AT(tanh_c)], dh[AT(dh)], &new_dc);
    for (int g = 0; g < 4; g++)
        gates[GATE(g)] = gate[g];
    dc[AT(dc)] = new_dc;
}
