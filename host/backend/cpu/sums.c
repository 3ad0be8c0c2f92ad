/* Sums over columns: 16 lanes a micro-batch, micro-batches by the tree; see tally_gemm with B transposed, tally_reduce
 * and tally_accumulate. */
#include "backend/cpu/sums.h"

/* What is summed over: the same columns in each of a number of runs (time steps), the columns cut into leaves of a
 * tree. */
typedef struct extent {
    size_t runs, columns, leaf;
} extent;

/* Rows of it. */
typedef struct operand {
    const float *data;
    size_t row, run, step; /* strides */
} operand;

typedef struct target {
    float *data;
    size_t row, column; /* strides */
} target;

/* A row of the right side and the column of the result that it gives. */
typedef struct right_row {
    const float *data;
    size_t run, step; /* strides */
    bool constant;    /* every 16 columns are the same */
    float *to;
    size_t to_row;
} right_row;

/* A tile of sums, of TILE_ROWS rows and at most TILE_COLUMNS columns, is in registers while a chunk is added to it; between chunks it is
 * in memory. */
#if defined(__AVX512F__)
enum { TILE_ROWS = 4, TILE_COLUMNS = 6 };
#elif defined(__AVX2__)
enum { TILE_ROWS = 4, TILE_COLUMNS = 3 };
#else
enum { TILE_ROWS = 2, TILE_COLUMNS = 2 };
#endif

/* So many packed rows of the right side stay in the first cache. */
enum { NEAR_ROWS = 18 };
static_assert(TL_SUMS_ROWS % TILE_ROWS == 0 && NEAR_ROWS % TILE_COLUMNS == 0, "blocks are whole tiles");

/* What is summed at a time: length columns from first on in each of runs runs from run on. */
typedef struct chunk {
    size_t first, length, run, runs;
} chunk;

typedef struct dots {
    operand left;
    size_t rows;
    float alpha, beta;
} dots;

/* Memory for the sums of a block of the result, for a chunk of either side, and for the partial sums
 * [level][row][column] of the tree. */
typedef struct room {
    size_t rows, columns;
    float *sums, *left, *right, *partials;
} room;

static size_t lane_groups(size_t columns) {
    return (columns + TL_LANES - 1) / TL_LANES;
}

/* 16 lanes of a row, times alpha; pad in those that the row does not have. */
TL_INLINE void pack_lanes(const float *from, size_t step, size_t n, float alpha, float pad, float *to) {
    if (step == 1 && n >= TL_LANES && alpha == 1.0f) {
        for (size_t q = 0; q < TL_PARTS; q++)
            tl_v_store(to + q * TL_W, tl_v_load(from + q * TL_W));
        return;
    }
    for (size_t l = 0; l < TL_LANES; l++)
        to[l] = l < n ? alpha * from[l * step] : pad;
}

/* Rows from row on for the tiles: [tile][16 columns of the chunk][row of the tile][lane]. Rows beyond the last repeat it. They are read
 * in the order in which a step's rows lie in memory. */
static void pack_left(const dots *d, size_t row, size_t rows, chunk c, float *to) {
    size_t a_run = lane_groups(c.length) * TILE_ROWS * TL_LANES;
    for (size_t run = 0; run < c.runs; run++)
        for (size_t i = 0; i < rows; i++) {
            size_t there = row + i < d->rows ? row + i : d->rows - 1;
            const float *from = d->left.data + there * d->left.row + (c.run + run) * d->left.run;
            float *lanes = to + i / TILE_ROWS * c.runs * a_run + run * a_run + i % TILE_ROWS * TL_LANES;
            for (size_t p = 0; p < c.length; p += TL_LANES, lanes += TILE_ROWS * TL_LANES)
                pack_lanes(from + (c.first + p) * d->left.step, d->left.step, c.length - p, d->alpha, 0.0f, lanes);
        }
}

