/* Sums over columns: 16 lanes a micro-batch, micro-batches by the tree; see tally_gemm with B transposed, tally_reduce
 * and tally_accumulate. What is summed over: the same n columns in each of a number of runs (time steps), the columns
 * cut into leaves of a tree, of leaf_columns each. A launch has those from number first_leaf on, of leaves in all;
 * partials [level][element] keeps the partial sums from leaf to leaf and from launch to launch. */
#include "arith_opencl.h"
#include "tree.h"
#include "view.h"

#define TILE TL_DOTS_TILE_OF(TL_W)

/* The columns behind the last whole 16: the other lanes are left as they are. */
static void dot_rest(TL_F part[TL_PARTS], float alpha, global const float *left, ulong left_column,
                     global const float *right, ulong right_column, ulong n) {
    float lanes[TL_LANES];
    tl_lanes_get(part, lanes);
    for (ulong l = 0; l < n; l++)
        lanes[l] = fma(alpha * left[l * left_column], right[l * right_column], lanes[l]);
    tl_lanes_set(part, lanes);
}

#define PARTIAL(level) partials[(level) * level_size + element]

/* c = beta c + the sums of the tree. m: rows of left and c; columns: of the result, rows of right. */
kernel void tally_dots(ulong m, ulong runs, ulong n, ulong leaf_columns, ulong first_leaf, ulong leaves, float alpha,
                       global const float *left, VIEW3(left), global const float *right, VIEW3(right), float beta,
                       global float *partials, global float *c, VIEW2(c), ulong columns) {
    ulong first_column = get_global_id(0) * TILE, first_row = get_global_id(1) * TILE, level_size = m * columns;
    if (first_column >= columns)
        return;
    for (ulong first = 0, leaf = first_leaf; first < n; first += leaf_columns, leaf++) {
        ulong length = min(leaf_columns, n - first), whole = length - length % TL_LANES;
        TL_F part[TILE][TILE][TL_PARTS];
        global const float *a[TILE], *b[TILE]; /* beyond the last they repeat it */
        #pragma unroll
        for (int i = 0; i < TILE; i++) {
            a[i] = left + AT3(left, min(first_row + i, m - 1), 0, first);
            b[i] = right + AT3(right, min(first_column + i, columns - 1), 0, first);
            #pragma unroll
            for (int j = 0; j < TILE; j++)
                #pragma unroll
                for (int q = 0; q < TL_PARTS; q++)
                    part[i][j][q] = TL_SPLAT(0.0f);
        }
        for (ulong run = 0; run < runs; run++) {
            for (ulong p = 0; p < whole; p += TL_LANES)
                #pragma unroll
                for (int q = 0; q < TL_PARTS; q++) {
                    ulong at = p + q * TL_W;
                    TL_F x[TILE];
                    #pragma unroll
                    for (int j = 0; j < TILE; j++)
                        x[j] = tl_load(b[j] + at * right_column, right_column, TL_W);
                    #pragma unroll
                    for (int i = 0; i < TILE; i++) {
                        TL_F y = tl_load(a[i] + at * left_column, left_column, TL_W) * TL_SPLAT(alpha);
                        #pragma unroll
                        for (int j = 0; j < TILE; j++)
                            part[i][j][q] = TL_FMA(y, x[j], part[i][j][q]);
                    }
                }
            if (whole < length)
                #pragma unroll
                for (int i = 0; i < TILE; i++)
                    #pragma unroll
                    for (int j = 0; j < TILE; j++)
                        dot_rest(part[i][j], alpha, a[i] + whole * left_column, left_column,
                                 b[j] + whole * right_column, right_column, length - whole);
            #pragma unroll
            for (int i = 0; i < TILE; i++) {
                a[i] += left_row;
                b[i] += right_row;
            }
        }
        bool last = leaf + 1 == leaves;
        for (int i = 0; i < TILE && first_row + i < m; i++)
            for (int j = 0; j < TILE && first_column + j < columns; j++) {
                ulong element = (first_row + i) * columns + first_column + j;
                float sum = tl_lanes_sum(part[i][j]);
                TL_TREE_ADD(leaf, last, sum, PARTIAL);
                global float *to = c + AT2(c, first_row + i, first_column + j);
                if (last)
                    *to = beta == 0.0f ? sum : fma(beta, *to, sum);
            }
    }
}

/* One row a work-item, so that columns counts rows here: out = beta out + the sum of the tree. */
kernel void tally_reduce(ulong runs, ulong n, ulong leaf_columns, ulong first_leaf, ulong leaves, global const float *x,
                         VIEW3(x), float beta, global float *partials, global float *out, VIEW1(out), ulong columns) {
    ulong element = get_global_id(0), level_size = columns;
    if (element >= columns)
        return;
    for (ulong first = 0, leaf = first_leaf; first < n; first += leaf_columns, leaf++) {
        ulong length = min(leaf_columns, n - first);
        TL_F part[TL_PARTS];
        float lanes[TL_LANES];
        #pragma unroll
        for (int q = 0; q < TL_PARTS; q++)
            part[q] = TL_SPLAT(0.0f);
        for (ulong run = 0; run < runs; run++) {
            ulong p = 0;
            for (; p + TL_LANES <= length; p += TL_LANES)
                #pragma unroll
                for (int q = 0; q < TL_PARTS; q++)
                    part[q] = part[q] + tl_load(x + AT3(x, element, run, first + p + q * TL_W), x_column, TL_W);
            if (p < length) {
                tl_lanes_get(part, lanes);
                for (ulong l = 0; l < length - p; l++)
                    lanes[l] += x[AT3(x, element, run, first + p + l)];
                tl_lanes_set(part, lanes);
            }
        }
        bool last = leaf + 1 == leaves;
        float sum = tl_lanes_sum(part);
        TL_TREE_ADD(leaf, last, sum, PARTIAL);
        global float *to = out + AT1(out, element);
        if (last)
            *to = beta == 0.0f ? sum : fma(beta, *to, sum);
    }
}

#undef PARTIAL
#define PARTIAL(level) (*(global TL_F *)(partials + (level) * level_size + i))

/* gradient += the tree of the leaves' sums [leaf][parameter], of which a launch has count, from number first_leaf on.
 * TL_FLAT elements a work-item. level_size: the number of parameters, rounded up to whole vectors. */
kernel void tally_merge(ulong count, ulong first_leaf, ulong leaves, ulong parameters, global const float *sums,
                        ulong level_size, global float *partials, global float *gradient, ulong gradient_offset,
                        ulong columns) {
    ulong end = min(columns, (get_global_id(0) + 1) * TL_FLAT);
    for (ulong i = get_global_id(0) * TL_FLAT; i < end; i += TL_W) {
        TL_F sum = TL_SPLAT(0.0f);
        for (ulong l = 0; l < count; l++) {
            sum = tl_load(sums + l * parameters + i, 1, columns - i);
            TL_TREE_ADD(first_leaf + l, first_leaf + l + 1 == leaves, sum, PARTIAL);
        }
        global float *to = gradient + gradient_offset + i;
        if (first_leaf + count == leaves)
            tl_store(to, 1, columns - i, tl_load(to, 1, columns - i) + sum);
    }
}

#undef PARTIAL
