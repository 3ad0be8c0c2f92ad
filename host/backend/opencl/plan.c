/* A network's batches by whole micro-batches: one launch has a work-item for each of the device's cores, which takes one micro-batch after
 * another through the kernels of cl/network.cl. */
#include "backend/cells.h"
#include "backend/dropout_words.h"
#include "backend/leaves.h"
#include "backend/opencl/launch.h"
#include "backend/opencl/packed.h"
#include "backend/view.h"
#include "core/fail.h"
#include "core/size.h"

#include "constants.h"
typedef cl_ulong tl_u64;
#include "network.h"

#include <stdlib.h>

/* For the gradients of micro-batches that are kept at a time, which are at least as many as workers, and for the partial
 * sums of the tree. */
enum { SUMS_BYTES = 16 << 20 };

typedef struct plan {
    tl_plan base;
    tl_cl_device *device;
    tl_network_layout layout;
    tl_layer_layout *layers;
    size_t blocks; /* the most that a layer's weights are packed in */
    size_t workers;
    size_t micro_batches; /* whose sums are kept at a time */
    cl_uint taken_before; /* what taken is once all launches are done */
    tl_storage *layouts, *packed, *workspaces, *sums, *partials, *taken;
} plan;

/* Lays out one thing after another; fits says whether all sums and products so far did. */
typedef struct layout_cursor {
    size_t end;
    bool fits;
} layout_cursor;

/* The start of a times b times c floats at the end of what is laid out. */
static size_t append(layout_cursor *cursor, size_t a, size_t b, size_t c) {
    size_t start = cursor->end, floats = 0;
    cursor->fits = cursor->fits && tl_size_mul(a, b, &floats) && tl_size_mul(floats, c, &floats) &&
                   tl_size_add(cursor->end, floats, &cursor->end);
    return start;
}

/* Inference keeps two steps of h and one of c. */
static void lay_out_layer(const plan *p, bool training, size_t layer, layout_cursor *memory, tl_layer_layout *to) {
    const tl_network *n = &p->base.network;
    size_t row = p->layout.stride, hidden = n->hidden, steps = n->steps;
    to->h = append(memory, training ? steps + 1 : 2, hidden, row); /* steps + 1 fits: x has as many steps */
    if (tl_cell_state(n->cell))
        to->c = append(memory, training ? steps + 1 : 1, hidden, row);
    if (!training)
        return;
    to->gates = append(memory, steps, tl_cell_gates(n->cell) * hidden, row);
    if (tl_cell_state(n->cell))
        to->saved = append(memory, steps, hidden, row);
    if (n->dropout > 0 && layer + 1 < n->layers)
        to->dropped = append(memory, steps, hidden, row);
}

/* False if it does not fit a size. */
static bool lay_out_workspace(plan *p, bool training) {
    const tl_network *n = &p->base.network;
    size_t row = p->layout.stride;
    layout_cursor memory = {0, true};
    for (size_t l = 0; l < n->layers; l++)
        lay_out_layer(p, training, l, &memory, &p->layers[l]);
    p->layout.logits = append(&memory, n->classes, row, 1);
    if (training) {
        if (n->layers > 1)
            p->layout.dy = append(&memory, n->steps, n->hidden, row);
        p->layout.dh = append(&memory, n->hidden, row, 1);
        p->layout.dc = append(&memory, n->hidden, row, 1);
        p->layout.scratch = append(&memory, TL_SUM_WORKSPACE, 1, 1);
    }
    p->layout.workspace = memory.end;
    return memory.fits;
}

/* The network's parameters fit a size, and so does what is packed of them, but for the rounding up. */
static bool lay_out_packed(plan *p, size_t *floats) {
    const tl_network *n = &p->base.network;
    layout_cursor memory = {0, true};
    p->blocks = 0;
    for (size_t l = 0; l < n->layers; l++) {
        tl_layer_layout *to = &p->layers[l];
        const tl_cl_packed packed = tl_cl_packed_layer(p->device, n->cell, to->inputs, n->hidden);
        to->packed = append(&memory, packed.floats, 1, 1);
        to->packed_hh = to->packed + packed.hh;
        to->packed_ih = to->packed + packed.ih;
        p->blocks = packed.blocks > p->blocks ? packed.blocks : p->blocks;
    }
    *floats = memory.end;
    return memory.fits;
}

