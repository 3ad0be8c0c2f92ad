#include "arith_opencl.h"
#include "view.h"

#define GATE(g) AT2(gates, (g) * hidden + unit, column)

/* One column of one unit a work-item; see tally_lstm_gates. */
kernel void tally_lstm_gates(ulong hidden, global float *gates, VIEW2(gates), global const float *c_prev, VIEW2(c_prev),
                             global float *c, VIEW2(c), global float *tanh_c, VIEW2(tanh_c), global float *h, VIEW2(h),
                             ulong columns) {
    size_t column = get_global_id(0), unit = get_global_id(1);
    if (column >= columns)
        return;
    float gate[4], new_c, new_tanh_c, new_h;
    for (int g = 0; g < 4; g++)
        gate[g] = gates[GATE(g)];
    tl_lstm_cell(gate, c_prev[AT2(c_prev, unit, column)], &new_c, &new_tanh_c, &new_h);
    for (int g = 0; g < 4; g++)
        gates[GATE(g)] = gate[g];
    c[AT2(c, unit, column)] = new_c;
    tanh_c[AT2(tanh_c, unit, column)] = new_tanh_c;
    h[AT2(h, unit, column)] = new_h;
}

/* See tally_lstm_gates_backward. */
kernel void tally_lstm_gates_backward(ulong hidden, global float *gates, VIEW2(gates), global const float *c_prev,
                                      VIEW2(c_prev), global const float *tanh_c, VIEW2(tanh_c), global const float *dh,
                                      VIEW2(dh), global float *dc, VIEW2(dc), ulong columns) {
    size_t column = get_global_id(0), unit = get_global_id(1);
    if (column >= columns)
        return;
    float gate[4], new_dc = dc[AT2(dc, unit, column)];
    for (int g = 0; g < 4; g++)
        gate[g] = gates[GATE(g)];
    tl_lstm_cell_backward(gate, c_prev[AT2(c_prev, unit, column)], tanh_c[AT2(tanh_c, unit, column)],
                          dh[AT2(dh, unit, column)], &new_dc);
    for (int g = 0; g < 4; g++)
        gates[GATE(g)] = gate[g];
    dc[AT2(dc, unit, column)] = new_dc;
}
