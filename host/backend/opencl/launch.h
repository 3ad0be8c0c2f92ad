/* launch.h: running one kernel: its arguments set one after another, then its range. The first error is kept. */
#ifndef TALLY_BACKEND_OPENCL_LAUNCH_H
#define TALLY_BACKEND_OPENCL_LAUNCH_H

#include "backend/opencl/opencl.h"

typedef struct tl_launch {
    tl_cl_device *device;
    tl_cl_kernel number;
    cl_kernel kernel;
    cl_uint next;
    cl_int error;
    tally_status status; /* of building the kernel's program */
} tl_launch;

/* A kernel of the common program, on the tensor's device. */
tl_launch tl_launch_start(const tally_tensor *on, tl_cl_kernel kernel);
/* A kernel of a cell, whose program is built if it is not yet. */
tl_launch tl_launch_start_cell(const tally_tensor *on, tally_cell cell, tl_cl_kernel kernel);

void tl_launch_number(tl_launch *l, size_t value);
void tl_launch_int(tl_launch *l, cl_int value);
void tl_launch_real(tl_launch *l, float value);
/* A vector of as many floats. */
void tl_launch_reals(tl_launch *l, const float *values, size_t count);
/* A buffer alone. */
void tl_launch_memory(tl_launch *l, cl_mem memory);
/* Local memory of each group. */
void tl_launch_local(tl_launch *l, size_t bytes);
/* Buffer, offset, and the strides of the last dims dimensions, 0 where the view has none. */
void tl_launch_view(tl_launch *l, const tally_tensor *t, int dims);

/* Adds the last argument, columns, and runs rows times outer times as many work-items as columns needs: each takes per
 * of them. The range is padded to whole groups of one size, because drivers choose poor groups for odd sizes, and PoCL
 * compiles a kernel anew for every size of group. */
tally_status tl_launch_run(tl_launch *l, size_t columns, size_t per, size_t rows, size_t outer);
/* The same for a flat tensor's elements, of which a work-item takes TL_FLAT. */
tally_status tl_launch_run_flat(tl_launch *l, size_t elements);

/* Adds the last argument, columns, and runs items work-items, each a group of its own. */
tally_status tl_launch_run_items(tl_launch *l, size_t columns, size_t items);
/* Adds the last argument, columns, and runs rows times groups of items work-items each. */
tally_status tl_launch_run_groups(tl_launch *l, size_t columns, size_t groups, size_t rows, size_t items);

/* The arguments of kernels that take columns which start later: whether there are any, and which. */
void tl_launch_starts(tl_launch *l, const tally_layer_state *state);
/* A view of a tensor that the cell may not have: kernels want a buffer, but do not read it. */
void tl_launch_view_or(tl_launch *l, const tally_tensor *t, const tally_tensor *instead, int dims);

#endif
