#include "arith_opencl.h"
#include "view.h"
#include "layer_arguments.h"

/* Kernels are written for any cell and made for each, with its number as a constant. */
#define LSTM 0
#define GRU 1
#define RNN 2
#define MOST_GATES 4
#define GATES(cell) ((cell) == RNN ? 1 : 4)
/* Rows of the weights, in units of hidden, and the first gate that w_hh has some for. */
#define WEIGHTS(cell) ((cell) == RNN ? 1 : (cell) == GRU ? 3 : 4)
#define FIRST_HH(cell) ((cell) == GRU ? 1 : 0)

/* gate: pre-activations. previous: c or h before the step. c and tanh_c: the LSTM's. */
TEMPLATE void cell_forward(const int cell, TL_F *gate, TL_F previous, TL_F *c, TL_F *tanh_c, TL_F *h) {
    if (cell == LSTM) {
        tl_lstm_cell(gate, previous, c, tanh_c, h);
    } else if (cell == GRU) {
        tl_gru_cell(gate, previous, h);
    } else {
        gate[0] = tl_tanh(gate[0]);
        *h = gate[0];
    }
}

/* dh is kept, or the GRU's replaced. */
TEMPLATE void cell_backward(const int cell, TL_F *gate, TL_F previous, TL_F tanh_c, TL_F *dh, TL_F *dc) {
    if (cell == LSTM)
        tl_lstm_cell_backward(gate, previous, tanh_c, *dh, dc);
    else if (cell == GRU)
        tl_gru_cell_backward(gate, previous, dh);
    else
        tl_rnn_cell_backward(gate, *dh);
}

/* The gate math alone, for any strides: TL_W columns of one unit a work-item. What the cell does not have is not looked at. */
#define GATE(g) (gates + AT2(gates, (g)*hidden + unit, column))
#define GATES_ARGUMENTS                                                                                                \
    ulong hidden, global float *gates, VIEW2(gates), global const float *previous, VIEW2(previous), global float *c,   \
        VIEW2(c), global float *tanh_c, VIEW2(tanh_c), global float *h, VIEW2(h)
#define GATES_BACKWARD_ARGUMENTS                                                                                       \
    ulong hidden, global float *gates, VIEW2(gates), global const float *previous, VIEW2(previous),                    \
        global const float *tanh_c, VIEW2(tanh_c), global float *dh, VIEW2(dh), global float *dc, VIEW2(dc)

TEMPLATE void gates_forward(const int cell, GATES_ARGUMENTS, ulong columns) {
    ulong column = get_global_id(0) * TL_W, unit = get_global_id(1);
    if (column >= columns)
        return;
    ulong n = columns - column;
    TL_F gate[MOST_GATES], before = TL_SPLAT(0.0f), new_c, new_tanh_c, new_h;
    #pragma unroll
    for (int g = 0; g < GATES(cell); g++)
        gate[g] = tl_load(GATE(g), gates_column, n);
    if (cell != RNN)
        before = tl_load(previous + AT2(previous, unit, column), previous_column, n);
    cell_forward(cell, gate, before, &new_c, &new_tanh_c, &new_h);
    #pragma unroll
    for (int g = 0; g < GATES(cell); g++)
        tl_store(GATE(g), gates_column, n, gate[g]);
    if (cell == LSTM) {
        tl_store(c + AT2(c, unit, column), c_column, n, new_c);
        tl_store(tanh_c + AT2(tanh_c, unit, column), tanh_c_column, n, new_tanh_c);
    }
    tl_store(h + AT2(h, unit, column), h_column, n, new_h);
}

TEMPLATE void gates_backward(const int cell, GATES_BACKWARD_ARGUMENTS, ulong columns) {
    ulong column = get_global_id(0) * TL_W, unit = get_global_id(1);
    if (column >= columns)
        return;
    ulong n = columns - column;
    TL_F gate[MOST_GATES], before = TL_SPLAT(0.0f), old_tanh_c = TL_SPLAT(0.0f), new_dc = TL_SPLAT(0.0f);
    TL_F gradient = tl_load(dh + AT2(dh, unit, column), dh_column, n);
    #pragma unroll
    for (int g = 0; g < GATES(cell); g++)
        gate[g] = tl_load(GATE(g), gates_column, n);
    if (cell != RNN)
        before = tl_load(previous + AT2(previous, unit, column), previous_column, n);
    if (cell == LSTM) {
        old_tanh_c = tl_load(tanh_c + AT2(tanh_c, unit, column), tanh_c_column, n);
        new_dc = tl_load(dc + AT2(dc, unit, column), dc_column, n);
    }
    cell_backward(cell, gate, before, old_tanh_c, &gradient, &new_dc);
    #pragma unroll
    for (int g = 0; g < GATES(cell); g++)
        tl_store(GATE(g), gates_column, n, gate[g]);
    if (cell == LSTM)
        tl_store(dc + AT2(dc, unit, column), dc_column, n, new_dc);
    if (cell == GRU)
        tl_store(dh + AT2(dh, unit, column), dh_column, n, gradient);
}

