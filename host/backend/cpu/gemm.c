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

tally_status TL_ISA_NAME(gemm)(bool transpose_a, bool transpose_b, float alpha, const tally_tensor *a,
                               const tally_tensor *b, float beta, const tally_tensor *c) {
    size_t m = c->shape[0], n = c->shape[1], k = a->shape[transpose_a ? 0 : 1];
    if (transpose_b)
        TL_ISA_NAME(gemm_dots)(alpha, a, transpose_a, b, beta, c);
    else
        gemm_chains(m, n, k, alpha, matrix_of(a, transpose_a), matrix_of(b, false), beta, matrix_of(c, false));
    return TALLY_OK;
}
