/* bounded_model.h: running error analysis of the whole classifier. */
#ifndef TALLY_PARITY_BOUNDED_MODEL_H
#define TALLY_PARITY_BOUNDED_MODEL_H

#include "parity/bounded_ops.h"
#include "parity/model_parts.h"

/* values: one for each element of the parts. Computes the loss and the gradients of all values, in the same layout.
 * TALLY_MEMORY. */
tally_status tl_bounded_model_gradients(const tl_model_sizes *sizes, const tl_bounded *values, const int32_t *labels,
                                        tl_bounded *gradients, tl_bounded *loss);

#endif
