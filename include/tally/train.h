/* train.h: training, testing and using a model. One call at a time for a model.
 */
#ifndef TALLY_TRAIN_H
#define TALLY_TRAIN_H

#include <tally/data.h>
#include <tally/nn.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tally_keep {
    TALLY_KEEP_LAST, /* the weights of the last epoch */
    TALLY_KEEP_BEST  /* those of the epoch with the lowest training loss, as summed over the epoch's batches */
} tally_keep;

typedef struct tally_train_options {
    size_t epochs;
    size_t batch; /* the last batch of an epoch may be smaller */
    tally_adam_options adam;
    bool shuffle;  /* a new order each epoch, from the seed */
    uint64_t seed; /* of the shuffling */
    tally_keep keep;
    double dropout; /* share of what a layer hands to the next that is dropped in training, 0 to below 1 */
} tally_train_options;

/* 5,000 epochs, batch 1,000, Adam 1e-3, 0.9, 0.999, 1e-8, file order, seed 1, last, no dropout. */
TALLY_API tally_train_options tally_train_defaults(void);

typedef struct tally_progress {
    size_t epoch; /* whole epochs done */
    size_t step;  /* steps done in all */
    size_t steps_an_epoch;
    bool epoch_done;   /* this step was the last of its epoch */
    double step_loss;  /* cross-entropy summed over the batch */
    double epoch_loss; /* summed over the epoch so far */
    double seconds;    /* since training began */
} tally_progress;

/* Called after each step, from the calling thread; false stops training. It may use the model (tally_test on a sample, say). */
typedef struct tally_observer {
    bool (*step)(void *context, const tally_progress *progress);
    void *context;
} tally_observer;

typedef struct tally_train_result {
    size_t epochs;     /* whole epochs done */
    size_t steps;      /* steps done in all */
    size_t kept_epoch; /* the model's weights are those after this many epochs */
    double loss;       /* of the kept epoch, summed over its batches; NaN if none */
    double seconds;    /* spent in training steps, the observer's time left out */
} tally_train_result;

/* Trains the model in place from its present weights. The loss is cross-entropy summed over the batch, its gradient
 * softmax minus target. Gradients are added slice by slice in order, so threads do not change a bit.
 * When it stops early (TALLY_STOPPED from the observer, TALLY_NUMBERS in the very step where the loss or a weight is not
 * finite) the model holds the weights of the last whole epoch (or the best, with TALLY_KEEP_BEST) and result says which.
 * On a device error the weights are not to be relied on. observer may be NULL. */
TALLY_API tally_status tally_train(tally_model *model, const tally_dataset *data, const tally_train_options *options,
                                   const tally_observer *observer, tally_train_result *result);

typedef struct tally_test_result {
    size_t tested;
    size_t mistakes;
    size_t *tested_of_class; /* caller's arrays of classes elements, or NULL */
    size_t *mistakes_of_class;
    double seconds;
} tally_test_result;

/* Runs sequences first to first + count - 1 through the model; the most probable class (the lower one of two equals) is the answer.
 * The observer's step is called between chunks with progress->step sequences done; NULL is allowed. */
TALLY_API tally_status tally_test(const tally_model *model, const tally_dataset *data, size_t first, size_t count,
                                  const tally_observer *observer, tally_test_result *result);

/* x [count, steps, inputs] row-major; lengths [count], how many of the steps each has, or NULL for all; probabilities [count, classes]
 * row-major. */
TALLY_API tally_status tally_predict(const tally_model *model, const float *x, size_t count, size_t steps,
                                     const int32_t *lengths, float *probabilities);

#ifdef __cplusplus
}
#endif
#endif
