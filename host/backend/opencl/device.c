#include "backend/opencl/opencl.h"
#include "core/fail.h"

#include <stdlib.h>

/* A launch covers this many sequences at most; bounds the memory of activations. */
enum { SLICE_COLUMNS = 4096 };

static void close_device(tally_device *device) {
    tl_cl_device *cl = (tl_cl_device *)device;
    if (cl->queue)
        clFinish(cl->queue);
    tl_cl_gemm_end();
    tl_cl_program_free(cl);
    if (cl->queue)
        clReleaseCommandQueue(cl->queue);
    if (cl->context)
        clReleaseContext(cl->context);
    free(cl);
}

static bool supports(tally_device *device, tl_op op, const tally_tensor *const *tensors, size_t count) {
    (void)device, (void)count;
    return op != TL_OP_GEMM || tl_cl_gemm_supports(tensors[0], tensors[1], tensors[2]);
}

static size_t lstm_scratch(tally_device *device, size_t inputs, size_t hidden, size_t steps, size_t columns) {
    (void)device, (void)inputs, (void)hidden, (void)steps, (void)columns;
    return 1;
}

static const tl_backend opencl_backend = {
    .name = "opencl",
    .close = close_device,
    .storage_new = tl_cl_storage_new,
    .storage_free = tl_cl_storage_free,
    .storage_map = tl_cl_storage_map,
    .storage_unmap = tl_cl_storage_unmap,
    .write = tl_cl_write,
    .read = tl_cl_read,
    .supports = supports,
    .lstm_scratch = lstm_scratch,
    .gemm = tl_cl_gemm,
    .bias = tl_cl_bias,
    .reduce = tl_cl_reduce,
    .add = tl_cl_add,
    .copy = tl_cl_copy,
    .fill = tl_cl_fill,
    .lstm_gates = tl_cl_lstm_gates,
    .lstm_gates_backward = tl_cl_lstm_gates_backward,
    .softmax_loss = tl_cl_softmax_loss,
    .softmax_loss_backward = tl_cl_softmax_loss_backward,
    .adam = tl_cl_adam,
    .lstm_forward = tl_lstm_forward_composed,
    .lstm_backward = tl_lstm_backward_composed,
};

static tally_status start(tl_cl_device *device, cl_platform_id platform) {
    const cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)platform, 0};
    cl_int error;
    device->context = clCreateContext(properties, 1, &device->id, NULL, NULL, &error);
    tally_status status = tl_cl_check(device, "clCreateContext", error);
    if (status)
        return status;
    device->queue = clCreateCommandQueue(device->context, device->id, 0, &error);
    status = tl_cl_check(device, "clCreateCommandQueue", error);
    return status ? status : tl_cl_program_new(device);
}

tally_status tl_opencl_open(unsigned platform, unsigned device_number, tally_device **device) {
    tl_cl_device *made = calloc(1, sizeof *made);
    if (!made)
        return tl_fail(TALLY_MEMORY, "no memory left for a device");
    made->base.backend = &opencl_backend;
    made->base.workers = 1;
    made->base.slice_columns = SLICE_COLUMNS;
    cl_platform_id platform_id;
    tally_status status = tl_cl_find(platform, device_number, &platform_id, &made->id, &made->base.info);
    if (!status)
        status = start(made, platform_id);
    if (status) {
        close_device(&made->base);
        return status;
    }
    *device = &made->base;
    return TALLY_OK;
}
