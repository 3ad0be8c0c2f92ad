/* backend.h: what a backend does: a table of functions over tensors on its devices. registry.h says how it makes itself
 * known.
 *
 * Mandatory: close, the functions of storage, write, load, read, and peak. Optional: flush, supports, layer_scratch,
 * executor_new, and the slots of the operations that operations.h lists, which have the signatures of the public
 * functions of the same names. A slot trusts its arguments, which have been checked; the public headers say what it
 * computes. Where a slot is NULL or supports() refuses the call, the dispatch (tensor/dispatch.h) maps the tensors,
 * runs the slot of the reference, which has all of them, and counts a fallback of the device. */
#ifndef TALLY_BACKEND_BACKEND_H
#define TALLY_BACKEND_BACKEND_H

#include <assert.h>
#include <stdatomic.h>
#include <tally/device.h>
#include <tally/optimizer.h>

#include "backend/executor.h"
#include "backend/operations.h"

/* A device's memory. A backend embeds this as the first member of its own. */
typedef struct tl_storage {
    tally_device *device;
    size_t bytes;
    void *host; /* where the host sees it now: always on the C path, while mapped elsewhere; else NULL */
} tl_storage;

typedef size_t tl_layer_scratch(tally_device *device, tally_cell cell, size_t inputs, size_t hidden, size_t steps,
                                size_t columns);

typedef struct tl_backend {
    bool step_major; /* activations are kept as [time][feature][column], else as [feature][time][column] */

    void (*close)(tally_device *device);
    /* Zero-filled; bytes at least 1. Aligned to 64 bytes on the C path; a mapping as its driver does. */
    tally_status (*storage_new)(tally_device *device, size_t bytes, tl_storage **storage);
    void (*storage_free)(tl_storage *storage);
    /* Makes storage->host valid for reading and writing, after all work before is done; and gives it back. Not
     * nested. */
    tally_status (*storage_map)(tl_storage *storage);
    tally_status (*storage_unmap)(tl_storage *storage);
    /* Contiguous bytes from and to the host; both wait until done. */
    tally_status (*write)(tl_storage *storage, size_t offset, const void *data, size_t bytes);
    /* As write, but it may return before: data stays as it is until something has been read, or the storage is
     * freed. */
    tally_status (*load)(tl_storage *storage, size_t offset, const void *data, size_t bytes);
    tally_status (*read)(tl_storage *storage, size_t offset, void *data, size_t bytes);
    /* Optional. Makes the device begin what it has been asked for, without waiting; NULL: operations begin at once. */
    tally_status (*flush)(tally_device *device);

    /* Optional. Whether the slot of the call's operation takes it; NULL: the slots take every call. */
    bool (*supports)(tally_device *device, const tl_call *call);
    /* Optional. Elements of tally_layer_state.scratch, at least 1; NULL: as many as the reference needs. No fewer
     * than those where the reference may have to run a layer. */
    tl_layer_scratch *layer_scratch;

    /* Optional. An executor of the backend's own, or NULL in *executor, as it is at first, where it has none for
     * this network. */
    __typeof__(tl_executor_new) *executor_new;

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

/* The table of the reference, the C path, to which the dispatch falls back. */
const tl_backend *tl_cpu_backend(void);

/* The whole-sequence operations composed of a table's own slots for fill, bias, gemm, add, accumulate, cell_forward
 * and cell_backward, which must be there: the readable form, for backends without one of their own. It knows no
 * starts. Same order of arithmetic as tally/tensor.h states wherever the table's gemm and accumulate have it. */
__typeof__(tally_layer_forward) tl_layer_forward_composed;
__typeof__(tally_layer_backward) tl_layer_backward_composed;

#endif
