#include "backend/opencl/opencl.h"

#include <stdlib.h>
#include <string.h>

/* "" where it is not known. */
static void platform_text(cl_platform_id id, cl_platform_info what, char *text, size_t size) {
    if (clGetPlatformInfo(id, what, size - 1, text, NULL) != CL_SUCCESS)
        text[0] = '\0';
}

void tl_cl_cache_name(const tl_cl_device *device, const char *ending, const char *text, const char *options,
                      char name[TL_CACHE_NAME]) {
    char vendor[256] = "", platform_version[256] = "";
    cl_platform_id platform;
    name[0] = '\0';
    /* A simulator's reports quote the line of the source where a fault is, which a built program no longer has. */
    if (tl_cl_is_simulator(device) || !tl_cache_ready())
        return;
    if (clGetDeviceInfo(device->id, CL_DEVICE_VENDOR, sizeof vendor - 1, vendor, NULL) != CL_SUCCESS)
        vendor[0] = '\0';
    if (clGetDeviceInfo(device->id, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL) == CL_SUCCESS)
        platform_text(platform, CL_PLATFORM_VERSION, platform_version, sizeof platform_version);
    const tally_device_info *info = &device->base.info;
    const char *const texts[] = {text,         options,       info->name, vendor, info->platform, platform_version,
                                 info->driver, info->version, NULL};
    tl_cache_name(name, ending, texts);
}

cl_program tl_cl_program_load(const tl_cl_device *device, const char *name, bool *compiled) {
    unsigned char *binary;
    size_t bytes;
    *compiled = false;
    if (!tl_cache_read(name, &binary, &bytes))
        return NULL;
    const unsigned char *from = binary;
    cl_int loaded = CL_SUCCESS, error = CL_INVALID_BINARY;
    cl_program program = NULL;
    *compiled = bytes == 0;
    if (!*compiled)
        program = clCreateProgramWithBinary(device->context, 1, &device->id, &bytes, &from, &loaded, &error);
    free(binary);
    if (*compiled || (error == CL_SUCCESS && loaded == CL_SUCCESS))
        return program;
    if (error == CL_SUCCESS)
        clReleaseProgram(program);
    tl_cache_remove(name);
    return NULL;
}

/* PoCL keeps what it compiles itself. Asked for it, it compiles every kernel once more, for groups of any size, which
 * takes it three seconds. */
static bool driver_keeps(const tl_cl_device *device) {
    return strcmp(device->base.info.platform, "Portable Computing Language") == 0;
}

void tl_cl_program_built(const tl_cl_device *device, tl_cl_program *program) {
    if (!program->keep_as[0] || !driver_keeps(device))
        return;
    tl_cache_write(program->keep_as, "", 0);
    program->keep_as[0] = '\0';
}

/* Asked for at the end, the program has what the driver compiled at the first launches, too. */
void tl_cl_program_keep(const tl_cl_device *device, const tl_cl_program *program) {
    size_t bytes = 0;
    if (!program->keep_as[0])
        return;
    tl_cl_notice(device, "keeping the compiled kernels for the next start");
    if (clGetProgramInfo(program->program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) != CL_SUCCESS ||
        bytes == 0)
        return;
    unsigned char *binary = malloc(bytes);
    if (binary && clGetProgramInfo(program->program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS)
        tl_cache_write(program->keep_as, binary, bytes);
    free(binary);
}
