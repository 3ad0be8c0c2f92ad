/* A network's batches by whole slices: one launch has a work-item for each of the device's cores, which takes one slice after another. */
#include "backend/leaves.h"
#include "backend/opencl/launch.h"
#include "backend/view.h"
#include "core/fail.h"
#include "core/size.h"

#include <stdlib.h>

/* Of cl/slice.cl. */
enum { COLUMNS = TALLY_SLICE_COLUMNS, SUM_ROWS = 96, SUM_COLUMNS = 72, CHUNK = 8, BLOCK_ROWS = 12, LANES = 16 };

/* For the gradients of micro-batches that are kept at a time, which are at least as many as workers, and for the
 * partial sums of the tree. */
enum { SUMS_BYTES = 16 << 20 };

typedef struct plan {
    tl_plan base;
    tl_cl_device *device;
    size_t workers, room; /* of a worker, in floats */
    size_t slices;        /* whose sums are kept at a time */
    cl_uint taken_before; /* what taken is once all launches are done */
    tl_storage *offsets, *packed, *rooms, *sums, *partials, *taken;
} plan;

/* cl/slice.cl has the same sizes. */
static size_t round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

static size_t packed_layer(const tl_cl_device *device, size_t inputs, size_t hidden) {
    size_t units = device->width == 16 ? 3 : 1, few = device->width == 16 ? 4 : 1;
    return round_up(hidden, units) * 4 * (1 + inputs + hidden) +
           (round_up(hidden, few) + round_up(inputs, few)) * 4 * hidden;
}

/* In floats; false if it does not fit a size. The network's parameters fit, so that their products with constants are checked here. */
static bool room_size(const tl_network *n, bool training, size_t *floats) {
    size_t steps = training ? n->steps : 1, rows, all, more;
    if (!tl_size_mul(steps, 7 * n->layers + 1, &rows) || !tl_size_add(rows, 2 * n->layers + 2, &rows) ||
        !tl_size_mul(rows, n->hidden, &rows) || !tl_size_add(rows, n->classes, &rows) ||
        !tl_size_add(rows, BLOCK_ROWS, &rows) || !tl_size_mul(rows, COLUMNS, &all))
        return false;
    more = SUM_ROWS * SUM_COLUMNS * LANES + CHUNK * SUM_COLUMNS * COLUMNS;
    return tl_size_add(all, training ? more : 0, floats);
}

static tally_status memory_new(const plan *p, size_t rows, size_t floats, tl_storage **memory) {
    size_t bytes;
    tally_device *device = &p->device->base;
    if (!tl_size_mul(rows, floats, &bytes) || !tl_size_mul(bytes, sizeof(float), &bytes))
        return tl_fail(TALLY_MEMORY, "%s: %zu times %zu floats do not fit a size", device->info.name, rows, floats);
    return tl_cl_storage_new(device, bytes, memory);
}

/* As 64-bit numbers, for the kernels. */
static tally_status write_offsets(plan *p) {
    const tl_network *n = &p->base.network;
    size_t count = 2 + 3 * n->layers;
    cl_ulong *wide = malloc(count * sizeof *wide);
    if (!wide)
        return tl_fail(TALLY_MEMORY, "no memory left for the offsets of %zu parameters", count);
    for (size_t i = 0; i < count; i++)
        wide[i] = n->offsets[i];
    tally_status status = memory_new(p, count, sizeof *wide / sizeof(float), &p->offsets);
    if (!status)
        status = tl_cl_write(p->offsets, 0, wide, count * sizeof *wide);
    free(wide);
    return status;
}

static tally_status make(plan *p, size_t columns, bool training) {
    const tl_network *n = &p->base.network;
    tally_device *device = &p->device->base;
    size_t slices = tl_leaves(columns), levels = tl_leaf_levels(columns);
    size_t kept = SUMS_BYTES / sizeof(float) / n->parameters;
    kept = kept > levels ? kept - levels : 0;
    p->workers = device->info.compute_units < slices ? device->info.compute_units : slices;
    p->slices = kept < p->workers ? p->workers : kept < slices ? kept : slices;
    if (!room_size(n, training, &p->room))
        return tl_fail(TALLY_MEMORY, "%s: a slice of %zu steps does not fit a size", device->info.name, n->steps);
    size_t packed =
        packed_layer(p->device, n->inputs, n->hidden) + (n->layers - 1) * packed_layer(p->device, n->hidden, n->hidden);
    tally_status status = write_offsets(p);
    if (!status)
        status = memory_new(p, 1, packed, &p->packed);
    if (!status)
        status = memory_new(p, p->workers, p->room, &p->rooms);
    if (!status)
        status = memory_new(p, 1, 1, &p->taken);
    if (!status && training)
        status = memory_new(p, p->slices, n->parameters, &p->sums);
    if (!status && training)
        status = tl_cl_partials_new(p->device, n->parameters, slices, &p->partials);
    return status;
}

