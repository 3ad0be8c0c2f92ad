#include "backend/cpu/kernels.h"

tally_status TL_ISA_NAME(bias)(const tally_tensor *bias, const tally_tensor *y) {
    const float *b = tl_view_floats(bias);
    for (size_t m = 0; m < y->shape[0]; m++) {
        float *row = tl_view_floats(y) + m * y->stride[0];
        float value = b[m * bias->stride[0]];
        for (size_t n = 0; n < y->shape[1]; n++)
            row[n * y->stride[1]] += value;
    }
    return TALLY_OK;
}

/* The last dimension as rows: calls body with the row's first elements, its length and strides. */
typedef void row_function(const float *src, size_t src_step, float *dst, size_t dst_step, size_t n);

static void for_rows(const tally_tensor *src, const tally_tensor *dst, row_function *body) {
    int last = dst->ndim - 1;
    size_t outer = last > 1 ? dst->shape[0] : 1, inner = last > 0 ? dst->shape[last - 1] : 1;
    for (size_t i = 0; i < outer; i++)
        for (size_t j = 0; j < inner; j++) {
            size_t from = 0, to = 0;
            if (last > 1) {
                from += i * src->stride[0];
                to += i * dst->stride[0];
            }
            if (last > 0) {
                from += j * src->stride[last - 1];
                to += j * dst->stride[last - 1];
            }
            body(tl_view_floats(src) + from, src->stride[last], tl_view_floats(dst) + to, dst->stride[last],
                 dst->shape[last]);
        }
}

static void add_row(const float *src, size_t src_step, float *dst, size_t dst_step, size_t n) {
    for (size_t i = 0; i < n; i++)
        dst[i * dst_step] += src[i * src_step];
}

/* Bits, not values: an int or a signalling NaN stays what it is. */
static void copy_row(const float *src, size_t src_step, float *dst, size_t dst_step, size_t n) {
    if (src_step == 1 && dst_step == 1) {
        memcpy(dst, src, n * sizeof *dst);
        return;
    }
    for (size_t i = 0; i < n; i++)
        memcpy(dst + i * dst_step, src + i * src_step, sizeof *dst);
}

tally_status TL_ISA_NAME(add)(const tally_tensor *src, const tally_tensor *dst) {
    for_rows(src, dst, add_row);
    return TALLY_OK;
}

tally_status TL_ISA_NAME(copy)(const tally_tensor *src, const tally_tensor *dst) {
    for_rows(src, dst, copy_row);
    return TALLY_OK;
}

tally_status TL_ISA_NAME(fill)(const tally_tensor *tensor, float value) {
    tally_tensor source = *tensor;
    tl_storage one = {.device = tensor->device, .bytes = sizeof value, .host = &value};
    source.storage = &one;
    source.offset = 0;
    memset(source.stride, 0, sizeof source.stride);
    for_rows(&source, tensor, copy_row);
    return TALLY_OK;
}
