#include "arith_opencl.h"
#include "view.h"

/* One row a work-item, so that columns counts rows here. 16 lanes, element k in lane k mod 16, halved 8, 4, 2, 1; then
 * fma(beta, out, sum). */
kernel void tally_reduce(global const float *x, VIEW2(x), ulong n, float beta, global float *out, VIEW1(out),
                         ulong columns) {
    size_t m = get_global_id(0);
    if (m >= columns)
        return;
    float lanes[16];
    for (int l = 0; l < 16; l++)
        lanes[l] = 0.0f;
    for (ulong k = 0; k < n; k++)
        lanes[k % 16] += x[AT2(x, m, k)];
    for (int half_lanes = 8; half_lanes > 0; half_lanes /= 2)
        for (int l = 0; l < half_lanes; l++)
            lanes[l] += lanes[l + half_lanes];
    global float *element = out + AT1(out, m);
    *element = beta == 0.0f ? lanes[0] : fma(beta, *element, lanes[0]);
}
