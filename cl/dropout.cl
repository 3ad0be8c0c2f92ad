#include "arith_opencl.h"
#include "view.h"

#define TL_WORD uint
#define TL_HIGH(a, b) mul_hi(a, b)
#include "philox_block.h"

/* See tally_dropout: a column of four features at one step a work-item. */
kernel void tally_dropout(global const float *x, VIEW3(x), global float *out, VIEW3(out), uint key0, uint key1, uint first,
                          uint threshold, float scale, uint features, ulong columns) {
    uint column = get_global_id(0), group = get_global_id(1), step = get_global_id(2);
    if (column >= columns)
        return;
    uint word[4] = {first + column, step, group, 0};
    tl_philox_block(word, key0, key1);
    for (uint i = 0; i < 4 && 4 * group + i < features; i++) {
        uint feature = 4 * group + i;
        out[AT3(out, feature, step, column)] = word[i] < threshold ? 0.0f : x[AT3(x, feature, step, column)] * scale;
    }
}
