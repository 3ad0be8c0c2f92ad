/* workers.h: workers with what each needs to run chunks of a data set through a model. */
#ifndef TALLY_TRAIN_WORKERS_H
#define TALLY_TRAIN_WORKERS_H

#include "nn/classifier.h"
#include "train/worker_pool.h"

#include <tally/data.h>

/* Sequences that have been read and staged. */
typedef struct tl_read_chunk {
    const size_t *numbers; /* NULL: none */
    size_t count;
    int32_t *labels; /* [columns] */
} tl_read_chunk;

typedef struct tl_worker {
    tl_classifier classifier;
    tally_tensor *gradient;               /* of the chunk, in training; not the worker's */
    float *x;                             /* [columns, T, I], as read from the data set */
    tl_read_chunk read[TL_STAGED_CHUNKS]; /* what the classifier's staged chunks have */
    unsigned loaded;                      /* the one that is computed */
    const int32_t *labels;                /* its labels */
    int32_t *lengths;                     /* [columns]; NULL where all sequences have all steps */
    float *probability_columns;           /* [C, columns] */
    float *probability_rows;              /* [columns, C] */
} tl_worker;

typedef struct tl_workers {
    tally_device *device;
    tl_worker_pool *pool;
    size_t chunk_columns; /* sequences of a chunk, but for the last */
    unsigned count;
    tl_worker *each;
} tl_workers;

/* options->columns: the most sequences that are run at a time. The caller frees the workers. TALLY_MEMORY,
 * TALLY_DEVICE. */
tally_status tl_workers_new(const tally_model *model, size_t steps, const tl_executor_options *options,
                            tl_workers *workers);
void tl_workers_free(tl_workers *workers);

/* The data's sizes are those the model is made for. what: the function that asks, for the error. */
tally_status tl_check_data(const char *what, const tally_model *model, const tally_dataset *data);

/* Makes count sequences of the data the worker's chunk; they may have been read ahead. Their labels are in
 * worker->labels; masked: the chunk does not know them. TALLY_DATA names a sequence whose label or length cannot be. */
tally_status tl_worker_load(tl_worker *worker, const tally_dataset *data, const size_t *numbers, size_t count,
                            bool masked);
/* Reads the sequences that the worker loads next, while the device computes what it has been given; does nothing
 * where the host sees the device's memory, since operations wait there. What fails here is read once more, and
 * fails, when it is loaded. */
void tl_worker_read_ahead(tl_worker *worker, const tally_dataset *data, const size_t *numbers, size_t count,
                          bool masked);
/* Forgets what has been read ahead: the numbers will be others. */
void tl_workers_forget(tl_workers *workers);
/* Makes the device begin what its workers have asked it for. */
tally_status tl_workers_flush(const tl_workers *workers);

/* How many chunks count sequences are, and how many sequences a chunk of them has. */
size_t tl_workers_chunks(const tl_workers *workers, size_t count);
size_t tl_workers_chunk_size(const tl_workers *workers, size_t count, size_t chunk);

#endif
