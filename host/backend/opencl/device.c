#include "backend/opencl/opencl.h"
#include "backend/opencl/packed.h"
#include "core/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A launch covers this many sequences at most; bounds the memory of activations. */
enum { CHUNK_COLUMNS = 4096 };
/* Workers add up what such columns come to by the tree over micro-batches: each must be a whole subtree. */
static_assert(CHUNK_COLUMNS % TALLY_MICRO_BATCH == 0 &&
                  (CHUNK_COLUMNS / TALLY_MICRO_BATCH & (CHUNK_COLUMNS / TALLY_MICRO_BATCH - 1)) == 0,
              "a power of two micro-batches");

void tl_cl_notice(const tl_cl_device *device, const char *text) {
    if (device->options.notice)
        device->options.notice(device->options.notice_context, text);
}

static void free_device(tl_cl_device *cl) {
    if (cl->queue)
        clFinish(cl->queue);
    tl_cl_clblast_end();
    tl_storage *kept[] = {cl->sums, cl->partials};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (kept[i])
            tl_cl_storage_free(kept[i]);
    tl_cl_programs_free(cl);
    if (cl->queue)
        clReleaseCommandQueue(cl->queue);
    if (cl->context)
        clReleaseContext(cl->context);
    free(cl);
}

static void close_device(tally_device *device) {
    tl_cl_programs_keep((tl_cl_device *)device);
    free_device((tl_cl_device *)device);
}

/* The elements of one micro-batch's sum in [features, steps, columns]. */
static size_t micro_batch_elements(const tally_tensor *t) {
    size_t columns = t->shape[2];
    return t->shape[1] * (columns < TALLY_MICRO_BATCH ? columns : TALLY_MICRO_BATCH);
}

/* How many elements a work-item sums in one loop that cannot go on in another launch. */
static size_t longest_sum(const tl_call *call) {
    switch (call->op) {
    case TL_OP_gemm: /* with B as it is, a chain goes on in the next launch, on both routes */
        return call->transpose_b ? call->gemm.b->shape[1] : 0;
    case TL_OP_reduce:
        return call->reduce.x->shape[1];
    case TL_OP_accumulate:
        return micro_batch_elements(call->accumulate.left);
    case TL_OP_layer_backward:
        return micro_batch_elements(call->layer_backward.gates);
    case TL_OP_softmax_loss:
        return call->softmax_loss.logits->shape[0];
    default:
        return 0;
    }
}

static bool supports(tally_device *device, const tl_call *call) {
    const tl_cl_device *cl = (tl_cl_device *)device;
    if (!tl_cl_sum_supports(cl, longest_sum(call)))
        return false;
    switch (call->op) {
    case TL_OP_layer_forward: /* the composed sequence, which devices of short loops have, knows no starts */
        return !cl->longest_sum || !call->layer_forward.starts;
    case TL_OP_layer_backward:
        return !cl->longest_sum || !call->layer_backward.starts;
    case TL_OP_gemm:
        return device->route != TALLY_ROUTE_CLBLAST || tl_cl_clblast_supports(call->gemm.a, call->gemm.b, call->gemm.c);
    default:
        return true;
    }
}

static size_t layer_scratch(tally_device *device, tally_cell cell, size_t inputs, size_t hidden, size_t steps,
                            size_t columns) {
    const tl_cl_device *cl = (tl_cl_device *)device;
    if (!cl->longest_sum)
        return tl_cl_packed_layer(cl, cell, inputs, hidden).floats;
    /* The C path may have to do it. */
    return tl_cpu_backend()->layer_scratch(device, cell, inputs, hidden, steps, columns);
}

/* What both routes share. */
#define SLOT(name, ...) , .name = tl_cl_##name
#define COMMON_SLOTS                                                                                                   \
    .close = close_device, .storage_new = tl_cl_storage_new, .storage_free = tl_cl_storage_free,                       \
    .storage_map = tl_cl_storage_map, .storage_unmap = tl_cl_storage_unmap, .write = tl_cl_write, .load = tl_cl_load,  \
    .read = tl_cl_read, .flush = tl_cl_flush, .supports = supports, .layer_scratch = layer_scratch,                    \
    .peak = tl_cl_peak TL_OPERATIONS(SLOT)

