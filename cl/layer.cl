#include "arith_opencl.h"
#include "view.h"

/* The gate math alone, for any strides: TL_W columns of one unit a work-item. */
#define GATE(g) (gates + AT2(gates, (g)*hidden + unit, column))

/* See tally_lstm_gates. */
kernel void tally_lstm_gates(ulong hidden, global float *gates, VIEW2(gates), global const float *c_prev, VIEW2(c_prev),
                             global float *c, VIEW2(c), global float *tanh_c, VIEW2(tanh_c), global float *h, VIEW2(h),
                             ulong columns) {
    ulong column = get_global_id(0) * TL_W, unit = get_global_id(1);
    if (column >= columns)
        return;
    ulong n = columns - column;
    TL_F gate[4], new_c, new_tanh_c, new_h;
    #pragma unroll
    for (int g = 0; g < 4; g++)
        gate[g] = tl_load(GATE(g), gates_column, n);
    tl_lstm_cell(gate, tl_load(c_prev + AT2(c_prev, unit, column), c_prev_column, n), &new_c, &new_tanh_c, &new_h);
    #pragma unroll
    for (int g = 0; g < 4; g++)
        tl_store(GATE(g), gates_column, n, gate[g]);
    tl_store(c + AT2(c, unit, column), c_column, n, new_c);
    tl_store(tanh_c + AT2(tanh_c, unit, column), tanh_c_column, n, new_tanh_c);
    tl_store(h + AT2(h, unit, column), h_column, n, new_h);
}

/* See tally_lstm_gates_backward. */
kernel void tally_lstm_gates_backward(ulong hidden, global float *gates, VIEW2(gates), global const float *c_prev,
                                      VIEW2(c_prev), global const float *tanh_c, VIEW2(tanh_c), global const float *dh,
                                      VIEW2(dh), global float *dc, VIEW2(dc), ulong columns) {
    ulong column = get_global_id(0) * TL_W, unit = get_global_id(1);
    if (column >= columns)
        return;
    ulong n = columns - column;
    TL_F gate[4], new_dc = tl_load(dc + AT2(dc, unit, column), dc_column, n);
    #pragma unroll
    for (int g = 0; g < 4; g++)
        gate[g] = tl_load(GATE(g), gates_column, n);
    tl_lstm_cell_backward(gate, tl_load(c_prev + AT2(c_prev, unit, column), c_prev_column, n),
                          tl_load(tanh_c + AT2(tanh_c, unit, column), tanh_c_column, n),
                          tl_load(dh + AT2(dh, unit, column), dh_column, n), &new_dc);
    #pragma unroll
    for (int g = 0; g < 4; g++)
        tl_store(GATE(g), gates_column, n, gate[g]);
    tl_store(dc + AT2(dc, unit, column), dc_column, n, new_dc);
}

/* The whole sequence: TL_W columns through all time steps a work-item, so that no work-item waits for another. Columns are next to each
 * other; views are [feature][step][column]. The pre-activations of UNITS units are summed at a time; those beyond the last
 * repeat it, which gives the same values again. */
#define UNITS 3

/* acc += w[row][k] in[k] for each k, ascending. */
static void accumulate(TL_F acc[4 * UNITS], const ulong rows[4 * UNITS], global const float *w, ulong inputs,
                       global const float *in, ulong in_row, ulong n) {
    for (ulong k = 0; k < inputs; k++) {
        TL_F x = tl_load(in + k * in_row, 1, n);
        #pragma unroll
        for (int r = 0; r < 4 * UNITS; r++)
            acc[r] = TL_FMA(TL_SPLAT(w[rows[r] * inputs + k]), x, acc[r]);
    }
}

