/* opencl.h: what the files of the OpenCL backend share. */
#ifndef TALLY_BACKEND_OPENCL_OPENCL_H
#define TALLY_BACKEND_OPENCL_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "backend/backend.h"
#include "backend/opencl/kernels.h"
#include "backend/registry.h"
#include "core/cache.h"

enum { TL_MAX_PLATFORMS = 32, TL_MAX_DEVICES = 64 };

/* A program and its kernels; those of other programs are NULL. */
typedef struct tl_cl_program {
    cl_program program; /* NULL until it is built */
    cl_kernel kernels[TL_CL_KERNELS];
    char keep_as[TL_CACHE_NAME]; /* the cache's entry that it goes to when the device is closed; "" for none */
} tl_cl_program;

/* Setting the arguments of kernels is not thread-safe, so a device has one worker. */
typedef struct tl_cl_device {
    tally_device base;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue; /* in order */
    tl_cl_program common, cells[TALLY_CELLS];
    size_t group; /* work-items of a group, along columns */
    size_t width; /* columns a work-item: 1, or 4, 8 or 16 in a vector; TL_W of cl/ */
    /* Work-items and bytes of local memory of a group whose work-items share them; no items where there are no such
     * groups. */
    size_t shared_items, shared_bytes;
    /* Of micro-batches before they are added, and partial sums of the tree; as large as was needed so far, NULL if
     * they never were. */
    tl_storage *sums, *partials;
    /* How many elements of a sum a work-item may go through, 0 for any number: Mesa's llvmpipe silently ends all loops
     * of a kernel after 65,535 iterations. Found by the self-test. */
    size_t longest_sum;
    tally_device_options options;
} tl_cl_device;

typedef struct tl_cl_storage {
    tl_storage base;
    cl_mem memory;
} tl_cl_storage;

static inline tl_cl_device *tl_cl_device_of(const tally_tensor *t) {
    return (tl_cl_device *)t->device;
}

static inline cl_mem tl_cl_memory(const tally_tensor *t) {
    return ((tl_cl_storage *)t->storage)->memory;
}

/* errors.c. TALLY_OK for CL_SUCCESS; else TALLY_DEVICE, or TALLY_MEMORY where the host has none left, with the call,
 * the error's name and number, and the device. */
tally_status tl_cl_check(const tl_cl_device *device, const char *call, cl_int error);
const char *tl_cl_error_name(cl_int error);

/* devices.c: Oclgrind, which says it is a processor and a GPU. */
bool tl_cl_is_simulator(const tl_cl_device *device);

/* device.c: makes the route the device's; not auto. */
void tl_cl_take_route(tl_cl_device *device, tally_route route);

/* route.c: makes the faster route the device's, and says why. */
void tl_cl_choose_route(tl_cl_device *device);

/* device.c: tells whoever opened the device what is about to take long. */
void tl_cl_notice(const tl_cl_device *device, const char *text);

/* device.c */
extern const tl_registration tl_opencl_registration;

/* devices.c: every device, as tl_registration has it; and one by its selector "P:D", the numbers of platform and
 * device in the loader's order, with what is known about it. */
tally_status tl_cl_list(tally_device_info **infos, size_t *count, char *note, size_t note_size);
tally_status tl_cl_find(const char *selector, cl_platform_id *platform_id, cl_device_id *id, tally_device_info *info);

/* program.c: builds what is in cl/. The device's common program, when it is opened, and that of a cell, if it is not
 * built yet. */
const char *tl_cl_kernel_name(tl_cl_kernel kernel);
tally_status tl_cl_common_program(tl_cl_device *device);
tally_status tl_cl_cell_program(tl_cl_device *device, tally_cell cell);
void tl_cl_programs_free(tl_cl_device *device);
/* Keeps all programs for the next start. */
void tl_cl_programs_keep(tl_cl_device *device);

/* program_cache.c: programs as the driver built them, kept from one run to the next. What is not there or does not load
 * gives NULL. A name is that of what depends on a text, the device and the options; "" where nothing is kept. A driver
 * with a cache of its own is not asked for what it built: an entry without data says that it was compiled before. */
void tl_cl_cache_name(const tl_cl_device *device, const char *ending, const char *text, const char *options,
                      char name[TL_CACHE_NAME]);
