/* recurrent.h: the time steps of a recurrent layer, read by the C compiler and by the OpenCL compiler.
 *
 * Weights are packed in the order in which they are used. Forward, the pre-activations of a block of rows, those of a
 * few hidden units, are summed in registers for all columns, a few vectors of columns after another while the block's
 * weights are in the first cache, and the cell follows. Backward, the gradients of the gates replace the gates, and the
 * gradients of h and x before the step are their products with the transposed weights, again a block of rows at a time.
 *
 * Whoever includes this has read cell_arith.h and weight_gradients.h's requirements: TL_F and its arithmetic, TL_W
 * columns to a vector, and TL_GLOBAL                      the address space of tensors TL_TEMPLATE                    a
 * function that is inlined everywhere, so that its arguments may be constants TL_FUNCTION                    a function
 * that need not be used TL_UNROLL                      unrolls the loop behind it tl_size                        the
 * type of sizes TL_GET(p), TL_PUT(v, p)        the TL_W floats at p TL_GET_LANES(p), TL_PUT_LANES(v, p)  the same of a
 * local array TL_LOAD(p, stride, n), TL_STORE(p, stride, n, v)  the first n of TL_W floats, stride apart; the others
 * are loaded as 0 TL_SUMS_IN_MEMORY              1, with TL_CELL for the cell: pre-activations go through memory before
 * the cell. LLVM keeps all of a block's sums in memory, throughout, if the cell is part of the same function; other
 * compilers are faster without it.
 */
#define TL_BLOCK_ROWS TL_BLOCK_ROWS_OF(TL_W)
#define TL_SMALL_BLOCK_ROWS TL_SMALL_BLOCK_ROWS_OF(TL_W)
#define TL_BLOCK_VECTORS TL_BLOCK_VECTORS_OF(TL_W)

/* Rows of columns that are neighbours in memory: of a tensor at one time step. */
typedef struct tl_rows {
    TL_GLOBAL float *data;
    tl_size row; /* floats from row to row */
} tl_rows;

/* The same for all time steps. */
typedef struct tl_steps {
    TL_GLOBAL float *data;
    tl_size row, step;
} tl_steps;

TL_TEMPLATE tl_rows tl_rows_at(tl_steps steps, tl_size step) {
    tl_rows rows = {steps.data ? steps.data + step * steps.step : 0, steps.row};
    return rows;
}

/* TL_W columns from column on, of which n are in the matrix. */
TL_TEMPLATE TL_F tl_rows_load(tl_rows rows, tl_size row, tl_size column, tl_size n) {
    return TL_LOAD(rows.data + row * rows.row + column, 1, n);
}

TL_TEMPLATE void tl_rows_store(tl_rows rows, tl_size row, tl_size column, tl_size n, TL_F value) {
    TL_STORE(rows.data + row * rows.row + column, 1, n, value);
}

/* The time steps at which columns begin, as numbers to compare the present step with. */
TL_TEMPLATE TL_F tl_load_starts(TL_GLOBAL const int *starts, tl_size column, tl_size n) {
    float lanes[TL_W];
    for (tl_size l = 0; l < TL_W; l++)
        lanes[l] = l < n ? (float)starts[column + l] : 0.0f;
    return TL_GET_LANES(lanes);
}

TL_TEMPLATE tl_size tl_least(tl_size a, tl_size b) {
    return a < b ? a : b;
}

/* Which operand of the pre-activations a weight belongs to. */
#define TL_FROM_X 0
#define TL_FROM_H 1

/* Whether the operand has weights for this row of a block, [unit][gate]. */
TL_TEMPLATE bool tl_has_weight(const unsigned int cell, const int from, tl_size row) {
    tl_size gate = row % tl_cell_gates(cell), first = from == TL_FROM_H ? tl_cell_first_hh(cell) : 0;
    return gate >= first && gate < first + tl_cell_weights(cell);
}

/* Packs the weights of a block's rows for one operand, count values of it: for each value those of all rows. Returns
 * the end. */
TL_TEMPLATE TL_GLOBAL float *tl_pack_operand(const unsigned int cell, const int from, tl_size hidden,
                                             TL_GLOBAL const float *w, tl_size count, tl_size first_unit,
                                             TL_GLOBAL float *packed) {
    tl_size gates = tl_cell_gates(cell), first_gate = from == TL_FROM_H ? tl_cell_first_hh(cell) : 0;
    for (tl_size k = 0; k < count; k++)
        for (tl_size r = 0; r < TL_BLOCK_ROWS; r++)
            if (tl_has_weight(cell, from, r)) {
                tl_size unit = tl_least(first_unit + r / gates, hidden - 1);
                *packed++ = w[((r % gates - first_gate) * hidden + unit) * count + k];
            }
    return packed;
}