static tally_status memory_new(const plan *p, size_t rows, size_t floats, tl_storage **memory) {
    size_t bytes;
    tally_device *device = &p->device->base;
    if (!tl_size_mul(rows, floats, &bytes) || !tl_size_mul(bytes, sizeof(float), &bytes))
        return tl_fail(TALLY_MEMORY, "%s: %zu times %zu floats do not fit a size", device->info.name, rows, floats);
    return tl_cl_storage_new(device, bytes, memory);
}

static tally_status lay_out(plan *p, size_t columns, bool training, size_t *packed) {
    const tl_network *n = &p->base.network;
    size_t row = columns < TL_MICRO_BATCH ? columns : TL_MICRO_BATCH;
    p->layers = calloc(n->layers, sizeof *p->layers);
    if (!p->layers)
        return tl_fail(TALLY_MEMORY, "no memory left for the layout of %zu layers", n->layers);
    p->layout = (tl_network_layout){.layers = n->layers,
                                    .hidden = n->hidden,
                                    .classes = n->classes,
                                    .steps = n->steps,
                                    .stride = (row + TL_LANES - 1) / TL_LANES * TL_LANES,
                                    .head_bias = n->offsets[0],
                                    .head_weight = n->offsets[1],
                                    .parameters = n->parameters};
    for (size_t l = 0; l < n->layers; l++)
        p->layers[l] = (tl_layer_layout){.inputs = l == 0 ? n->inputs : n->hidden,
                                         .bias = n->offsets[2 + 3 * l],
                                         .w_ih = n->offsets[3 + 3 * l],
                                         .w_hh = n->offsets[4 + 3 * l]};
    if (!lay_out_packed(p, packed) || !lay_out_workspace(p, training))
        return tl_fail(TALLY_MEMORY, "%s: a micro-batch of %zu steps does not fit a size", p->device->base.info.name,
                       n->steps);
    return TALLY_OK;
}

static tally_status write_layouts(plan *p) {
    size_t layers = p->base.network.layers * sizeof *p->layers;
    tally_status status =
        tl_cl_storage_new(&p->device->base, sizeof p->layout + layers, &p->layouts); /* at most 64 layers */
    if (!status)
        status = tl_cl_write(p->layouts, 0, &p->layout, sizeof p->layout);
    return status ? status : tl_cl_write(p->layouts, sizeof p->layout, p->layers, layers);
}

static tally_status make_plan(plan *p, size_t columns, bool training) {
    const tl_network *n = &p->base.network;
    size_t all = tl_leaves(columns), levels = tl_leaf_levels(columns), packed = 0;
    size_t kept = SUMS_BYTES / sizeof(float) / n->parameters;
    kept = kept > levels ? kept - levels : 0;
    unsigned units = p->device->base.info.compute_units;
    p->workers = units < all ? units : all;
    p->micro_batches = kept < p->workers ? p->workers : kept < all ? kept : all;
    tally_status status = lay_out(p, columns, training, &packed);
    if (!status)
        status = write_layouts(p);
    if (!status)
        status = memory_new(p, 1, packed, &p->packed);
    if (!status)
        status = memory_new(p, p->workers, p->layout.workspace, &p->workspaces);
    if (!status)
        status = memory_new(p, 1, 1, &p->taken);
    if (!status && training)
        status = memory_new(p, p->micro_batches, n->parameters, &p->sums);
    if (!status && training)
        status = tl_cl_partials_new(p->device, n->parameters, all, &p->partials);
    return status;
}

tally_status tl_cl_plan_new(tally_device *device, const tl_network *network, size_t columns, bool training,
                            tl_plan **out) {
    tl_cl_device *cl = (tl_cl_device *)device;
    *out = NULL;
    if (cl->width == 1 || cl->longest_sum)
        return TALLY_OK;
    plan *made = calloc(1, sizeof *made);
    if (!made)
        return tl_fail(TALLY_MEMORY, "no memory left for a plan");
    made->base.network = *network;
    made->device = cl;
    tally_status status = make_plan(made, columns, training);
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
    tl_storage *memories[] = {p->layouts, p->packed, p->workspaces, p->sums, p->partials, p->taken};
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
        if (memories[i])
            tl_cl_storage_free(memories[i]);
    free(p->layers);
    free(p);
}

