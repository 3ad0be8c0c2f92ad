/* backend.h: what a backend is: a table of functions over tensors on its devices.
 *
 * Slots are declared with the signatures of the public operations (tally/tensor.h says what each computes); arguments are
 * checked before, slots trust them. The table of an accelerated backend starts as a copy of the reference's and
 * overwrites what it has. Before a slot runs, supports() is asked; where the device cannot take the shape, the
 * dispatch maps the tensors and runs the reference's function on them, and the device counts it as a fallback.
 */
#ifndef TALLY_BACKEND_BACKEND_H
#define TALLY_BACKEND_BACKEND_H

#include <assert.h>
#include <stdatomic.h>
#include <tally/device.h>
#include <tally/tensor.h>

typedef enum tl_op {
    TL_OP_GEMM,
    TL_OP_BIAS,
    TL_OP_REDUCE,
    TL_OP_ACCUMULATE,
    TL_OP_APPLY,
    TL_OP_ADD,
    TL_OP_COPY,
    TL_OP_FILL,
    TL_OP_DROPOUT,
    TL_OP_CELL_FORWARD,
    TL_OP_CELL_BACKWARD,
    TL_OP_SOFTMAX_LOSS,
    TL_OP_SOFTMAX_LOSS_BACKWARD,
    TL_OP_ADAM,
    TL_OP_LAYER_FORWARD,
    TL_OP_LAYER_BACKWARD,
    TL_OP_COUNT
} tl_op;

/* A device's memory. A backend embeds this as the first member of its own. */
typedef struct tl_storage {
    tally_device *device;
    size_t bytes;
    void *host; /* where the host sees it now: always on the C path, while mapped elsewhere; else NULL */
} tl_storage;

/* A classifier: layers, and a head on the last output. */
typedef struct tl_network {
    tally_cell cell;
    size_t layers, inputs, hidden, classes, steps;
    const size_t
        *offsets;      /* in a flat tensor: of head bias and head weight, then of bias, w_ih and w_hh of each layer */
    size_t parameters; /* elements of a flat tensor */
} tl_network;

/* What a device needs to run batches through a network by a way of its own. A backend embeds this as the first member of its own. */
typedef struct tl_plan {
    tl_network network;
} tl_plan;

/* A batch of whole lanes of columns, as nn/classifier.h has it. */
typedef struct tl_batch {
    tally_tensor weights, gradient; /* flat */
    tally_tensor x, labels, probabilities, loss_sums;
} tl_batch;

