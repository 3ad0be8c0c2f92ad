/* training.h: what a run of training has at hand, and how far it is. */
#ifndef TALLY_TRAIN_TRAINING_H
#define TALLY_TRAIN_TRAINING_H

#include "train/gradient_tree.h"
#include "train/tester.h"
#include "train/workers.h"

#include <tally/train.h>

/* What an epoch came to. */
typedef struct tl_score {
    size_t epoch; /* from 1; 0: none */
    double loss;  /* summed over its batches */
    double valid_loss;
    size_t valid_mistakes;
} tl_score;

/* All that a run is besides its options, its data and its flat tensors: there are no random numbers but those that
 * follow from the seed, the epoch and the step. */
typedef struct tl_training_place {
    size_t epoch, batch, step; /* whole epochs done, batches of the next one, steps in all */
    double epoch_loss;         /* of those batches */
    double epoch_norm;         /* the largest of the gradient in them */
    tl_score kept, best;
    double seconds;
} tl_training_place;

struct tally_training {
    tally_model *model;
    const tally_dataset *data, *valid;
    tally_train_options options;
    tl_workers workers;
    tl_tester *tester;                               /* of valid, or NULL */
    tl_gradient_tree *gradients;                     /* flat, like the weights: of chunks and of the batch */
    tally_tensor states[TALLY_MAX_OPTIMIZER_STATES]; /* of the optimizer, flat, like the weights */
    tally_tensor aside;                              /* while a run is on, the kept weights; else the present ones */
    tally_tensor faults;                             /* I32 [1] */
    tally_tensor clipped;                            /* flat; this and the next two only where gradients are clipped */
    tally_tensor factor;                             /* flat, one number */
    tally_tensor square;                             /* [1, 1] */
    size_t *order;                                   /* sequences in the order of this epoch */
    const size_t *batch;                             /* the part of it that is the batch */
    size_t batch_size, batches;
    float *losses; /* of the batch, one for each TALLY_MICRO_BATCH sequences */
    bool on;
    tally_status failed; /* what has ended it, wherever in a step that was: it cannot go on */
    tl_training_place at;
};

/* Flat: those that are the result so far, and those that the next step changes. */
const tally_tensor *tl_training_kept(const tally_training *training);
const tally_tensor *tl_training_present(const tally_training *training);

#endif
