/* slices.h: the parallel loop over slices, the only one there is. */
#ifndef TALLY_TRAIN_SLICES_H
#define TALLY_TRAIN_SLICES_H

#include <tally/core.h>

typedef struct tl_slices tl_slices;

/* workers: threads, the calling one counted in; at least 1. */
tally_status tl_slices_new(unsigned workers, tl_slices **slices);
void tl_slices_free(tl_slices *slices);

typedef tally_status tl_slice_body(void *context, unsigned worker, size_t slice);

/* body for each slice from 0 to count - 1, at most one at a time for a worker; then merge for it, one at a time and in
 * the order of the slices, so that what is added up there does not depend on the workers. merge may be NULL. The first
 * failure, in the order of the slices, is returned with its text; no slice after it is merged. */
tally_status tl_slices_run(tl_slices *slices, size_t count, tl_slice_body *body, tl_slice_body *merge, void *context);

#endif
