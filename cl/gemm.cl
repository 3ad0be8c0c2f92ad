#include "arith_opencl.h"
#include "chain.h"
#include "view.h"

/* See tally_gemm with B as it is, transposes resolved into strides: TL_CHAIN_ROWS rows of TL_W columns a work-item. */
kernel void tally_gemm_chains(ulong m, ulong k, float alpha, global float *a, VIEW2(a), global float *b, VIEW2(b),
                              float beta, global float *c, VIEW2(c), ulong columns) {
    ulong column = get_global_id(0) * TL_W, first = get_global_id(1) * TL_CHAIN_ROWS;
    if (column >= columns)
        return;
    tl_matrix left = {a + AT2(a, first, 0), a_row, a_column}, right = {b + AT2(b, 0, column), b_row, b_column};
    tl_matrix result = {c + AT2(c, first, column), c_row, c_column};
    tl_chain_block(min(m - first, (ulong)TL_CHAIN_ROWS), k, alpha, left, right, beta, result, columns - column);
}
