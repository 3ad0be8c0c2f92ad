/* Gradients of weights by groups of work-items, where a work-item has one column: slices side by side, then added in their order. */
#include "backend/opencl/launch.h"

enum { GROUP_TILE = 4, LANES = 16, ROOM = LANES + 1 }; /* of cl/sums_group.cl */

/* Sums kept at a time: 4 MB, which a GPU's cache holds. A result with more elements than that has enough of them to be
 * computed one a work-item. */
enum { SUMS = 1 << 20 };

static bool contiguous(const tally_tensor *t) {
    return t->ndim == 1 ? t->stride[0] == 1 : t->stride[1] == 1 && t->stride[0] == t->shape[1];
}

static tally_status make_room(tl_cl_device *device, size_t floats) {
    size_t bytes = floats * sizeof(float);
    if (device->sums && device->sums->bytes >= bytes)
        return TALLY_OK;
    if (device->sums)
        tl_cl_storage_free(device->sums); /* it lives until what uses it is done */
    device->sums = NULL;
    return tl_cl_storage_new(&device->base, bytes, &device->sums);
}

/* The slices of these columns. */
static tally_status sum_slices(const tally_tensor *left, const tally_tensor *right, size_t slices,
                               const tally_tensor *gradient) {
    size_t m = left->shape[0], columns = right ? right->shape[0] : 1;
    tl_launch l = tl_launch_start(left, TL_CL_DOTS_GROUP);
    size_t items = l.device->shared_items, tiles = items / LANES;
    size_t all = (m / GROUP_TILE + (m % GROUP_TILE != 0)) * (columns / GROUP_TILE + (columns % GROUP_TILE != 0));
    cl_mem sums = ((tl_cl_storage *)l.device->sums)->memory;
    tl_launch_number(&l, m);
    tl_launch_number(&l, left->shape[1]);
    tl_launch_number(&l, left->shape[2]);
    tl_launch_number(&l, TALLY_SLICE_COLUMNS);
    tl_launch_view(&l, left, 3);
    tl_launch_int(&l, right != NULL);
    tl_launch_view(&l, right ? right : left, 3);
    tl_launch_memory(&l, sums);
    tl_launch_local(&l, items * ROOM * sizeof(float));
    tally_status status = tl_launch_run_groups(&l, columns, all / tiles + (all % tiles != 0), slices, items);
    if (status)
        return status;
    l = tl_launch_start(gradient, TL_CL_MERGE);
    tl_launch_number(&l, slices);
    tl_launch_number(&l, m * columns);
    tl_launch_memory(&l, sums);
    tl_launch_view(&l, gradient, 0);
    return tl_launch_run(&l, m * columns, 1, 1, 1);
}

bool tl_cl_accumulate_group(const tally_tensor *left, const tally_tensor *right, const tally_tensor *gradient,
                            tally_status *status) {
    tl_cl_device *device = tl_cl_device_of(left);
    size_t elements = left->shape[0] * (right ? right->shape[0] : 1), n = left->shape[2];
    size_t slices = n / TALLY_SLICE_COLUMNS + (n % TALLY_SLICE_COLUMNS != 0);
    if (!device->shared_items || device->shared_items * ROOM * sizeof(float) > device->shared_bytes ||
        device->longest_sum || elements > SUMS || !contiguous(gradient))
        return false;
    size_t most = SUMS / elements < slices ? SUMS / elements : slices;
    *status = make_room(device, most * elements);
    for (size_t first = 0; first < slices && !*status; first += most) {
        size_t count = slices - first < most ? slices - first : most, column = first * TALLY_SLICE_COLUMNS;
        size_t width = count * TALLY_SLICE_COLUMNS < n - column ? count * TALLY_SLICE_COLUMNS : n - column;
        tally_tensor some_left = tl_cl_columns_of(left, column, width), some_right;
        if (right)
            some_right = tl_cl_columns_of(right, column, width);
        *status = sum_slices(&some_left, right ? &some_right : NULL, count, gradient);
    }
    return true;
}