tally_status tl_cl_plan_new(tally_device *device, const tl_network *network, size_t columns, bool training,
                            tl_plan **out) {
    tl_cl_device *cl = (tl_cl_device *)device;
    *out = NULL;
    if (network->cell != TALLY_LSTM || cl->width == 1 || cl->longest_sum)
        return TALLY_OK;
    plan *made = calloc(1, sizeof *made);
    if (!made)
        return tl_fail(TALLY_MEMORY, "no memory left for a plan");
    made->base.network = *network;
    made->device = cl;
    tally_status status = make(made, columns, training);
    if (status)
        tl_cl_plan_free(&made->base);
    else
        *out = &made->base;
    return status;
}

void tl_cl_plan_free(tl_plan *base) {
    plan *p = (plan *)base;
    if (!p)
        return;
    tl_storage *memories[] = {p->offsets, p->packed, p->rooms, p->sums, p->partials, p->taken};
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
        if (memories[i])
            tl_cl_storage_free(memories[i]);
    free(p);
}

static void buffer(tl_launch *l, const tl_storage *memory) {
    tl_launch_memory(l, ((const tl_cl_storage *)memory)->memory);
}

static tally_status pack(const plan *p, const tl_batch *batch) {
    const tl_network *n = &p->base.network;
    tl_launch l = tl_launch_start(&batch->weights, TL_CL_PACK);
    tl_launch_number(&l, n->layers);
    tl_launch_number(&l, n->inputs);
    tl_launch_number(&l, n->hidden);
    tl_launch_view(&l, &batch->weights, 0);
    buffer(&l, p->offsets);
    buffer(&l, p->packed);
    /* A block has at least a row. */
    return tl_launch_run(&l, n->hidden > n->inputs ? n->hidden : n->inputs, 1, n->layers, 1);
}

static void network(tl_launch *l, const plan *p, const tl_batch *batch) {
    const tl_network *n = &p->base.network;
    tl_launch_number(l, n->layers);
    tl_launch_number(l, n->inputs);
    tl_launch_number(l, n->hidden);
    tl_launch_number(l, n->classes);
    tl_launch_number(l, n->steps);
    tl_launch_view(l, &batch->weights, 0);
    buffer(l, p->offsets);
    buffer(l, p->packed);
    tl_launch_view(l, &batch->x, 3);
}

/* A worker takes slices until there is none, which counts, too. */
static void take(tl_launch *l, const plan *p) {
    buffer(l, p->taken);
    tl_launch_int(l, (cl_int)p->taken_before);
}

static tally_status run_workers(tl_launch *l, plan *p, size_t columns, size_t slices) {
    tally_status status = tl_launch_run_items(l, columns, p->workers);
    if (!status)
        p->taken_before += (cl_uint)(slices + p->workers);
    return status;
}

/* The slices from first to end - 1 of so many, and their sums to the gradient. */
static tally_status train_slices(plan *p, const tl_batch *batch, size_t first, size_t end, size_t slices) {
    const tl_network *n = &p->base.network;
    tl_launch l = tl_launch_start(&batch->x, TL_CL_TRAIN);
    network(&l, p, batch);
    tl_launch_view(&l, &batch->labels, 0);
    tl_launch_view(&l, &batch->loss_sums, 0);
    buffer(&l, p->sums);
    tl_launch_number(&l, n->parameters);
    buffer(&l, p->rooms);
    tl_launch_number(&l, p->room);
    take(&l, p);
    tl_launch_number(&l, first);
    tl_launch_number(&l, end);
    tally_status status = run_workers(&l, p, batch->x.shape[2], end - first);
    return status ? status : tl_cl_merge(p->sums, end - first, first, slices, p->partials, &batch->gradient);
}

tally_status tl_cl_train(tl_plan *base, const tl_batch *batch) {
    plan *p = (plan *)base;
    size_t slices = tl_leaves(batch->x.shape[2]);
    tally_status status = pack(p, batch);
    for (size_t first = 0; first < slices && !status; first += p->slices)
        status = train_slices(p, batch, first, slices - first < p->slices ? slices : first + p->slices, slices);
    return status;
}

tally_status tl_cl_predict(tl_plan *base, const tl_batch *batch) {
    plan *p = (plan *)base;
    tally_status status = pack(p, batch);
    if (status)
        return status;
    tl_launch l = tl_launch_start(&batch->x, TL_CL_PREDICT);
    network(&l, p, batch);
    tl_launch_view(&l, &batch->probabilities, 2);
    buffer(&l, p->rooms);
    tl_launch_number(&l, p->room);
    take(&l, p);
    return run_workers(&l, p, batch->x.shape[2], tl_leaves(batch->x.shape[2]));
}
