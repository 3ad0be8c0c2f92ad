/* Products and sums in the exact order, by tally's own kernels. */
#include "backend/leaves.h"
#include "backend/opencl/launch.h"
#include "constants.h"

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
    tl_launch l = tl_launch_start(c, TL_CL_gemm_chains);
    tl_launch_number(&l, m);
    tl_launch_number(&l, a->shape[1]);
    tl_launch_real(&l, alpha);
    tl_launch_view(&l, a, 2);
    tl_launch_view(&l, b, 2);
    tl_launch_real(&l, beta);
    tl_launch_view(&l, c, 2);
    return tl_launch_run(&l, c->shape[1], l.device->width, m / TL_CHAIN_ROWS + (m % TL_CHAIN_ROWS != 0), 1);
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

/* The leaves of a tree that a launch has: from number first on, of all, columns each. partials: of its elements. */
typedef struct leaves {
    size_t columns, first, all;
    const tl_storage *partials;
} leaves;

static void launch_leaves(tl_launch *l, const leaves *of) {
    tl_launch_number(l, of->columns);
    tl_launch_number(l, of->first);
    tl_launch_number(l, of->all);
}

/* One leaf, so that nothing is kept in memory: any will do. */
static leaves one_leaf(size_t columns, const tally_tensor *result) {
    return (leaves){columns, 0, 1, result->storage};
}

/* left [M, runs, n] and right [J, runs, n], or with two dimensions and one run, to c [M, J]. */
static tally_status dots(float alpha, const tally_tensor *left, const tally_tensor *right, leaves of, float beta,
                         const tally_tensor *c) {
    size_t m = c->shape[0];
    tl_launch l = tl_launch_start(c, TL_CL_dots);
    size_t tile = TL_DOTS_TILE_OF(l.device->width);
    tl_launch_number(&l, m);
    tl_launch_number(&l, left->ndim == 3 ? left->shape[1] : 1);
    tl_launch_number(&l, left->shape[left->ndim - 1]);
    launch_leaves(&l, &of);
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
    tl_launch_memory(&l, ((const tl_cl_storage *)of.partials)->memory);
    tl_launch_view(&l, c, 2);
    return tl_launch_run(&l, c->shape[1], tile, m / tile + (m % tile != 0), 1);
}

tally_status tl_cl_gemm(bool transpose_a, bool transpose_b, float alpha, const tally_tensor *a, const tally_tensor *b,
                        float beta, const tally_tensor *c) {
    tally_tensor left = turned(a, transpose_a);
    if (transpose_b)
        return dots(alpha, &left, b, one_leaf(b->shape[1], c), beta, c);
    return chains(alpha, &left, b, beta, c);
}

static tally_status sum_rows(const tally_tensor *x, size_t runs, leaves of, float beta, const tally_tensor *out) {
    tl_launch l = tl_launch_start(x, TL_CL_reduce);
    tally_tensor rows = *x;
    if (x->ndim == 2) {
        rows.ndim = 3;
        rows.stride[2] = x->stride[1];
        rows.stride[1] = 0;
    }
    tl_launch_number(&l, runs);
    tl_launch_number(&l, x->shape[x->ndim - 1]);
    launch_leaves(&l, &of);
    tl_launch_view(&l, &rows, 3);
    tl_launch_real(&l, beta);
    tl_launch_memory(&l, ((const tl_cl_storage *)of.partials)->memory);
    tl_launch_view(&l, out, 1);
    return tl_launch_run(&l, x->shape[0], 1, 1, 1);
}

tally_status tl_cl_reduce(const tally_tensor *x, float beta, const tally_tensor *out) {
    return sum_rows(x, 1, one_leaf(x->shape[1], out), beta, out);
}

static tally_status accumulate(const tally_tensor *left, const tally_tensor *right, leaves of,
                               const tally_tensor *gradient) {
    if (right)
        return dots(1.0f, left, right, of, 1.0f, gradient);
    return sum_rows(left, left->shape[1], of, 1.0f, gradient);
}

tally_tensor tl_cl_columns_of(const tally_tensor *t, size_t first, size_t count) {
    tally_tensor view = *t;
    view.offset += first * t->stride[2];
    view.shape[2] = count;
    return view;
}

/* As many micro-batches at a time as the device's loops take. */
tally_status tl_cl_accumulate(const tally_tensor *left, const tally_tensor *right, const tally_tensor *gradient) {
    tl_cl_device *device = tl_cl_device_of(left);
    size_t steps = left->shape[1], n = left->shape[2], part = n;
    tally_status status;
    if (tl_cl_accumulate_group(left, right, gradient, &status))
        return status;
    if (device->longest_sum && n > device->longest_sum / steps)
        part = device->longest_sum / steps / TALLY_MICRO_BATCH * TALLY_MICRO_BATCH;
    leaves of = {TALLY_MICRO_BATCH, 0, tl_leaves(n), NULL};
    status = tl_cl_partials_new(device, tally_tensor_elements(gradient), of.all, &device->partials);
    of.partials = device->partials;
    for (size_t first = 0; first < n && !status; first += part) {
        size_t count = n - first < part ? n - first : part;
        tally_tensor some_left = tl_cl_columns_of(left, first, count), some_right;
        if (right)
            some_right = tl_cl_columns_of(right, first, count);
        of.first = first / TALLY_MICRO_BATCH;
        status = accumulate(&some_left, right ? &some_right : NULL, of, gradient);
    }
    return status;
}
