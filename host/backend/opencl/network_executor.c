/* The executor of devices whose work-items have vectors of columns: one launch has a work-item for each of the
 * device's cores, which takes one micro-batch after another through the kernels of cl/network.cl. */
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

/* For the gradients of micro-batches that are kept at a time, which are at least as many as workers, and for the
 * partial sums of the tree. */
enum { SUMS_BYTES = 16 << 20 };

typedef struct network_executor {
    tl_executor base;
    tl_network network;
    tl_executor_options options;
    tl_cl_device *device;
    tl_network_layout layout;
    tl_layer_layout *layers;
    size_t blocks; /* the most that a layer's weights are packed in */
    size_t workers;
    size_t micro_batches; /* whose sums are kept at a time */
    cl_uint taken_before; /* what taken is once all launches are done */
    tl_storage *layouts, *packed, *workspaces, *sums, *partials, *taken;
} network_executor;

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
static void lay_out_layer(const network_executor *e, size_t layer, layout_cursor *memory, tl_layer_layout *to) {
    const tl_network *n = &e->network;
    size_t row = e->layout.stride, hidden = n->hidden, steps = n->steps;
    bool training = e->options.training;
    to->h = append(memory, training ? steps + 1 : 2, hidden, row); /* steps + 1 fits: x has as many steps */
    if (tl_cell_state(n->cell))
        to->c = append(memory, training ? steps + 1 : 1, hidden, row);
    if (!training)
        return;
    to->gates = append(memory, steps, tl_cell_gates(n->cell) * hidden, row);
    if (tl_cell_state(n->cell))
        to->saved = append(memory, steps, hidden, row);
    if (e->options.dropout > 0 && layer + 1 < n->layers)
        to->dropped = append(memory, steps, hidden, row);
}

/* False if it does not fit a size. */
static bool lay_out_workspace(network_executor *e) {
    const tl_network *n = &e->network;
    size_t row = e->layout.stride;
    layout_cursor memory = {0, true};
    for (size_t l = 0; l < n->layers; l++)
        lay_out_layer(e, l, &memory, &e->layers[l]);
    e->layout.logits = append(&memory, n->classes, row, 1);
    if (e->options.training) {
        if (n->layers > 1)
            e->layout.dy = append(&memory, n->steps, n->hidden, row);
        e->layout.dh = append(&memory, n->hidden, row, 1);
        e->layout.dc = append(&memory, n->hidden, row, 1);
        e->layout.scratch = append(&memory, TL_SUM_WORKSPACE, 1, 1);
    }
    e->layout.workspace = memory.end;
    return memory.fits;
}

/* The network's parameters fit a size, and so does what is packed of them, but for the rounding up. */
static bool lay_out_packed(network_executor *e, size_t *floats) {
    const tl_network *n = &e->network;
    layout_cursor memory = {0, true};
    e->blocks = 0;
    for (size_t l = 0; l < n->layers; l++) {
        tl_layer_layout *to = &e->layers[l];
        const tl_cl_packed packed = tl_cl_packed_layer(e->device, n->cell, to->inputs, n->hidden);
        to->packed = append(&memory, packed.floats, 1, 1);
        to->packed_hh = to->packed + packed.hh;
        to->packed_ih = to->packed + packed.ih;
        e->blocks = packed.blocks > e->blocks ? packed.blocks : e->blocks;
    }
    *floats = memory.end;
    return memory.fits;
}

static tally_status memory_new(const network_executor *e, size_t rows, size_t floats, tl_storage **memory) {
    size_t bytes;
    tally_device *device = &e->device->base;
    if (!tl_size_mul(rows, floats, &bytes) || !tl_size_mul(bytes, sizeof(float), &bytes))
        return tl_fail(TALLY_MEMORY, "%s: %zu times %zu floats do not fit a size", device->info.name, rows, floats);
    return tl_cl_storage_new(device, bytes, memory);
}

