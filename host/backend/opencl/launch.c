#include "backend/opencl/launch.h"

#include "constants.h"

#include <stdio.h>

tl_launch tl_launch_start(const tally_tensor *on, tl_cl_kernel kernel) {
    tl_cl_device *device = tl_cl_device_of(on);
    return (tl_launch){device, kernel, device->common.kernels[kernel], 0, CL_SUCCESS, TALLY_OK};
}

tl_launch tl_launch_start_cell(const tally_tensor *on, tally_cell cell, tl_cl_kernel kernel) {
    tl_cl_device *device = tl_cl_device_of(on);
    tally_status status = tl_cl_cell_program(device, cell);
    return (tl_launch){device, kernel, device->cells[cell].kernels[kernel], 0, CL_SUCCESS, status};
}

static void argument(tl_launch *l, const void *value, size_t size) {
    if (l->status)
        return;
    cl_int error = clSetKernelArg(l->kernel, l->next++, size, value);
    if (l->error == CL_SUCCESS)
        l->error = error;
}

void tl_launch_number(tl_launch *l, size_t value) {
    cl_ulong wide = value;
    argument(l, &wide, sizeof wide);
}

void tl_launch_int(tl_launch *l, cl_int value) {
    argument(l, &value, sizeof value);
}

void tl_launch_real(tl_launch *l, float value) {
    argument(l, &value, sizeof value);
}

void tl_launch_reals(tl_launch *l, const float *values, size_t count) {
    argument(l, values, count * sizeof *values);
}

void tl_launch_memory(tl_launch *l, cl_mem memory) {
    argument(l, &memory, sizeof memory);
}

void tl_launch_local(tl_launch *l, size_t bytes) {
    argument(l, NULL, bytes);
}

void tl_launch_view(tl_launch *l, const tally_tensor *t, int dims) {
    tl_launch_memory(l, tl_cl_memory(t));
    tl_launch_number(l, t->offset);
    for (int d = t->ndim - dims; d < t->ndim; d++)
        tl_launch_number(l, d < 0 ? 0 : t->stride[d]);
}

void tl_launch_view_or(tl_launch *l, const tally_tensor *t, const tally_tensor *instead, int dims) {
    tl_launch_view(l, t && t->storage ? t : instead, dims);
}

void tl_launch_starts(tl_launch *l, const tally_layer_state *state) {
    tl_launch_int(l, state->starts.storage != NULL);
    tl_launch_view_or(l, &state->starts, &state->h, 0);
}

static tally_status enqueue(tl_launch *l, const size_t global[3], const size_t local[3]) {
    const char *call = "clSetKernelArg";
    if (l->status)
        return l->status;
    if (l->error == CL_SUCCESS) {
        call = "clEnqueueNDRangeKernel";
        l->error = clEnqueueNDRangeKernel(l->device->queue, l->kernel, 3, NULL, global, local, 0, NULL, NULL);
    }
    char text[64];
    snprintf(text, sizeof text, "%s of %s", call, tl_cl_kernel_name(l->number));
    return tl_cl_check(l->device, text, l->error);
}

tally_status tl_launch_run_groups(tl_launch *l, size_t columns, size_t groups, size_t rows, size_t items) {
    tl_launch_number(l, columns);
    return enqueue(l, (size_t[3]){groups * items, rows, 1}, (size_t[3]){items, 1, 1});
}

tally_status tl_launch_run_items(tl_launch *l, size_t columns, size_t items) {
    return tl_launch_run_groups(l, columns, items, 1, 1);
}

tally_status tl_launch_run(tl_launch *l, size_t columns, size_t per, size_t rows, size_t outer) {
    tl_launch_number(l, columns);
    /* A work-item with a vector of columns is enough for a processor's core; several in a group are run one after
     * another. */
    size_t items = columns / per + (columns % per != 0), group = per > 1 ? 1 : l->device->group;
    const size_t global[3] = {(items + group - 1) / group * group, rows, outer}, local[3] = {group, 1, 1};
    return enqueue(l, global, local);
}

tally_status tl_launch_run_flat(tl_launch *l, size_t elements) {
    size_t width = l->device->width;
    return tl_launch_run(l, elements, TL_FLAT_OF(width), 1, 1);
}
