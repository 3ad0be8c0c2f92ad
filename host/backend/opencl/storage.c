#include "backend/opencl/opencl.h"
#include "core/fail.h"

#include <stdlib.h>

static tl_cl_device *owner(const tl_storage *storage) {
    return (tl_cl_device *)storage->device;
}

static cl_mem memory_of(const tl_storage *storage) {
    return ((const tl_cl_storage *)storage)->memory;
}

tally_status tl_cl_storage_new(tally_device *device, size_t bytes, tl_storage **storage) {
    tl_cl_device *cl = (tl_cl_device *)device;
    tl_cl_storage *made = calloc(1, sizeof *made);
    if (!made)
        return tl_fail(TALLY_MEMORY, "no memory left for a tensor");
    cl_int error;
    made->memory = clCreateBuffer(cl->context, CL_MEM_READ_WRITE, bytes, NULL, &error);
    if (error != CL_SUCCESS) {
        free(made);
        return tl_fail(TALLY_DEVICE, "%s: clCreateBuffer of %zu bytes: %s (%d)", device->info.name, bytes,
                       tl_cl_error_name(error), (int)error);
    }
    made->base = (tl_storage){.device = device, .bytes = bytes};
    const cl_uint zero = 0; /* tensors are of 4-byte elements */
    tally_status status =
        tl_cl_check(cl, "clEnqueueFillBuffer",
                    clEnqueueFillBuffer(cl->queue, made->memory, &zero, sizeof zero, 0, bytes, 0, NULL, NULL));
    /* Allocation may be put off until the first use: a device that is full says so here. */
    if (!status)
        status = tl_cl_check(cl, "clFinish", clFinish(cl->queue));
    if (status) {
        clReleaseMemObject(made->memory);
        free(made);
        return status;
    }
    *storage = &made->base;
    return TALLY_OK;
}

void tl_cl_storage_free(tl_storage *storage) {
    clFinish(owner(storage)->queue); /* what is loaded is the caller's */
    clReleaseMemObject(memory_of(storage));
    free(storage);
}

tally_status tl_cl_storage_map(tl_storage *storage) {
    cl_int error;
    void *host = clEnqueueMapBuffer(owner(storage)->queue, memory_of(storage), CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0,
                                    storage->bytes, 0, NULL, NULL, &error);
    tally_status status = tl_cl_check(owner(storage), "clEnqueueMapBuffer", error);
    if (!status)
        storage->host = host;
    return status;
}

tally_status tl_cl_storage_unmap(tl_storage *storage) {
    void *host = storage->host;
    storage->host = NULL;
    return tl_cl_check(owner(storage), "clEnqueueUnmapMemObject",
                       clEnqueueUnmapMemObject(owner(storage)->queue, memory_of(storage), host, 0, NULL, NULL));
}

static tally_status write(tl_storage *storage, cl_bool wait, size_t offset, const void *data, size_t bytes) {
    return tl_cl_check(
        owner(storage), "clEnqueueWriteBuffer",
        clEnqueueWriteBuffer(owner(storage)->queue, memory_of(storage), wait, offset, bytes, data, 0, NULL, NULL));
}

tally_status tl_cl_write(tl_storage *storage, size_t offset, const void *data, size_t bytes) {
    return write(storage, CL_TRUE, offset, data, bytes);
}

tally_status tl_cl_load(tl_storage *storage, size_t offset, const void *data, size_t bytes) {
    return write(storage, CL_FALSE, offset, data, bytes);
}

tally_status tl_cl_read(tl_storage *storage, size_t offset, void *data, size_t bytes) {
    return tl_cl_check(
        owner(storage), "clEnqueueReadBuffer",
        clEnqueueReadBuffer(owner(storage)->queue, memory_of(storage), CL_TRUE, offset, bytes, data, 0, NULL, NULL));
}

tally_status tl_cl_flush(tally_device *device) {
    tl_cl_device *cl = (tl_cl_device *)device;
    return tl_cl_check(cl, "clFlush", clFlush(cl->queue));
}
