/* Sums over columns where a work-item has one column, as on GPUs: sixteen neighbouring work-items have a lane each of a
 * tile of the result, over one micro-batch, so that they read neighbouring columns; tally_merge adds the micro-batches.
 */
#include "arith_opencl.h"
#include "view.h"

#if TL_W == 1

/* sums[slice][row][column] of left and right, or of left and ones; every work-item reaches the barrier. m, columns:
 * rows of left and of right. */
kernel void tally_dots_group(ulong m, ulong runs, ulong n, ulong slice, global const float *left, VIEW3(left),
                             int has_right, global const float *right, VIEW3(right), global float *sums,
                             local float *room, ulong columns) {
    uint item = get_local_id(0), lane = item % TL_LANES, tile = item / TL_LANES;
    ulong across = (columns + TL_GROUP_TILE - 1) / TL_GROUP_TILE;
    ulong number = get_group_id(0) * (get_local_size(0) / TL_LANES) + tile;
    ulong row = number / across * TL_GROUP_TILE, column = number % across * TL_GROUP_TILE;
    ulong first = get_group_id(1) * slice, end = min(first + slice, n);
    float part[TL_GROUP_TILE][TL_GROUP_TILE];
    global const float *a[TL_GROUP_TILE], *b[TL_GROUP_TILE]; /* beyond the last they repeat it */
    #pragma unroll
    for (int i = 0; i < TL_GROUP_TILE; i++) {
        a[i] = left + AT3(left, min(row + i, m - 1), 0, 0);
        b[i] = right + AT3(right, min(column + i, columns - 1), 0, 0);
        #pragma unroll
        for (int j = 0; j < TL_GROUP_TILE; j++)
            part[i][j] = 0.0f;
    }
    for (ulong run = 0; run < runs; run++)
        for (ulong p = first + lane; p < end; p += TL_LANES) {
            float x[TL_GROUP_TILE];
            #pragma unroll
            for (int j = 0; j < TL_GROUP_TILE; j++)
                x[j] = has_right ? b[j][run * right_row + p * right_column] : 1.0f;
            #pragma unroll
            for (int i = 0; i < TL_GROUP_TILE; i++) {
                float y = a[i][run * left_row + p * left_column];
                #pragma unroll
                for (int j = 0; j < TL_GROUP_TILE; j++)
                    part[i][j] = fma(y, x[j], part[i][j]);
            }
        }
    #pragma unroll
    for (int i = 0; i < TL_GROUP_TILE; i++)
        #pragma unroll
        for (int j = 0; j < TL_GROUP_TILE; j++)
            room[(tile * TL_LANES + i * TL_GROUP_TILE + j) * TL_GROUP_LANES + lane] = part[i][j];
    barrier(CLK_LOCAL_MEM_FENCE);
    row += lane / TL_GROUP_TILE;
    column += lane % TL_GROUP_TILE;
    float lanes[TL_LANES];
    #pragma unroll
    for (int l = 0; l < TL_LANES; l++)
        lanes[l] = room[item * TL_GROUP_LANES + l];
    if (row < m && column < columns)
        sums[(get_group_id(1) * m + row) * columns + column] = tl_lanes_sum(lanes);
}

#endif
