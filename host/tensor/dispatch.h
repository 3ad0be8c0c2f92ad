/* dispatch.h: which table runs an operation. */
#ifndef TALLY_TENSOR_DISPATCH_H
#define TALLY_TENSOR_DISPATCH_H

#include "backend/backend.h"

typedef struct tl_run {
    const tl_backend *table; /* whose slot is to be called */
    tl_storage *mapped[TL_MOST_TENSORS];
    size_t mapped_count;
} tl_run;

/* The table of the tensors' device where it has the slot and supports the call; else the reference's, with all
 * tensors mapped. */
tally_status tl_run_begin(tl_run *run, const tl_call *call);
/* Unmaps. Returns status, what the slot returned, or what went wrong after. */
tally_status tl_run_end(tl_run *run, tally_status status);

/* Runs an operation on its tensors' device and gives its status. tensors: in parentheses, what a tl_call has by the
 * operation's name; then the arguments of the slot. */
#define TL_DISPATCH(name, tensors, ...) TL_DISPATCH_WITH(name, tensors, (), __VA_ARGS__)
/* The same; flags: in parentheses, what else a tl_call has for the operation. */
#define TL_DISPATCH_WITH(name, tensors, flags, ...)                                                                    \
    ({                                                                                                                 \
        const tl_call call_ = {.op = TL_OP_##name,                                                                     \
                               .count = TL_TENSOR_COUNT(name),                                                         \
                               .name = {TL_DISPATCH_UNWRAP tensors},                                                   \
                               TL_DISPATCH_UNWRAP flags};                                                              \
        tl_run run_;                                                                                                   \
        tally_status begun_ = tl_run_begin(&run_, &call_);                                                             \
        begun_ ? begun_ : tl_run_end(&run_, run_.table->name(__VA_ARGS__));                                            \
    })
#define TL_DISPATCH_UNWRAP(...) __VA_ARGS__

#endif