/* late: else all start at 0, and starts is not read. */
#define LATE_ARGUMENTS int late, global const int *starts, ulong starts_offset

/* The steps at which columns start, where they do not all start at 0, to be compared with the one that is on; else 0. */
static TL_F starts_of(LATE_ARGUMENTS, ulong column, ulong n) {
    float lanes[TL_W];
    #pragma unroll
    for (uint l = 0; l < TL_W; l++)
        lanes[l] = late && l < n ? (float)starts[starts_offset + column + l] : 0.0f;
#if TL_W == 1
    return lanes[0];
#else
    return TL_GET(lanes);
#endif
}

/* The whole sequence: TL_W columns through all time steps a work-item, so that no work-item waits for another. Columns are next to each
 * other; views are [feature][step][column]. ROWS pre-activations are summed at a time, of ROWS / G units; those beyond the last
 * repeat it, which gives the same values again. */
#define ROWS 12
#define UNITS(cell) (ROWS / GATES(cell))

/* acc += w[row][k] in[k] for each k, ascending; of the gates from first_gate on, which w has rows for. rows are those of the gates. */
TEMPLATE void accumulate(const int cell, const int first_gate, TL_F acc[ROWS], const ulong rows[ROWS], ulong hidden,
                         global const float *w, ulong inputs, global const float *in, ulong in_row, ulong n) {
    ulong skipped = first_gate * hidden;
    for (ulong k = 0; k < inputs; k++) {
        TL_F x = tl_load(in + k * in_row, 1, n);
        #pragma unroll
        for (int r = 0; r < ROWS; r++)
            if (r % GATES(cell) >= first_gate && r % GATES(cell) < first_gate + WEIGHTS(cell))
                acc[r] = TL_FMA(TL_SPLAT(w[(rows[r] - skipped) * inputs + k]), x, acc[r]);
    }
}

TEMPLATE void layer_forward(const int cell, FORWARD_ARGUMENTS, LATE_ARGUMENTS, ulong columns) {
    ulong column = get_global_id(0) * TL_W;
    if (column >= columns)
        return;
    ulong n = columns - column;
    FORWARD_FROM(column);
    TL_F begin = starts_of(late, starts, starts_offset, column, n), zero = TL_SPLAT(0.0f);
    for (ulong t = 0; t < steps; t++) {
        TL_F now = TL_SPLAT((float)t);
        for (ulong first = 0; first < hidden; first += UNITS(cell)) {
            TL_F acc[ROWS];
            ulong rows[ROWS];
            #pragma unroll
            for (int r = 0; r < ROWS; r++) {
                rows[r] = r % GATES(cell) * hidden + min(first + r / GATES(cell), hidden - 1);
                acc[r] = TL_SPLAT(0.0f + bias[rows[r]]);
            }
            accumulate(cell, 0, acc, rows, hidden, w_ih, inputs, x + t * x_row, x_plane, n);
            accumulate(cell, FIRST_HH(cell), acc, rows, hidden, w_hh, hidden, h + t * h_row, h_plane, n);
            #pragma unroll
            for (int u = 0; u < UNITS(cell); u++) {
                ulong unit = min(first + u, hidden - 1);
                TL_F before = TL_SPLAT(0.0f), new_c, new_tanh_c, new_h;
                if (cell == LSTM)
                    before = tl_load(c + unit * c_plane + t * c_row, 1, n);
                if (cell == GRU)
                    before = tl_load(h + unit * h_plane + t * h_row, 1, n);
                cell_forward(cell, acc + GATES(cell) * u, before, &new_c, &new_tanh_c, &new_h);
                new_h = TL_PICK_LESS(now, begin, zero, new_h);
                #pragma unroll
                for (int g = 0; g < GATES(cell); g++)
                    tl_store(gates + rows[GATES(cell) * u + g] * gates_plane + t * gates_row, 1, n,
                             acc[GATES(cell) * u + g]);
                if (cell == LSTM) {
                    tl_store(c + unit * c_plane + (t + 1) * c_row, 1, n, TL_PICK_LESS(now, begin, zero, new_c));
                    tl_store(tanh_c + unit * tanh_c_plane + t * tanh_c_row, 1, n, new_tanh_c);
                }
                tl_store(h + unit * h_plane + (t + 1) * h_row, 1, n, new_h);
            }
        }
    }
}

/* How many hidden units' gradients are summed at a time. */
#define BACK_UNITS 8

