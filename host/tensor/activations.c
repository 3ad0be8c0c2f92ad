#include "tensor/activations.h"

#include "backend/backend.h"

/* Strides of a tensor of these columns without gaps. */
static void set_strides(tally_tensor *tensor, size_t columns) {
    bool step_major = tensor->device->backend->step_major;
    tensor->shape[2] = columns;
    tensor->stride[0] = step_major ? columns : tensor->shape[1] * columns;
    tensor->stride[1] = step_major ? tensor->shape[0] * columns : columns;
    tensor->stride[2] = 1;
}

tally_status tl_activations_new(tally_device *device, size_t features, size_t steps, size_t columns,
                                tally_tensor *tensor) {
    tally_status status = tally_tensor_new(device, TALLY_F32, 3, (size_t[]){features, steps, columns}, tensor);
    if (!status)
        set_strides(tensor, columns);
    return status;
}

tally_tensor tl_activations_narrow(const tally_tensor *tensor, size_t columns) {
    tally_tensor view = *tensor;
    set_strides(&view, columns);
    return view;
}