static tally_status lay_out(network_executor *e, size_t *packed) {
    const tl_network *n = &e->network;
    size_t columns = e->options.columns, row = columns < TL_MICRO_BATCH ? columns : TL_MICRO_BATCH;
    e->layers = calloc(n->layers, sizeof *e->layers);
    if (!e->layers)
        return tl_fail(TALLY_MEMORY, "no memory left for the layout of %zu layers", n->layers);
    e->layout = (tl_network_layout){.layers = n->layers,
                                    .hidden = n->hidden,
                                    .classes = n->classes,
                                    .steps = n->steps,
                                    .stride = (row + TL_LANES - 1) / TL_LANES * TL_LANES,
                                    .head_bias = n->offsets[0],
                                    .head_weight = n->offsets[1],
                                    .parameters = n->parameters};
    for (size_t l = 0; l < n->layers; l++)
        e->layers[l] = (tl_layer_layout){.inputs = l == 0 ? n->inputs : n->hidden,
                                         .bias = n->offsets[2 + 3 * l],
                                         .w_ih = n->offsets[3 + 3 * l],
                                         .w_hh = n->offsets[4 + 3 * l]};
    if (!lay_out_packed(e, packed) || !lay_out_workspace(e))
        return tl_fail(TALLY_MEMORY, "%s: a micro-batch of %zu steps does not fit a size", e->device->base.info.name,
                       n->steps);
    return TALLY_OK;
}

static tally_status write_layouts(network_executor *e) {
    size_t layers = e->network.layers * sizeof *e->layers;
    tally_status status =
        tl_cl_storage_new(&e->device->base, sizeof e->layout + layers, &e->layouts); /* at most 64 layers */
    if (!status)
        status = tl_cl_write(e->layouts, 0, &e->layout, sizeof e->layout);
    return status ? status : tl_cl_write(e->layouts, sizeof e->layout, e->layers, layers);
}

static tally_status make_memory(network_executor *e) {
    const tl_network *n = &e->network;
    size_t columns = e->options.columns, all = tl_leaves(columns), levels = tl_leaf_levels(columns), packed = 0;
    size_t kept = SUMS_BYTES / sizeof(float) / n->parameters;
    kept = kept > levels ? kept - levels : 0;
    unsigned units = e->device->base.info.compute_units;
    e->workers = units < all ? units : all;
    e->micro_batches = kept < e->workers ? e->workers : kept < all ? kept : all;
    tally_status status = lay_out(e, &packed);
    if (!status)
        status = write_layouts(e);
    if (!status)
        status = memory_new(e, 1, packed, &e->packed);
    if (!status)
        status = memory_new(e, e->workers, e->layout.workspace, &e->workspaces);
    if (!status)
        status = memory_new(e, 1, 1, &e->taken);
    if (!status && e->options.training)
        status = memory_new(e, e->micro_batches, n->parameters, &e->sums);
    if (!status && e->options.training)
        status = tl_cl_partials_new(e->device, n->parameters, all, &e->partials);
    return status;
}

static void set_buffer(tl_launch *l, const tl_storage *memory) {
    tl_launch_memory(l, ((const tl_cl_storage *)memory)->memory);
}

static tl_launch launch_start(const network_executor *e, const tl_chunk *chunk, tl_cl_kernel kernel) {
    tl_launch l = tl_launch_start_cell(&chunk->x, e->network.cell, kernel);
    set_buffer(&l, e->layouts);
    tl_launch_view(&l, &chunk->weights, 0);
    set_buffer(&l, e->packed);
    return l;
}

static tally_status pack_network(const network_executor *e, const tl_chunk *chunk) {
    tl_launch l = launch_start(e, chunk, TL_CL_pack_network);
    return tl_launch_run(&l, e->blocks, 1, e->network.layers, 1);
}

static void set_starts(tl_launch *l, const tl_chunk *chunk) {
    tl_launch_int(l, chunk->starts.storage != NULL);
    tl_launch_view_or(l, &chunk->starts, &chunk->x, 0);
}