/* The gradients of the weights and dx are products that follow. */
TEMPLATE void layer_backward(const int cell, BACKWARD_ARGUMENTS, LATE_ARGUMENTS, ulong columns) {
    ulong column = get_global_id(0) * TL_W;
    if (column >= columns)
        return;
    ulong n = columns - column;
    BACKWARD_FROM(column);
    TL_F begin = starts_of(late, starts, starts_offset, column, n), zero = TL_SPLAT(0.0f);
    for (ulong t = steps; t-- > 0;) {
        TL_F now = TL_SPLAT((float)t);
        for (ulong unit = 0; unit < hidden; unit++) {
            TL_F gate[MOST_GATES], before = TL_SPLAT(0.0f), old_tanh_c = TL_SPLAT(0.0f), new_dc = TL_SPLAT(0.0f);
            TL_F new_dh = tl_load(dh + unit * columns, 1, n);
            if (has_dy)
                new_dh = new_dh + tl_load(dy + unit * dy_plane + t * dy_row, 1, n);
            #pragma unroll
            for (int g = 0; g < GATES(cell); g++)
                gate[g] = tl_load(gates + (g * hidden + unit) * gates_plane + t * gates_row, 1, n);
            if (cell != RNN)
                before = tl_load(previous + unit * previous_plane + t * previous_row, 1, n);
            if (cell == LSTM) {
                old_tanh_c = tl_load(tanh_c + unit * tanh_c_plane + t * tanh_c_row, 1, n);
                new_dc = tl_load(dc + unit * columns, 1, n);
            }
            cell_backward(cell, gate, before, old_tanh_c, &new_dh, &new_dc);
            #pragma unroll
            for (int g = 0; g < GATES(cell); g++)
                tl_store(gates + (g * hidden + unit) * gates_plane + t * gates_row, 1, n,
                         TL_PICK_LESS(now, begin, zero, gate[g]));
            if (cell == LSTM)
                tl_store(dc + unit * columns, 1, n, TL_PICK_LESS(now, begin, zero, new_dc));
            if (cell == GRU)
                tl_store(dh + unit * columns, 1, n, TL_PICK_LESS(now, begin, zero, new_dh));
        }
        for (ulong first = 0; first < hidden; first += BACK_UNITS) {
            TL_F acc[BACK_UNITS];
            #pragma unroll
            for (int u = 0; u < BACK_UNITS; u++)
                acc[u] = cell == GRU ? tl_load(dh + min(first + u, hidden - 1) * columns, 1, n) : TL_SPLAT(0.0f);
            for (ulong r = 0; r < WEIGHTS(cell) * hidden; r++) {
                TL_F gate = tl_load(gates + (FIRST_HH(cell) * hidden + r) * gates_plane + t * gates_row, 1, n);
                #pragma unroll
                for (int u = 0; u < BACK_UNITS; u++)
                    acc[u] = TL_FMA(TL_SPLAT(w_hh[r * hidden + min(first + u, hidden - 1)]), gate, acc[u]);
            }
            for (int u = 0; u < BACK_UNITS && first + u < hidden; u++)
                tl_store(dh + (first + u) * columns, 1, n, acc[u]);
        }
    }
}

#define VIEW2_OF(t) t##_offset, t##_row, t##_column
#define VIEW3_OF(t) t##_offset, t##_plane, t##_row, t##_column

/* See tally_cell_forward, tally_cell_backward, tally_layer_forward and tally_layer_backward. */
#define KERNELS(cell, name)                                                                                            \
    kernel void tally_##name##_gates(GATES_ARGUMENTS, ulong columns) {                                                 \
        gates_forward(cell, hidden, gates, VIEW2_OF(gates), previous, VIEW2_OF(previous), c, VIEW2_OF(c), tanh_c,      \
                      VIEW2_OF(tanh_c), h, VIEW2_OF(h), columns);                                                      \
    }                                                                                                                  \
    kernel void tally_##name##_gates_backward(GATES_BACKWARD_ARGUMENTS, ulong columns) {                               \
        gates_backward(cell, hidden, gates, VIEW2_OF(gates), previous, VIEW2_OF(previous), tanh_c, VIEW2_OF(tanh_c),   \
                       dh, VIEW2_OF(dh), dc, VIEW2_OF(dc), columns);                                                   \
    }                                                                                                                  \
    kernel void tally_##name##_forward(FORWARD_ARGUMENTS, LATE_ARGUMENTS, ulong columns) {                             \
        layer_forward(cell, inputs, hidden, steps, w_ih, w_ih_offset, w_hh, w_hh_offset, bias, bias_offset, x,         \
                      VIEW3_OF(x), gates, VIEW3_OF(gates), c, VIEW3_OF(c), h, VIEW3_OF(h), tanh_c, VIEW3_OF(tanh_c),   \
                      late, starts, starts_offset, columns);                                                           \
    }                                                                                                                  \
    kernel void tally_##name##_backward(BACKWARD_ARGUMENTS, LATE_ARGUMENTS, ulong columns) {                           \
        layer_backward(cell, hidden, steps, w_hh, w_hh_offset, gates, VIEW3_OF(gates), previous, VIEW3_OF(previous),   \
                       tanh_c, VIEW3_OF(tanh_c), has_dy, dy, VIEW3_OF(dy), dh, dh_offset, dc, dc_offset, late, starts, \
                       starts_offset, columns);                                                                        \
    }

KERNELS(LSTM, lstm)
KERNELS(GRU, gru)
KERNELS(RNN, rnn)
