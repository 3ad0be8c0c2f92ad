/* gate_math.h: the cell alone, one hidden unit and TL_W columns at a time, for views of any strides; see
 * tally_cell_forward. Read by the C compiler and by the OpenCL compiler; needs what recurrent.h needs. */

/* [row][column]; without data where the cell has none. */
typedef struct tl_gate_view {
    TL_GLOBAL float *data;
    tl_size row, column; /* strides */
} tl_gate_view;

/* Forward, c and h are results; backward, they are the gradients dc and dh. */
typedef struct tl_gate_math {
    tl_size hidden;
    tl_gate_view gates, previous, c, saved, h;
} tl_gate_math;

TL_TEMPLATE TL_F tl_gate_load(tl_gate_view view, tl_size row, tl_size column, tl_size n) {
    return TL_LOAD(view.data + row * view.row + column * view.column, view.column, n);
}

TL_TEMPLATE void tl_gate_store(tl_gate_view view, tl_size row, tl_size column, tl_size n, TL_F value) {
    TL_STORE(view.data + row * view.row + column * view.column, view.column, n, value);
}

TL_TEMPLATE void tl_load_gates(const unsigned int cell, const tl_gate_math *m, tl_size unit, tl_size column, tl_size n,
                               TL_F gate[TL_MOST_GATES]) {
    TL_UNROLL
    for (tl_size g = 0; g < tl_cell_gates(cell); g++)
        gate[g] = tl_gate_load(m->gates, g * m->hidden + unit, column, n);
}

TL_TEMPLATE void tl_store_gates(const unsigned int cell, const tl_gate_math *m, tl_size unit, tl_size column,
                                tl_size n, const TL_F gate[TL_MOST_GATES]) {
    TL_UNROLL
    for (tl_size g = 0; g < tl_cell_gates(cell); g++)
        tl_gate_store(m->gates, g * m->hidden + unit, column, n, gate[g]);
}

/* n columns from column on. */
TL_TEMPLATE void tl_gate_math_forward(const unsigned int cell, const tl_gate_math *m, tl_size unit, tl_size column,
                                      tl_size n) {
    TL_F gate[TL_MOST_GATES], previous = TL_SPLAT(0.0f), c = previous, saved = previous, h = previous;
    tl_load_gates(cell, m, unit, column, n, gate);
    if (tl_cell_previous(cell) != TL_READS_NOTHING)
        previous = tl_gate_load(m->previous, unit, column, n);
    TL_NAME(cell)(cell, gate, previous, &c, &saved, &h);
    tl_store_gates(cell, m, unit, column, n, gate);
    if (tl_cell_state(cell)) {
        tl_gate_store(m->c, unit, column, n, c);
        tl_gate_store(m->saved, unit, column, n, saved);
    }
    tl_gate_store(m->h, unit, column, n, h);
}

TL_TEMPLATE void tl_gate_math_backward(const unsigned int cell, const tl_gate_math *m, tl_size unit, tl_size column,
                                       tl_size n) {
    TL_F gate[TL_MOST_GATES], previous = TL_SPLAT(0.0f), saved = previous, dc = previous;
    TL_F dh = tl_gate_load(m->h, unit, column, n);
    tl_load_gates(cell, m, unit, column, n, gate);
    if (tl_cell_previous(cell) != TL_READS_NOTHING)
        previous = tl_gate_load(m->previous, unit, column, n);
    if (tl_cell_state(cell)) {
        saved = tl_gate_load(m->saved, unit, column, n);
        dc = tl_gate_load(m->c, unit, column, n);
    }
    TL_NAME(cell_backward)(cell, gate, previous, saved, &dh, &dc);
    tl_store_gates(cell, m, unit, column, n, gate);
    if (tl_cell_state(cell))
        tl_gate_store(m->c, unit, column, n, dc);
    if (tl_cell_bypass(cell))
        tl_gate_store(m->h, unit, column, n, dh);
}