/* See tally_lstm_forward. */
kernel void tally_lstm_forward(ulong inputs, ulong hidden, ulong steps, global const float *w_ih, ulong w_ih_offset,
                               global const float *w_hh, ulong w_hh_offset, global const float *bias, ulong bias_offset,
                               global const float *x, VIEW3(x), global float *gates, VIEW3(gates), global float *c,
                               VIEW3(c), global float *h, VIEW3(h), global float *tanh_c, VIEW3(tanh_c),
                               ulong columns) {
    ulong column = get_global_id(0) * TL_W;
    if (column >= columns)
        return;
    ulong n = columns - column;
    w_ih += w_ih_offset;
    w_hh += w_hh_offset;
    bias += bias_offset;
    x += x_offset + column;
    gates += gates_offset + column;
    c += c_offset + column;
    h += h_offset + column;
    tanh_c += tanh_c_offset + column;
    for (ulong t = 0; t < steps; t++) {
        for (ulong first = 0; first < hidden; first += UNITS) {
            TL_F acc[4 * UNITS];
            ulong rows[4 * UNITS];
            #pragma unroll
            for (int u = 0; u < UNITS; u++)
                #pragma unroll
                for (int g = 0; g < 4; g++) {
                    rows[4 * u + g] = g * hidden + min(first + u, hidden - 1);
                    acc[4 * u + g] = TL_SPLAT(0.0f + bias[rows[4 * u + g]]);
                }
            accumulate(acc, rows, w_ih, inputs, x + t * x_row, x_plane, n);
            accumulate(acc, rows, w_hh, hidden, h + t * h_row, h_plane, n);
            #pragma unroll
            for (int u = 0; u < UNITS; u++) {
                ulong unit = min(first + u, hidden - 1);
                TL_F new_c, new_tanh_c, new_h;
                tl_lstm_cell(acc + 4 * u, tl_load(c + unit * c_plane + t * c_row, 1, n), &new_c, &new_tanh_c, &new_h);
                #pragma unroll
                for (int g = 0; g < 4; g++)
                    tl_store(gates + rows[4 * u + g] * gates_plane + t * gates_row, 1, n, acc[4 * u + g]);
                tl_store(c + unit * c_plane + (t + 1) * c_row, 1, n, new_c);
                tl_store(tanh_c + unit * tanh_c_plane + t * tanh_c_row, 1, n, new_tanh_c);
                tl_store(h + unit * h_plane + (t + 1) * h_row, 1, n, new_h);
            }
        }
    }
}

/* How many hidden units' gradients are summed at a time. */
#define BACK_UNITS 8

/* See tally_lstm_backward; the gradients of the weights and dx are products that follow. has_dy: else dy is not read. */
kernel void tally_lstm_backward(ulong hidden, ulong steps, global const float *w_hh, ulong w_hh_offset,
                                global float *gates, VIEW3(gates), global const float *c, VIEW3(c),
                                global const float *tanh_c, VIEW3(tanh_c), int has_dy, global const float *dy,
                                VIEW3(dy), global float *dh, ulong dh_offset, global float *dc,
                                ulong dc_offset, ulong columns) {
    ulong column = get_global_id(0) * TL_W;
    if (column >= columns)
        return;
    ulong n = columns - column;
    w_hh += w_hh_offset;
    gates += gates_offset + column;
    c += c_offset + column;
    tanh_c += tanh_c_offset + column;
    dy += dy_offset + column;
    dh += dh_offset + column;
    dc += dc_offset + column;
    for (ulong t = steps; t-- > 0;) {
        for (ulong unit = 0; unit < hidden; unit++) {
            TL_F gate[4], new_dc = tl_load(dc + unit * columns, 1, n), new_dh = tl_load(dh + unit * columns, 1, n);
            if (has_dy)
                new_dh = new_dh + tl_load(dy + unit * dy_plane + t * dy_row, 1, n);
            #pragma unroll
            for (int g = 0; g < 4; g++)
                gate[g] = tl_load(gates + (g * hidden + unit) * gates_plane + t * gates_row, 1, n);
            tl_lstm_cell_backward(gate, tl_load(c + unit * c_plane + t * c_row, 1, n),
                                  tl_load(tanh_c + unit * tanh_c_plane + t * tanh_c_row, 1, n), new_dh, &new_dc);
            #pragma unroll
            for (int g = 0; g < 4; g++)
                tl_store(gates + (g * hidden + unit) * gates_plane + t * gates_row, 1, n, gate[g]);
            tl_store(dc + unit * columns, 1, n, new_dc);
        }
        for (ulong first = 0; first < hidden; first += BACK_UNITS) {
            TL_F acc[BACK_UNITS];
            #pragma unroll
            for (int u = 0; u < BACK_UNITS; u++)
                acc[u] = TL_SPLAT(0.0f);
            for (ulong r = 0; r < 4 * hidden; r++) {
                TL_F gate = tl_load(gates + r * gates_plane + t * gates_row, 1, n);
                #pragma unroll
                for (int u = 0; u < BACK_UNITS; u++)
                    acc[u] = TL_FMA(TL_SPLAT(w_hh[r * hidden + min(first + u, hidden - 1)]), gate, acc[u]);
            }
            for (int u = 0; u < BACK_UNITS && first + u < hidden; u++)
                tl_store(dh + (first + u) * columns, 1, n, acc[u]);
        }
    }
}
