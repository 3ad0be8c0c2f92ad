#include "backend/opencl/opencl.h"
#include "core/clock.h"

#include "constants.h"

/* Loops are short, because some drivers end long ones; more work-items make a launch long enough. */
enum { ITERATIONS = 512, ROUNDS = 5, MOST_ITEMS = 1 << 22 };
static const double LAUNCH_SECONDS = 0.02;

static tally_status set_arguments(tl_cl_device *device, cl_mem memory) {
    cl_kernel kernel = device->common.kernels[TL_CL_peak];
    const cl_uint iterations = ITERATIONS;
    const cl_float factor = 0.5f, term = 1.0f;
    cl_int error = clSetKernelArg(kernel, 0, sizeof iterations, &iterations);
    if (error == CL_SUCCESS)
        error = clSetKernelArg(kernel, 1, sizeof factor, &factor);
    if (error == CL_SUCCESS)
        error = clSetKernelArg(kernel, 2, sizeof term, &term);
    if (error == CL_SUCCESS)
        error = clSetKernelArg(kernel, 3, sizeof memory, &memory);
    return tl_cl_check(device, "clSetKernelArg of tally_peak", error);
}

static tally_status launch(tl_cl_device *device, size_t items, size_t group, double *seconds) {
    double start = tl_seconds();
    tally_status status = tl_cl_check(device, "clEnqueueNDRangeKernel of tally_peak",
                                      clEnqueueNDRangeKernel(device->queue, device->common.kernels[TL_CL_peak], 1, NULL,
                                                             &items, &group, 0, NULL, NULL));
    if (!status)
        status = tl_cl_check(device, "clFinish", clFinish(device->queue));
    *seconds = tl_seconds() - start;
    return status;
}

/* With memory for so many work-items' results. */
static tally_status try_items(tl_cl_device *device, size_t items, size_t group, int rounds, double *seconds) {
    tl_storage *storage;
    tally_status status = tl_cl_storage_new(&device->base, items * device->width * sizeof(float), &storage);
    if (status)
        return status;
    status = set_arguments(device, ((tl_cl_storage *)storage)->memory);
    for (int r = 0; r < rounds && !status; r++) {
        double once;
        status = launch(device, items, group, &once);
        if (r == 0 || once < *seconds)
            *seconds = once;
    }
    tl_cl_storage_free(storage);
    return status;
}

tally_status tl_cl_peak(tally_device *base, double *flops) {
    tl_cl_device *device = (tl_cl_device *)base;
    size_t group = device->width > 1 ? 1 : device->group;
    size_t items = (base->info.compute_units ? base->info.compute_units : 1) * group;
    double seconds = 0.0;
    tally_status status = try_items(device, items, group, 1, &seconds); /* may compile the kernel */
    if (!status)
        status = try_items(device, items, group, 1, &seconds);
    while (!status && seconds < LAUNCH_SECONDS && items < MOST_ITEMS) {
        items *= 2;
        status = try_items(device, items, group, 1, &seconds);
    }
    if (!status)
        status = try_items(device, items, group, ROUNDS, &seconds);
    if (!status)
        *flops = (double)items * (double)device->width * TL_PEAK_CHAINS * ITERATIONS * 2.0 / seconds;
    return status;
}
