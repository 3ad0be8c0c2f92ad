/* Gradients of weights by groups of work-items, where a work-item has one column: micro-batches side by side, then
 * added by the tree. */
#include "backend/leaves.h"
#include "backend/opencl/launch.h"
#include "constants.h"

/* Sums kept at a time: 4 MB, which a GPU's cache holds. A result with more elements than that has enough of them to be
 * computed one a work-item. */
enum { SUMS = 1 << 20 };

static bool contiguous(const tally_tensor *t) {
    return t->ndim == 1 ? t->stride[0] == 1 : t->stride[1] == 1 && t->stride[0] == t->shape[1];
}

/* The micro-batches of these columns, to the device's sums. */
static tally_status sum_leaves(const tally_tensor *left, const tally_tensor *right) {
    size_t m = left->shape[0], columns = right ? right->shape[0] : 1;
    tl_launch l = tl_launch_start(left, TL_CL_dots_group);
    size_t items = l.device->shared_items, tiles = items / TL_LANES;
    size_t all =
        (m / TL_GROUP_TILE + (m % TL_GROUP_TILE != 0)) * (columns / TL_GROUP_TILE + (columns % TL_GROUP_TILE != 0));
    tl_launch_number(&l, m);
    tl_launch_number(&l, left->shape[1]);
    tl_launch_number(&l, left->shape[2]);
    tl_launch_number(&l, TALLY_MICRO_BATCH);
    tl_launch_view(&l, left, 3);
    tl_launch_int(&l, right != NULL);
    tl_launch_view(&l, right ? right : left, 3);
    tl_launch_memory(&l, ((tl_cl_storage *)l.device->sums)->memory);
    tl_launch_local(&l, items * TL_GROUP_LANES * sizeof(float));
    return tl_launch_run_groups(&l, columns, all / tiles + (all % tiles != 0), tl_leaves(left->shape[2]), items);
}

bool tl_cl_accumulate_group(const tally_tensor *left, const tally_tensor *right, const tally_tensor *gradient,
                            tally_status *status) {
    tl_cl_device *device = tl_cl_device_of(left);
    size_t elements = left->shape[0] * (right ? right->shape[0] : 1), n = left->shape[2], leaves = tl_leaves(n);
    if (!device->shared_items || device->shared_items * TL_GROUP_LANES * sizeof(float) > device->shared_bytes ||
        device->longest_sum || elements > SUMS || !contiguous(gradient))
        return false;
    size_t most = SUMS / elements < leaves ? SUMS / elements : leaves;
    *status = tl_cl_reserve(device, most * elements * sizeof(float), &device->sums);
    if (!*status)
        *status = tl_cl_partials_new(device, elements, leaves, &device->partials);
    for (size_t first = 0; first < leaves && !*status; first += most) {
        size_t count = leaves - first < most ? leaves - first : most, column = first * TALLY_MICRO_BATCH;
        size_t width = count * TALLY_MICRO_BATCH < n - column ? count * TALLY_MICRO_BATCH : n - column;
        tally_tensor some_left = tl_cl_columns_of(left, column, width), some_right;
        if (right)
            some_right = tl_cl_columns_of(right, column, width);
        *status = sum_leaves(&some_left, right ? &some_right : NULL);
        if (!*status)
            *status = tl_cl_merge(device->sums, count, first, leaves, device->partials, gradient);
    }
    return true;
}
