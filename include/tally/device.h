/* device.h: where tensors live and operations run.
 *
 * Two backends: "cpu", the reference C path, always there; and "opencl", where the library was built with it and a
 * driver is installed. Thread-safety: a device may be used from several threads only where
 * tally_device_workers() is above 1, and then at most by that many at a time, on tensors they do not share for writing.
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
    char selector[24];  /* what opens exactly this device: "cpu", or "P:D" (platform and device number) */
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
    tally_device_info *devices; /* the C path first, then OpenCL platforms and devices in the loader's order */
    size_t count;
    char opencl_note[256]; /* why there is no OpenCL device, "" if there is one */
} tally_device_list;

/* Every device of every platform. The caller frees the list. A missing driver is no error: see opencl_note. */
TALLY_API tally_status tally_device_list_new(tally_device_list *list);
TALLY_API void tally_device_list_free(tally_device_list *list);

/* What carries matrix products. The exact route gives the same bits on every device; CLBlast sums in its own order. Auto is exact,
 * but on a GPU whichever is faster by more than a tenth, as measured when it is first opened; the times are kept like compiled kernels. */
typedef enum tally_route { TALLY_ROUTE_AUTO, TALLY_ROUTE_EXACT, TALLY_ROUTE_CLBLAST } tally_route;

typedef struct tally_device_options {
    unsigned threads; /* of the C path; 0: one for each processor this process may use */
    tally_route route;
    /* Of the C path: "baseline", "avx2" or "avx512"; NULL: what the environment's TALLY_CPU names, else the best
     * this processor has. */
    const char *instruction_set;
    /* Called, if not NULL, before something that may take seconds while the device is opened or closed, with what it is, such as
     * "compiling tally's kernels for NAME". */
    void (*notice)(void *context, const char *text);
    void *notice_context;
} tally_device_options;

/* Compiled kernels are kept, for the next time, in the user's cache folder ($XDG_CACHE_HOME/tally, else ~/.cache/tally) when a device is closed, unless
 * TALLY_CACHE=off; whatever is wrong with that folder is no error.
 *
 * Opens a device: "auto" (a GPU if there is one, else the C path), "cpu", "opencl" (the first GPU, else the first
 * device), "P:D", or a part of a device's or platform's name, whatever its case. What is not there is TALLY_DEVICE and
 * the text lists what is; nothing is ever replaced silently. TALLY_USAGE: CLBlast was asked for on the C path. options may be NULL. */
TALLY_API tally_status tally_device_open(const char *selector, const tally_device_options *options,
                                         tally_device **device);
/* Frees the device. Free all its tensors and models first. NULL is allowed. */
TALLY_API void tally_device_close(tally_device *device);

TALLY_API const tally_device_info *tally_device_get_info(const tally_device *device);

/* The route that was taken: exact or CLBlast. */
TALLY_API tally_route tally_device_route(const tally_device *device);
/* Why auto took it; "" where it was asked for or is the only one. */
TALLY_API const char *tally_device_route_reason(const tally_device *device);

/* Why the device gives the C path's results within tolerance only, as found by trying its arithmetic when it was opened: denormals
 * taken for zero, a division rounded wrongly, ...; "" where there is nothing. CLBlast's order of sums is not meant. */
TALLY_API const char *tally_device_inexact(const tally_device *device);

/* How many threads may call operations on this device at the same time. */
TALLY_API unsigned tally_device_workers(const tally_device *device);

/* How many columns (sequences) of a batch a worker takes at a time: a power of two times TALLY_MICRO_BATCH. It
 * bounds memory and changes no bit. */
TALLY_API size_t tally_device_chunk_columns(const tally_device *device);

/* How many operations the device could not take and the C path did instead, since it was opened. Their names go to
 * names, comma-separated ("" if there are none), cut off at size bytes; names may be NULL. */
TALLY_API uint64_t tally_device_fallbacks(const tally_device *device, char *names, size_t size);

/* The floating-point operations a second that the device does at most, found by running for a fraction of a second: independent
 * fused multiply-adds in registers, two operations each, on everything the device computes with at once (all threads of the C path,
 * which without an instruction for them takes a multiplication and an addition). What the speed of a kernel is compared with. */
TALLY_API tally_status tally_device_peak(tally_device *device, double *flops);

#ifdef __cplusplus
}
#endif
#endif
