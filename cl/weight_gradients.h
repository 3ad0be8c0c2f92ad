/* weight_gradients.h: sums of products over columns, the gradients of weights, read by the C compiler and by the OpenCL
 * compiler.
 *
 * An element of the result is the sum over time steps and columns of a row of the left operand times a row of the right
 * one. It has 16 lanes, column n in lane n mod 16, which are halved 8, 4, 2, 1 at the end. A tile of a few rows and
 * columns of the result is in registers while a panel of packed columns is added to it; between panels the tiles of a
 * block are in memory, 64 bytes an element, which stay in the second cache.
 *
 * Needs what recurrent.h needs, and tl_lanes_sum of TL_PARTS vectors.
 */
#define TL_TILE_ROWS 4
#define TL_TILE_COLUMNS (TL_W == 16 ? 6 : 3)

/* So many packed rows of the right operand, of a whole panel, stay in the first cache. */
#define TL_NEAR_ROWS 18

/* Rows of an operand over time steps and columns. */
typedef struct tl_operand {
    TL_GLOBAL const float *data; /* without data: all ones */
    tl_size row, step, column;   /* strides */
} tl_operand;

/* A row of the right operand, and the column of the result that it gives. */
typedef struct tl_right_row {
    TL_GLOBAL const float *data; /* without data: all ones */
    tl_size step, column;        /* strides */
    TL_GLOBAL float *to;
    tl_size to_row;
} tl_right_row;

/* A right operand, its number of rows, and where its part of the result goes. */
typedef struct tl_right_operand {
    tl_operand from;
    tl_size rows;
    TL_GLOBAL float *to;
    tl_size to_row, to_column; /* strides */
} tl_right_operand;

/* The left operand. alpha is multiplied first, rounded. */
typedef struct tl_left_operand {
    tl_operand from;
    tl_size rows;
    float alpha;
} tl_left_operand;

/* The columns that are added at a time: `columns` from column on, in each of `steps` steps from step on. */
typedef struct tl_panel {
    tl_size column, columns, step, steps;
} tl_panel;

/* Memory for the sums of a block of rows by columns, and for a panel of either operand: TL_SUM_WORKSPACE_OF(rows,
 * columns) floats. */
typedef struct tl_sum_workspace {
    tl_size rows, columns;
    TL_GLOBAL float *sums, *left, *right;
} tl_sum_workspace;

TL_FUNCTION tl_sum_workspace tl_sum_workspace_in(TL_GLOBAL float *memory, tl_size rows, tl_size columns) {
    tl_sum_workspace at = {rows, columns, memory, memory + rows * columns * TL_LANES,
                           memory + rows * columns * TL_LANES + rows * TL_SUM_PANEL};
    return at;
}

TL_FUNCTION tl_size tl_lane_groups(tl_size columns) {
    return (columns + TL_LANES - 1) / TL_LANES;
}

/* 16 columns of a row, n of which there are, times alpha; pad for the others. */
TL_TEMPLATE void tl_pack_lanes(TL_GLOBAL const float *from, tl_size column, tl_size n, float alpha, float pad,
                               TL_GLOBAL float *to) {
    if (from && column == 1 && n >= TL_LANES && alpha == 1.0f) {
        for (tl_size q = 0; q < TL_PARTS; q++)
            TL_PUT(TL_GET(from + q * TL_W), to + q * TL_W);
        return;
    }
    for (tl_size l = 0; l < TL_LANES; l++)
        to[l] = l >= n ? pad : from ? alpha * from[l * column] : 1.0f;
}

/* Rows from row on for the tiles: [tile][step][16 columns][row of the tile][lane]. Rows beyond the last repeat it. They
 * are read in the order in which the rows of a step lie in memory. */
TL_FUNCTION void tl_pack_left(const tl_left_operand *left, tl_size row, tl_size rows, const tl_panel *p,
                         TL_GLOBAL float *to) {
    tl_size step_floats = tl_lane_groups(p->columns) * TL_TILE_ROWS * TL_LANES;
    for (tl_size step = 0; step < p->steps; step++)
        for (tl_size i = 0; i < rows; i++) {
            tl_size from_row = row + i < left->rows ? row + i : left->rows - 1;
            TL_GLOBAL const float *from =
                left->from.data + from_row * left->from.row + (p->step + step) * left->from.step;
            TL_GLOBAL float *lanes =
                to + (i / TL_TILE_ROWS * p->steps + step) * step_floats + i % TL_TILE_ROWS * TL_LANES;
            for (tl_size c = 0; c < p->columns; c += TL_LANES, lanes += TL_TILE_ROWS * TL_LANES)
                tl_pack_lanes(from + (p->column + c) * left->from.column, left->from.column, p->columns - c,
                              left->alpha, 0.0f, lanes);
        }
}