/* Packs block number `block` of a layer: its biases, then its weights for each input, then for each hidden unit. Units
 * beyond the last repeat it. packed has tl_packed_forward_size floats for all blocks. */
TL_TEMPLATE void tl_pack_block(const unsigned int cell, tl_size inputs, tl_size hidden, TL_GLOBAL const float *bias,
                               TL_GLOBAL const float *w_ih, TL_GLOBAL const float *w_hh, tl_size block,
                               TL_GLOBAL float *packed) {
    tl_size gates = tl_cell_gates(cell), first_unit = block * (TL_BLOCK_ROWS / gates);
    packed += block * tl_packed_block_size(cell, TL_BLOCK_ROWS, inputs, hidden);
    for (tl_size r = 0; r < TL_BLOCK_ROWS; r++)
        *packed++ = 0.0f + bias[r % gates * hidden + tl_least(first_unit + r / gates, hidden - 1)];
    packed = tl_pack_operand(cell, TL_FROM_X, hidden, w_ih, inputs, first_unit, packed);
    tl_pack_operand(cell, TL_FROM_H, hidden, w_hh, hidden, first_unit, packed);
}

/* Packs block number `block` of the transpose of w [sums, rows]: blocks of TL_BLOCK_ROWS of its rows, then smaller
 * ones. Rows beyond the last repeat it. packed has tl_packed_transpose_size floats for all blocks. */
TL_TEMPLATE void tl_pack_transpose_block(TL_GLOBAL const float *w, tl_size rows, tl_size sums, tl_size block,
                                         TL_GLOBAL float *packed) {
    tl_size whole = rows / TL_BLOCK_ROWS, count = block < whole ? TL_BLOCK_ROWS : TL_SMALL_BLOCK_ROWS;
    tl_size first = block < whole ? block * TL_BLOCK_ROWS
                                  : whole * TL_BLOCK_ROWS + (block - whole) * TL_SMALL_BLOCK_ROWS;
    packed += first * sums;
    for (tl_size k = 0; k < sums; k++)
        for (tl_size r = 0; r < count; r++)
            *packed++ = w[k * rows + tl_least(first + r, rows - 1)];
}

/* What a time step of a layer reads and writes, each [rows][columns]. */
typedef struct tl_forward_step {
    tl_size inputs, hidden, columns;
    TL_GLOBAL const float *packed; /* by tl_pack_block */
    tl_rows x, h_prev, h;
    tl_rows c_prev, c;            /* of cells with a state; may be the same memory */
    tl_rows gates, saved;         /* for backward; without data in inference */
    TL_GLOBAL const int *starts;  /* [columns], or 0 where all begin at step 0 */
    float now;                    /* the number of this step */
#if TL_SUMS_IN_MEMORY
    float *sums; /* [TL_BLOCK_ROWS][TL_MICRO_BATCH], the caller's */
#endif
} tl_forward_step;

/* acc[row] += weight[k][row] value[k] for k ascending. Returns the end of the operand's packed weights. */
TL_TEMPLATE TL_GLOBAL const float *tl_add_operand(const unsigned int cell, const int from, const tl_size vectors,
                                                  const tl_size n, TL_GLOBAL const float *packed, tl_size count,
                                                  tl_rows in, tl_size column,
                                                  TL_F acc[TL_BLOCK_ROWS][TL_BLOCK_VECTORS]) {
    for (tl_size k = 0; k < count; k++) {
        TL_F value[TL_BLOCK_VECTORS];
        TL_UNROLL
        for (tl_size v = 0; v < vectors; v++)
            value[v] = tl_rows_load(in, k, column + v * TL_W, n);
        TL_UNROLL
        for (tl_size r = 0; r < TL_BLOCK_ROWS; r++)
            if (tl_has_weight(cell, from, r)) {
                TL_F weight = TL_SPLAT(*packed);
                packed++;
                TL_UNROLL
                for (tl_size v = 0; v < vectors; v++)
                    acc[r][v] = TL_FMA(weight, value[v], acc[r][v]);
            }
    }
    return packed;
}