static void set_dropout(tl_launch *l, double dropout, const tl_step_position *position) {
    const tl_dropout_words words = tl_dropout_words_of(&(tally_dropout_options){.probability = dropout});
    tl_launch_int(l, dropout > 0);
    tl_launch_int(l, (cl_int)words.threshold);
    tl_launch_real(l, words.scale);
    tl_launch_number(l, position->seed);
    tl_launch_number(l, position->step);
    tl_launch_int(l, (cl_int)position->first);
}

/* A worker takes micro-batches until there is none, which counts, too. */
static void set_taken(tl_launch *l, const network_executor *e) {
    set_buffer(l, e->taken);
    tl_launch_int(l, (cl_int)e->taken_before);
}

static tally_status run_workers(tl_launch *l, network_executor *e, size_t columns, size_t micro_batches) {
    tally_status status = tl_launch_run_items(l, columns, e->workers);
    if (!status)
        e->taken_before += (cl_uint)(micro_batches + e->workers);
    return status;
}

/* The micro-batches from first to end - 1 of all, and their sums to the gradient. */
static tally_status train_micro_batches(network_executor *e, const tl_chunk *chunk, size_t first, size_t end,
                                        size_t all) {
    tl_launch l = launch_start(e, chunk, TL_CL_train);
    tl_launch_view(&l, &chunk->x, 3);
    tl_launch_view(&l, &chunk->labels, 0);
    set_starts(&l, chunk);
    set_dropout(&l, e->options.dropout, &chunk->position);
    tl_launch_view(&l, &chunk->loss_sums, 0);
    set_buffer(&l, e->sums);
    set_buffer(&l, e->workspaces);
    set_taken(&l, e);
    tl_launch_number(&l, first);
    tl_launch_number(&l, end);
    tally_status status = run_workers(&l, e, chunk->x.shape[2], end - first);
    return status ? status : tl_cl_merge(e->sums, end - first, first, all, e->partials, &chunk->gradient);
}

static tally_status train_chunk(tl_executor *base, const tl_chunk *chunk) {
    network_executor *e = (network_executor *)base;
    size_t all = tl_leaves(chunk->x.shape[2]);
    tally_status status = pack_network(e, chunk);
    for (size_t first = 0; first < all && !status; first += e->micro_batches)
        status =
            train_micro_batches(e, chunk, first, all - first < e->micro_batches ? all : first + e->micro_batches, all);
    return status;
}

static tally_status predict_chunk(tl_executor *base, const tl_chunk *chunk) {
    network_executor *e = (network_executor *)base;
    tally_status status = pack_network(e, chunk);
    if (status)
        return status;
    tl_launch l = launch_start(e, chunk, TL_CL_predict);
    tl_launch_view(&l, &chunk->x, 3);
    set_starts(&l, chunk);
    tl_launch_view(&l, &chunk->probabilities, 2);
    set_buffer(&l, e->workspaces);
    set_taken(&l, e);
    return run_workers(&l, e, chunk->x.shape[2], tl_leaves(chunk->x.shape[2]));
}

static void free_executor(tl_executor *base) {
    network_executor *e = (network_executor *)base;
    tl_storage *memories[] = {e->layouts, e->packed, e->workspaces, e->sums, e->partials, e->taken};
    for (size_t i = 0; i < sizeof memories / sizeof *memories; i++)
        if (memories[i])
            tl_cl_storage_free(memories[i]);
    free(e->layers);
    free(e);
}

tally_status tl_cl_executor_new(tally_device *device, const tl_network *network, const tl_executor_options *options,
                                tl_executor **executor) {
    static const tl_executor_methods methods = {.train = train_chunk, .predict = predict_chunk, .free = free_executor};
    tl_cl_device *cl = (tl_cl_device *)device;
    if (cl->width == 1 || cl->longest_sum)
        return TALLY_OK;
    network_executor *made = calloc(1, sizeof *made);
    if (!made)
        return tl_fail(TALLY_MEMORY, "no memory left for an executor");
    *made = (network_executor){.base.methods = &methods, .network = *network, .options = *options, .device = cl};
    tally_status status = make_memory(made);
    if (status)
        free_executor(&made->base);
    else
        *executor = &made->base;
    return status;
}
