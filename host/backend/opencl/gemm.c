/* Products and sums in the exact order, by tally's own kernels. */
#include "backend/opencl/launch.h"

enum { CHAIN_ROWS = 4 }; /* of cl/gemm.cl */

/* The view read the other way round. */
static tally_tensor turned(const tally_tensor *t, bool transpose) {
    tally_tensor view = *t;
    for (int d = 0; d < 2 && transpose; d++) {
        view.shape[d] = t->shape[1 - d];
        view.stride[d] = t->stride[1 - d];
    }
    return view;
}

static tally_status chain(float alpha, const tally_tensor *a, const tally_tensor *b, float beta,
                          const tally_tensor *c) {
    size_t m = c->shape[0];
    tl_launch l = tl_launch_start(c, TL_CL_GEMM_CHAINS);
    tl_launch_number(&l, m);
    tl_launch_number(&l, a->shape[1]);
    tl_launch_real(&l, alpha);
    tl_launch_view(&l, a, 2);
    tl_launch_view(&l, b, 2);
    tl_launch_real(&l, beta);
    tl_launch_view(&l, c, 2);
    return tl_launch_run(&l, c->shape[1], l.device->width, m / CHAIN_ROWS + (m % CHAIN_ROWS != 0), 1);
}

/* In parts where the device's loops are limited: a chain goes on from C. */
static tally_status chains(float alpha, const tally_tensor *a, const tally_tensor *b, float beta,
                           const tally_tensor *c) {
    size_t k = a->shape[1], most = tl_cl_device_of(c)->longest_sum;
    if (most == 0 || k <= most)
        return chain(alpha, a, b, beta, c);
    tally_status status = TALLY_OK;
    for (size_t first = 0; first < k && !status; first += most) {
        tally_tensor left = *a, right = *b;
        left.shape[1] = right.shape[0] = k - first < most ? k - first : most;
        left.offset += first * a->stride[1];
        right.offset += first * b->stride[0];
        status = chain(alpha, &left, &right, first == 0 ? beta : 1.0f, c);
    }
    return status;
}

bool tl_cl_sum_supports(const tl_cl_device *device, size_t elements) {
    return device->longest_sum == 0 || elements <= device->longest_sum;
}

/* left [M, runs, n] and right [J, runs, n], or with two dimensions and one run, to c [M, J]. */
static tally_status dots(float alpha, const tally_tensor *left, const tally_tensor *right, size_t slice, float beta,
                         const tally_tensor *c) {
    size_t m = c->shape[0];
    tl_launch l = tl_launch_start(c, TL_CL_DOTS);
    size_t tile = l.device->width > 1 ? 4 : 1; /* of cl/sums.cl */
    tl_launch_number(&l, m);
    tl_launch_number(&l, left->ndim == 3 ? left->shape[1] : 1);
    tl_launch_number(&l, left->shape[left->ndim - 1]);
    tl_launch_number(&l, slice);
    tl_launch_real(&l, alpha);
    tally_tensor operands[2] = {*left, *right};
    for (int i = 0; i < 2; i++) {
        if (operands[i].ndim == 2) { /* [M, n] as [M, 1, n] */
            operands[i].ndim = 3;
            operands[i].stride[2] = operands[i].stride[1];
            operands[i].stride[1] = 0;
        }
        tl_launch_view(&l, &operands[i], 3);
    }
    tl_launch_real(&l, beta);
    tl_launch_view(&l, c, 2);
    return tl_launch_run(&l, c->shape[1], tile, m / tile + (m % tile != 0), 1);
}

tally_status tl_cl_gemm(bool transpose_a, bool transpose_b, float alpha, const tally_tensor *a, const tally_tensor *b,
                        float beta, const tally_tensor *c) {
    tally_tensor left = turned(a, transpose_a);
    if (transpose_b)
        return dots(alpha, &left, b, b->shape[1], beta, c);
    return chains(alpha, &left, b, beta, c);
}

static tally_status sum_rows(const tally_tensor *x, size_t runs, size_t slice, float beta, const tally_tensor *out) {
    tl_launch l = tl_launch_start(x, TL_CL_REDUCE);
    tally_tensor rows = *x;
    if (x->ndim == 2) {
        rows.ndim = 3;
        rows.stride[2] = x->stride[1];
        rows.stride[1] = 0;
    }
    tl_launch_number(&l, runs);
    tl_launch_number(&l, x->shape[x->ndim - 1]);
    tl_launch_number(&l, slice);
    tl_launch_view(&l, &rows, 3);
    tl_launch_real(&l, beta);
    tl_launch_view(&l, out, 1);
    return tl_launch_run(&l, x->shape[0], 1, 1, 1);
}

tally_status tl_cl_reduce(const tally_tensor *x, float beta, const tally_tensor *out) {
    return sum_rows(x, 1, x->shape[1], beta, out);
}

static tally_status accumulate(const tally_tensor *left, const tally_tensor *right, const tally_tensor *gradient) {
    if (right)
        return dots(1.0f, left, right, TALLY_SLICE_COLUMNS, 1.0f, gradient);
    return sum_rows(left, left->shape[1], TALLY_SLICE_COLUMNS, 1.0f, gradient);
}

tally_tensor tl_cl_columns_of(const tally_tensor *t, size_t first, size_t count) {
    tally_tensor view = *t;
    view.offset += first * t->stride[2];
    view.shape[2] = count;
    return view;
}

/* As many slices at a time as the device's loops take. */
tally_status tl_cl_accumulate(const tally_tensor *left, const tally_tensor *right, const tally_tensor *gradient) {
    size_t steps = left->shape[1], n = left->shape[2], most = tl_cl_device_of(left)->longest_sum;
    tally_status by_groups;
    if (tl_cl_accumulate_group(left, right, gradient, &by_groups))
        return by_groups;
    if (most == 0 || n <= most / steps)
        return accumulate(left, right, gradient);
    size_t part = most / steps / TALLY_SLICE_COLUMNS * TALLY_SLICE_COLUMNS;
    tally_status status = TALLY_OK;
    for (size_t first = 0; first < n && !status; first += part) {
        size_t count = n - first < part ? n - first : part;
        tally_tensor some_left = tl_cl_columns_of(left, first, count), some_right;
        if (right)
            some_right = tl_cl_columns_of(right, first, count);
        status = accumulate(&some_left, right ? &some_right : NULL, gradient);
    }
    return status;
}
