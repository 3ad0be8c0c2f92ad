/* Sums over columns: 16 lanes, slice by slice; see tally_gemm with B transposed, tally_reduce and tally_accumulate. */
#include "backend/cpu/sums.h"

/* What is summed over: the same columns in each of a number of runs (time steps), the columns cut into slices. */
typedef struct extent {
    size_t runs, columns, slice;
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
    size_t run, step, slice_step; /* strides; the last is 0 where all slices are the same */
    float *to;
    size_t to_row;
} right_row;

/* A tile of sums is in registers while a chunk of the runs is added to it; between chunks it is in memory. */
#if defined(__AVX512F__)
enum { TILE_ROWS = 4, TILE_COLUMNS = 6 };
#elif defined(__AVX2__)
enum { TILE_ROWS = 2, TILE_COLUMNS = 2 };
#else
enum { TILE_ROWS = 1, TILE_COLUMNS = 1 };
#endif
enum { TILE = TILE_ROWS * TILE_COLUMNS * TL_LANES };

/* The right sides of a chunk, NEAR rows by so many columns, stay in the first cache. */
enum { NEAR_ROWS = 24, CHUNK_COLUMNS = 256 };

/* The part of a sum that is on: length columns from first on in runs from run on. */
typedef struct chunk {
    size_t first, length, run, runs;
} chunk;

typedef struct dots {
    operand left;
    size_t rows;
    float alpha, beta;
} dots;

/* The columns behind the last whole 16: the other lanes are left as they are. */
TL_INLINE void rest_of_lanes(size_t columns, const float *const a[TILE_ROWS], size_t a_step,
                             const float *const b[TILE_COLUMNS], const right_row *right, size_t whole, size_t n,
                             float alpha, tl_vf acc[TILE_ROWS][TILE_COLUMNS][TL_PARTS]) {
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_ROWS; i++)
#pragma GCC unroll 6
        for (size_t j = 0; j < columns; j++) {
            float lanes[TL_LANES];
            for (size_t q = 0; q < TL_PARTS; q++)
                tl_v_store(lanes + q * TL_W, acc[i][j][q]);
            for (size_t p = whole; p < n; p++)
                lanes[p - whole] = tl_scalar_fma(alpha * a[i][p * a_step], b[j][p * right[j].step], lanes[p - whole]);
            for (size_t q = 0; q < TL_PARTS; q++)
                acc[i][j][q] = tl_v_load(lanes + q * TL_W);
        }
}

/* Adds a chunk to the sums of a tile of columns columns. Rows beyond the last repeat it. unit: all steps are 1, and alpha is 1. */
TL_INLINE void add_tile(size_t columns, bool unit, const dots *d, size_t row, const right_row *right, chunk c,
                        float *sums) {
    const float *a[TILE_ROWS], *b[TILE_COLUMNS];
    size_t a_step = unit ? 1 : d->left.step;
    tl_vf acc[TILE_ROWS][TILE_COLUMNS][TL_PARTS];
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_ROWS; i++) {
        size_t there = row + i < d->rows ? row + i : d->rows - 1;
        a[i] = d->left.data + there * d->left.row + c.run * d->left.run + c.first * a_step;
    }
#pragma GCC unroll 6
    for (size_t j = 0; j < columns; j++)
        b[j] = right[j].data + c.run * right[j].run + c.first * right[j].slice_step;
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_ROWS; i++)
#pragma GCC unroll 6
        for (size_t j = 0; j < columns; j++)
#pragma GCC unroll 4
            for (size_t q = 0; q < TL_PARTS; q++)
                acc[i][j][q] = tl_v_load(sums + (i * TILE_COLUMNS + j) * TL_LANES + q * TL_W);
    size_t whole = c.length - c.length % TL_LANES;
    for (size_t run = 0; run < c.runs; run++) {
        for (size_t p = 0; p < whole; p += TL_LANES)
#pragma GCC unroll 4
            for (size_t q = 0; q < TL_PARTS; q++) {
                tl_vf value[TILE_COLUMNS];
                size_t at = p + q * TL_W;
#pragma GCC unroll 6
                for (size_t j = 0; j < columns; j++)
                    value[j] =
                        unit ? tl_v_load(b[j] + at) : tl_v_load_some(b[j] + at * right[j].step, right[j].step, TL_W);
#pragma GCC unroll 4
                for (size_t i = 0; i < TILE_ROWS; i++) {
                    tl_vf left = tl_v_load_some(a[i] + at * a_step, a_step, TL_W);
                    if (!unit)
                        left = left * TL_SPLAT(d->alpha);
#pragma GCC unroll 6
                    for (size_t j = 0; j < columns; j++)
                        acc[i][j][q] = TL_FMA(left, value[j], acc[i][j][q]);
                }
            }
        if (whole < c.length)
            rest_of_lanes(columns, a, a_step, b, right, whole, c.length, d->alpha, acc);
#pragma GCC unroll 4
        for (size_t i = 0; i < TILE_ROWS; i++)
            a[i] += d->left.run;
#pragma GCC unroll 6
        for (size_t j = 0; j < columns; j++)
            b[j] += right[j].run;
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_ROWS; i++)
#pragma GCC unroll 6
        for (size_t j = 0; j < columns; j++)
