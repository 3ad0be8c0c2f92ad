#include "backend/cpu/kernels.h"

#include "chain.h"

static tl_matrix matrix_of(const tally_tensor *t, bool transpose) {
    return (tl_matrix){tl_view_floats(t), t->stride[transpose ? 1 : 0], t->stride[transpose ? 0 : 1]};
}

static void gemm_chains(size_t m, size_t n, size_t k, float alpha, tl_matrix a, tl_matrix b, float beta, tl_matrix c) {
    for (size_t i = 0; i < m; i += TL_CHAIN_ROWS) {
        size_t rows = m - i < TL_CHAIN_ROWS ? m - i : TL_CHAIN_ROWS;
        tl_matrix a_rows = {a.data + i * a.row, a.row, a.column};
        for (size_t j = 0; j < n; j += TL_W) {
            size_t valid = n - j < TL_W ? n - j : TL_W;
            tl_matrix b_columns = {b.data + j * b.column, b.row, b.column};
            tl_matrix c_block = {c.data + i * c.row + j * c.column, c.row, c.column};
            if (b.column == 1 && c.column == 1 && valid == TL_W) {
                b_columns.column = c_block.column = 1;
                tl_chain_block(rows, k, alpha, a_rows, b_columns, beta, c_block, TL_W);
            } else {
                tl_chain_block(rows, k, alpha, a_rows, b_columns, beta, c_block, valid);
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
