#include "arith_opencl.h"
#include "view.h"

/* C = alpha A B + beta C, transposes resolved into strides: one chain of fma over k for each element; see tally_gemm. CHAIN_ROWS rows of
 * TL_W columns a work-item; rows beyond the last repeat it and are not stored. */
#define CHAIN_ROWS 4

kernel void tally_gemm_chains(ulong m, ulong k, float alpha, global const float *a, VIEW2(a), global const float *b,
                              VIEW2(b), float beta, global float *c, VIEW2(c), ulong columns) {
    ulong column = get_global_id(0) * TL_W, first = get_global_id(1) * CHAIN_ROWS;
    if (column >= columns)
        return;
    ulong n = columns - column;
    TL_F acc[CHAIN_ROWS];
    #pragma unroll
    for (int i = 0; i < CHAIN_ROWS; i++) {
        acc[i] = TL_SPLAT(0.0f);
        if (beta != 0.0f)
            acc[i] = TL_SPLAT(beta) * tl_load(c + AT2(c, min(first + i, m - 1), column), c_column, n);
    }
    for (ulong p = 0; p < k; p++) {
        TL_F right = tl_load(b + AT2(b, p, column), b_column, n);
        #pragma unroll
        for (int i = 0; i < CHAIN_ROWS; i++)
            acc[i] = TL_FMA(TL_SPLAT(alpha * a[AT2(a, min(first + i, m - 1), p)]), right, acc[i]);
    }
    for (int i = 0; i < CHAIN_ROWS && first + i < m; i++)
        tl_store(c + AT2(c, first + i, column), c_column, n, acc[i]);
}
