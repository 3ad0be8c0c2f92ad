#include "arith_opencl.h"

/* One row a work-item, so that columns counts rows here: 16 lanes, element k in lane k mod 16, halved 8, 4, 2, 1; then fma(beta, out, sum). */
kernel void tally_reduce(global const float *x, ulong x_offset, ulong x_row, ulong x_column, ulong n, float beta,
                         global float *out, ulong out_offset, ulong out_stride, ulong columns) {
    size_t m = get_global_id(0);
    if (m >= columns)
        return;
    float lanes[16];
    for (int l = 0; l < 16; l++)
        lanes[l] = 0.0f;
    global const float *row = x + x_offset + m * x_row;
    for (ulong k = 0; k < n; k++)
        lanes[k % 16] += row[k * x_column];
    for (int half_lanes = 8; half_lanes > 0; half_lanes /= 2)
        for (int l = 0; l < half_lanes; l++)
            lanes[l] += lanes[l + half_lanes];
    global float *element = out + out_offset + m * out_stride;
    *element = beta == 0.0f ? lanes[0] : fma(beta, *element, lanes[0]);
}
