#include "tensor/activations.h"

#include "backend/backend.h"

/* Strides of a tensor of these columns without gaps; memory of one step remains that. */
static void set_strides(tally_tensor *tensor, size_t columns) {
    bool step_major = tensor->device->backend->step_major, one_step = tensor->stride[1] == 0;
    tensor->shape[2] = columns;
    tensor->stride[2] = 1;
    if (one_step) {
        tensor->stride[0] = columns;
        return;
    }
    tensor->stride[0] = step_major ? columns : tensor->shape[1] * columns;
    tensor->stride[1] = step_major ? tensor->shape[0] * columns : columns;
}

tally_status tl_activations_new(tally_device *device, size_t features, size_t steps, size_t columns,
                                tally_tensor *tensor) {
    tally_status status = tally_tensor_new(device, TALLY_F32, 3, (size_t[]){features, steps, columns}, tensor);
    if (!status)
        set_strides(tensor, columns);
    return status;
}

tally_status tl_activations_new_step(tally_device *device, size_t features, size_t steps, size_t columns,
                                     tally_tensor *tensor) {
    tally_status status = tl_activations_new(device, features, 1, columns, tensor);
    if (!status) {
        tensor->shape[1] = steps;
        tensor->stride[1] = 0;
    }
    return status;
}

tally_tensor tl_activations_narrow(const tally_tensor *tensor, size_t columns) {
    tally_tensor view = *tensor;
    set_strides(&view, columns);
    return view;
}
