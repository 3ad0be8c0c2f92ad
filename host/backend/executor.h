/* executor.h: runs chunks of a batch through a whole network, forward, or forward and backward. A backend may have
 * executors of its own (tl_backend.executor_new); nn/operations_executor.h makes one of the public operations, for
 * any device. Both give the same bits wherever the device's operations have the order of sums that tally/tensor.h
 * states. */
#ifndef TALLY_BACKEND_EXECUTOR_H
#define TALLY_BACKEND_EXECUTOR_H

#include <tally/tensor.h>

/* A classifier: layers, and a head on the last output. */
typedef struct tl_network {
    tally_cell cell;
    size_t layers, inputs, hidden, classes, steps;
    const size_t
        *offsets;      /* in a flat tensor: of head bias and head weight, then of bias, w_ih and w_hh of each layer */
    size_t parameters; /* elements of a flat tensor */
} tl_network;

/* What an executor is made for. */
typedef struct tl_executor_options {
    size_t columns; /* of a chunk, at most */
    bool training;  /* with what backward needs; else for predict only */
    bool uneven;    /* chunks have starts */
    double dropout; /* of what a layer hands to the next, in training */
} tl_executor_options;

/* Where a chunk is in a run of training, which decides what dropout drops. */
typedef struct tl_step_position {
    uint64_t seed, step;
    size_t first; /* the number of the chunk's first column in the batch */
} tl_step_position;

/* N columns of a batch, whole lanes of them: a column is a sequence, or padding, whose label is below 0. */
typedef struct tl_chunk {
    tally_tensor weights;       /* flat */
    tally_tensor gradient;      /* flat; in training */
    tally_tensor x;             /* [I, T, N] */
    tally_tensor labels;        /* I32 [N] */
    tally_tensor starts;        /* I32 [N], as in tally_layer_state; no tensor where all sequences have all steps */
    tally_tensor probabilities; /* [C, N] */
    tally_tensor loss_sums;     /* one for each micro-batch; in training */
    tl_step_position position;  /* in training */
} tl_chunk;

typedef struct tl_executor tl_executor;

/* Neither call waits for the device. */
typedef struct tl_executor_methods {
    /* From zero states to loss_sums and, added as tally_accumulate does, to gradient; probabilities is overwritten. */
    tally_status (*train)(tl_executor *executor, const tl_chunk *chunk);
    /* From zero states to probabilities. */
    tally_status (*predict)(tl_executor *executor, const tl_chunk *chunk);
    void (*free)(tl_executor *executor);
} tl_executor_methods;

/* An implementation embeds this as the first member of its own. */
struct tl_executor {
    const tl_executor_methods *methods;
};

/* The device's own executor, or NULL in *executor where it has none for this network. network->offsets is borrowed.
 * The caller frees the executor by its method. TALLY_MEMORY, TALLY_DEVICE. */
tally_status tl_executor_new(tally_device *device, const tl_network *network, const tl_executor_options *options,
                             tl_executor **executor);

#endif
