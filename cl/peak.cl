/* What the device's vector units do at most: independent chains of fused multiply-adds in registers. */
#include "arith_opencl.h"

kernel void tally_peak(uint iterations, float factor, float term, global float *out) {
    ulong item = get_global_id(0);
    TL_F chain[TL_PEAK_CHAINS];
    #pragma unroll
    for (uint c = 0; c < TL_PEAK_CHAINS; c++)
        chain[c] = TL_SPLAT((float)(c + item % 7));
    for (uint i = 0; i < iterations; i++) {
        #pragma unroll
        for (uint c = 0; c < TL_PEAK_CHAINS; c++)
            chain[c] = TL_FMA(chain[c], TL_SPLAT(factor), TL_SPLAT(term));
    }
    #pragma unroll
    for (uint c = 1; c < TL_PEAK_CHAINS; c++)
        chain[0] += chain[c];
    TL_PUT(chain[0], out + item * TL_W);
}
