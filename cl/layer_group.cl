/* A layer where a work-item has one column, as on GPUs: a work-group takes `wide` neighbouring columns through all time
 * steps. Consecutive work-items have consecutive columns of a unit, then the next unit's, so that each has a (unit,
 * column) or several. What a step hands to the next is in local memory, and as many of the weights as fit: the first
 * `kept` of what a chain goes through. Every work-item reaches every barrier; one beyond the last column does nothing
 * between them. */
#include "arith_opencl.h"
#include "cell.cl"

#if TL_W == 1

#define GATES tl_cell_gates(TL_CELL)
#define WEIGHTS tl_cell_weights(TL_CELL)

/* The place of a work-item in its group. */
typedef struct group_item {
    uint item, items;   /* its number, and how many there are */
    uint unit, units;   /* its first hidden unit, and the distance to its next */
    ulong column;       /* of the batch */
    bool active;        /* whether there is such a column */
} group_item;

static group_item group_item_of(uint wide, ulong columns) {
    group_item g;
    g.item = get_local_id(0);
    g.items = get_local_size(0);
    g.unit = g.item / wide;
    g.units = g.items / wide;
    g.column = get_group_id(0) * wide + g.item % wide;
    g.active = g.column < columns;
    return g;
}

/* The weights of a unit for value k of a step's inputs and hidden values, in global memory: one for each of WEIGHTS
 * gates. */
static float weight_of(global const float *w_ih, global const float *w_hh, uint inputs, uint hidden, uint unit, uint k,
                       uint row) {
    return k < inputs ? w_ih[((ulong)row * hidden + unit) * inputs + k]
                      : w_hh[((ulong)row * hidden + unit) * hidden + k - inputs];
}

/* See tally_layer_forward. A step's inputs and the hidden values before it are rows of `wide` columns, twice: of this
 * step and of the next; the cells' are behind them. */
