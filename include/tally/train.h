/* train.h: training, testing and using a model. One call at a time per model. */
#ifndef TALLY_TRAIN_H
#define TALLY_TRAIN_H

#include <tally/data.h>
#include <tally/nn.h>
#include <tally/optimizer.h>
#include <tally/settings.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tally_keep {
    TALLY_KEEP_LAST, /* the weights of the last epoch */
    TALLY_KEEP_BEST  /* those of the best one */
} tally_keep;

/* Learning-rate schedules. */
typedef enum tally_decay {
    TALLY_DECAY_NONE,
    TALLY_DECAY_COSINE, /* rate (1 + cos(pi s / S)) / 2 after s of S steps in all, without the C library's cos */
    TALLY_DECAY_STEP    /* a tenth of the rate after half of the epochs, a hundredth after three quarters */
} tally_decay;

/* The most epochs that a text can set; the struct member may be larger. */
enum { TALLY_MAX_EPOCHS = 1000000000 };

/* An epoch is better than another if it makes fewer mistakes on the validation set, or equally many with a lower
 * loss. Without a validation set, it is better if its training loss, summed over its batches, is lower. Of equal
 * epochs the earlier one is the best. */
typedef struct tally_train_options {
    size_t epochs;
    size_t batch; /* the last batch of an epoch may be smaller */
    tally_optimizer_options optimizer;
    bool shuffle;  /* in a new order each epoch, from the seed */
    uint64_t seed; /* of the shuffling */
    tally_keep keep;
    double dropout; /* share of a layer's outputs to the next that is dropped in training, 0 to below 1 */
    tally_decay decay;
    double clip;     /* gradients with a larger norm are scaled down to this one; 0: never */
    size_t patience; /* end after this many epochs without a better one; 0: never */
} tally_train_options;

/* A row for each member, with its offset in tally_train_options: text form, default, and the range that a text can
 * set. tally_training_new accepts more, such as any number of epochs. */
TALLY_API const tally_setting *tally_train_settings(size_t *count);

/* The defaults of that table: 5,000 epochs, batch 1,000, Adam with 1e-3, 0.9, 0.999 and 1e-8, in file order, seed 1,
 * last weights; no dropout, learning-rate schedule, clipping or patience. */
TALLY_API tally_train_options tally_train_defaults(void);

typedef struct tally_progress {
    size_t epoch; /* completed */
    size_t step;  /* completed in all */
    size_t steps_an_epoch;
    bool epoch_done;   /* this step was the last of its epoch */
    double step_loss;  /* cross-entropy summed over the batch */
    double epoch_loss; /* summed over the epoch so far */
    double rate;       /* the learning rate of this step */
    double norm;       /* the largest gradient norm in the epoch so far, before clipping; NaN without clipping */
    double valid_loss; /* of this epoch if it is done: cross-entropy summed over the validation set; else NaN */
    size_t valid_mistakes;
    double seconds; /* spent in training steps */
} tally_progress;

/* step is called after each training step, from the calling thread; returning false stops training. It may use the
 * model, for example to test it on a sample. */
typedef struct tally_observer {
    bool (*step)(void *context, const tally_progress *progress);
    void *context;
} tally_observer;

typedef struct tally_train_result {
    size_t epochs;     /* completed */
    size_t steps;      /* completed in all */
    size_t kept_epoch; /* the model's weights are those after this many epochs */
    double loss;       /* of the kept epoch, summed over its batches; NaN if none */
    double valid_loss; /* of the kept epoch, summed over the validation set; NaN if none */
    size_t valid_mistakes;
    size_t best_epoch; /* 0 if none */
    double seconds;    /* spent in training steps, without the observer and validation */
} tally_train_result;

/* Trains the model in place, starting from its present weights. The loss is the cross-entropy summed over the batch;
 * its gradient is softmax minus target. The gradients of a batch's micro-batches, and their losses in double, are
 * added by the tree of tally_accumulate whatever the order in which they are computed, so that threads and devices
 * do not change a bit.
 *
 * Clipping: the sum of the squares of all elements of the batch's gradient is tally_accumulate of the flat gradient
 * with itself; if its square root is larger than clip, each element is multiplied by (float)(clip / root).
 *
 * If training stops early, the model holds the weights of the last whole epoch (with TALLY_KEEP_BEST, of the best),
 * and result says which: TALLY_STOPPED, by the observer; TALLY_NUMBERS, in the step in which the loss, the
 * gradient's norm or a weight is not finite. After a device error the weights are undefined. observer may be NULL. */
TALLY_API tally_status tally_train(tally_model *model, const tally_dataset *data, const tally_train_options *options,
                                   const tally_observer *observer, tally_train_result *result);

/* A training run as an object that can be stopped, continued, and saved in between (tally/store.h). It starts from
 * the model's present weights. It borrows the model and the data and copies the options. valid: the validation set,
 * which is evaluated after each epoch and never trained on; may be NULL. The caller frees it, before the model. */
typedef struct tally_training tally_training;
TALLY_API tally_status tally_training_new(tally_model *model, const tally_dataset *data, const tally_dataset *valid,
                                          const tally_train_options *options, tally_training **training);
/* Trains from the run's present state to its end, as tally_train does; a run that is complete returns at once. After
 * TALLY_STOPPED it can be called again and continues as if it had not stopped; after any other failure it cannot.
 * During the call, and therefore in the observer, the model has the current weights; after it, the kept ones. */
TALLY_API tally_status tally_training_run(tally_training *training, const tally_observer *observer);
/* The result so far. The observer may call this, tally_training_digest and tally_training_save. */
TALLY_API tally_train_result tally_training_result(const tally_training *training);
TALLY_API const tally_train_options *tally_training_options(const tally_training *training);
/* tally_model_digest of the kept weights. */
TALLY_API tally_status tally_training_digest(const tally_training *training, char hex[65]);
TALLY_API void tally_training_free(tally_training *training);

typedef struct tally_test_result {
    size_t tested;
    size_t mistakes;
    size_t *tested_of_class; /* caller's arrays with an element per class, or NULL */
    size_t *mistakes_of_class;
    /* Caller's, or NULL: cross-entropy summed over the sequences, with probabilities clipped to at least 1e-10, in
     * double: one chain for each TALLY_MICRO_BATCH sequences, those added by the tree of tally_accumulate. 0 unless
     * the whole test succeeds. */
    double *loss;
    double seconds;
} tally_test_result;

/* Runs sequences first to first + count - 1 through the model. Its answer is the most probable class, the lower one
 * of two equal ones. The observer's step is called between chunks, with progress->step sequences done; observer may
 * be NULL. */
TALLY_API tally_status tally_test(const tally_model *model, const tally_dataset *data, size_t first, size_t count,
                                  const tally_observer *observer, tally_test_result *result);

/* x [count, steps, inputs] row-major; lengths [count], each sequence's number of time steps, or NULL if all have
 * steps; probabilities [count, classes] row-major. */
TALLY_API tally_status tally_predict(const tally_model *model, const float *x, size_t count, size_t steps,
                                     const int32_t *lengths, float *probabilities);

#ifdef __cplusplus
}
#endif
#endif
