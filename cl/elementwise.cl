/* Kernels over every element of a view of up to three dimensions: the inner ones are the launch's first two, the outer
 * is its third. columns: the elements of a row, without the padding. */
#include "arith_opencl.h"
#include "view.h"

#define ELEMENT(t) AT3(t, get_global_id(2), get_global_id(1), get_global_id(0))

kernel void tally_add(global const float *src, VIEW3(src), global float *dst, VIEW3(dst), ulong columns) {
    if (get_global_id(0) < columns)
        dst[ELEMENT(dst)] += src[ELEMENT(src)];
}

/* Bits, whatever the type. */
kernel void tally_copy(global const uint *src, VIEW3(src), global uint *dst, VIEW3(dst), ulong columns) {
    if (get_global_id(0) < columns)
        dst[ELEMENT(dst)] = src[ELEMENT(src)];
}

kernel void tally_fill(global uint *dst, VIEW3(dst), uint bits, ulong columns) {
    if (get_global_id(0) < columns)
        dst[ELEMENT(dst)] = bits;
}

kernel void tally_bias(global const float *bias, VIEW1(bias), global float *y, VIEW3(y), ulong columns) {
    if (get_global_id(0) < columns)
        y[ELEMENT(y)] += bias[AT1(bias, get_global_id(1))];
}