/* What comes behind the common slots replaces one of them; NULL there gives the operation to the C path. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"

static const tl_backend exact_backend = {
    COMMON_SLOTS,
    .step_major = true,
    .executor_new = tl_cl_executor_new,
};

static const tl_backend clblast_backend = {
    COMMON_SLOTS,
    .gemm = tl_cl_clblast_gemm,
    .accumulate = tl_cl_clblast_accumulate,
    .layer_forward = tl_cl_clblast_layer_forward,
    .layer_backward = tl_cl_clblast_layer_backward,
};

#pragma GCC diagnostic pop

void tl_cl_take_route(tl_cl_device *device, tally_route route) {
    device->base.route = route;
    device->base.backend = route == TALLY_ROUTE_CLBLAST ? &clblast_backend : &exact_backend;
}

/* As many columns a work-item as the device's vectors have floats; one where it has none or makes them of work-items
 * itself. TALLY_CL_COLUMNS sets it, so that every form can be tried on any device. */
static tally_status choose_width(tl_cl_device *device) {
    const char *wanted = getenv("TALLY_CL_COLUMNS");
    if (!wanted || !*wanted) {
        cl_uint floats = 1;
        cl_int error =
            clGetDeviceInfo(device->id, CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT, sizeof floats, &floats, NULL);
        bool processor = device->base.info.type == TALLY_DEVICE_CPU;
        device->width = !processor || floats < 4 ? 1 : floats >= 16 ? 16 : floats >= 8 ? 8 : 4;
        return tl_cl_check(device, "clGetDeviceInfo of the vector width", error);
    }
    static const size_t widths[] = {1, 4, 8, 16};
    char text[8];
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        snprintf(text, sizeof text, "%zu", widths[i]);
        if (strcmp(wanted, text) == 0)
            device->width = widths[i];
    }
    return device->width ? TALLY_OK : tl_fail(TALLY_DEVICE, "TALLY_CL_COLUMNS=%s: there are 1, 4, 8 and 16", wanted);
}

static tally_status start(tl_cl_device *device, cl_platform_id platform) {
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)platform, 0};
    cl_int error;
    device->context = clCreateContext(properties, 1, &device->id, NULL, NULL, &error);
    tally_status status = tl_cl_check(device, "clCreateContext", error);
    if (status)
        return status;
    device->queue = clCreateCommandQueue(device->context, device->id, 0, &error);
    status = tl_cl_check(device, "clCreateCommandQueue", error);
    return status ? status : tl_cl_common_program(device);
}

static tally_status open_device(const char *selector, const tally_device_options *options, tally_device **device) {
    tl_cl_device *made = calloc(1, sizeof *made);
    if (!made)
        return tl_fail(TALLY_MEMORY, "no memory left for a device");
    made->options = *options;
    tl_cl_take_route(made, options->route == TALLY_ROUTE_CLBLAST ? TALLY_ROUTE_CLBLAST : TALLY_ROUTE_EXACT);
    made->base.workers = 1;
    made->base.chunk_columns = CHUNK_COLUMNS;
    cl_platform_id platform_id;
    tally_status status = tl_cl_find(selector, &platform_id, &made->id, &made->base.info);
    if (!status)
        status = choose_width(made);
    if (!status)
        status = start(made, platform_id);
    if (!status)
        status = tl_cl_self_test(made);
    if (status) {
        free_device(made);
        return status;
    }
    if (options->route == TALLY_ROUTE_AUTO)
        tl_cl_choose_route(made);
    *device = &made->base;
    return TALLY_OK;
}

const tl_registration tl_opencl_registration = {.name = "opencl", .list = tl_cl_list, .open = open_device};
