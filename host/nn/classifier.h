/* classifier.h: chunks of a batch through a model, forward and backward: the tensors of a chunk and what runs it. */
#ifndef TALLY_NN_CLASSIFIER_H
#define TALLY_NN_CLASSIFIER_H

#include "nn/model.h"

/* The host's side of a chunk, as it lies in the device's memory. */
typedef struct tl_staged_chunk {
    size_t count; /* sequences */
    float *x;
    int32_t *labels, *starts;
} tl_staged_chunk;

/* Of them while one is computed the other is filled. */
enum { TL_STAGED_CHUNKS = 2 };

/* One for each worker; made for a number of columns, used for chunks of any number up to it. */
typedef struct tl_classifier {
    const tally_model *model;
    size_t *offsets;       /* of the executor's network */
    tl_executor *executor; /* the device's, or one of operations */
    tl_chunk whole;        /* as many columns as there may be; without weights, gradient and position */
    tl_chunk chunk;        /* views of it: what is loaded */
    size_t count;          /* sequences in it; the columns beyond are padding and ignored */
    bool in_place;         /* the host sees the tensors: the first staged chunk is them, and there is no other */
    tl_staged_chunk staged[TL_STAGED_CHUNKS];
} tl_classifier;

/* options->columns are rounded up to whole lanes. The caller frees the classifier before the model. TALLY_MEMORY,
 * TALLY_DEVICE. */
tally_status tl_classifier_new(const tally_model *model, size_t steps, const tl_executor_options *options,
                               tl_classifier *classifier);
void tl_classifier_free(tl_classifier *classifier);

/* Transposes count sequences into staged chunk number `slot`: 0, or 1 unless in_place. The device must not use it:
 * where a chunk loaded from it has been computed, its results have been read. x row-major [count, T, I]; labels
 * [count], or NULL: all ignored. lengths [count], 1 to T, where the classifier is for uneven ones, or NULL: x of a
 * shorter sequence is its first steps, which are moved to the end. */
void tl_classifier_stage(tl_classifier *classifier, unsigned slot, size_t count, const float *x, const int32_t *labels,
                         const int32_t *lengths);
/* Makes a staged chunk the one that is computed next. Does not wait. */
tally_status tl_classifier_load(tl_classifier *classifier, unsigned slot);
/* From zero states to probabilities. Does not wait. */
tally_status tl_classifier_predict(tl_classifier *classifier);
/* From zero states to the sums of losses, and to the chunk's gradient, added to gradient as tally_accumulate does:
 * flat, like the model's weights. Does not wait. */
tally_status tl_classifier_train(tl_classifier *classifier, const tl_step_position *position,
                                 const tally_tensor *gradient);
/* One sum for each TALLY_MICRO_BATCH sequences. Waits for the device. */
tally_status tl_classifier_losses(const tl_classifier *classifier, float *sums);
/* Row-major [count, C]. columns: C times the chunk's padded columns, for reading into. Waits for the device. */
tally_status tl_classifier_probabilities(const tl_classifier *classifier, float *columns, float *rows);

#endif
