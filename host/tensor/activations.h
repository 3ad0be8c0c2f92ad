/* activations.h: tensors [feature][time][column] in the order of memory that the device is fast with. */
#ifndef TALLY_TENSOR_ACTIVATIONS_H
#define TALLY_TENSOR_ACTIVATIONS_H

#include <tally/tensor.h>

/* A new tensor of zeros [features, steps, columns]; see tl_backend.step_major. */
tally_status tl_activations_new(tally_device *device, size_t features, size_t steps, size_t columns,
                                tally_tensor *tensor);
/* The same in memory of one step, which all steps share: each replaces what the one before has left. */
tally_status tl_activations_new_step(tally_device *device, size_t features, size_t steps, size_t columns,
                                     tally_tensor *tensor);
/* The same storage as fewer columns, without gaps. */
tally_tensor tl_activations_narrow(const tally_tensor *tensor, size_t columns);

#endif