/* How many columns a tile has where so many are left. */
static size_t tile_width(size_t left) {
    return left >= TILE_COLUMNS ? TILE_COLUMNS : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* The same for the right side, tiles of tile_width(). A lane that is not there adds 0 times -0: it changes no sum, not even -0. */
static void pack_right(const right_row *right, size_t columns, chunk c, float *to) {
    size_t groups = lane_groups(c.length);
    for (size_t run = 0; run < c.runs; run++)
        for (size_t j = 0, width; j < columns; j += width) {
            width = tile_width(columns - j);
            for (size_t k = 0; k < width; k++) {
                const right_row *r = &right[j + k];
                const float *from = r->data + (c.run + run) * r->run;
                float *lanes = to + (j * c.runs + run * width) * groups * TL_LANES + k * TL_LANES;
                for (size_t p = 0; p < c.length; p += TL_LANES, lanes += width * TL_LANES)
                    pack_lanes(from + (r->constant ? 0 : (c.first + p) * r->step), r->step, c.length - p, 1.0f, -0.0f,
                               lanes);
            }
        }
}

/* Where a tile's left side lies: strides of its runs, of 16 columns in a run, and of its rows. */
typedef struct left_tile {
    const float *data;
    size_t run, group, row;
} left_tile;

/* Adds runs of groups of 16 columns to the sums [column][row][lane] of a tile. right is packed. */
TL_INLINE void add_tile(size_t columns, size_t runs, size_t groups, left_tile left, const float *right, float *sums) {
    for (size_t q = 0; q < TL_PARTS; q++) {
        tl_vf acc[TILE_ROWS][TILE_COLUMNS];
        const float *b = right + q * TL_W;
        float *part = sums + q * TL_W;
#pragma GCC unroll 6
        for (size_t j = 0; j < columns; j++)
#pragma GCC unroll 4
            for (size_t i = 0; i < TILE_ROWS; i++)
                acc[i][j] = tl_v_load(part + (j * TILE_ROWS + i) * TL_LANES);
        for (size_t run = 0; run < runs; run++) {
            const float *a = left.data + run * left.run + q * TL_W;
            for (size_t k = 0; k < groups; k++, a += left.group, b += columns * TL_LANES) {
                tl_vf value[TILE_COLUMNS];
#pragma GCC unroll 6
                for (size_t j = 0; j < columns; j++)
                    value[j] = tl_v_load(b + j * TL_LANES);
#pragma GCC unroll 4
                for (size_t i = 0; i < TILE_ROWS; i++) {
                    tl_vf row = tl_v_load(a + i * left.row);
#pragma GCC unroll 6
                    for (size_t j = 0; j < columns; j++)
                        acc[i][j] = TL_FMA(row, value[j], acc[i][j]);
                }
            }
        }
#pragma GCC unroll 6
        for (size_t j = 0; j < columns; j++)
#pragma GCC unroll 4
            for (size_t i = 0; i < TILE_ROWS; i++)
                tl_v_store(part + (j * TILE_ROWS + i) * TL_LANES, acc[i][j]);
    }
}

static void add_tile_of(size_t width, size_t runs, size_t groups, left_tile left, const float *right, float *sums) {
    if (width == TILE_COLUMNS)
        add_tile(TILE_COLUMNS, runs, groups, left, right, sums);
    else if (TILE_COLUMNS > 4 && width == 4)
        add_tile(TILE_COLUMNS > 4 ? 4 : 1, runs, groups, left, right, sums);
    else if (width == 2)
        add_tile(2, runs, groups, left, right, sums);
    else
        add_tile(1, runs, groups, left, right, sums);
}

/* Whether the left side's tiles can be read where they are: whole lanes of whole tiles. */
static bool in_place(const dots *d, chunk c) {
    return d->left.step == 1 && d->alpha == 1.0f && c.length % TL_LANES == 0 && d->rows % TILE_ROWS == 0;
}

/* The left side's tile of rows from first + i on, where it is or packed. */
static left_tile tile_at(const dots *d, size_t first, size_t i, chunk c, const float *packed) {
    size_t groups = lane_groups(c.length);
    if (!packed)
        return (left_tile){d->left.data + (first + i) * d->left.row + c.run * d->left.run + c.first, d->left.run,
                           TL_LANES, d->left.row};
    return (left_tile){packed + i * c.runs * groups * TL_LANES, groups * TILE_ROWS * TL_LANES, TILE_ROWS * TL_LANES,
                       TL_LANES};
}

/* Adds a chunk to the sums [tile of rows][column][row of the tile][lane] of the rows from first on. */
static void add_chunk(const dots *d, size_t first, size_t rows, const right_row *right, size_t columns, chunk c,
                      room at) {
    size_t groups = lane_groups(c.length);
    float *packed = in_place(d, c) ? NULL : at.left;
    if (packed)
        pack_left(d, first, rows, c, packed);
    pack_right(right, columns, c, at.right);
    for (size_t near = 0; near < columns; near += NEAR_ROWS) {
        size_t end = columns - near < NEAR_ROWS ? columns : near + NEAR_ROWS;
        for (size_t i = 0; i < rows; i += TILE_ROWS) {
            left_tile left = tile_at(d, first, i, c, packed);
            for (size_t j = near, width; j < end; j += width) {
                width = tile_width(end - j);
                add_tile_of(width, c.runs, groups, left, at.right + j * c.runs * groups * TL_LANES,
                            at.sums + (i * columns + j * TILE_ROWS) * TL_LANES);
            }
        }
    }
}

/* A leaf of the tree: its number, and whether it is the last. */
typedef struct leaf {
    size_t number;
    bool last;
} leaf;

/* Halves the lanes of a leaf's sums and adds them to the tree; after the last leaf the tree's sums to the result. */
static void finish(const dots *d, size_t row, size_t rows, const right_row *right, size_t columns, leaf of, room at) {
    const size_t level_size = at.rows * at.columns;
    for (size_t i = 0; i < rows && row + i < d->rows; i++)
        for (size_t j = 0; j < columns; j++) {
            const float *lanes = at.sums + ((i / TILE_ROWS * columns + j) * TILE_ROWS + i % TILE_ROWS) * TL_LANES;
            tl_vf part[TL_PARTS];
            for (int q = 0; q < TL_PARTS; q++)
                part[q] = tl_v_load(lanes + q * TL_W);
            float sum = tl_lanes_sum(part), *partials = at.partials + i * columns + j;
#define PARTIAL(level) partials[(level)*level_size]
            TL_TREE_ADD(of.number, of.last, sum, PARTIAL);
#undef PARTIAL
            if (!of.last)
                continue;
            float *element = right[j].to + (row + i) * right[j].to_row;
            *element = d->beta == 0.0f ? sum : tl_scalar_fma(d->beta, *element, sum);
        }
}

/* A block of the result, leaf by leaf. */
static void add_block(const dots *d, size_t row, size_t rows, const right_row *right, size_t columns, extent over,
                      room at) {
    rows = (rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    for (size_t first = 0, number = 0; first < over.columns; first += over.leaf, number++) {
        size_t left = over.columns - first, length = left < over.leaf ? left : over.leaf;
        size_t most = length < TL_SUMS_CHUNK ? TL_SUMS_CHUNK / (lane_groups(length) * TL_LANES) : 1;
        memset(at.sums, 0, rows * columns * TL_LANES * sizeof *at.sums);
        for (size_t run = 0; run < over.runs; run += most)
            for (size_t p = 0; p < length; p += TL_SUMS_CHUNK) {
                chunk c = {first + p, length - p < TL_SUMS_CHUNK ? length - p : TL_SUMS_CHUNK, run,
                           over.runs - run < most ? over.runs - run : most};
                add_chunk(d, row, rows, right, columns, c, at);
            }
        finish(d, row, rows, right, columns, (leaf){number, left == length}, at);
    }
}

/* The right sides one behind another. */
typedef struct right_side {
    operand from;
    bool constant;
    size_t rows;
    target to;
} right_side;

/* to = beta to + the sums of the tree. */
static void all_dots(const dots *d, const right_side *sides, size_t count, extent over, room at) {
    right_row right[TL_SUMS_COLUMNS];
    for (size_t s = 0, next = 0; s < count;) {
        size_t columns = 0;
        while (s < count && columns < at.columns) {
            const right_side *side = &sides[s];
            right[columns++] =
                (right_row){side->from.data + next * side->from.row, side->from.run, side->from.step, side->constant,
                            side->to.data + next * side->to.column,  side->to.row};
            if (++next == side->rows) {
                s++;
                next = 0;
            }
        }
        for (size_t row = 0; row < d->rows; row += at.rows)
            add_block(d, row, d->rows - row < at.rows ? d->rows - row : at.rows, right, columns, over, at);
    }
}

static room room_in(float *scratch, size_t rows, size_t columns) {
    float *left = scratch + rows * columns * TL_LANES, *right = left + rows * TL_SUMS_CHUNK;
    return (room){rows, columns, scratch, left, right, right + columns * TL_SUMS_CHUNK};
}

/* Where no scratch was given: blocks of FEW_ROWS instead of SMALL_ROWS where the tree has more than SMALL_LEVELS. */
enum {
    SMALL_ROWS = 16,
    FEW_ROWS = 4,
    SMALL_COLUMNS = NEAR_ROWS,
    SMALL_LEVELS = 16,
    SMALL_SCRATCH = TL_SUMS_SCRATCH_OF(SMALL_ROWS, SMALL_COLUMNS, SMALL_LEVELS)
};
static_assert(TL_TREE_LEVELS * FEW_ROWS <= SMALL_LEVELS * SMALL_ROWS && FEW_ROWS % TILE_ROWS == 0,
              "the partial sums of any tree fit");

void TL_ISA_NAME(gemm_dots)(float alpha, const tally_tensor *a, bool transpose_a, const tally_tensor *b, float beta,
                            const tally_tensor *c) {
    size_t k = a->shape[transpose_a ? 0 : 1];
    dots d = {{tl_view_floats(a), a->stride[transpose_a ? 1 : 0], 0, a->stride[transpose_a ? 0 : 1]},
              c->shape[0],
              alpha,
              beta};
    right_side side = {{tl_view_floats(b), b->stride[0], 0, b->stride[1]},
                       false,
                       c->shape[1],
                       {tl_view_floats(c), c->stride[0], c->stride[1]}};
    float scratch[SMALL_SCRATCH];
    all_dots(&d, &side, 1, (extent){1, k, k}, room_in(scratch, SMALL_ROWS, SMALL_COLUMNS));
}

static float row_sum(const float *row, size_t step, size_t n) {
    size_t whole = n - n % TL_LANES;
    tl_vf acc[TL_PARTS];
    for (int q = 0; q < TL_PARTS; q++)
        acc[q] = TL_SPLAT(0.0f);
    for (size_t p = 0; p < whole; p += TL_LANES)
        for (size_t q = 0; q < TL_PARTS; q++)
            acc[q] = acc[q] + tl_v_load_some(row + (p + q * TL_W) * step, step, TL_W);
    if (whole == n)
        return tl_lanes_sum(acc);
    float lanes[TL_LANES];
    for (int q = 0; q < TL_PARTS; q++)
        tl_v_store(lanes + q * TL_W, acc[q]);
    for (size_t p = whole; p < n; p++)
        lanes[p - whole] += row[p * step];
    for (int q = 0; q < TL_PARTS; q++)
        acc[q] = tl_v_load(lanes + q * TL_W);
    return tl_lanes_sum(acc);
}

tally_status TL_ISA_NAME(reduce)(const tally_tensor *x, float beta, const tally_tensor *out) {
    operand rows = {tl_view_floats(x), x->stride[0], 0, x->stride[1]};
    for (size_t m = 0; m < x->shape[0]; m++) {
        float sum = row_sum(rows.data + m * rows.row, rows.step, x->shape[1]);
        float *element = tl_view_floats(out) + m * out->stride[0];
        *element = beta == 0.0f ? sum : tl_scalar_fma(beta, *element, sum);
    }
    return TALLY_OK;
}

static operand operand_of(const tally_tensor *t) {
    return (operand){tl_view_floats(t), t->stride[0], t->stride[1], t->stride[2]};
}

/* A right side of ones, the same in every run and leaf. */
static const float ones[TL_LANES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

static right_side right_of(const tl_sum_right *r) {
    const tally_tensor *to = r->gradient;
    if (!r->right)
        return (right_side){{ones, 0, 0, 1}, true, 1, {tl_view_floats(to), to->stride[0], 0}};
    return (right_side){
        operand_of(r->right), false, r->right->shape[0], {tl_view_floats(to), to->stride[0], to->stride[1]}};
}

static void accumulate(const tally_tensor *left, const tl_sum_right *rights, size_t count, room scratch) {
    right_side sides[TL_SUMS_RIGHTS];
    for (size_t i = 0; i < count; i++)
        sides[i] = right_of(&rights[i]);
    dots d = {operand_of(left), left->shape[0], 1.0f, 1.0f};
    all_dots(&d, sides, count, (extent){left->shape[1], left->shape[2], TALLY_SLICE_COLUMNS}, scratch);
}

void TL_ISA_NAME(accumulate_all)(const tally_tensor *left, const tl_sum_right *rights, size_t count, float *scratch) {
    accumulate(left, rights, count, room_in(scratch, TL_SUMS_ROWS, TL_SUMS_COLUMNS));
}

tally_status TL_ISA_NAME(accumulate)(const tally_tensor *left, const tally_tensor *right,
                                     const tally_tensor *gradient) {
    float scratch[SMALL_SCRATCH];
    size_t rows = tl_leaf_levels(left->shape[2]) <= SMALL_LEVELS ? SMALL_ROWS : FEW_ROWS;
    accumulate(left, &(tl_sum_right){right, gradient}, 1, room_in(scratch, rows, SMALL_COLUMNS));
    return TALLY_OK;
}
