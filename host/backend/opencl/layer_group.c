/* A layer by groups of work-items, where a work-item has one column and a group's share of it fits in local memory. */
#include "backend/cells.h"
#include "backend/opencl/launch.h"

/* A group's local memory: what every device has at least, so that the same sizes go the same way on all of them, and
 * small enough that a GPU's unit runs several groups. Its work-items: a multiple of the widths in which GPUs run them.
 */
enum { LOCAL_BYTES = 32 << 10, MOST_ITEMS = 256, LEAST_ITEMS = 32 };
/* Columns of a group: a transfer of GPUs is 32 bytes. Half as many where so many do not fit. */
enum { WIDE = 8, LEAST_WIDE = 4 };

tally_status tl_cl_group_limits(tl_cl_device *device, const tl_cl_program *program) {
    static const tl_cl_kernel shared[] = {TL_CL_dots_group, TL_CL_group_forward, TL_CL_group_backward};
    cl_ulong bytes = 0;
    size_t sizes[16] = {0};
    tally_status status =
        tl_cl_check(device, "clGetDeviceInfo of local memory",
                    clGetDeviceInfo(device->id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof bytes, &bytes, NULL));
    if (!status)
        status = tl_cl_check(device, "clGetDeviceInfo of a group's sizes",
                             clGetDeviceInfo(device->id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof sizes, sizes, NULL));
    size_t most = program == &device->common ? sizes[0] : device->shared_items;
    for (size_t k = 0; k < sizeof shared / sizeof *shared && !status; k++) {
        size_t largest = most;
        if (program->kernels[shared[k]])
            status = tl_cl_check(device, "clGetKernelWorkGroupInfo",
                                 clGetKernelWorkGroupInfo(program->kernels[shared[k]], device->id,
                                                          CL_KERNEL_WORK_GROUP_SIZE, sizeof largest, &largest, NULL));
        most = largest < most ? largest : most;
    }
    device->shared_bytes = bytes < LOCAL_BYTES ? (size_t)bytes : LOCAL_BYTES;
    device->shared_items = MOST_ITEMS;
    while (device->shared_items > most)
        device->shared_items /= 2;
    if (device->shared_items < LEAST_ITEMS)
        device->shared_items = 0;
    return status;
}

/* Of one group; wide is 0 where it does not fit. */
typedef struct share {
    size_t wide, room; /* columns, and bytes of what belongs to them */
    size_t kept, near; /* rows of weights, at least one, and their bytes */
} share;

static share share_of(const tl_cl_device *device, size_t column_floats, size_t row_bytes, size_t rows) {
    for (size_t wide = WIDE; wide >= LEAST_WIDE && device->shared_items; wide /= 2) {
        size_t room = column_floats * wide * sizeof(float);
        if (room + row_bytes > device->shared_bytes)
            continue;
        size_t fit = (device->shared_bytes - room) / row_bytes, kept = fit < rows ? fit : rows;
        return (share){wide, room, kept, kept * row_bytes};
    }
    return (share){0};
}

static tally_status run_groups(tl_launch *l, const share *s, size_t columns) {
    tl_launch_int(l, (cl_int)s->wide);
    tl_launch_int(l, (cl_int)s->kept);
    tl_launch_local(l, s->near);
    tl_launch_local(l, s->room);
    return tl_launch_run_groups(l, columns, columns / s->wide + (columns % s->wide != 0), 1, l->device->shared_items);
}

/* The group's sizes are known once its kernels are built. */
static bool starts_groups(const tl_cl_device *device, const tl_launch *l, size_t inputs, size_t hidden) {
    return !l->status && device->width == 1 && inputs <= LOCAL_BYTES && hidden <= LOCAL_BYTES;
}

bool tl_cl_group_forward(const tally_layer_weights *weights, const tally_tensor *x, const tally_layer_state *state,
                         tally_status *status) {
    size_t inputs = x->shape[0], hidden = state->h.shape[0];
    tl_launch l = tl_launch_start_cell(x, weights->cell, TL_CL_group_forward);
    if (!starts_groups(l.device, &l, inputs, hidden))
        return false;
    share s = share_of(l.device, 2 * inputs + 3 * hidden, tl_cell_weights(weights->cell) * hidden * sizeof(float),
                       inputs + hidden);
    if (!s.wide)
        return false;
    tl_launch_number(&l, inputs);
    tl_launch_number(&l, hidden);
    tl_launch_number(&l, x->shape[1]);
    tl_launch_view(&l, &weights->w_ih, 0);
    tl_launch_view(&l, &weights->w_hh, 0);
    tl_launch_view(&l, &weights->bias, 0);
    tl_launch_view(&l, x, 3);
    tl_launch_view(&l, &state->gates, 3);
    tl_launch_view_or(&l, &state->c, &state->h, 3);
    tl_launch_view(&l, &state->h, 3);
    tl_launch_view_or(&l, &state->tanh_c, &state->h, 3);
    tl_launch_starts(&l, state);
    *status = run_groups(&l, &s, x->shape[2]);
    return true;
}

bool tl_cl_group_backward(const tally_layer_weights *weights, const tally_tensor *dy, const tally_layer_state *state,
                          tally_status *status) {
    size_t hidden = state->h.shape[0];
    tl_launch l = tl_launch_start_cell(&state->h, weights->cell, TL_CL_group_backward);
    if (!starts_groups(l.device, &l, 1, hidden))
        return false;
    share s = share_of(l.device, (tl_cell_gates(weights->cell) + 2) * hidden, hidden * sizeof(float),
                       tl_cell_weights(weights->cell) * hidden);
    if (!s.wide)
        return false;
    tl_launch_number(&l, hidden);
    tl_launch_number(&l, state->gates.shape[1]);
    tl_launch_view(&l, &weights->w_hh, 0);
    tl_launch_view(&l, &state->gates, 3);
    tl_launch_view(&l, tl_cell_previous(weights->cell) == TL_READS_C ? &state->c : &state->h, 3);
    tl_launch_view_or(&l, &state->tanh_c, &state->h, 3);
    tl_launch_int(&l, dy != NULL);
    tl_launch_view_or(&l, dy, &state->h, 3);
    tl_launch_view(&l, &state->dh, 0);
    tl_launch_view_or(&l, &state->dc, &state->dh, 0);
    tl_launch_starts(&l, state);
    *status = run_groups(&l, &s, state->gates.shape[2]);
    return true;
}
