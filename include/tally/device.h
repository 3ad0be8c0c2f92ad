/* device.h: devices, on which tensors live and operations run.
 *
 * There are two backends: "cpu", the reference C path, which is always available, and "opencl", which is available
 * if the library was built with it and a driver is installed. Thread-safety: a device may be used by at most
 * tally_device_workers() threads at a time, on tensors that they do not share for writing.
 */
#ifndef TALLY_DEVICE_H
#define TALLY_DEVICE_H

#include <stdbool.h>
#include <tally/core.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tally_device tally_device;

typedef enum tally_device_type {
    TALLY_DEVICE_CPU,
    TALLY_DEVICE_GPU,
    TALLY_DEVICE_ACCELERATOR,
    TALLY_DEVICE_OTHER
} tally_device_type;

typedef struct tally_device_info {
    char selector[24];  /* opens exactly this device: "cpu", or "P:D" (platform and device number) */
    char backend[16];   /* "cpu" or "opencl" */
    char name[192];     /* the device's name */
    char platform[128]; /* the OpenCL platform's name, or the instruction set of the C path */
    char driver[128];   /* driver version, or "" */
    char version[128];  /* OpenCL version, or "" */
    tally_device_type type;
    unsigned compute_units; /* threads of the C path */
    uint64_t memory_bytes;  /* global memory; 0 where unknown */
} tally_device_info;

typedef struct tally_device_list {
    tally_device_info *devices; /* the C path, then the OpenCL devices in the loader's order of platforms and devices */
    size_t count;
    char opencl_note[256]; /* why there is no OpenCL device; "" if there is one */
} tally_device_list;

/* Lists every device of every platform. The caller frees the list. A missing driver is not an error: see
 * opencl_note. */
TALLY_API tally_status tally_device_list_new(tally_device_list *list);
TALLY_API void tally_device_list_free(tally_device_list *list);

/* What computes matrix products. The exact route gives the same bits on every device; CLBlast sums in its own order.
 * Auto is the exact route, except on GPUs: there both are timed when the device is first opened, and CLBlast is
 * chosen if it is faster by more than a tenth. The timings are cached like compiled kernels. */
typedef enum tally_route { TALLY_ROUTE_AUTO, TALLY_ROUTE_EXACT, TALLY_ROUTE_CLBLAST } tally_route;

typedef struct tally_device_options {
    unsigned threads; /* of the C path; 0: one per processor available to the process */
    tally_route route;
    /* Of the C path: "baseline", "avx2" or "avx512". NULL: the one named by the environment variable TALLY_CPU, or
     * else the best that the processor supports. */
    const char *instruction_set;
    /* Unless NULL, called before anything that may take seconds while a device is opened or closed, with a
     * description such as "compiling tally's kernels for NAME". */
    void (*notice)(void *context, const char *text);
    void *notice_context;
} tally_device_options;

/* Opens a device: "auto" (a GPU if there is one, else the C path), "cpu", "opencl" (the first GPU, else the first
 * device), "P:D", or part of a device's or platform's name, ignoring case. options may be NULL.
 *
 * TALLY_DEVICE: there is no such device; the text lists the devices that there are, and no other is used instead.
 * TALLY_USAGE: CLBlast was requested for the C path.
 *
 * Unless TALLY_CACHE=off, compiled kernels are cached in $XDG_CACHE_HOME/tally, or else ~/.cache/tally, when a
 * device is closed. Problems with that folder are not errors. */
TALLY_API tally_status tally_device_open(const char *selector, const tally_device_options *options,
                                         tally_device **device);
/* Frees the device. Free all its tensors and models first. NULL is allowed. */
TALLY_API void tally_device_close(tally_device *device);

TALLY_API const tally_device_info *tally_device_get_info(const tally_device *device);

/* The route in use: exact or CLBlast. */
TALLY_API tally_route tally_device_route(const tally_device *device);
/* Why auto chose this route; "" if it was requested or is the only one. */
TALLY_API const char *tally_device_route_reason(const tally_device *device);

/* Why the device's results agree with the C path's only within tolerance, as found by testing its arithmetic when it
 * was opened (denormals flushed to zero, incorrectly rounded division, ...); "" if its arithmetic is exact.
 * CLBlast's order of summation does not count. */
TALLY_API const char *tally_device_inexact(const tally_device *device);

/* How many threads may call operations on this device at the same time. */
TALLY_API unsigned tally_device_workers(const tally_device *device);

/* How many columns (sequences) of a batch a worker processes at a time: a power of two times TALLY_MICRO_BATCH. It
 * bounds the memory used and does not change a bit of any result. */
TALLY_API size_t tally_device_chunk_columns(const tally_device *device);

/* How many operations the C path has executed for the device since it was opened because the device could not. Their
 * names are written to names, comma-separated ("" if there are none), truncated to size bytes; names may be NULL. */
TALLY_API uint64_t tally_device_fallbacks(const tally_device *device, char *names, size_t size);

/* Measures, in a fraction of a second, how many floating-point operations per second the device can execute:
 * independent fused multiply-adds in registers, counted as two operations each, on all of its compute units at once
 * (all threads of the C path, which multiplies and adds if it has no such instruction). The speed of kernels is
 * compared with it. */
TALLY_API tally_status tally_device_peak(tally_device *device, double *flops);

#ifdef __cplusplus
}
#endif
#endif
