/* Preloaded, it makes every OpenCL driver a wrong one. DRIVER_FAULT says how: "bits", of what is read from a device in
 * long pieces one bit is wrong; "long", reading them fails; "any", reading anything fails. */
#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Longer than what a device is tried with when it is opened. */
enum { LONG = 2048 };
/* A float's third bit behind the point: an error no rounding makes. */
static const uint32_t WRONG_BIT = 1u << 20;

__attribute__((visibility("default"))) cl_int clEnqueueReadBuffer(cl_command_queue queue, cl_mem buffer,
                                                                  cl_bool blocking, size_t offset, size_t bytes,
                                                                  void *to, cl_uint waits, const cl_event *wait,
                                                                  cl_event *event) {
    const char *how = getenv("DRIVER_FAULT");
    if (how == NULL)
        abort();
    if (strcmp(how, "any") == 0 || (strcmp(how, "long") == 0 && bytes >= LONG))
        return CL_OUT_OF_RESOURCES;
    union {
        void *address;
        cl_int (*call)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint, const cl_event *,
                       cl_event *);
    } driver = {.address = dlsym(RTLD_NEXT, "clEnqueueReadBuffer")};
    cl_int result = driver.call(queue, buffer, blocking, offset, bytes, to, waits, wait, event);
    if (result == CL_SUCCESS && strcmp(how, "bits") == 0 && bytes >= LONG) {
        char *middle = (char *)to + bytes / sizeof(float) / 2 * sizeof(float);
        uint32_t bits;
        memcpy(&bits, middle, sizeof bits);
        bits ^= WRONG_BIT;
        memcpy(middle, &bits, sizeof bits);
    }
    return result;
}
