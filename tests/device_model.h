/* device_model.h: the classifier of reference.h composed of public operations, on the device under test. */
#ifndef TALLY_TESTS_DEVICE_MODEL_H
#define TALLY_TESTS_DEVICE_MODEL_H

#include "reference.h"
#include "suite.h"

typedef struct device_model {
    tl_model_sizes sizes;
    tally_tensor values[TL_MODEL_PARTS]; /* the parts as in reference.h, each in one row */
    /* of the parameters and of x; those of H0 and C0 are read from the states */
    tally_tensor gradients[TL_MODEL_PARTS];
    tally_tensor optimizer_states[TL_MODEL_PARTS][TALLY_MAX_OPTIMIZER_STATES], faults;
    tally_tensor labels, logits, probabilities, losses, loss, dlogits;
    tally_layer_state *states; /* one for each layer */
    tally_tensor *dy;          /* [H, T, N]: gradients of the layers' outputs; the last one is unused */
} device_model;

device_model device_model_new(const tl_model_sizes *sizes, const float *values, const int32_t *labels);
void device_model_free(device_model *model);
/* The passes are split in three so that tests can look at the values between them. */
void device_model_forward(device_model *model);
void device_model_head_backward(device_model *model);
void device_model_layers_backward(device_model *model);
/* The gradients, in the layout of reference.h. */
void device_model_gradients(const device_model *model, float *gradients);
/* One optimizer step for a part that is a parameter (before TL_PART_X), with the gradients of the last pass. */
void device_model_step(device_model *model, tl_model_part part, const tally_optimizer_options *options, uint64_t step);
/* The parameters, up to TL_PART_X. */
void device_model_parameters(const device_model *model, float *values);

#endif
