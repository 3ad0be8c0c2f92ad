/* classifier.h: chunks of a batch through a model, forward and backward: the tensors of a chunk and what runs it. */
#ifndef TALLY_NN_CLASSIFIER_H
#define TALLY_NN_CLASSIFIER_H

#include "nn/model.h"

/* One for each worker; made for a number of columns, used for chunks of any number up to it. */
typedef struct tl_classifier {
    const tally_model *model;
    size_t *offsets;       /* of the executor's network */
    tl_executor *executor; /* the device's, or one of operations */
    tl_chunk whole;        /* as many columns as there may be; without weights, gradient and position */
    tl_chunk chunk;        /* views of it: what is loaded */
    size_t count;          /* sequences in it; the columns beyond are padding and ignored */
    float *x_columns;      /* host side of x, as it lies in the device's memory */
    int32_t *label_columns, *start_columns;
} tl_classifier;

/* options->columns are rounded up to whole lanes. The caller frees the classifier before the model. TALLY_MEMORY,
 * TALLY_DEVICE. */
tally_status tl_classifier_new(const tally_model *model, size_t steps, const tl_executor_options *options,
                               tl_classifier *classifier);
void tl_classifier_free(tl_classifier *classifier);

/* Makes count sequences the chunk. x row-major [count, T, I]; labels [count], or NULL: all ignored. lengths [count],
 * 1 to T, where the classifier is for uneven ones, or NULL: x of a shorter sequence is its first steps, which are
 * moved to the end. */
tally_status tl_classifier_load(tl_classifier *classifier, size_t count, const float *x, const int32_t *labels,
                                const int32_t *lengths);
/* From zero states to probabilities. */
tally_status tl_classifier_predict(tl_classifier *classifier);
/* From zero states to the sums of losses, one for each TALLY_MICRO_BATCH sequences, and to the chunk's gradient,
 * added to gradient as tally_accumulate does: flat, like the model's weights. Waits for the device. */
tally_status tl_classifier_train(tl_classifier *classifier, const tl_step_position *position,
                                 const tally_tensor *gradient, float *sums);
/* Row-major [count, C]. columns: C times the chunk's padded columns, for reading into. */
tally_status tl_classifier_probabilities(const tl_classifier *classifier, float *columns, float *rows);

#endif
