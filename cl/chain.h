/* chain.h: products whose elements are one chain of fma over k; see tally_gemm with B as it is. Read by the C compiler
 * and by the OpenCL compiler; needs what recurrent.h needs. */

/* Rows and columns any distance apart. */
typedef struct tl_matrix {
    TL_GLOBAL float *data;
    tl_size row, column; /* strides */
} tl_matrix;

/* C = alpha A B + beta C for TL_CHAIN_ROWS rows, of which `rows` are there (the others repeat the last and are not
 * stored), and TL_W columns, of which n are. A has k columns. beta 0 does not read C. */
TL_TEMPLATE void tl_chain_block(tl_size rows, tl_size k, float alpha, tl_matrix a, tl_matrix b, float beta, tl_matrix c,
                                tl_size n) {
    TL_F acc[TL_CHAIN_ROWS];
    TL_UNROLL
    for (tl_size i = 0; i < TL_CHAIN_ROWS; i++) {
        acc[i] = TL_SPLAT(0.0f);
        if (i < rows && beta != 0.0f)
            acc[i] = TL_SPLAT(beta) * TL_LOAD(c.data + i * c.row, c.column, n);
    }
    for (tl_size p = 0; p < k; p++) {
        TL_F right = TL_LOAD(b.data + p * b.row, b.column, n);
        TL_UNROLL
        for (tl_size i = 0; i < TL_CHAIN_ROWS; i++) {
            tl_size row = i < rows ? i : rows - 1;
            acc[i] = TL_FMA(TL_SPLAT(alpha * a.data[row * a.row + p * a.column]), right, acc[i]);
        }
    }
    for (tl_size i = 0; i < rows; i++)
        TL_STORE(c.data + i * c.row, c.column, n, acc[i]);
}