/* The pre-activations of a block's rows. */
TL_TEMPLATE void tl_sum_block(const unsigned int cell, const tl_size vectors, const tl_size n,
                              const tl_forward_step *at, TL_GLOBAL const float *packed, tl_size column,
                              TL_F acc[TL_BLOCK_ROWS][TL_BLOCK_VECTORS]) {
    TL_UNROLL
    for (tl_size i = 0; i < TL_BLOCK_ROWS * vectors; i++)
        acc[i / vectors][i % vectors] = TL_SPLAT(packed[i / vectors]);
    packed = tl_add_operand(cell, TL_FROM_X, vectors, n, packed + TL_BLOCK_ROWS, at->inputs, at->x, column, acc);
    tl_add_operand(cell, TL_FROM_H, vectors, n, packed, at->hidden, at->h_prev, column, acc);
}

/* The cell of one hidden unit, from its pre-activations. plain: all columns begin at step 0, and backward follows. */
TL_TEMPLATE void tl_unit_forward(const unsigned int cell, const bool plain, const tl_size n, const tl_forward_step *at,
                                 TL_F gate[TL_MOST_GATES], tl_size unit, tl_size column) {
    TL_F previous = TL_SPLAT(0.0f), c = previous, saved = previous, h = previous;
    if (tl_cell_previous(cell) != TL_READS_NOTHING)
        previous = tl_rows_load(tl_cell_previous(cell) == TL_READS_C ? at->c_prev : at->h_prev, unit, column, n);
    TL_NAME(cell)(cell, gate, previous, &c, &saved, &h);
    if (!plain && at->starts) {
        TL_F starts = tl_load_starts(at->starts, column, n), now = TL_SPLAT(at->now), zero = TL_SPLAT(0.0f);
        h = TL_PICK_LESS(now, starts, zero, h);
        c = TL_PICK_LESS(now, starts, zero, c);
    }
    tl_rows_store(at->h, unit, column, n, h);
    if (tl_cell_state(cell))
        tl_rows_store(at->c, unit, column, n, c);
    if (!plain && !at->gates.data)
        return;
    TL_UNROLL
    for (tl_size g = 0; g < tl_cell_gates(cell); g++)
        tl_rows_store(at->gates, g * at->hidden + unit, column, n, gate[g]);
    if (tl_cell_state(cell))
        tl_rows_store(at->saved, unit, column, n, saved);
}

#if TL_SUMS_IN_MEMORY

TL_TEMPLATE void tl_store_block(const unsigned int cell, const tl_size vectors, const tl_size n,
                                const tl_forward_step *at, TL_GLOBAL const float *packed, tl_size column) {
    TL_F acc[TL_BLOCK_ROWS][TL_BLOCK_VECTORS];
    tl_sum_block(cell, vectors, n, at, packed, column, acc);
    TL_UNROLL
    for (tl_size i = 0; i < TL_BLOCK_ROWS * vectors; i++)
        TL_PUT_LANES(acc[i / vectors][i % vectors],
                     at->sums + i / vectors * TL_MICRO_BATCH + column + i % vectors * TL_W);
}

TL_NOINLINE void tl_store_sums(const tl_forward_step *at, TL_GLOBAL const float *packed) {
    tl_size column = 0;
    for (; at->columns - column >= TL_BLOCK_VECTORS * TL_W; column += TL_BLOCK_VECTORS * TL_W)
        tl_store_block(TL_CELL, TL_BLOCK_VECTORS, TL_W, at, packed, column);
    for (; column < at->columns; column += TL_W)
        tl_store_block(TL_CELL, 1, at->columns - column, at, packed, column);
}

TL_TEMPLATE void tl_block_forward(const unsigned int cell, const bool plain, const tl_forward_step *at,
                                  TL_GLOBAL const float *packed, tl_size first_unit) {
    tl_size gates = tl_cell_gates(cell);
    tl_store_sums(at, packed);
    for (tl_size u = 0; u < TL_BLOCK_ROWS / gates && first_unit + u < at->hidden; u++)
        for (tl_size column = 0; column < at->columns; column += TL_W) {
            TL_F gate[TL_MOST_GATES];
            TL_UNROLL
            for (tl_size g = 0; g < gates; g++)
                gate[g] = TL_GET_LANES(at->sums + (u * gates + g) * TL_MICRO_BATCH + column);
            tl_unit_forward(cell, plain, at->columns - column, at, gate, first_unit + u, column);
        }
}

#else

TL_TEMPLATE void tl_block_part(const unsigned int cell, const bool plain, const tl_size vectors, const tl_size n,
                               const tl_forward_step *at, TL_GLOBAL const float *packed, tl_size first_unit,
                               tl_size column) {
    const tl_size gates = tl_cell_gates(cell);
    TL_F acc[TL_BLOCK_ROWS][TL_BLOCK_VECTORS];
    tl_sum_block(cell, vectors, n, at, packed, column, acc);
    TL_UNROLL
    for (tl_size u = 0; u < TL_BLOCK_ROWS / gates; u++) {
        if (first_unit + u >= at->hidden)
            break;
        TL_UNROLL
        for (tl_size v = 0; v < vectors; v++) {
            TL_F gate[TL_MOST_GATES];
            for (tl_size g = 0; g < gates; g++)
                gate[g] = acc[u * gates + g][v];
            tl_unit_forward(cell, plain, n, at, gate, first_unit + u, column + v * TL_W);
        }
    }
}