cl_program tl_cl_program_load(const tl_cl_device *device, const char *name, bool *compiled);
void tl_cl_program_built(const tl_cl_device *device, tl_cl_program *program);
void tl_cl_program_keep(const tl_cl_device *device, const tl_cl_program *program);

/* storage.c */
tally_status tl_cl_storage_new(tally_device *device, size_t bytes, tl_storage **storage);
void tl_cl_storage_free(tl_storage *storage);
tally_status tl_cl_storage_map(tl_storage *storage);
tally_status tl_cl_storage_unmap(tl_storage *storage);
tally_status tl_cl_write(tl_storage *storage, size_t offset, const void *data, size_t bytes);
tally_status tl_cl_load(tl_storage *storage, size_t offset, const void *data, size_t bytes);
tally_status tl_cl_read(tl_storage *storage, size_t offset, void *data, size_t bytes);
tally_status tl_cl_flush(tally_device *device);

/* gemm.c, layer.c, ops.c: the operations by tally's own kernels, in the exact order. The whole sequence is composed
 * of the others where loops are limited. */
#define TL_CL_OPERATION(name, ...) __typeof__(tally_##name) tl_cl_##name;
TL_OPERATIONS(TL_CL_OPERATION)
#undef TL_CL_OPERATION

tally_tensor tl_cl_columns_of(const tally_tensor *t, size_t first,
                              size_t count); /* the columns [first, first + count) */

/* sums_group.c: tally_accumulate by groups that share local memory; false, and nothing done, where they cannot. */
bool tl_cl_accumulate_group(const tally_tensor *left, const tally_tensor *right, const tally_tensor *gradient,
                            tally_status *status);

/* merge.c. Makes *memory at least so large; its contents are lost if it was smaller. */
tally_status tl_cl_reserve(tl_cl_device *device, size_t bytes, tl_storage **memory);
/* The same for what the tree over so many leaves keeps of each element. */
tally_status tl_cl_partials_new(tl_cl_device *device, size_t elements, size_t leaves, tl_storage **partials);
/* gradient, contiguous, += the tree of leaves, of whose sums [leaf][element] those from first_leaf to first_leaf +
 * count - 1 are given now. Called for all leaves in ascending order; the last call adds to gradient. */
tally_status tl_cl_merge(const tl_storage *sums, size_t count, size_t first_leaf, size_t leaves,
                         const tl_storage *partials, const tally_tensor *gradient);

/* clblast.c: products through CLBlast. */
bool tl_cl_clblast_supports(const tally_tensor *a, const tally_tensor *b, const tally_tensor *c);
/* Whether the matrices of a product of sums over k, and CLBlast's copies of them, are small enough for it: its kernels
 * count in 32 bits, and it does not check. */
bool tl_cl_clblast_counts(const tally_tensor *a, const tally_tensor *b, const tally_tensor *c, size_t k);
__typeof__(tally_gemm) tl_cl_clblast_gemm;
__typeof__(tally_accumulate) tl_cl_clblast_accumulate;
/* CLBlast keeps programs of every context; before one goes, they must. */
void tl_cl_clblast_end(void);

/* layer.c: the whole sequence with products by CLBlast, but for sequences that start later, which the composed
 * sequence does not know. */
__typeof__(tally_layer_forward) tl_cl_clblast_layer_forward;
__typeof__(tally_layer_backward) tl_cl_clblast_layer_backward;

/* layer_group.c: what a group of work-items may share, as far as the kernels of a program allow; and a layer by such
 * groups, but for dx and the gradients of weights. False, and nothing done, where it does not fit. */
tally_status tl_cl_group_limits(tl_cl_device *device, const tl_cl_program *program);
bool tl_cl_group_forward(const tally_layer_weights *weights, const tally_tensor *x, const tally_layer_state *state,
                         tally_status *status);
bool tl_cl_group_backward(const tally_layer_weights *weights, const tally_tensor *dy, const tally_layer_state *state,
                          tally_status *status);

/* network_executor.c: for devices whose work-items have vectors of columns. */
__typeof__(tl_executor_new) tl_cl_executor_new;

/* Whether a slice's sum over so many elements can be taken. */
bool tl_cl_sum_supports(const tl_cl_device *device, size_t elements);

/* self_test.c: why the device's arithmetic is not the C path's, into the device's inexact, and its longest_sum. */
tally_status tl_cl_self_test(tl_cl_device *device);

/* peak.c: what the device does at most. */
__typeof__(tally_device_peak) tl_cl_peak;

#endif
