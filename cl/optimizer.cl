#include "arith_opencl.h"
#define TL_RULE_FUNCTIONS
#include "optimizers.h"

/* Updates TL_FLAT weights a work-item; see tally_optimizer_step. rule is a tl_rule, states how many it has: the buffers
 * of the others are not touched. faults: increased for each new weight that is not finite. */
kernel void tally_optimizer_step(global const float *gradient, ulong gradient_offset, global float *weights,
                                 ulong weights_offset, global float *state0, ulong state0_offset, global float *state1,
                                 ulong state1_offset, global int *faults, ulong faults_offset, uint rule, uint states,
                                 TL_JOIN(float, TL_MAX_SCALARS) scalars, ulong columns) {
    float each[TL_MAX_SCALARS];
    TL_F splat[TL_MAX_SCALARS], state[2];
    TL_JOIN(vstore, TL_MAX_SCALARS)(scalars, 0, each);
    #pragma unroll
    for (uint s = 0; s < TL_MAX_SCALARS; s++)
        splat[s] = TL_SPLAT(each[s]);
    ulong end = min(columns, (get_global_id(0) + 1) * TL_FLAT);
    for (ulong i = get_global_id(0) * TL_FLAT; i < end; i += TL_W) {
        ulong n = columns - i;
        TL_F weight = tl_load(weights + weights_offset + i, 1, n);
        if (states > 0)
            state[0] = tl_load(state0 + state0_offset + i, 1, n);
        if (states > 1)
            state[1] = tl_load(state1 + state1_offset + i, 1, n);
        tl_update((tl_rule)rule, tl_load(gradient + gradient_offset + i, 1, n), &weight, state, splat);
        tl_store(weights + weights_offset + i, 1, n, weight);
        if (states > 0)
            tl_store(state0 + state0_offset + i, 1, n, state[0]);
        if (states > 1)
            tl_store(state1 + state1_offset + i, 1, n, state[1]);
        for (ulong l = 0; l < TL_W && l < n; l++)
            if (!isfinite(weights[weights_offset + i + l]))
                atomic_inc(faults + faults_offset);
    }
}