kernel void tally_group_forward(ulong inputs, ulong hidden, ulong steps, global const float *w_ih, ulong w_ih_offset,
                                global const float *w_hh, ulong w_hh_offset, global const float *bias,
                                ulong bias_offset, global float *x, VIEW3(x), global float *gates, VIEW3(gates),
                                global float *c, VIEW3(c), global float *h, VIEW3(h), global float *saved,
                                VIEW3(saved), int late, global const int *starts, ulong starts_offset, uint wide,
                                uint kept, local float *near, local float *values, ulong columns) {
    group_item g = group_item_of(wide, columns);
    uint ins = inputs, units = hidden, rows = ins + units;
    w_ih += w_ih_offset, w_hh += w_hh_offset, bias += bias_offset;
    tl_steps x_at = STEPS(x, g.column), gates_at = STEPS(gates, g.column), c_at = STEPS(c, g.column);
    tl_steps h_at = STEPS(h, g.column), saved_at = STEPS(saved, g.column);
    ulong start = late && g.active ? starts[starts_offset + g.column] : 0;
    local float *now = values + g.item % wide, *next = now + rows * wide, *cells = next + rows * wide;
    for (uint i = g.item; i < kept * units; i += g.items)
        for (uint r = 0; r < WEIGHTS; r++)
            near[i * WEIGHTS + r] = weight_of(w_ih, w_hh, ins, units, i % units, i / units, r);
    for (uint k = g.unit; g.active && k < ins; k += g.units)
        now[k * wide] = x_at.data[k * x_at.row];
    for (uint unit = g.unit; g.active && unit < units; unit += g.units) {
        now[(ins + unit) * wide] = h_at.data[unit * h_at.row];
        if (tl_cell_state(TL_CELL))
            cells[unit * wide] = c_at.data[unit * c_at.row];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (ulong t = 0; t < steps; t++) {
        for (uint k = g.unit; g.active && t + 1 < steps && k < ins; k += g.units)
            next[k * wide] = x_at.data[k * x_at.row + (t + 1) * x_at.step];
        for (uint unit = g.unit; g.active && unit < units; unit += g.units) {
            float gate[TL_MOST_GATES], previous = 0.0f, new_c = 0.0f, new_saved = 0.0f, new_h = 0.0f;
            TL_UNROLL
            for (uint a = 0; a < GATES; a++)
                gate[a] = 0.0f + bias[a * units + unit];
            for (uint k = 0; k < rows; k++) {
                float value = now[k * wide];
                TL_UNROLL
                for (uint r = 0; r < WEIGHTS; r++) {
                    float weight = k < kept ? near[(k * units + unit) * WEIGHTS + r]
                                            : weight_of(w_ih, w_hh, ins, units, unit, k, r);
                    if (k < ins)
                        gate[r] = fma(weight, value, gate[r]);
                    else
                        gate[tl_cell_first_hh(TL_CELL) + r] =
                            fma(weight, value, gate[tl_cell_first_hh(TL_CELL) + r]);
                }
            }
            if (tl_cell_previous(TL_CELL) == TL_READS_C)
                previous = cells[unit * wide];
            if (tl_cell_previous(TL_CELL) == TL_READS_H)
                previous = now[(ins + unit) * wide];
            tl_cell(TL_CELL, gate, previous, &new_c, &new_saved, &new_h);
            new_h = t < start ? 0.0f : new_h;
            new_c = t < start ? 0.0f : new_c;
            TL_UNROLL
            for (uint a = 0; a < GATES; a++)
                gates_at.data[(a * units + unit) * gates_at.row + t * gates_at.step] = gate[a];
            if (tl_cell_state(TL_CELL)) {
                c_at.data[unit * c_at.row + (t + 1) * c_at.step] = cells[unit * wide] = new_c;
                saved_at.data[unit * saved_at.row + t * saved_at.step] = new_saved;
            }
            h_at.data[unit * h_at.row + (t + 1) * h_at.step] = next[(ins + unit) * wide] = new_h;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        local float *other = now;
        now = next;
        next = other;
    }
}

/* See tally_layer_backward, but for dx and the gradients of the weights, which are products that follow. In local
 * memory: a step's gradients of the gates, and of h and c, which only the work-item of their (unit, column) reads. */
kernel void tally_group_backward(ulong hidden, ulong steps, global const float *w_hh, ulong w_hh_offset,
                                 global float *gates, VIEW3(gates), global float *previous, VIEW3(previous),
                                 global float *saved, VIEW3(saved), int has_dy, global float *dy, VIEW3(dy),
                                 global float *dh, ulong dh_offset, global float *dc, ulong dc_offset, int late,
                                 global const int *starts, ulong starts_offset, uint wide, uint kept,
                                 local float *near, local float *values, ulong columns) {
    group_item g = group_item_of(wide, columns);
    uint units = hidden, rows = WEIGHTS * units, skipped = tl_cell_first_hh(TL_CELL) * units;
    w_hh += w_hh_offset, dh += dh_offset + g.column, dc += dc_offset + g.column;
    tl_steps gates_at = STEPS(gates, g.column), previous_at = STEPS(previous, g.column);
    tl_steps saved_at = STEPS(saved, g.column), dy_at = STEPS(dy, g.column);
    ulong start = late && g.active ? starts[starts_offset + g.column] : 0;
    local float *dgates = values + g.item % wide, *now_dh = dgates + GATES * units * wide;
    local float *now_dc = now_dh + units * wide;
    for (uint i = g.item; i < kept * units; i += g.items)
        near[i] = w_hh[i];
    for (uint unit = g.unit; g.active && unit < units; unit += g.units) {
        now_dh[unit * wide] = dh[unit * columns];
        if (tl_cell_state(TL_CELL))
            now_dc[unit * wide] = dc[unit * columns];
    }
    for (ulong t = steps; t-- > 0;) {
        for (uint unit = g.unit; g.active && unit < units; unit += g.units) {
            float gate[TL_MOST_GATES], before = 0.0f, old_saved = 0.0f, new_dc = 0.0f;
            float new_dh = now_dh[unit * wide];
            if (has_dy)
                new_dh = new_dh + dy_at.data[unit * dy_at.row + t * dy_at.step];
            TL_UNROLL
            for (uint a = 0; a < GATES; a++)
                gate[a] = gates_at.data[(a * units + unit) * gates_at.row + t * gates_at.step];
            if (tl_cell_previous(TL_CELL) != TL_READS_NOTHING)
                before = previous_at.data[unit * previous_at.row + t * previous_at.step];
            if (tl_cell_state(TL_CELL)) {
                old_saved = saved_at.data[unit * saved_at.row + t * saved_at.step];
                new_dc = now_dc[unit * wide];
            }
            tl_cell_backward(TL_CELL, gate, before, old_saved, &new_dh, &new_dc);
            TL_UNROLL
            for (uint a = 0; a < GATES; a++) {
                float gradient = t < start ? 0.0f : gate[a];
                gates_at.data[(a * units + unit) * gates_at.row + t * gates_at.step] = gradient;
                dgates[(a * units + unit) * wide] = gradient;
            }
            if (tl_cell_state(TL_CELL))
                now_dc[unit * wide] = t < start ? 0.0f : new_dc;
            if (tl_cell_bypass(TL_CELL))
                now_dh[unit * wide] = t < start ? 0.0f : new_dh;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        for (uint unit = g.unit; g.active && unit < units; unit += g.units) {
            float acc = tl_cell_bypass(TL_CELL) ? now_dh[unit * wide] : 0.0f;
            uint r = 0;
            for (; r < kept; r++)
                acc = fma(near[r * units + unit], dgates[(skipped + r) * wide], acc);
            for (; r < rows; r++)
                acc = fma(w_hh[r * hidden + unit], dgates[(skipped + r) * wide], acc);
            now_dh[unit * wide] = acc;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    for (uint unit = g.unit; g.active && unit < units; unit += g.units) {
        dh[unit * columns] = now_dh[unit * wide];
        if (tl_cell_state(TL_CELL))
            dc[unit * columns] = now_dc[unit * wide];
    }
}

#endif