TL_TEMPLATE void tl_block_forward(const unsigned int cell, const bool plain, const tl_forward_step *at,
                                  TL_GLOBAL const float *packed, tl_size first_unit) {
    tl_size column = 0;
    for (; at->columns - column >= TL_BLOCK_VECTORS * TL_W; column += TL_BLOCK_VECTORS * TL_W)
        tl_block_part(cell, plain, TL_BLOCK_VECTORS, TL_W, at, packed, first_unit, column);
    for (; at->columns - column >= TL_W; column += TL_W)
        tl_block_part(cell, plain, 1, TL_W, at, packed, first_unit, column);
    if (column < at->columns)
        tl_block_part(cell, plain, 1, at->columns - column, at, packed, first_unit, column);
}

#endif

/* One time step of a layer. */
TL_TEMPLATE void tl_blocks_forward(const unsigned int cell, const bool plain, const tl_forward_step *at) {
    tl_size units = TL_BLOCK_ROWS / tl_cell_gates(cell);
    TL_GLOBAL const float *packed = at->packed;
    for (tl_size first = 0; first < at->hidden; first += units) {
        tl_block_forward(cell, plain, at, packed, first);
        packed += tl_packed_block_size(cell, TL_BLOCK_ROWS, at->inputs, at->hidden);
    }
}

TL_TEMPLATE void tl_step_forward(const unsigned int cell, const tl_forward_step *at) {
    if (at->gates.data && !at->starts)
        tl_blocks_forward(cell, true, at);
    else
        tl_blocks_forward(cell, false, at);
}

/* A product of a packed transpose with in [sums][columns]: out [rows][columns], each element a chain over the sums,
 * ascending, that begins with what out holds (onto) or with 0. */
typedef struct tl_product {
    tl_size rows, sums, columns;
    TL_GLOBAL const float *packed; /* by tl_pack_transpose_block */
    tl_rows in, out;
    bool onto;
} tl_product;

/* rows of a block; valid of them are in the result. */
TL_TEMPLATE void tl_product_block(const tl_size rows, const tl_size vectors, const tl_size n, const tl_product *p,
                                  TL_GLOBAL const float *packed, tl_size first, tl_size valid, tl_size column) {
    TL_F acc[TL_BLOCK_ROWS][TL_BLOCK_VECTORS];
    TL_UNROLL
    for (tl_size i = 0; i < rows * vectors; i++)
        acc[i / vectors][i % vectors] = TL_SPLAT(0.0f);
    if (p->onto)
        TL_UNROLL
        for (tl_size i = 0; i < rows * vectors; i++)
            acc[i / vectors][i % vectors] = tl_rows_load(p->out, first + tl_least(i / vectors, valid - 1),
                                                         column + i % vectors * TL_W, n);
    for (tl_size k = 0; k < p->sums; k++, packed += rows) {
        TL_F value[TL_BLOCK_VECTORS];
        TL_UNROLL
        for (tl_size v = 0; v < vectors; v++)
            value[v] = tl_rows_load(p->in, k, column + v * TL_W, n);
        TL_UNROLL
        for (tl_size r = 0; r < rows; r++) {
            TL_F weight = TL_SPLAT(packed[r]);
            TL_UNROLL
            for (tl_size v = 0; v < vectors; v++)
                acc[r][v] = TL_FMA(weight, value[v], acc[r][v]);
        }
    }
    TL_UNROLL
    for (tl_size i = 0; i < rows * vectors; i++)
        if (i / vectors < valid)
            tl_rows_store(p->out, first + i / vectors, column + i % vectors * TL_W, n, acc[i / vectors][i % vectors]);
}

TL_TEMPLATE void tl_product_rows(const tl_size rows, const tl_product *p, TL_GLOBAL const float *packed, tl_size first,
                                 tl_size valid) {
    tl_size column = 0;
    for (; p->columns - column >= TL_BLOCK_VECTORS * TL_W; column += TL_BLOCK_VECTORS * TL_W)
        tl_product_block(rows, TL_BLOCK_VECTORS, TL_W, p, packed, first, valid, column);
    for (; p->columns - column >= TL_W; column += TL_W)
        tl_product_block(rows, 1, TL_W, p, packed, first, valid, column);
    if (column < p->columns)
        tl_product_block(rows, 1, p->columns - column, p, packed, first, valid, column);
}

