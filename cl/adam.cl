#include "arith_opencl.h"

/* TL_FLAT weights a work-item; see tally_adam. faults: increased for each new weight that is not finite. */
kernel void tally_adam(global const float *gradient, ulong gradient_offset, global float *weights, ulong weights_offset,
                       global float *m, ulong m_offset, global float *v, ulong v_offset, global int *faults,
                       ulong faults_offset, float rate, float root, float keep1, float beta2, float keep2,
                       float epsilon, ulong columns) {
    ulong end = min(columns, (get_global_id(0) + 1) * TL_FLAT);
    for (ulong i = get_global_id(0) * TL_FLAT; i < end; i += TL_W) {
        ulong n = columns - i;
        TL_F weight = tl_load(weights + weights_offset + i, 1, n);
        TL_F mean = tl_load(m + m_offset + i, 1, n), square = tl_load(v + v_offset + i, 1, n);
        tl_adam(tl_load(gradient + gradient_offset + i, 1, n), &weight, &mean, &square, TL_SPLAT(rate), TL_SPLAT(root),
                TL_SPLAT(keep1), TL_SPLAT(beta2), TL_SPLAT(keep2), TL_SPLAT(epsilon));
        tl_store(weights + weights_offset + i, 1, n, weight);
        tl_store(m + m_offset + i, 1, n, mean);
        tl_store(v + v_offset + i, 1, n, square);
        for (ulong l = 0; l < TL_W && l < n; l++)
            if (!isfinite(weights[weights_offset + i + l]))
                atomic_inc(faults + faults_offset);
    }
}
