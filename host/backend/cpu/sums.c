/* Sums over columns: 16 lanes, slice by slice; see tally_gemm with B transposed, tally_reduce and tally_accumulate. */
#include "backend/cpu/kernels.h"

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

/* A tile of sums stays in registers while a slice runs. */
#if defined(__AVX512F__)
enum { TILE_ROWS = 4, TILE_COLUMNS = 6 };
#elif defined(__AVX2__)
enum { TILE_ROWS = 2, TILE_COLUMNS = 2 };
#else
enum { TILE_ROWS = 1, TILE_COLUMNS = 1 };
#endif

typedef struct dot_tile {
    const float *a[TILE_ROWS], *b[TILE_COLUMNS]; /* rows beyond the matrix repeat its last */
} dot_tile;

/* The columns behind the last whole 16: the other lanes are left as they are. */
TL_INLINE void dot_rest(size_t columns, const dot_tile *tile, operand a, operand b, size_t whole, size_t n, float alpha,
                        tl_vf acc[TILE_ROWS][TILE_COLUMNS][TL_PARTS]) {
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_ROWS; i++)
#pragma GCC unroll 6
        for (size_t j = 0; j < columns; j++) {
            float lanes[TL_LANES];
            for (size_t q = 0; q < TL_PARTS; q++)
                tl_v_store(lanes + q * TL_W, acc[i][j][q]);
            for (size_t p = whole; p < n; p++)
                lanes[p - whole] =
                    tl_scalar_fma(alpha * tile->a[i][p * a.step], tile->b[j][p * b.step], lanes[p - whole]);
            for (size_t q = 0; q < TL_PARTS; q++)
                acc[i][j][q] = tl_v_load(lanes + q * TL_W);
        }
}

/* One slice. */
TL_INLINE void dot_sums(size_t columns, dot_tile tile, operand a, operand b, size_t runs, size_t n, float alpha,
                        float sums[TILE_ROWS][TILE_COLUMNS]) {
    tl_vf acc[TILE_ROWS][TILE_COLUMNS][TL_PARTS];
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_ROWS; i++)
#pragma GCC unroll 6
        for (size_t j = 0; j < columns; j++)
#pragma GCC unroll 4
            for (size_t q = 0; q < TL_PARTS; q++)
                acc[i][j][q] = TL_SPLAT(0.0f);
    size_t whole = n - n % TL_LANES;
    for (size_t run = 0; run < runs; run++) {
        for (size_t p = 0; p < whole; p += TL_LANES)
#pragma GCC unroll 4
            for (size_t q = 0; q < TL_PARTS; q++) {
                tl_vf right[TILE_COLUMNS];
#pragma GCC unroll 6
                for (size_t j = 0; j < columns; j++)
                    right[j] = tl_v_load_some(tile.b[j] + (p + q * TL_W) * b.step, b.step, TL_W);
#pragma GCC unroll 4
                for (size_t i = 0; i < TILE_ROWS; i++) {
                    tl_vf left = tl_v_load_some(tile.a[i] + (p + q * TL_W) * a.step, a.step, TL_W) * TL_SPLAT(alpha);
#pragma GCC unroll 6
                    for (size_t j = 0; j < columns; j++)
                        acc[i][j][q] = TL_FMA(left, right[j], acc[i][j][q]);
                }
            }
        if (whole < n)
            dot_rest(columns, &tile, a, b, whole, n, alpha, acc);
        for (size_t i = 0; i < TILE_ROWS; i++)
            tile.a[i] += a.run;
        for (size_t j = 0; j < columns; j++)
            tile.b[j] += b.run;
    }
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_ROWS; i++)
#pragma GCC unroll 6
        for (size_t j = 0; j < columns; j++)
            sums[i][j] = tl_lanes_sum(acc[i][j]);
}

static void dot_slice(size_t columns, const dot_tile *tile, operand a, operand b, size_t runs, size_t n, float alpha,
                      float sums[TILE_ROWS][TILE_COLUMNS]) {
    if (a.step != 1 || b.step != 1) {
        dot_sums(TILE_COLUMNS, *tile, a, b, runs, n, alpha, sums);
        return;
    }
    a.step = b.step = 1;
    if (columns == 1)
        dot_sums(1, *tile, a, b, runs, n, alpha, sums);
    else
        dot_sums(TILE_COLUMNS, *tile, a, b, runs, n, alpha, sums);
}

/* Where the runs lie behind one another and are whole lanes, they are one. */
static extent joined(extent over, operand a, operand b) {
    if (over.slice >= over.columns && over.columns % TL_LANES == 0 && a.run == over.columns * a.step &&
        b.run == over.columns * b.step)
        return (extent){1, over.runs * over.columns, over.runs * over.columns};
    return over;
}