TL_FUNCTION void tl_transposed_product(const tl_product *p) {
    TL_GLOBAL const float *packed = p->packed;
    tl_size first = 0;
    for (; p->rows - first >= TL_BLOCK_ROWS; first += TL_BLOCK_ROWS, packed += TL_BLOCK_ROWS * p->sums)
        tl_product_rows(TL_BLOCK_ROWS, p, packed, first, TL_BLOCK_ROWS);
    for (; first < p->rows; first += TL_SMALL_BLOCK_ROWS, packed += TL_SMALL_BLOCK_ROWS * p->sums)
        tl_product_rows(TL_SMALL_BLOCK_ROWS, p, packed, first, p->rows - first);
}

/* What a time step of backward reads and writes, each [rows][columns]. */
typedef struct tl_backward_step {
    tl_size inputs, hidden, columns;
    TL_GLOBAL const float *packed_hh, *packed_ih; /* by tl_pack_transpose_block */
    tl_rows gates;               /* activated, replaced by the gradients of the pre-activations */
    tl_rows previous;            /* what the cell reads of the step before: c or h */
    tl_rows saved, dc;           /* of cells with a state */
    tl_rows dy;                  /* the gradient of h from above; without data where there is none */
    tl_rows dh;                  /* the gradient of h from later steps, replaced by that of the h before */
    tl_rows dx;                  /* without data where it is not wanted; may be dy */
    TL_GLOBAL const int *starts; /* as in tl_forward_step */
    float now;
} tl_backward_step;

TL_TEMPLATE void tl_unit_backward(const unsigned int cell, const tl_size n, const tl_backward_step *at, tl_size unit,
                                  tl_size column) {
    TL_F gate[TL_MOST_GATES], zero = TL_SPLAT(0.0f), previous = zero, saved = zero, dc = zero;
    TL_UNROLL
    for (tl_size g = 0; g < tl_cell_gates(cell); g++)
        gate[g] = tl_rows_load(at->gates, g * at->hidden + unit, column, n);
    TL_F dh = tl_rows_load(at->dh, unit, column, n);
    if (at->dy.data)
        dh = dh + tl_rows_load(at->dy, unit, column, n);
    if (tl_cell_previous(cell) != TL_READS_NOTHING)
        previous = tl_rows_load(at->previous, unit, column, n);
    if (tl_cell_state(cell)) {
        saved = tl_rows_load(at->saved, unit, column, n);
        dc = tl_rows_load(at->dc, unit, column, n);
    }
    TL_NAME(cell_backward)(cell, gate, previous, saved, &dh, &dc);
    if (at->starts) {
        TL_F starts = tl_load_starts(at->starts, column, n), now = TL_SPLAT(at->now);
        TL_UNROLL
        for (tl_size g = 0; g < tl_cell_gates(cell); g++)
            gate[g] = TL_PICK_LESS(now, starts, zero, gate[g]);
        dc = TL_PICK_LESS(now, starts, zero, dc);
        dh = TL_PICK_LESS(now, starts, zero, dh);
    }
    if (tl_cell_state(cell))
        tl_rows_store(at->dc, unit, column, n, dc);
    if (tl_cell_bypass(cell))
        tl_rows_store(at->dh, unit, column, n, dh);
    TL_UNROLL
    for (tl_size g = 0; g < tl_cell_gates(cell); g++)
        tl_rows_store(at->gates, g * at->hidden + unit, column, n, gate[g]);
}

TL_TEMPLATE void tl_step_backward(const unsigned int cell, const tl_backward_step *at) {
    for (tl_size unit = 0; unit < at->hidden; unit++) {
        tl_size column = 0;
        for (; at->columns - column >= TL_W; column += TL_W)
            tl_unit_backward(cell, TL_W, at, unit, column);
        if (column < at->columns)
            tl_unit_backward(cell, at->columns - column, at, unit, column);
    }
    tl_size sums = tl_cell_weights(cell) * at->hidden;
    tl_rows from_h = {at->gates.data + tl_cell_first_hh(cell) * at->hidden * at->gates.row, at->gates.row};
    tl_product to_h = {at->hidden, sums, at->columns, at->packed_hh, from_h, at->dh, tl_cell_bypass(cell) != 0};
    tl_transposed_product(&to_h);
    if (at->dx.data) {
        tl_product to_x = {at->inputs, sums, at->columns, at->packed_ih, at->gates, at->dx, false};
        tl_transposed_product(&to_x);
    }
}
