/* bounded_model.h: the whole classifier under running error analysis. */
#ifndef TALLY_PARITY_BOUNDED_MODEL_H
#define TALLY_PARITY_BOUNDED_MODEL_H

#include "parity/bounded_ops.h"
#include "parity/model_parts.h"

/* values: one for each element of the parts; gradients of all of them, of the same shape, and the loss. TALLY_MEMORY. */
tally_status tl_bounded_model_gradients(const tl_model_sizes *sizes, const tl_bounded *values, const int32_t *labels,
                                        tl_bounded *gradients, tl_bounded *loss);

#endif