#pragma GCC unroll 4
            for (size_t q = 0; q < TL_PARTS; q++)
                tl_v_store(sums + (i * TILE_COLUMNS + j) * TL_LANES + q * TL_W, acc[i][j][q]);
}

/* Of TILE_COLUMNS columns, or of what is left. */
static size_t add_widest(size_t left, bool unit, const dots *d, size_t row, const right_row *right, chunk c,
                         float *sums) {
    if (left >= TILE_COLUMNS) {
        if (unit)
            add_tile(TILE_COLUMNS, true, d, row, right, c, sums);
        else
            add_tile(TILE_COLUMNS, false, d, row, right, c, sums);
        return TILE_COLUMNS;
    }
    for (size_t j = 0; !unit && j < left; j++)
        add_tile(1, false, d, row, right + j, c, sums + j * TL_LANES);
    if (!unit)
        return left;
#if defined(__AVX512F__)
    if (left >= 4) {
        add_tile(4, true, d, row, right, c, sums);
        if (left == 5)
            add_tile(1, true, d, row, right + 4, c, sums + 4 * TL_LANES);
        return left;
    }
    if (left >= 2) {
        add_tile(2, true, d, row, right, c, sums);
        if (left == 3)
            add_tile(1, true, d, row, right + 2, c, sums + 2 * TL_LANES);
        return left;
    }
#endif
    add_tile(1, true, d, row, right, c, sums);
    return 1;
}

/* The whole sums of a slice. keep: how much of the result there is stays. */
static void finish(const dots *d, size_t row, size_t rows, const right_row *right, size_t columns, float keep,
                   const float *sums) {
    size_t tiles = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
    for (size_t i = 0; i < rows && row + i < d->rows; i++)
        for (size_t j = 0; j < columns; j++) {
            const float *lanes = sums + (i / TILE_ROWS * tiles + j / TILE_COLUMNS) * TILE;
            float *element = right[j].to + (row + i) * right[j].to_row;
            tl_vf part[TL_PARTS];
            lanes += (i % TILE_ROWS * TILE_COLUMNS + j % TILE_COLUMNS) * TL_LANES;
            for (int q = 0; q < TL_PARTS; q++)
                part[q] = tl_v_load(lanes + q * TL_W);
            float sum = tl_lanes_sum(part);
            *element = keep == 0.0f ? sum : tl_scalar_fma(keep, *element, sum);
        }
}

/* A block of the result, whose sums fit in scratch. */
static void add_block(const dots *d, bool unit, size_t row, size_t rows, const right_row *right, size_t columns,
                      extent over, float *sums) {
    size_t tiles = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS;
    size_t row_tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
    for (size_t first = 0; first < over.columns; first += over.slice) {
        size_t length = over.columns - first < over.slice ? over.columns - first : over.slice;
        size_t most = length < CHUNK_COLUMNS ? CHUNK_COLUMNS / length : 1;
        memset(sums, 0, row_tiles * tiles * TILE * sizeof *sums);
        for (size_t run = 0; run < over.runs; run += most) {
            chunk c = {first, length, run, over.runs - run < most ? over.runs - run : most};
            for (size_t near = 0; near < columns; near += NEAR_ROWS) {
                size_t end = columns - near < NEAR_ROWS ? columns : near + NEAR_ROWS;
                for (size_t i = 0; i < row_tiles; i++)
                    for (size_t j = near; j < end;)
                        j += add_widest(end - j, unit, d, row + i * TILE_ROWS, right + j, c,
                                        sums + (i * tiles + j / TILE_COLUMNS) * TILE);
            }
        }
        finish(d, row, rows, right, columns, first == 0 ? d->beta : 1.0f, sums);
    }
}

