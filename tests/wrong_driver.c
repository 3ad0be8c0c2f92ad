/* A library to preload that makes every OpenCL driver faulty. DRIVER_FAULT selects the fault:
 * "bits": one bit is wrong in long reads that are not of whole buffers;
 * "stray": the last element is wrong in reads of whole buffers;
 * "long": long reads fail; "longer" and "memory": only longer ones fail; "any": all reads fail;
 * "weights": reads fail that are long but shorter than the first product, as a gate's weights are;
 * "loop": the self-test's loop gives a result that no loop gives; "few": it ends after three iterations;
 * "denormals": programs flush denormals to zero. */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer than the reads of the test of a device when it is opened, and of a first product. */
enum { LONG = 2048, PRODUCT = 32 * 32 * sizeof(float), LONGER = 5000 };
/* The third bit of the fraction: an error that is larger than any rounding. */
static const uint32_t WRONG_BIT = 1u << 20;

static bool is(const char *how) {
    const char *fault = getenv("DRIVER_FAULT");
    if (fault == NULL)
        abort();
    return strcmp(fault, how) == 0;
}

static void corrupt(char *to, size_t bytes, bool whole) {
    static bool looped; /* the first read of one number is the self-test's */
    uint32_t bits;
    if ((is("bits") && bytes >= LONG && !whole) || (is("stray") && bytes > sizeof bits && whole)) {
        char *at = to + (whole ? bytes / sizeof bits - 1 : bytes / sizeof bits / 2) * sizeof bits;
        memcpy(&bits, at, sizeof bits);
        bits ^= WRONG_BIT;
        memcpy(at, &bits, sizeof bits);
    }
    if (bytes == sizeof bits && !looped && (is("loop") || is("few"))) {
        bits = 12345;
        for (int i = 0; i < 3; i++)
            bits = bits * 1664525u + 1013904223u;
        bits ^= is("loop") ? WRONG_BIT : 0;
        memcpy(to, &bits, sizeof bits);
        looped = true;
    }
}

__attribute__((visibility("default"))) cl_int clEnqueueReadBuffer(cl_command_queue queue, cl_mem buffer,
                                                                  cl_bool blocking, size_t offset, size_t bytes,
                                                                  void *to, cl_uint waits, const cl_event *wait,
                                                                  cl_event *event) {
    if (is("any") || (is("long") && bytes >= LONG) || (is("longer") && bytes >= LONGER) ||
        (is("weights") && bytes >= LONG && bytes < PRODUCT))
        return CL_OUT_OF_RESOURCES;
    if (is("memory") && bytes >= LONGER)
        return CL_OUT_OF_HOST_MEMORY;
    union {
        void *address;
        cl_int (*call)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint, const cl_event *,
                       cl_event *);
    } driver = {.address = dlsym(RTLD_NEXT, "clEnqueueReadBuffer")};
    cl_int result = driver.call(queue, buffer, blocking, offset, bytes, to, waits, wait, event);
    size_t size = 0;
    if (result == CL_SUCCESS)
        result = clGetMemObjectInfo(buffer, CL_MEM_SIZE, sizeof size, &size, NULL);
    if (result == CL_SUCCESS)
        corrupt(to, bytes, bytes == size);
    return result;
}

__attribute__((visibility("default"))) cl_int clBuildProgram(cl_program program, cl_uint count,
                                                             const cl_device_id *devices, const char *options,
                                                             void(CL_CALLBACK *done)(cl_program, void *), void *user) {
    union {
        void *address;
        cl_int (*call)(cl_program, cl_uint, const cl_device_id *, const char *, void(CL_CALLBACK *)(cl_program, void *),
                       void *);
    } driver = {.address = dlsym(RTLD_NEXT, "clBuildProgram")};
    char flushing[4096];
    if (is("denormals")) {
        snprintf(flushing, sizeof flushing, "%s -cl-denorms-are-zero", options != NULL ? options : "");
        options = flushing;
    }
    return driver.call(program, count, devices, options, done, user);
}
