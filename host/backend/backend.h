/* backend.h: what a backend does: a table of functions over tensors on its devices. registry.h says how it makes
 * itself known.
 *
 * Mandatory: close, the functions of storage, write, load, read, plan_new and peak. A table with plans has plan_free,
 * train and predict as well.
 * Optional: supports, layer_scratch, and the slots of the operations that operations.h lists, which have the signatures
 * of the public functions of the same names. A slot trusts its arguments, which have been checked; the public headers
 * say what it computes. Where a slot is NULL or supports() refuses the call, the dispatch (tensor/dispatch.h) maps the
 * tensors, runs the slot of the reference, which has all of them, and counts a fallback of the device.
 */
#ifndef TALLY_BACKEND_BACKEND_H
#define TALLY_BACKEND_BACKEND_H

#include <assert.h>
#include <stdatomic.h>
#include <tally/device.h>
#include <tally/optimizer.h>

#include "backend/operations.h"

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
    double dropout;    /* of what a layer hands to the next, in training */
} tl_network;

/* What a device needs to run batches through a network by a way of its own. A backend embeds this as the first member of its own. */
typedef struct tl_plan {
    tl_network network;
} tl_plan;

/* A batch of whole lanes of columns, as nn/classifier.h has it. */
typedef struct tl_batch {
    tally_tensor weights, gradient; /* flat */
    tally_tensor x, labels, probabilities, loss_sums;
    tally_tensor starts; /* or no tensor */
    uint64_t seed, step; /* of the run and of training, for dropout */
    size_t first;        /* the number of its first column in the batch, for dropout */
} tl_batch;

typedef size_t tl_layer_scratch(tally_device *device, tally_cell cell, size_t inputs, size_t hidden, size_t steps,
                                size_t columns);

typedef struct tl_backend {
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

    /* Optional. Whether the slot of the call's operation takes it; NULL: the slots take every call. */
    bool (*supports)(tally_device *device, const tl_call *call);
    /* Optional. Elements of tally_layer_state.scratch, at least 1; NULL: as many as the reference needs. No fewer
     * than those where the reference may have to run a layer. */
    tl_layer_scratch *layer_scratch;

    /* Runs whole slices, so that their activations stay near the core that has them; the same bits as the operations one by one, of which
     * nn/classifier.c makes it where *plan is NULL: the device has no such way for this network. columns: at most. */
    tally_status (*plan_new)(tally_device *device, const tl_network *network, size_t columns, bool training,
                             tl_plan **plan);
    void (*plan_free)(tl_plan *plan);
    /* To loss_sums and, added, to gradient. probabilities is not used. */
    tally_status (*train)(tl_plan *plan, const tl_batch *batch);
    /* To probabilities. */
    tally_status (*predict)(tl_plan *plan, const tl_batch *batch);

    __typeof__(tally_device_peak) *peak;

    /* Each is optional. */
#define TL_SLOT(name, ...) __typeof__(tally_##name) *name;
    TL_OPERATIONS(TL_SLOT)
#undef TL_SLOT
} tl_backend;

/* A backend embeds this as the first member of its own device. */
struct tally_device {
    const tl_backend *backend;
    tally_device_info info;
    unsigned workers;
    size_t chunk_columns;
    tally_route route;
    char route_reason[160];
    char inexact[160];
    atomic_uint_fast64_t fallbacks;
    atomic_uint fallback_ops; /* bit 1 << tl_op for each op that fell back */
};

static_assert(TL_OP_COUNT <= 32, "fallback_ops has a bit for each operation");

/* plan_new of a table that has no plans. */
tally_status tl_no_plan(tally_device *device, const tl_network *network, size_t columns, bool training, tl_plan **plan);

/* The table of the reference, the C path, to which the dispatch falls back. */
const tl_backend *tl_cpu_backend(void);

/* The whole-sequence operations composed of a table's own slots for fill, bias, gemm, add, accumulate, cell_forward and cell_backward, which
 * must be there: the readable form, for backends without one of their own. It knows no starts. Same order of arithmetic as
 * tally/tensor.h states wherever the table's gemm and accumulate have it. */
__typeof__(tally_layer_forward) tl_layer_forward_composed;
__typeof__(tally_layer_backward) tl_layer_backward_composed;

#endif
