/* classifier.h: one slice of a batch through a model, forward and backward. */
#ifndef TALLY_NN_CLASSIFIER_H
#define TALLY_NN_CLASSIFIER_H

#include "nn/model.h"

/* What one slice needs; each worker has one. Made for a number of columns, used for any up to it. */
typedef struct tl_classifier {
    const tally_model *model;
    size_t steps, capacity;
    size_t *offsets;            /* of the plan's network */
    tl_plan *plan;              /* NULL where the device has none, and slices are made of operations */
    tally_layer_state *states;  /* one for each layer, without a plan */
    tally_tensor between[2];    /* [H, T, N]: gradients of what a layer put out, by turns; as many as are needed */
    double dropout;             /* of what a layer hands to the next, in training */
    tally_tensor *dropped;      /* [H, T, N]: what is left of it, of each layer but the last; NULL without dropout */
    tally_tensor x;             /* [I, T, N] */
    tally_tensor labels;        /* I32 [N] */
    tally_tensor starts;        /* I32 [N]; no tensor where all sequences have all steps */
    tally_tensor probabilities; /* [C, N]; logits before, their gradient after */
    tally_tensor loss;          /* [N] */
    tally_tensor loss_sums;     /* one for each TALLY_MICRO_BATCH columns */
    float *x_columns;           /* host side of x */
    int32_t *label_columns;     /* host side of labels */
    int32_t *start_columns;     /* host side of starts */
} tl_classifier;

/* What it is made for. */
typedef struct tl_classifier_options {
    size_t steps, columns; /* at most */
    bool training;         /* with what backward needs */
    bool uneven;           /* sequences may have fewer steps */
    double dropout;        /* in training */
} tl_classifier_options;

tally_status tl_classifier_new(const tally_model *model, const tl_classifier_options *options,
                               tl_classifier *classifier);
void tl_classifier_free(tl_classifier *classifier);

/* The same, seen as the size of one slice: columns rounded up to whole lanes. Borrows from the whole. */
typedef struct tl_slice {
    const tl_classifier *of;
    size_t count; /* sequences; the columns beyond are padding and ignored */
    tally_tensor x, labels, starts, probabilities, loss;
} tl_slice;
tally_status tl_classifier_slice(const tl_classifier *classifier, size_t count, tl_slice *slice);

/* x row-major [count, T, I]; labels [count], or NULL: all ignored. lengths [count], 1 to T, where the classifier is for uneven ones: x
 * of a shorter sequence is its first steps, which are moved to the end. */
tally_status tl_slice_load(const tl_slice *slice, const float *x, const int32_t *labels, const int32_t *lengths);
/* From zero states to probabilities. */
tally_status tl_slice_predict(const tl_slice *slice);
/* How many sums of losses count sequences have: one for each TALLY_MICRO_BATCH. */
size_t tl_loss_sums(size_t count);
/* Where a slice of training is, which dropout depends on. */
typedef struct tl_place {
    uint64_t seed, step;
    size_t first; /* number of its first sequence in the batch */
} tl_place;

/* From zero states to the sums of losses, and to the slice's gradient, added to gradient as tally_accumulate does:
 * flat, like the model's weights. Waits for the device. */
tally_status tl_slice_train(const tl_slice *slice, const tl_place *place, const tally_tensor *gradient, float *sums);
/* Row-major [count, C]. columns: C times the slice's padded columns, for reading into. */
tally_status tl_slice_probabilities(const tl_slice *slice, float *columns, float *rows);

#endif
