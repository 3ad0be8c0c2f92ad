#include "backend/cpu/kernels.h"

/* Operands as rows and columns with strides, transposes resolved. */
typedef struct matrix {
    float *data;
    size_t row, column; /* strides */
} matrix;

static matrix matrix_of(const tally_tensor *t, bool transpose) {
    return (matrix){tl_view_floats(t), t->stride[transpose ? 1 : 0], t->stride[transpose ? 0 : 1]};
}

/* B as it is: lanes are columns, one chain over k for each element. */
enum { CHAIN_ROWS = 4 };

TL_INLINE void chain_block(size_t rows, size_t k, float alpha, matrix a, matrix b, float beta, matrix c, size_t valid) {
    tl_vf acc[CHAIN_ROWS];
#pragma GCC unroll 4
    for (size_t i = 0; i < CHAIN_ROWS; i++) {
        acc[i] = TL_SPLAT(0.0f);
        if (i < rows && beta != 0.0f)
            acc[i] = TL_SPLAT(beta) * tl_v_load_some(c.data + i * c.row, c.column, valid);
    }
    for (size_t p = 0; p < k; p++) {
        tl_vf column = tl_v_load_some(b.data + p * b.row, b.column, valid);
#pragma GCC unroll 4
        for (size_t i = 0; i < CHAIN_ROWS; i++) {
            size_t row = i < rows ? i : rows - 1;
            acc[i] = TL_FMA(TL_SPLAT(alpha * a.data[row * a.row + p * a.column]), column, acc[i]);
        }
    }
    for (size_t i = 0; i < rows; i++)
        tl_v_store_some(c.data + i * c.row, c.column, valid, acc[i]);
}

static void gemm_chains(size_t m, size_t n, size_t k, float alpha, matrix a, matrix b, float beta, matrix c) {
    for (size_t i = 0; i < m; i += CHAIN_ROWS) {
        size_t rows = m - i < CHAIN_ROWS ? m - i : CHAIN_ROWS;
        matrix a_rows = {a.data + i * a.row, a.row, a.column};
        for (size_t j = 0; j < n; j += TL_W) {
            size_t valid = n - j < TL_W ? n - j : TL_W;
            matrix b_columns = {b.data + j * b.column, b.row, b.column};
            matrix c_block = {c.data + i * c.row + j * c.column, c.row, c.column};
            if (b.column == 1 && c.column == 1 && valid == TL_W) {
                b_columns.column = c_block.column = 1;
                chain_block(rows, k, alpha, a_rows, b_columns, beta, c_block, TL_W);
            } else {
                chain_block(rows, k, alpha, a_rows, b_columns, beta, c_block, valid);
            }
        }
    }
}

/* B transposed: lanes are k mod 16. A tile of sums stays in registers while k runs. */
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

TL_INLINE void dot_sums(size_t columns, const dot_tile *tile, size_t a_step, size_t b_step, size_t k, float alpha,
                        float sums[TILE_ROWS][TILE_COLUMNS]) {
    tl_vf acc[TILE_ROWS][TILE_COLUMNS][TL_PARTS];
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_ROWS; i++)
#pragma GCC unroll 6
        for (size_t j = 0; j < columns; j++)
#pragma GCC unroll 4
            for (size_t q = 0; q < TL_PARTS; q++)
                acc[i][j][q] = TL_SPLAT(0.0f);
    size_t whole = k - k % TL_LANES;
    for (size_t p = 0; p < whole; p += TL_LANES)
#pragma GCC unroll 4
        for (size_t q = 0; q < TL_PARTS; q++) {
            tl_vf right[TILE_COLUMNS];
#pragma GCC unroll 6
            for (size_t j = 0; j < columns; j++)
                right[j] = tl_v_load_some(tile->b[j] + (p + q * TL_W) * b_step, b_step, TL_W);
#pragma GCC unroll 4
            for (size_t i = 0; i < TILE_ROWS; i++) {
                tl_vf left = tl_v_load_some(tile->a[i] + (p + q * TL_W) * a_step, a_step, TL_W) * TL_SPLAT(alpha);
#pragma GCC unroll 6
                for (size_t j = 0; j < columns; j++)
                    acc[i][j][q] = TL_FMA(left, right[j], acc[i][j][q]);
            }
        }
#pragma GCC unroll 4
    for (size_t i = 0; i < TILE_ROWS; i++)
#pragma GCC unroll 6
        for (size_t j = 0; j < columns; j++) {
            if (whole < k) { /* the last lanes are left as they are */
                float lanes[TL_LANES];
                for (size_t q = 0; q < TL_PARTS; q++)
                    tl_v_store(lanes + q * TL_W, acc[i][j][q]);
                for (size_t p = whole; p < k; p++)
                    lanes[p - whole] =
                        tl_scalar_fma(alpha * tile->a[i][p * a_step], tile->b[j][p * b_step], lanes[p - whole]);
                for (size_t q = 0; q < TL_PARTS; q++)
                    acc[i][j][q] = tl_v_load(lanes + q * TL_W);
            }
            sums[i][j] = tl_lanes_sum(acc[i][j]);
        }
}

static void gemm_dots(size_t m, size_t n, size_t k, float alpha, matrix a, matrix b, float beta, matrix c) {
    for (size_t i = 0; i < m; i += TILE_ROWS)
        for (size_t j = 0; j < n; j += TILE_COLUMNS) {
            size_t rows = m - i < TILE_ROWS ? m - i : TILE_ROWS;
            size_t columns = n - j < TILE_COLUMNS ? n - j : TILE_COLUMNS;
            dot_tile tile;
            for (size_t r = 0; r < TILE_ROWS; r++)
                tile.a[r] = a.data + (i + (r < rows ? r : rows - 1)) * a.row;
            for (size_t s = 0; s < TILE_COLUMNS; s++)
                tile.b[s] = b.data + (j + (s < columns ? s : columns - 1)) * b.column;
            float sums[TILE_ROWS][TILE_COLUMNS];
            if (a.column != 1 || b.row != 1)
                dot_sums(TILE_COLUMNS, &tile, a.column, b.row, k, alpha, sums);
            else if (columns == 1)
                dot_sums(1, &tile, 1, 1, k, alpha, sums);
            else
                dot_sums(TILE_COLUMNS, &tile, 1, 1, k, alpha, sums);
            for (size_t r = 0; r < rows; r++)
                for (size_t s = 0; s < columns; s++) {
                    float *element = c.data + (i + r) * c.row + (j + s) * c.column;
                    *element = beta == 0.0f ? sums[r][s] : tl_scalar_fma(beta, *element, sums[r][s]);
                }
        }
}

tally_status tl_isa_gemm(bool transpose_a, bool transpose_b, float alpha, const tally_tensor *a, const tally_tensor *b,
                         float beta, const tally_tensor *c) {
    size_t m = c->shape[0], n = c->shape[1], k = a->shape[transpose_a ? 0 : 1];
    (transpose_b ? gemm_dots : gemm_chains)(m, n, k, alpha, matrix_of(a, transpose_a), matrix_of(b, transpose_b), beta,
                                            matrix_of(c, false));
    return TALLY_OK;
}
