#include "backend/opencl/kernels.h"
#include "backend/opencl/opencl.h"
#include "core/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELL_KERNELS(cell, name)                                                                                       \
    [TL_CL_GATES + cell] = "tally_" #name "_gates", [TL_CL_GATES_BACKWARD + cell] = "tally_" #name "_gates_backward",  \
                   [TL_CL_LAYER_FORWARD + cell] = "tally_" #name "_forward",                                           \
                   [TL_CL_LAYER_BACKWARD + cell] = "tally_" #name "_backward"
static const char *const KERNEL_NAMES[TL_CL_KERNELS] = {
    [TL_CL_ADD] = "tally_add",
    [TL_CL_COPY] = "tally_copy",
    [TL_CL_FILL] = "tally_fill",
    [TL_CL_DROPOUT] = "tally_dropout",
    [TL_CL_BIAS] = "tally_bias",
    [TL_CL_APPLY] = "tally_apply",
    [TL_CL_LOOP] = "tally_loop",
    [TL_CL_GEMM_CHAINS] = "tally_gemm_chains",
    [TL_CL_DOTS] = "tally_dots",
    [TL_CL_REDUCE] = "tally_reduce",
    CELL_KERNELS(TALLY_LSTM, lstm),
    CELL_KERNELS(TALLY_GRU, gru),
    CELL_KERNELS(TALLY_RNN, rnn),
    [TL_CL_SOFTMAX_LOSS] = "tally_softmax_loss",
    [TL_CL_SOFTMAX_LOSS_BACKWARD] = "tally_softmax_loss_backward",
    [TL_CL_OPTIMIZER_STEP] = "tally_optimizer_step",
    [TL_CL_PEAK] = "tally_peak",
    [TL_CL_MERGE] = "tally_merge",
    [TL_CL_PACK] = "tally_pack",
    [TL_CL_TRAIN] = "tally_train",
    [TL_CL_PREDICT] = "tally_predict",
    [TL_CL_LSTM_GROUP_FORWARD] = "tally_lstm_group_forward",
    [TL_CL_LSTM_GROUP_BACKWARD] = "tally_lstm_group_backward",
    [TL_CL_DOTS_GROUP] = "tally_dots_group",
};

const char *tl_cl_kernel_name(tl_cl_kernel kernel) {
    return KERNEL_NAMES[kernel];
}

/* A multiple of the widths in which GPUs run work-items. */
enum { GROUP = 64 };

static tally_status build_failed(const tl_cl_device *device, cl_int error) {
    size_t size = 0;
    char *log = NULL;
    if (clGetProgramBuildInfo(device->program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) == CL_SUCCESS &&
        size > 0)
        log = calloc(1, size + 1);
    if (log && clGetProgramBuildInfo(device->program, device->id, CL_PROGRAM_BUILD_LOG, size, log, NULL) != CL_SUCCESS)
        log[0] = '\0';
    tally_status status =
        tl_fail(TALLY_DEVICE, "%s: the kernels do not build: %s (%d)\n%s", device->base.info.name,
                tl_cl_error_name(error), (int)error, log && log[0] ? log : "the driver gives no build log");
    free(log);
    return status;
}

static void build_options(const tl_cl_device *device, char *options, size_t size) {
    cl_device_fp_config single = 0;
    bool rounds = clGetDeviceInfo(device->id, CL_DEVICE_SINGLE_FP_CONFIG, sizeof single, &single, NULL) == CL_SUCCESS &&
                  single & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT;
    snprintf(options, size, "-cl-std=CL1.2 -DTL_W=%zu%s", device->width,
             rounds ? " -cl-fp32-correctly-rounded-divide-sqrt" : "");
}

/* The largest group that every kernel can have. */
static tally_status limit_group(tl_cl_device *device, cl_kernel kernel) {
    size_t largest = 0;
    cl_int error =
        clGetKernelWorkGroupInfo(kernel, device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof largest, &largest, NULL);
    if (error == CL_SUCCESS && largest > 0 && largest < device->group)
        device->group = largest;
    return tl_cl_check(device, "clGetKernelWorkGroupInfo", error);
}

/* Whether the program has it for this width. */
static bool has_kernel(const tl_cl_device *device, int kernel) {
    return kernel < TL_CL_PACK || (device->width > 1) == (kernel < TL_CL_LSTM_GROUP_FORWARD);
}

static tally_status make_kernels(tl_cl_device *device) {
    device->group = GROUP;
    for (int k = 0; k < TL_CL_KERNELS; k++) {
        cl_int error;
        if (!has_kernel(device, k))
            continue;
        device->kernels[k] = clCreateKernel(device->program, KERNEL_NAMES[k], &error);
        if (error != CL_SUCCESS)
            return tl_fail(TALLY_DEVICE, "%s: clCreateKernel of %s: %s (%d)", device->base.info.name, KERNEL_NAMES[k],
                           tl_cl_error_name(error), (int)error);
        tally_status status = limit_group(device, device->kernels[k]);
        if (status)
            return status;
    }
    return device->width > 1 ? TALLY_OK : tl_cl_group_limits(device);
}

static tally_status build(tl_cl_device *device, const char *options) {
    const char *text = tl_kernel_text;
    cl_int error;
    device->program = clCreateProgramWithSource(device->context, 1, &text, NULL, &error);
    tally_status status = tl_cl_check(device, "clCreateProgramWithSource", error);
    if (status)
        return status;
    error = clBuildProgram(device->program, 1, &device->id, options, NULL, NULL);
    return error == CL_SUCCESS ? make_kernels(device) : build_failed(device, error);
}

void tl_cl_program_free(tl_cl_device *device) {
    for (int k = 0; k < TL_CL_KERNELS; k++)
        if (device->kernels[k])
            clReleaseKernel(device->kernels[k]);
    memset(device->kernels, 0, sizeof device->kernels);
    if (device->program)
        clReleaseProgram(device->program);
    device->program = NULL;
}

static bool load(tl_cl_device *device, const char *options, const char *name, bool *compiled) {
    device->program = tl_cl_program_load(device, name, compiled);
    if (!device->program)
        return false;
    if (clBuildProgram(device->program, 1, &device->id, options, NULL, NULL) == CL_SUCCESS && !make_kernels(device))
        return true;
    tl_cl_program_free(device);
    tl_cache_remove(name);
    return false;
}

tally_status tl_cl_program_new(tl_cl_device *device) {
    char options[128], name[TL_CACHE_NAME], text[256];
    bool compiled = false;
    build_options(device, options, sizeof options);
    tl_cl_cache_name(device, "program", options, name);
    if (*name && load(device, options, name, &compiled))
        return TALLY_OK;
    if (!compiled) {
        snprintf(text, sizeof text, "compiling tally's kernels for %s%s", device->base.info.name,
                 *name ? " (kept for the next start)" : "");
        tl_cl_notice(device, text);
        memcpy(device->keep_as, name, sizeof name);
    }
    tally_status status = build(device, options);
    if (!status)
        tl_cl_program_built(device);
    return status;
}
