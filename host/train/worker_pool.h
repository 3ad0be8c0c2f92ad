/* worker_pool.h: the parallel loop over the chunks of a batch, the only one there is. */
#ifndef TALLY_TRAIN_WORKER_POOL_H
#define TALLY_TRAIN_WORKER_POOL_H

#include <tally/core.h>

typedef struct tl_worker_pool tl_worker_pool;

/* workers: threads, the calling one counted in; at least 1. The caller frees the pool. TALLY_MEMORY. */
tally_status tl_worker_pool_new(unsigned workers, tl_worker_pool **pool);
void tl_worker_pool_free(tl_worker_pool *pool);

/* Called by worker, 0 to workers - 1, for a chunk; by several workers at the same time. */
typedef tally_status tl_chunk_function(void *context, unsigned worker, size_t chunk);

/* Calls compute and then merge, which may be NULL, for each chunk from 0 to count - 1. Chunks are handed out in
 * ascending order to whoever is free; no worker waits for another before the last chunk is handed out. After a failure
 * no more chunks are, and the first failure in the order of chunks is returned with its text. */
tally_status tl_worker_pool_run(tl_worker_pool *pool, size_t count, tl_chunk_function *compute,
                                tl_chunk_function *merge, void *context);
/* Where a worker's processor time goes, in seconds: into compute, and into all else (merge, handing out chunks). */
typedef struct tl_worker_profile {
    double compute, merge;
} tl_worker_profile;

/* From the next run on each worker adds its times to profile [workers], the caller's; NULL: none does. */
void tl_worker_pool_profile(tl_worker_pool *pool, tl_worker_profile *profile);

/* The chunk whose failure the last call returned: all before it are complete. */
size_t tl_worker_pool_failed(const tl_worker_pool *pool);

#endif
