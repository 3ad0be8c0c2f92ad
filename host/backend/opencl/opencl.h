/* opencl.h: what the files of the OpenCL backend share. */
#ifndef TALLY_BACKEND_OPENCL_OPENCL_H
#define TALLY_BACKEND_OPENCL_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>

#include "backend/backend.h"

enum { TL_MAX_PLATFORMS = 32, TL_MAX_DEVICES = 64 };

/* Kernels are made when the device is opened; setting their arguments is not thread-safe, so a device has one worker. */
typedef enum tl_cl_kernel {
    TL_CL_ADD,
    TL_CL_COPY,
    TL_CL_FILL,
    TL_CL_BIAS,
    TL_CL_REDUCE,
    TL_CL_LSTM_GATES,
    TL_CL_LSTM_GATES_BACKWARD,
    TL_CL_SOFTMAX_LOSS,
    TL_CL_SOFTMAX_LOSS_BACKWARD,
    TL_CL_ADAM,
    TL_CL_KERNELS
} tl_cl_kernel;

typedef struct tl_cl_device {
    tally_device base;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue; /* in order */
    cl_program program;
    cl_kernel kernels[TL_CL_KERNELS];
    size_t group; /* work-items of a group, along columns */
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

/* errors.c. TALLY_OK for CL_SUCCESS; else TALLY_DEVICE, or TALLY_MEMORY where the host has none left, with the call, the
 * error's name and number, and the device. */
tally_status tl_cl_check(const tl_cl_device *device, const char *call, cl_int error);
const char *tl_cl_error_name(cl_int error);

/* devices.c: the device of a platform by their numbers in the loader's order, and what is known about it. */
tally_status tl_cl_find(unsigned platform, unsigned number, cl_platform_id *platform_id, cl_device_id *id,
                        tally_device_info *info);

/* program.c: builds cl/ and makes the kernels. */
const char *tl_cl_kernel_name(tl_cl_kernel kernel);
tally_status tl_cl_program_new(tl_cl_device *device);
void tl_cl_program_free(tl_cl_device *device);

/* storage.c */
tally_status tl_cl_storage_new(tally_device *device, size_t bytes, tl_storage **storage);
void tl_cl_storage_free(tl_storage *storage);
tally_status tl_cl_storage_map(tl_storage *storage);
tally_status tl_cl_storage_unmap(tl_storage *storage);
tally_status tl_cl_write(tl_storage *storage, size_t offset, const void *data, size_t bytes);
tally_status tl_cl_read(tl_storage *storage, size_t offset, void *data, size_t bytes);

/* gemm.c: through CLBlast. */
bool tl_cl_gemm_supports(const tally_tensor *a, const tally_tensor *b, const tally_tensor *c);
tally_status tl_cl_gemm(bool transpose_a, bool transpose_b, float alpha, const tally_tensor *a, const tally_tensor *b,
                        float beta, const tally_tensor *c);
/* CLBlast keeps programs of every context; before one goes, they must. */
void tl_cl_gemm_end(void);

/* ops.c: tally's own kernels. */
tally_status tl_cl_bias(const tally_tensor *bias, const tally_tensor *y);
tally_status tl_cl_reduce(const tally_tensor *x, float beta, const tally_tensor *out);
tally_status tl_cl_add(const tally_tensor *src, const tally_tensor *dst);
tally_status tl_cl_copy(const tally_tensor *src, const tally_tensor *dst);
tally_status tl_cl_fill(const tally_tensor *tensor, float value);
tally_status tl_cl_lstm_gates(const tally_tensor *gates, const tally_tensor *c_prev, const tally_tensor *c,
                              const tally_tensor *tanh_c, const tally_tensor *h);
tally_status tl_cl_lstm_gates_backward(const tally_tensor *gates, const tally_tensor *c_prev,
                                       const tally_tensor *tanh_c, const tally_tensor *dh, const tally_tensor *dc);
tally_status tl_cl_softmax_loss(const tally_tensor *logits, const tally_tensor *labels,
                                const tally_tensor *probabilities, const tally_tensor *loss);
tally_status tl_cl_softmax_loss_backward(const tally_tensor *probabilities, const tally_tensor *labels,
                                         const tally_tensor *dlogits);
tally_status tl_cl_adam(const tally_adam_options *options, uint64_t step, const tally_tensor *gradient,
                        const tally_tensor *weights, const tally_tensor *m, const tally_tensor *v,
                        const tally_tensor *faults);

#endif
