/* operations_executor.h: the executor made of the public operations, for every device. */
#ifndef TALLY_NN_OPERATIONS_EXECUTOR_H
#define TALLY_NN_OPERATIONS_EXECUTOR_H

#include "nn/model.h"

/* The model is borrowed. The caller frees the executor by its method. TALLY_MEMORY, TALLY_DEVICE. */
tally_status tl_operations_executor_new(const tally_model *model, size_t steps, const tl_executor_options *options,
                                        tl_executor **executor);

#endif
