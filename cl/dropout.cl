#include "arith_opencl.h"
#include "dropout.h"
#include "view.h"

/* See tally_dropout: TL_W columns of four features at one time step a work-item. */
kernel void tally_dropout(global const float *x, VIEW3(x), global float *out, VIEW3(out), uint key0, uint key1,
                          uint first, uint threshold, float scale, uint features, ulong columns) {
    ulong column = get_global_id(0) * TL_W, group = get_global_id(1), step = get_global_id(2);
    if (column >= columns)
        return;
    tl_dropout d = {key0, key1, first, threshold, scale};
    tl_drop(&d, features, group, step, x + AT3(x, 0, step, 0), x_plane, x_column, out + AT3(out, 0, step, 0), out_plane,
            out_column, column, columns - column);
}
