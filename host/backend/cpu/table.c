#include "backend/cpu/kernels.h"
#include "backend/cpu/memory.h"

#include <stdlib.h>

static void close_device(tally_device *device) {
    free(device);
}

static bool supports(tally_device *device, tl_op op, const tally_tensor *const *tensors, size_t count) {
    (void)device, (void)op, (void)tensors, (void)count;
    return true;
}

const tl_backend tl_isa_backend = {
    .name = "cpu",
    .step_major = true,
    .close = close_device,
    .storage_new = tl_cpu_storage_new,
    .storage_free = tl_cpu_storage_free,
    .storage_map = tl_cpu_storage_map,
    .storage_unmap = tl_cpu_storage_unmap,
    .write = tl_cpu_write,
    .load = tl_cpu_write,
    .read = tl_cpu_read,
    .supports = supports,
    .layer_scratch = tl_isa_layer_scratch,
    .plan_new = tl_no_plan, /* a worker takes slice after slice: single operations already keep its activations near */
    .gemm = tl_isa_gemm,
    .bias = tl_isa_bias,
    .reduce = tl_isa_reduce,
    .accumulate = tl_isa_accumulate,
    .apply = tl_isa_apply,
    .add = tl_isa_add,
    .copy = tl_isa_copy,
    .fill = tl_isa_fill,
    .dropout = tl_isa_dropout,
    .cell_forward = tl_isa_cell_forward,
    .cell_backward = tl_isa_cell_backward,
    .softmax_loss = tl_isa_softmax_loss,
    .softmax_loss_backward = tl_isa_softmax_loss_backward,
    .adam = tl_isa_adam,
    .layer_forward = tl_isa_layer_forward,
    .layer_backward = tl_isa_layer_backward,
    .peak = tl_isa_peak,
};
