/* dispatch.h: which table runs an operation. */
#ifndef TALLY_TENSOR_DISPATCH_H
#define TALLY_TENSOR_DISPATCH_H

#include "backend/backend.h"

enum { TL_RUN_TENSORS = 20 };

typedef struct tl_run {
    const tl_backend *table; /* call the slot of this one */
    tl_storage *mapped[TL_RUN_TENSORS];
    size_t mapped_count;
} tl_run;

/* The device's own table where it takes these tensors; else the reference's, with all of them mapped. Some may be NULL. */
tally_status tl_run_begin(tl_run *run, tl_op op, const tally_tensor *const *tensors, size_t count);
/* Unmaps. Returns status, what the slot returned, or what went wrong after. */
tally_status tl_run_end(tl_run *run, tally_status status);

#endif
