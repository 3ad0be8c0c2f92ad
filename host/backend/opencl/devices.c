#include "backend/opencl/opencl.h"
#include "core/fail.h"
#include "core/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void device_text(cl_device_id id, cl_device_info what, char *text, size_t size) {
    if (clGetDeviceInfo(id, what, size - 1, text, NULL) != CL_SUCCESS) /* too long or not known: no text */
        text[0] = '\0';
    text[size - 1] = '\0';
}

static tally_device_type type_of(cl_device_type type) {
    if (type & CL_DEVICE_TYPE_GPU)
        return TALLY_DEVICE_GPU;
    if (type & CL_DEVICE_TYPE_CPU)
        return TALLY_DEVICE_CPU;
    return type & CL_DEVICE_TYPE_ACCELERATOR ? TALLY_DEVICE_ACCELERATOR : TALLY_DEVICE_OTHER;
}

static void describe(unsigned platform, unsigned number, cl_platform_id platform_id, cl_device_id id,
                     tally_device_info *info) {
    memset(info, 0, sizeof *info);
    snprintf(info->selector, sizeof info->selector, "%u:%u", platform, number);
    snprintf(info->backend, sizeof info->backend, "%s", tl_opencl_registration.name);
    device_text(id, CL_DEVICE_NAME, info->name, sizeof info->name);
    if (!info->name[0])
        snprintf(info->name, sizeof info->name, "unnamed device %s", info->selector);
    device_text(id, CL_DRIVER_VERSION, info->driver, sizeof info->driver);
    device_text(id, CL_DEVICE_VERSION, info->version, sizeof info->version);
    if (clGetPlatformInfo(platform_id, CL_PLATFORM_NAME, sizeof info->platform - 1, info->platform, NULL) != CL_SUCCESS)
        info->platform[0] = '\0';
    cl_device_type type;
    info->type = TALLY_DEVICE_OTHER;
    if (clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof type, &type, NULL) == CL_SUCCESS)
        info->type = type_of(type);
    cl_uint units;
    if (clGetDeviceInfo(id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL) == CL_SUCCESS)
        info->compute_units = units;
    cl_ulong memory;
    if (clGetDeviceInfo(id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof memory, &memory, NULL) == CL_SUCCESS)
        info->memory_bytes = memory;
}

bool tl_cl_is_simulator(const tl_cl_device *device) {
    return strcmp(device->base.info.platform, "Oclgrind") == 0;
}

/* A platform may have no device (Mesa's Clover without a card): that is no error. */
static cl_uint platform_devices(cl_platform_id platform, cl_device_id ids[TL_MAX_DEVICES]) {
    cl_uint count = 0;
    if (clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, TL_MAX_DEVICES, ids, &count) != CL_SUCCESS)
        return 0;
    return count < TL_MAX_DEVICES ? count : TL_MAX_DEVICES;
}

static cl_int platforms(cl_platform_id ids[TL_MAX_PLATFORMS], cl_uint *count) {
    *count = 0;
    cl_int error = clGetPlatformIDs(TL_MAX_PLATFORMS, ids, count);
    if (error != CL_SUCCESS)
        *count = 0;
    if (*count > TL_MAX_PLATFORMS)
        *count = TL_MAX_PLATFORMS;
    return error;
}

tally_status tl_cl_list(tally_device_info **infos, size_t *count, char *note, size_t note_size) {
    *infos = NULL;
    *count = 0;
    cl_platform_id platform_ids[TL_MAX_PLATFORMS];
    cl_uint platform_count;
    cl_int error = platforms(platform_ids, &platform_count);
    if (error != CL_SUCCESS) {
        snprintf(note, note_size,
                 "no driver is installed (clGetPlatformIDs: %s, %d); Debian's for processors is pocl-opencl-icd",
                 tl_cl_error_name(error), (int)error);
        return TALLY_OK;
    }
    for (cl_uint p = 0; p < platform_count; p++) {
        cl_device_id ids[TL_MAX_DEVICES];
        cl_uint found = platform_devices(platform_ids[p], ids);
        if (found == 0)
            continue;
        tally_device_info *grown = realloc(*infos, (*count + found) * sizeof *grown);
        if (!grown) {
            free(*infos);
            *infos = NULL;
            *count = 0;
            return tl_fail(TALLY_MEMORY, "no memory left for the list of devices");
        }
        *infos = grown;
        for (cl_uint d = 0; d < found; d++)
            describe(p, d, platform_ids[p], ids[d], &(*infos)[(*count)++]);
    }
    if (*count == 0)
        snprintf(note, note_size,
                 "%u platform%s, but no device; PoCL has none where it cannot write its cache folder ($POCL_CACHE_DIR, "
                 "else ~/.cache/pocl)",
                 platform_count, platform_count == 1 ? "" : "s");
    return TALLY_OK;
}

tally_status tl_cl_find(const char *selector, cl_platform_id *platform_id, cl_device_id *id, tally_device_info *info) {
    unsigned platform, number;
    cl_platform_id platform_ids[TL_MAX_PLATFORMS];
    cl_device_id ids[TL_MAX_DEVICES];
    cl_uint platform_count;
    cl_int error = platforms(platform_ids, &platform_count);
    if (error != CL_SUCCESS || sscanf(selector, "%u:%u", &platform, &number) != 2 || platform >= platform_count ||
        number >= platform_devices(platform_ids[platform], ids))
        return tl_fail(TALLY_DEVICE, "there is no OpenCL device %s", selector);
    *platform_id = platform_ids[platform];
    *id = ids[number];
    describe(platform, number, *platform_id, *id, info);
    return TALLY_OK;
}