/* c = beta c + the first slice's sums; then the others' added to it. */
static void dots(size_t m, size_t n, extent over, float alpha, operand a, operand b, float beta, target c) {
    over = joined(over, a, b);
    for (size_t i = 0; i < m; i += TILE_ROWS)
        for (size_t j = 0; j < n; j += TILE_COLUMNS)
            for (size_t first = 0; first < over.columns; first += over.slice) {
                size_t rows = m - i < TILE_ROWS ? m - i : TILE_ROWS;
                size_t columns = n - j < TILE_COLUMNS ? n - j : TILE_COLUMNS;
                size_t length = over.columns - first < over.slice ? over.columns - first : over.slice;
                dot_tile tile;
                for (size_t r = 0; r < TILE_ROWS; r++)
                    tile.a[r] = a.data + (i + (r < rows ? r : rows - 1)) * a.row + first * a.step;
                for (size_t s = 0; s < TILE_COLUMNS; s++)
                    tile.b[s] = b.data + (j + (s < columns ? s : columns - 1)) * b.row + first * b.step;
                float sums[TILE_ROWS][TILE_COLUMNS], keep = first == 0 ? beta : 1.0f;
                dot_slice(columns, &tile, a, b, over.runs, length, alpha, sums);
                for (size_t r = 0; r < rows; r++)
                    for (size_t s = 0; s < columns; s++) {
                        float *element = c.data + (i + r) * c.row + (j + s) * c.column;
                        *element = keep == 0.0f ? sums[r][s] : tl_scalar_fma(keep, *element, sums[r][s]);
                    }
            }
}

void tl_isa_gemm_dots(float alpha, const tally_tensor *a, bool transpose_a, const tally_tensor *b, float beta,
                      const tally_tensor *c) {
    size_t k = a->shape[transpose_a ? 0 : 1];
    operand left = {tl_view_floats(a), a->stride[transpose_a ? 1 : 0], 0, a->stride[transpose_a ? 0 : 1]};
    operand right = {tl_view_floats(b), b->stride[0], 0, b->stride[1]};
    dots(c->shape[0], c->shape[1], (extent){1, k, k}, alpha, left, right, beta,
         (target){tl_view_floats(c), c->stride[0], c->stride[1]});
}

static float row_sum(const float *row, operand x, size_t runs, size_t n) {
    size_t whole = n - n % TL_LANES;
    tl_vf acc[TL_PARTS];
    for (int q = 0; q < TL_PARTS; q++)
        acc[q] = TL_SPLAT(0.0f);
    for (size_t run = 0; run < runs; run++, row += x.run) {
        for (size_t p = 0; p < whole; p += TL_LANES)
            for (size_t q = 0; q < TL_PARTS; q++)
                acc[q] = acc[q] + tl_v_load_some(row + (p + q * TL_W) * x.step, x.step, TL_W);
        if (whole == n)
            continue;
        float lanes[TL_LANES];
        for (int q = 0; q < TL_PARTS; q++)
            tl_v_store(lanes + q * TL_W, acc[q]);
        for (size_t p = whole; p < n; p++)
            lanes[p - whole] += row[p * x.step];
        for (int q = 0; q < TL_PARTS; q++)
            acc[q] = tl_v_load(lanes + q * TL_W);
    }
    return tl_lanes_sum(acc);
}

static void reduce(size_t m, extent over, operand x, float beta, target out) {
    for (size_t i = 0; i < m; i++)
        for (size_t first = 0; first < over.columns; first += over.slice) {
            size_t length = over.columns - first < over.slice ? over.columns - first : over.slice;
            float sum = row_sum(x.data + i * x.row + first * x.step, x, over.runs, length);
            float *element = out.data + i * out.row, keep = first == 0 ? beta : 1.0f;
            *element = keep == 0.0f ? sum : tl_scalar_fma(keep, *element, sum);
        }
}

tally_status tl_isa_reduce(const tally_tensor *x, float beta, const tally_tensor *out) {
    reduce(x->shape[0], (extent){1, x->shape[1], x->shape[1]},
           (operand){tl_view_floats(x), x->stride[0], 0, x->stride[1]}, beta,
           (target){tl_view_floats(out), out->stride[0], 0});
    return TALLY_OK;
}

static operand operand_of(const tally_tensor *t) {
    return (operand){tl_view_floats(t), t->stride[0], t->stride[1], t->stride[2]};
}

tally_status tl_isa_accumulate(const tally_tensor *left, const tally_tensor *right, const tally_tensor *gradient) {
    extent over = {left->shape[1], left->shape[2], TALLY_SLICE_COLUMNS};
    float *to = tl_view_floats(gradient);
    if (right)
        dots(left->shape[0], right->shape[0], over, 1.0f, operand_of(left), operand_of(right), 1.0f,
             (target){to, gradient->stride[0], gradient->stride[1]});
    else
        reduce(left->shape[0], over, operand_of(left), 1.0f, (target){to, gradient->stride[0], 0});
    return TALLY_OK;
}
