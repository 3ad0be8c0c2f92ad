/* The whole sequence by groups of work-items, where a work-item has one column and a group's share of it fits. */
#include "backend/opencl/launch.h"

/* A group's local memory: what every device has at least, so that the same sizes go the same way on all of them, and small enough that a
 * GPU's unit runs several groups. Its work-items: a multiple of the widths in which GPUs run them. */
enum { LOCAL_BYTES = 32 << 10, MOST_ITEMS = 256, LEAST_ITEMS = 32 };
/* Columns of a group: a transfer of GPUs is 32 bytes. Half as many where so many do not fit. */
enum { WIDE = 8, LEAST_WIDE = 4 };

tally_status tl_cl_group_limits(tl_cl_device *device) {
    cl_ulong bytes = 0;
    size_t sizes[16] = {0};
    tally_status status =
        tl_cl_check(device, "clGetDeviceInfo of local memory",
                    clGetDeviceInfo(device->id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof bytes, &bytes, NULL));
    if (!status)
        status = tl_cl_check(device, "clGetDeviceInfo of a group's sizes",
                             clGetDeviceInfo(device->id, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof sizes, sizes, NULL));
    size_t most = sizes[0];
    for (int k = TL_CL_LSTM_GROUP_FORWARD; k < TL_CL_KERNELS && !status; k++) {
        size_t largest = 0;
        status = tl_cl_check(device, "clGetKernelWorkGroupInfo",
                             clGetKernelWorkGroupInfo(device->kernels[k], device->id, CL_KERNEL_WORK_GROUP_SIZE,
                                                      sizeof largest, &largest, NULL));
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

static tally_status run(tl_launch *l, const share *s, size_t columns) {
    tl_launch_int(l, (cl_int)s->wide);
    tl_launch_int(l, (cl_int)s->kept);
    tl_launch_local(l, s->near);
    tl_launch_local(l, s->room);
    return tl_launch_run_groups(l, columns, columns / s->wide + (columns % s->wide != 0), 1, l->device->shared_items);
}

bool tl_cl_lstm_group_forward(const tally_layer_weights *weights, const tally_tensor *x, const tally_layer_state *state,
                              tally_status *status) {
    const tl_cl_device *device = tl_cl_device_of(x);
    size_t inputs = x->shape[0], hidden = state->h.shape[0];
    if (weights->cell != TALLY_LSTM || state->starts.storage || inputs > LOCAL_BYTES ||
        hidden > LOCAL_BYTES) /* so that nothing below overflows */
        return false;
    share s = share_of(device, 2 * inputs + 3 * hidden, 4 * hidden * sizeof(float), inputs + hidden);
    if (!s.wide)
        return false;
    tl_launch l = tl_launch_start(x, TL_CL_LSTM_GROUP_FORWARD);
    tl_cl_layer_forward_arguments(&l, weights, x, state);
    *status = run(&l, &s, x->shape[2]);
    return true;
}

bool tl_cl_lstm_group_backward(const tally_layer_weights *weights, const tally_tensor *dy,
                               const tally_layer_state *state, tally_status *status) {
    const tl_cl_device *device = tl_cl_device_of(&state->h);
    size_t hidden = state->h.shape[0];
    if (weights->cell != TALLY_LSTM || state->starts.storage || hidden > LOCAL_BYTES)
        return false;
    share s = share_of(device, 6 * hidden, hidden * sizeof(float), 4 * hidden);
    if (!s.wide)
        return false;
    tl_launch l = tl_launch_start(&state->h, TL_CL_LSTM_GROUP_BACKWARD);
    tl_cl_layer_backward_arguments(&l, weights, dy, state);
    *status = run(&l, &s, state->gates.shape[2]);
    return true;
}
