/* Kernels over every element of a view of up to three dimensions: the inner ones are the launch's first two, the outer is its third.
 * A view is a buffer, the offset of its first element and its strides. columns: the elements of a row, without the padding. */
#include "arith_opencl.h"

#define ELEMENT(t) (t##_offset + get_global_id(2) * t##_stride0 + get_global_id(1) * t##_stride1 + get_global_id(0) * t##_stride2)
#define VIEW(t) ulong t##_offset, ulong t##_stride0, ulong t##_stride1, ulong t##_stride2

kernel void tally_add(global const float *src, VIEW(src), global float *dst, VIEW(dst), ulong columns) {
    if (get_global_id(0) < columns)
        dst[ELEMENT(dst)] += src[ELEMENT(src)];
}

/* Bits, whatever the type. */
kernel void tally_copy(global const uint *src, VIEW(src), global uint *dst, VIEW(dst), ulong columns) {
    if (get_global_id(0) < columns)
        dst[ELEMENT(dst)] = src[ELEMENT(src)];
}

kernel void tally_fill(global uint *dst, VIEW(dst), uint bits, ulong columns) {
    if (get_global_id(0) < columns)
        dst[ELEMENT(dst)] = bits;
}

kernel void tally_bias(global const float *bias, ulong bias_offset, ulong bias_stride, global float *y, VIEW(y),
                        ulong columns) {
    if (get_global_id(0) < columns)
        y[ELEMENT(y)] += bias[bias_offset + get_global_id(1) * bias_stride];
}