static void set_buffer(tl_launch *l, const tl_storage *memory) {
    tl_launch_memory(l, ((const tl_cl_storage *)memory)->memory);
}

static tl_launch launch_start(const plan *p, const tl_batch *batch, tl_cl_kernel kernel) {
    tl_launch l = tl_launch_start_cell(&batch->x, p->base.network.cell, kernel);
    set_buffer(&l, p->layouts);
    tl_launch_view(&l, &batch->weights, 0);
    set_buffer(&l, p->packed);
    return l;
}

static tally_status pack_network(const plan *p, const tl_batch *batch) {
    tl_launch l = launch_start(p, batch, TL_CL_pack_network);
    return tl_launch_run(&l, p->blocks, 1, p->base.network.layers, 1);
}

static void set_starts(tl_launch *l, const tl_batch *batch) {
    tl_launch_int(l, batch->starts.storage != NULL);
    tl_launch_view_or(l, &batch->starts, &batch->x, 0);
}

static void set_dropout(tl_launch *l, const tl_network *n, const tl_batch *batch) {
    const tl_dropout_words words = tl_dropout_words_of(&(tally_dropout_options){.probability = n->dropout});
    tl_launch_int(l, n->dropout > 0);
    tl_launch_int(l, (cl_int)words.threshold);
    tl_launch_real(l, words.scale);
    tl_launch_number(l, batch->seed);
    tl_launch_number(l, batch->step);
    tl_launch_int(l, (cl_int)batch->first);
}

/* A worker takes micro-batches until there is none, which counts, too. */
static void set_taken(tl_launch *l, const plan *p) {
    set_buffer(l, p->taken);
    tl_launch_int(l, (cl_int)p->taken_before);
}

static tally_status run_workers(tl_launch *l, plan *p, size_t columns, size_t micro_batches) {
    tally_status status = tl_launch_run_items(l, columns, p->workers);
    if (!status)
        p->taken_before += (cl_uint)(micro_batches + p->workers);
    return status;
}

/* The micro-batches from first to end - 1 of all, and their sums to the gradient. */
static tally_status train_micro_batches(plan *p, const tl_batch *batch, size_t first, size_t end, size_t all) {
    const tl_network *n = &p->base.network;
    tl_launch l = launch_start(p, batch, TL_CL_train);
    tl_launch_view(&l, &batch->x, 3);
    tl_launch_view(&l, &batch->labels, 0);
    set_starts(&l, batch);
    set_dropout(&l, n, batch);
    tl_launch_view(&l, &batch->loss_sums, 0);
    set_buffer(&l, p->sums);
    set_buffer(&l, p->workspaces);
    set_taken(&l, p);
    tl_launch_number(&l, first);
    tl_launch_number(&l, end);
    tally_status status = run_workers(&l, p, batch->x.shape[2], end - first);
    return status ? status : tl_cl_merge(p->sums, end - first, first, all, p->partials, &batch->gradient);
}

tally_status tl_cl_train(tl_plan *base, const tl_batch *batch) {
    plan *p = (plan *)base;
    size_t all = tl_leaves(batch->x.shape[2]);
    tally_status status = pack_network(p, batch);
    for (size_t first = 0; first < all && !status; first += p->micro_batches)
        status =
            train_micro_batches(p, batch, first, all - first < p->micro_batches ? all : first + p->micro_batches, all);
    return status;
}

tally_status tl_cl_predict(tl_plan *base, const tl_batch *batch) {
    plan *p = (plan *)base;
    tally_status status = pack_network(p, batch);
    if (status)
        return status;
    tl_launch l = launch_start(p, batch, TL_CL_predict);
    tl_launch_view(&l, &batch->x, 3);
    set_starts(&l, batch);
    tl_launch_view(&l, &batch->probabilities, 2);
    set_buffer(&l, p->workspaces);
    set_taken(&l, p);
    return run_workers(&l, p, batch->x.shape[2], tl_leaves(batch->x.shape[2]));
}
