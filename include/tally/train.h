/* train.h: training, testing and using a model. One call at a time for a model.
 */
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

/* How the learning rate falls. */
typedef enum tally_decay {
    TALLY_DECAY_NONE,
    TALLY_DECAY_COSINE, /* rate (1 + cos(pi s / S)) / 2 behind s of all S steps, without the C library's cos */
    TALLY_DECAY_STEP    /* a tenth of it after half of the epochs, a hundredth after three quarters */
} tally_decay;

/* As many as may be typed; in a struct, there may be any number of them. */
enum { TALLY_MAX_EPOCHS = 1000000000 };

/* An epoch is better than another if it makes fewer mistakes on the sequences to validate on, or as many with a lower loss there;
 * without such sequences, if its training loss is lower, as summed over its batches. Of two equals the earlier one is. */
typedef struct tally_train_options {
    size_t epochs;
    size_t batch; /* the last batch of an epoch may be smaller */
    tally_optimizer_options optimizer;
    bool shuffle;  /* a new order each epoch, from the seed */
    uint64_t seed; /* of the shuffling */
    tally_keep keep;
    double dropout; /* share of what a layer hands to the next that is dropped in training, 0 to below 1 */
    tally_decay decay;
    double clip;     /* a gradient whose norm is larger is scaled to it; 0: none is */
    size_t patience; /* ends after so many epochs without a better one; 0: never */
} tally_train_options;

/* One row for each member, with its offset in tally_train_options: their text forms, defaults, and the ranges that a text may give. What
 * tally_training_new takes may be more: any number of epochs, say. */
TALLY_API const tally_setting *tally_train_settings(size_t *count);

/* The defaults of that table: 5,000 epochs, batch 1,000, Adam 1e-3, 0.9, 0.999, 1e-8, file order, seed 1, last; no dropout, decay, clipping
 * or patience. */
TALLY_API tally_train_options tally_train_defaults(void);

typedef struct tally_progress {
    size_t epoch; /* whole epochs done */
    size_t step;  /* steps done in all */
    size_t steps_an_epoch;
    bool epoch_done;   /* this step was the last of its epoch */
    double step_loss;  /* cross-entropy summed over the batch */
    double epoch_loss; /* summed over the epoch so far */
    double rate;       /* the learning rate of this step */
    double norm; /* the largest norm of a gradient in the epoch so far, before it was clipped; NaN without clipping */
    double
        valid_loss; /* of this epoch, if it is done: cross-entropy summed over the sequences to validate on; else NaN */
    size_t valid_mistakes;
    double seconds; /* spent in training steps */
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
    double valid_loss; /* of the kept epoch, summed over the sequences to validate on; NaN if none */
    size_t valid_mistakes;
    size_t best_epoch; /* 0 if none */
    double seconds;    /* spent in training steps, the observer's time and validation left out */
} tally_train_result;

/* Trains the model in place from its present weights. The loss is cross-entropy summed over the batch, its gradient
 * softmax minus target. The gradients, and in double the losses, of the batch's micro-batches are added by
 * the tree of tally_accumulate, whoever computes them and whenever, so that neither threads nor devices change a bit.
 * Clipping: the sum of the squares of all elements of the batch's gradient is that of tally_accumulate, of the flat gradient with itself;
 * where its square root is larger than clip, each element is multiplied by (float)(clip / root).
 * When it stops early (TALLY_STOPPED from the observer, TALLY_NUMBERS in the very step where the loss, the gradient's norm or a weight is
 * not finite) the model holds the weights of the last whole epoch (or the best, with TALLY_KEEP_BEST) and result says which.
 * On a device error the weights are not to be relied on. observer may be NULL. */
TALLY_API tally_status tally_train(tally_model *model, const tally_dataset *data, const tally_train_options *options,
                                   const tally_observer *observer, tally_train_result *result);

/* The same as an object, which can be stopped, go on, and be kept in a file in between (tally/store.h). It begins with the weights
 * that the model has now. It borrows the model and the
 * data; options are copied. valid: sequences to validate on after each epoch, never trained on, or NULL. The caller frees it, before the
 * model. */
typedef struct tally_training tally_training;
TALLY_API tally_status tally_training_new(tally_model *model, const tally_dataset *data, const tally_dataset *valid,
                                          const tally_train_options *options, tally_training **training);
/* From where it is to its end, as tally_train does, which is at once if it is there. Called again, after TALLY_STOPPED, it goes on as if
 * it had not been stopped; after any other failure it cannot. Meanwhile, and so for the observer, the model has the present weights; once it
 * returns, those that are kept. */
TALLY_API tally_status tally_training_run(tally_training *training, const tally_observer *observer);
/* So far. May be called by the observer; so may tally_training_digest and tally_training_save. */
TALLY_API tally_train_result tally_training_result(const tally_training *training);
TALLY_API const tally_train_options *tally_training_options(const tally_training *training);
/* Of the kept weights, as tally_model_digest. */
TALLY_API tally_status tally_training_digest(const tally_training *training, char hex[65]);
TALLY_API void tally_training_free(tally_training *training);

typedef struct tally_test_result {
    size_t tested;
    size_t mistakes;
    size_t *tested_of_class; /* caller's arrays of classes elements, or NULL */
    size_t *mistakes_of_class;
    /* The caller's, or NULL: cross-entropy summed over the sequences, with probabilities clipped to 1e-10, in double:
     * a chain over each TALLY_MICRO_BATCH sequences, those added by the tree of tally_accumulate. 0 unless the whole
     * test succeeds. */
    double *loss;
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