/* The right sides one behind another. */
typedef struct right_side {
    operand from;
    size_t slice_step, rows;
    target to;
} right_side;

typedef struct room {
    size_t rows, columns;
    float *sums;
} room;

/* to = beta to + the first slice's sums; then the others' added to it. */
static void all_dots(const dots *d, const right_side *sides, size_t count, extent over, room scratch) {
    right_row right[TL_SUMS_COLUMNS];
    bool unit = d->left.step == 1 && d->alpha == 1.0f;
    for (size_t s = 0; s < count; s++)
        unit &= sides[s].from.step == 1;
    for (size_t s = 0, next = 0; s < count;) {
        size_t columns = 0;
        while (s < count && columns < scratch.columns) {
            const right_side *side = &sides[s];
            right[columns++] =
                (right_row){side->from.data + next * side->from.row, side->from.run, side->from.step, side->slice_step,
                            side->to.data + next * side->to.column,  side->to.row};
            if (++next == side->rows) {
                s++;
                next = 0;
            }
        }
        for (size_t row = 0; row < d->rows; row += scratch.rows) {
            size_t rows = d->rows - row < scratch.rows ? d->rows - row : scratch.rows;
            add_block(d, unit, row, rows, right, columns, over, scratch.sums);
        }
    }
}

/* Where no scratch was given. */
enum { SMALL_ROWS = 16, SMALL_COLUMNS = NEAR_ROWS };

void tl_isa_gemm_dots(float alpha, const tally_tensor *a, bool transpose_a, const tally_tensor *b, float beta,
                      const tally_tensor *c) {
    size_t k = a->shape[transpose_a ? 0 : 1];
    dots d = {{tl_view_floats(a), a->stride[transpose_a ? 1 : 0], 0, a->stride[transpose_a ? 0 : 1]},
              c->shape[0],
              alpha,
              beta};
    right_side side = {{tl_view_floats(b), b->stride[0], 0, b->stride[1]},
                       b->stride[1],
                       c->shape[1],
                       {tl_view_floats(c), c->stride[0], c->stride[1]}};
    _Alignas(64) float sums[SMALL_ROWS * SMALL_COLUMNS * TL_LANES];
    all_dots(&d, &side, 1, (extent){1, k, k}, (room){SMALL_ROWS, SMALL_COLUMNS, sums});
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

tally_status tl_isa_reduce(const tally_tensor *x, float beta, const tally_tensor *out) {
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

/* A right side of ones, the same in every run and slice. */
static const float ones[TALLY_SLICE_COLUMNS] = {[0 ... TALLY_SLICE_COLUMNS - 1] = 1.0f};

static right_side right_of(const tl_sum_right *r) {
    const tally_tensor *to = r->gradient;
    if (!r->right)
        return (right_side){{ones, 0, 0, 1}, 0, 1, {tl_view_floats(to), to->stride[0], 0}};
    return (right_side){operand_of(r->right),
                        r->right->stride[2],
                        r->right->shape[0],
                        {tl_view_floats(to), to->stride[0], to->stride[1]}};
}

static void accumulate(const tally_tensor *left, const tl_sum_right *rights, size_t count, room scratch) {
    right_side sides[TL_SUMS_RIGHTS];
    for (size_t i = 0; i < count; i++)
        sides[i] = right_of(&rights[i]);
    dots d = {operand_of(left), left->shape[0], 1.0f, 1.0f};
    all_dots(&d, sides, count, (extent){left->shape[1], left->shape[2], TALLY_SLICE_COLUMNS}, scratch);
}

void tl_isa_accumulate_all(const tally_tensor *left, const tl_sum_right *rights, size_t count, float *scratch) {
    accumulate(left, rights, count, (room){TL_SUMS_ROWS, TL_SUMS_COLUMNS, scratch});
}

tally_status tl_isa_accumulate(const tally_tensor *left, const tally_tensor *right, const tally_tensor *gradient) {
    _Alignas(64) float sums[SMALL_ROWS * SMALL_COLUMNS * TL_LANES];
    accumulate(left, &(tl_sum_right){right, gradient}, 1, (room){SMALL_ROWS, SMALL_COLUMNS, sums});
    return TALLY_OK;
}