/* How many columns a tile has where so many are left. */
TL_FUNCTION tl_size tl_tile_width(tl_size left) {
    return left >= TL_TILE_COLUMNS ? TL_TILE_COLUMNS : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* The same for the right operand, in tiles of tl_tile_width. A column that there is not adds 0 times -0, which changes
 * no sum, not even -0. */
TL_FUNCTION void tl_pack_right(const tl_right_row *right, tl_size columns, const tl_panel *p, TL_GLOBAL float *to) {
    tl_size groups = tl_lane_groups(p->columns);
    for (tl_size step = 0; step < p->steps; step++)
        for (tl_size j = 0, width; j < columns; j += width) {
            width = tl_tile_width(columns - j);
            for (tl_size k = 0; k < width; k++) {
                const tl_right_row *r = &right[j + k];
                TL_GLOBAL const float *from =
                    r->data ? r->data + (p->step + step) * r->step + p->column * r->column : 0;
                TL_GLOBAL float *lanes =
                    to + (j * p->steps + step * width) * groups * TL_LANES + k * TL_LANES;
                for (tl_size c = 0; c < p->columns; c += TL_LANES, lanes += width * TL_LANES)
                    tl_pack_lanes(from ? from + c * r->column : 0, r->column, p->columns - c, 1.0f, -0.0f, lanes);
            }
        }
}

/* Where the left operand of a tile lies: strides of its steps, of 16 columns in a step, and of its rows. */
typedef struct tl_left_tile {
    TL_GLOBAL const float *data;
    tl_size step, group, row;
} tl_left_tile;

/* Adds steps of groups of 16 columns to the sums [column][row][lane] of a tile. right is packed. */
TL_TEMPLATE void tl_add_tile(const tl_size columns, tl_size steps, tl_size groups, const tl_left_tile left,
                             TL_GLOBAL const float *right, TL_GLOBAL float *sums) {
    for (tl_size q = 0; q < TL_PARTS; q++) {
        TL_F acc[TL_TILE_ROWS][TL_TILE_COLUMNS];
        TL_GLOBAL const float *b = right + q * TL_W;
        TL_GLOBAL float *part = sums + q * TL_W;
        TL_UNROLL
        for (tl_size j = 0; j < columns; j++)
            TL_UNROLL
            for (tl_size i = 0; i < TL_TILE_ROWS; i++)
                acc[i][j] = TL_GET(part + (j * TL_TILE_ROWS + i) * TL_LANES);
        for (tl_size step = 0; step < steps; step++) {
            TL_GLOBAL const float *a = left.data + step * left.step + q * TL_W;
            for (tl_size k = 0; k < groups; k++, a += left.group, b += columns * TL_LANES) {
                TL_F value[TL_TILE_COLUMNS];
                TL_UNROLL
                for (tl_size j = 0; j < columns; j++)
                    value[j] = TL_GET(b + j * TL_LANES);
                TL_UNROLL
                for (tl_size i = 0; i < TL_TILE_ROWS; i++) {
                    TL_F row = TL_GET(a + i * left.row);
                    TL_UNROLL
                    for (tl_size j = 0; j < columns; j++)
                        acc[i][j] = TL_FMA(row, value[j], acc[i][j]);
                }
            }
        }
        TL_UNROLL
        for (tl_size j = 0; j < columns; j++)
            TL_UNROLL
            for (tl_size i = 0; i < TL_TILE_ROWS; i++)
                TL_PUT(acc[i][j], part + (j * TL_TILE_ROWS + i) * TL_LANES);
    }
}

TL_FUNCTION void tl_add_tile_of(tl_size width, tl_size steps, tl_size groups, const tl_left_tile left,
                           TL_GLOBAL const float *right, TL_GLOBAL float *sums) {
    if (width == TL_TILE_COLUMNS)
        tl_add_tile(TL_TILE_COLUMNS, steps, groups, left, right, sums);
#if TL_W == 16
    else if (width == 4)
        tl_add_tile(4, steps, groups, left, right, sums);
#endif
    else if (width == 2)
        tl_add_tile(2, steps, groups, left, right, sums);
    else
        tl_add_tile(1, steps, groups, left, right, sums);
}

/* Whether the tiles of the left operand can be read where they are: whole lanes of whole tiles. */
TL_FUNCTION bool tl_left_in_place(const tl_left_operand *left, const tl_panel *p) {
    return left->from.column == 1 && left->alpha == 1.0f && p->columns % TL_LANES == 0 &&
           left->rows % TL_TILE_ROWS == 0;
}

/* The left operand of the tile of rows from row + i on, where it is or packed. */
TL_TEMPLATE tl_left_tile tl_left_tile_at(const tl_left_operand *left, tl_size row, tl_size i, const tl_panel *p,
                                         TL_GLOBAL const float *packed) {
    tl_size groups = tl_lane_groups(p->columns);
    tl_left_tile in_place = {left->from.data + (row + i) * left->from.row + p->step * left->from.step + p->column,
                             left->from.step, TL_LANES, left->from.row};
    if (!packed)
        return in_place;
    tl_left_tile in_panel = {packed + i * p->steps * groups * TL_LANES, groups * TL_TILE_ROWS * TL_LANES,
                             TL_TILE_ROWS * TL_LANES, TL_LANES};
    return in_panel;
}

/* Adds a panel to the sums [tile of rows][column][row of the tile][lane] of the rows from row on. */
TL_FUNCTION void tl_add_panel(const tl_left_operand *left, tl_size row, tl_size rows, const tl_right_row *right,
                         tl_size columns, const tl_panel *p, const tl_sum_workspace *at) {
    tl_size groups = tl_lane_groups(p->columns);
    TL_GLOBAL float *packed = tl_left_in_place(left, p) ? 0 : at->left;
    if (packed)
        tl_pack_left(left, row, rows, p, packed);
    tl_pack_right(right, columns, p, at->right);
    for (tl_size near = 0; near < columns; near += TL_NEAR_ROWS) {
        tl_size end = columns - near < TL_NEAR_ROWS ? columns : near + TL_NEAR_ROWS;
        for (tl_size i = 0; i < rows; i += TL_TILE_ROWS) {
            tl_left_tile tile = tl_left_tile_at(left, row, i, p, packed);
            for (tl_size j = near, width; j < end; j += width) {
                width = tl_tile_width(end - j);
                tl_add_tile_of(width, p->steps, groups, tile, at->right + j * p->steps * groups * TL_LANES,
                               at->sums + (i * columns + j * TL_TILE_ROWS) * TL_LANES);
            }
        }
    }
}

/* The sums of a block, rows (whole tiles) by columns, over `columns_summed` columns from column on in all steps. */
TL_FUNCTION void tl_sum_columns(const tl_left_operand *left, tl_size row, tl_size rows, const tl_right_row *right,
                           tl_size columns, tl_size steps, tl_size column, tl_size columns_summed,
                           const tl_sum_workspace *at) {
    tl_size most_steps = columns_summed < TL_SUM_PANEL ? TL_SUM_PANEL / (tl_lane_groups(columns_summed) * TL_LANES) : 1;
    for (tl_size i = 0; i < rows * columns * TL_LANES; i += TL_W)
        TL_PUT(TL_SPLAT(0.0f), at->sums + i);
    for (tl_size step = 0; step < steps; step += most_steps)
        for (tl_size c = 0; c < columns_summed; c += TL_SUM_PANEL) {
            tl_panel p = {column + c, columns_summed - c < TL_SUM_PANEL ? columns_summed - c : TL_SUM_PANEL, step,
                          steps - step < most_steps ? steps - step : most_steps};
            tl_add_panel(left, row, rows, right, columns, &p, at);
        }
}

/* An element of a block whose sums are complete. */
TL_TEMPLATE float tl_block_sum(const tl_sum_workspace *at, tl_size columns, tl_size i, tl_size j) {
    TL_GLOBAL const float *lanes =
        at->sums + ((i / TL_TILE_ROWS * columns + j) * TL_TILE_ROWS + i % TL_TILE_ROWS) * TL_LANES;
    TL_F part[TL_PARTS];
    TL_UNROLL
    for (tl_size q = 0; q < TL_PARTS; q++)
        part[q] = TL_GET(lanes + q * TL_W);
    return tl_lanes_sum(part);
}

/* The next rows of the right operands, at most `most`: where they are, counted on in *operand and *row. Returns how
 * many. */
TL_FUNCTION tl_size tl_next_right_rows(const tl_right_operand *operands, tl_size count, tl_size most, tl_size *operand,
                                  tl_size *row, tl_right_row *rows) {
    tl_size n = 0;
    for (; *operand < count && n < most; n++) {
        const tl_right_operand *o = &operands[*operand];
        tl_right_row next = {o->from.data ? o->from.data + *row * o->from.row : 0, o->from.step, o->from.column,
                             o->to + *row * o->to_column, o->to_row};
        rows[n] = next;
        if (++*row == o->rows) {
            ++*operand;
            *row = 0;
        }
    }
    return n;
}
