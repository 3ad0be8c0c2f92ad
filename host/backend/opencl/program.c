#include "backend/opencl/kernels.h"
#include "backend/opencl/opencl.h"
#include "core/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum program_of { COMMON, CELL, SEQUENCE } program_of;
typedef enum columns_of { ANY, ONE, VECTOR } columns_of;

typedef struct kernel_entry {
    const char *name;
    program_of program;
    columns_of columns;
} kernel_entry;

static const kernel_entry KERNELS[TL_CL_KERNELS] = {
#define KERNEL_ENTRY(name, program, columns) {"tally_" #name, program, columns},
    TL_CL_KERNEL_LIST(KERNEL_ENTRY)
#undef KERNEL_ENTRY
};

const char *tl_cl_kernel_name(tl_cl_kernel kernel) {
    return KERNELS[kernel].name;
}

/* A multiple of the widths in which GPUs run work-items. */
enum { GROUP = 64 };

static tally_status build_failed(const tl_cl_device *device, cl_program program, cl_int error) {
    size_t size = 0;
    char *log = NULL;
    if (clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) == CL_SUCCESS && size > 0)
        log = calloc(1, size + 1);
    if (log && clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, size, log, NULL) != CL_SUCCESS)
        log[0] = '\0';
    tally_status status =
        tl_fail(TALLY_DEVICE, "%s: the kernels do not build: %s (%d)\n%s", device->base.info.name,
                tl_cl_error_name(error), (int)error, log && log[0] ? log : "the driver gives no build log");
    free(log);
    return status;
}

/* What a program is built from. */
typedef struct source {
    program_of which;
    const char *text;
    char options[128];
    const char *cell; /* its name, or NULL */
} source;

/* cell: TALLY_CELLS for the common program. */
static source source_of(const tl_cl_device *device, tally_cell cell) {
    cl_device_fp_config single = 0;
    bool rounds = clGetDeviceInfo(device->id, CL_DEVICE_SINGLE_FP_CONFIG, sizeof single, &single, NULL) == CL_SUCCESS &&
                  single & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT;
    source s = {COMMON, tl_common_text, "", NULL};
    char define[32] = "";
    if (cell < TALLY_CELLS) {
        s.which = CELL;
        s.text = tl_cell_text;
        s.cell = tally_cell_name(cell);
        snprintf(define, sizeof define, " -DTL_CELL=%u", (unsigned)cell);
    }
    snprintf(s.options, sizeof s.options, "-cl-std=CL1.2 -DTL_W=%zu%s%s", device->width, define,
             rounds ? " -cl-fp32-correctly-rounded-divide-sqrt" : "");
    return s;
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

static bool has_kernel(const tl_cl_device *device, const kernel_entry *kernel, program_of program) {
    bool vector = device->width > 1;
    bool in_it = kernel->program == program || (kernel->program == SEQUENCE && program == CELL && !device->longest_sum);
    return in_it && (kernel->columns == ANY || vector == (kernel->columns == VECTOR));
}

static tally_status make_kernels(tl_cl_device *device, program_of which, tl_cl_program *program) {
    for (int k = 0; k < TL_CL_KERNELS; k++) {
        cl_int error;
        if (!has_kernel(device, &KERNELS[k], which))
            continue;
        program->kernels[k] = clCreateKernel(program->program, KERNELS[k].name, &error);
        if (error != CL_SUCCESS)
            return tl_fail(TALLY_DEVICE, "%s: clCreateKernel of %s: %s (%d)", device->base.info.name, KERNELS[k].name,
                           tl_cl_error_name(error), (int)error);
        tally_status status = limit_group(device, program->kernels[k]);
        if (status)
            return status;
    }
    return device->width > 1 ? TALLY_OK : tl_cl_group_limits(device, program);
}

static void free_program(tl_cl_program *program) {
    for (int k = 0; k < TL_CL_KERNELS; k++)
        if (program->kernels[k])
            clReleaseKernel(program->kernels[k]);
    if (program->program)
        clReleaseProgram(program->program);
    memset(program, 0, sizeof *program);
}

static tally_status build_from_source(tl_cl_device *device, const source *from, tl_cl_program *program) {
    cl_int error;
    const char *text = from->text;
    program->program = clCreateProgramWithSource(device->context, 1, &text, NULL, &error);
    tally_status status = tl_cl_check(device, "clCreateProgramWithSource", error);
    if (status)
        return status;
    error = clBuildProgram(program->program, 1, &device->id, from->options, NULL, NULL);
    return error == CL_SUCCESS ? make_kernels(device, from->which, program)
                               : build_failed(device, program->program, error);
}

static bool load_program(tl_cl_device *device, const source *from, const char *name, tl_cl_program *program,
                         bool *compiled) {
    program->program = tl_cl_program_load(device, name, compiled);
    if (!program->program)
        return false;
    if (clBuildProgram(program->program, 1, &device->id, from->options, NULL, NULL) == CL_SUCCESS &&
        !make_kernels(device, from->which, program))
        return true;
    free_program(program);
    tl_cache_remove(name);
    return false;
}

static tally_status new_program(tl_cl_device *device, tally_cell cell, tl_cl_program *program) {
    char name[TL_CACHE_NAME], text[320];
    bool compiled = false;
    const source from = source_of(device, cell);
    tl_cl_cache_name(device, "program", from.text, from.options, name);
    if (*name && load_program(device, &from, name, program, &compiled))
        return TALLY_OK;
    if (!compiled) {
        snprintf(text, sizeof text, "compiling tally's kernels%s%s for %s%s", from.cell ? " of the cell " : "",
                 from.cell ? from.cell : "", device->base.info.name, *name ? " (kept for the next start)" : "");
        tl_cl_notice(device, text);
    }
    tally_status status = build_from_source(device, &from, program);
    if (status) {
        free_program(program);
        return status;
    }
    if (!compiled) {
        memcpy(program->keep_as, name, sizeof name);
        tl_cl_program_built(device, program);
    }
    return TALLY_OK;
}

tally_status tl_cl_common_program(tl_cl_device *device) {
    device->group = GROUP;
    return new_program(device, TALLY_CELLS, &device->common);
}

tally_status tl_cl_cell_program(tl_cl_device *device, tally_cell cell) {
    tl_cl_program *program = &device->cells[cell];
    return program->program ? TALLY_OK : new_program(device, cell, program);
}

void tl_cl_programs_free(tl_cl_device *device) {
    free_program(&device->common);
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        free_program(&device->cells[cell]);
}

void tl_cl_programs_keep(tl_cl_device *device) {
    tl_cl_program_keep(device, &device->common);
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        tl_cl_program_keep(device, &device->cells[cell]);
}