typedef struct tl_backend {
    const char *name;
    bool step_major; /* activations are kept as [time][feature][column], else as [feature][time][column] */

    void (*close)(tally_device *device);
    /* Zero-filled; bytes at least 1. Aligned to 64 bytes on the C path; a mapping as its driver does. */
    tally_status (*storage_new)(tally_device *device, size_t bytes, tl_storage **storage);
    void (*storage_free)(tl_storage *storage);
    /* Makes storage->host valid for reading and writing, after all work before is done; and gives it back. Not nested. */
    tally_status (*storage_map)(tl_storage *storage);
    tally_status (*storage_unmap)(tl_storage *storage);
    /* Contiguous bytes from and to the host; both wait until done. */
    tally_status (*write)(tl_storage *storage, size_t offset, const void *data, size_t bytes);
    /* As write, but it may return before: data stays as it is until something has been read, or the storage is freed. */
    tally_status (*load)(tl_storage *storage, size_t offset, const void *data, size_t bytes);
    tally_status (*read)(tl_storage *storage, size_t offset, void *data, size_t bytes);

    /* Whether the slot takes these tensors, given in the order of the public signature (absent ones NULL). */
    bool (*supports)(tally_device *device, tl_op op, const tally_tensor *const *tensors, size_t count);
    /* Elements of tally_layer_state.scratch, at least 1. */
    size_t (*layer_scratch)(tally_device *device, tally_cell cell, size_t inputs, size_t hidden, size_t steps,
                            size_t columns);

    /* Runs whole slices, so that their activations stay near the core that has them; the same bits as the operations one by one, of which
     * nn/classifier.c makes it where *plan is NULL: the device has no such way for this network. columns: at most. */
    tally_status (*plan_new)(tally_device *device, const tl_network *network, size_t columns, bool training,
                             tl_plan **plan);
    void (*plan_free)(tl_plan *plan);
    /* To loss_sums and, added, to gradient. probabilities is not used. */
    tally_status (*train)(tl_plan *plan, const tl_batch *batch);
    /* To probabilities. */
    tally_status (*predict)(tl_plan *plan, const tl_batch *batch);

    tally_status (*gemm)(bool transpose_a, bool transpose_b, float alpha, const tally_tensor *a, const tally_tensor *b,
                         float beta, const tally_tensor *c);
    tally_status (*bias)(const tally_tensor *bias, const tally_tensor *y);
    tally_status (*reduce)(const tally_tensor *x, float beta, const tally_tensor *out);
    tally_status (*accumulate)(const tally_tensor *left, const tally_tensor *right, const tally_tensor *gradient);
    tally_status (*apply)(tally_function function, const tally_tensor *a, const tally_tensor *b, const tally_tensor *c,
                          const tally_tensor *out);
    tally_status (*add)(const tally_tensor *src, const tally_tensor *dst);
    tally_status (*copy)(const tally_tensor *src, const tally_tensor *dst);
    tally_status (*fill)(const tally_tensor *tensor, float value);
    tally_status (*dropout)(const tally_dropout_options *options, const tally_tensor *x, const tally_tensor *out);
    tally_status (*cell_forward)(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                 const tally_tensor *c, const tally_tensor *tanh_c, const tally_tensor *h);
    tally_status (*cell_backward)(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                  const tally_tensor *tanh_c, const tally_tensor *dh, const tally_tensor *dc);
    tally_status (*softmax_loss)(const tally_tensor *logits, const tally_tensor *labels,
                                 const tally_tensor *probabilities, const tally_tensor *loss);
    tally_status (*softmax_loss_backward)(const tally_tensor *probabilities, const tally_tensor *labels,
                                          const tally_tensor *dlogits);
    tally_status (*adam)(const tally_adam_options *options, uint64_t step, const tally_tensor *gradient,
                         const tally_tensor *weights, const tally_tensor *m, const tally_tensor *v,
                         const tally_tensor *faults);
    tally_status (*layer_forward)(const tally_layer_weights *weights, const tally_tensor *x,
                                  const tally_layer_state *state);
    tally_status (*layer_backward)(const tally_layer_weights *weights, const tally_tensor *x, const tally_tensor *dy,
                                   const tally_layer_state *state, const tally_layer_weights *gradients,
                                   const tally_tensor *dx);

    tally_status (*peak)(tally_device *device, double *flops); /* see tally_device_peak */
} tl_backend;

/* A backend embeds this as the first member of its own device. */
struct tally_device {
    const tl_backend *backend;
    tally_device_info info;
    unsigned workers;
    size_t slice_columns;
    tally_route route;
    char route_reason[160];
    char inexact[160];
    atomic_uint_fast64_t fallbacks;
    atomic_uint fallback_ops; /* bit 1 << tl_op for each op that fell back */
};

/* plan_new of a table that has no plans. */
tally_status tl_no_plan(tally_device *device, const tl_network *network, size_t columns, bool training, tl_plan **plan);

/* The reference C path. */
tally_status tl_cpu_describe(tally_device_info *info, unsigned threads);
/* instruction_set: baseline, avx2 or avx512; NULL for what TALLY_CPU says, or the best there is. */
tally_status tl_cpu_open(unsigned threads, const char *instruction_set, tally_device **device);
/* Its table, from which others start and to which the dispatch falls back. */
const tl_backend *tl_cpu_backend(void);

/* OpenCL. infos: *count entries, which the caller frees with free(); none, and note says why, without a driver or
 * when built without OpenCL. */
tally_status tl_opencl_list(tally_device_info **infos, size_t *count, char *note, size_t note_size);
tally_status tl_opencl_open(unsigned platform, unsigned device_number, const tally_device_options *options,
                            tally_device **device);

/* The whole-sequence operations composed of a table's own gemm, bias, fill, gates and reduce: the readable form, for backends without
 * one of their own. Same order of arithmetic as tally/tensor.h states wherever the table's gemm has it. */
tally_status tl_layer_forward_composed(const tally_layer_weights *weights, const tally_tensor *x,
                                       const tally_layer_state *state);
tally_status tl_layer_backward_composed(const tally_layer_weights *weights, const tally_tensor *x,
                                        const tally_tensor *dy, const tally_layer_state *state,
                                        const tally_layer_weights *gradients, const tally_tensor *dx);

#endif
