#include "backend/cpu/kernels.h"

tally_status tl_isa_bias(const tally_tensor *bias, const tally_tensor *y) {
    const float *b = tl_view_floats(bias);
    for (size_t m = 0; m < y->shape[0]; m++) {
        float *row = tl_view_floats(y) + m * y->stride[0];
        float value = b[m * bias->stride[0]];
        for (size_t n = 0; n < y->shape[1]; n++)
            row[n * y->stride[1]] += value;
    }
    return TALLY_OK;
}

tally_status tl_isa_reduce(const tally_tensor *x, float beta, const tally_tensor *out) {
    size_t step = x->stride[1], n = x->shape[1], whole = n - n % TL_LANES;
    for (size_t m = 0; m < x->shape[0]; m++) {
        const float *row = tl_view_floats(x) + m * x->stride[0];
        tl_vf acc[TL_PARTS];
        for (int q = 0; q < TL_PARTS; q++)
            acc[q] = TL_SPLAT(0.0f);
        for (size_t p = 0; p < whole; p += TL_LANES)
            for (size_t q = 0; q < TL_PARTS; q++)
                acc[q] = acc[q] + tl_v_load_some(row + (p + q * TL_W) * step, step, TL_W);
        float lanes[TL_LANES];
        for (int q = 0; q < TL_PARTS; q++)
            tl_v_store(lanes + q * TL_W, acc[q]);
        for (size_t p = whole; p < n; p++)
            lanes[p - whole] += row[p * step];
        for (int q = 0; q < TL_PARTS; q++)
            acc[q] = tl_v_load(lanes + q * TL_W);
        float sum = tl_lanes_sum(acc);
        float *element = tl_view_floats(out) + m * out->stride[0];
        *element = beta == 0.0f ? sum : tl_scalar_fma(beta, *element, sum);
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

tally_status tl_isa_add(const tally_tensor *src, const tally_tensor *dst) {
    for_rows(src, dst, add_row);
    return TALLY_OK;
}

tally_status tl_isa_copy(const tally_tensor *src, const tally_tensor *dst) {
    for_rows(src, dst, copy_row);
    return TALLY_OK;
}

tally_status tl_isa_fill(const tally_tensor *tensor, float value) {
    tally_tensor source = *tensor;
    tl_storage one = {.device = tensor->device, .bytes = sizeof value, .host = &value};
    source.storage = &one;
    source.offset = 0;
    memset(source.stride, 0, sizeof source.stride);
    for_rows(&source, tensor, copy_row);
    return TALLY_OK;
}
