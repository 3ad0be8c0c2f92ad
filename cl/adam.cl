#include "arith_opencl.h"

/* One weight a work-item; see tally_adam. faults: increased for each new weight that is not finite. */
kernel void tally_adam(global const float *gradient, ulong gradient_offset, global float *weights,
                       ulong weights_offset, global float *m, ulong m_offset, global float *v, ulong v_offset,
                       global int *faults, ulong faults_offset, float rate, float root, float keep1, float beta2,
                       float keep2, float epsilon, ulong columns) {
    size_t i = get_global_id(0);
    if (i >= columns)
        return;
    float weight = weights[weights_offset + i], mean = m[m_offset + i], square = v[v_offset + i];
    tl_adam(gradient[gradient_offset + i], &weight, &mean, &square, rate, root, keep1, beta2, keep2, epsilon);
    weights[weights_offset + i] = weight;
    m[m_offset + i] = mean;
    v[v_offset + i] = square;
    if (!isfinite(weight))
        atomic_inc(faults + faults_offset);
}
