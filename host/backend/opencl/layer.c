/* A layer in one launch each way, after its weights are packed; the gradients of the weights are sums that follow. */
#include "backend/opencl/packed.h"

#include "backend/cells.h"
#include "backend/opencl/launch.h"
#include "backend/view.h"
#include "constants.h"
#include "packed_sizes.h"

/* All sizes are those of tensors, so nothing overflows. */
tl_cl_packed tl_cl_packed_layer(const tl_cl_device *device, tally_cell cell, size_t inputs, size_t hidden) {
    size_t rows = TL_BLOCK_ROWS_OF(device->width), few = TL_SMALL_BLOCK_ROWS_OF(device->width);
    size_t sums = tl_cell_weights(cell) * hidden;
    tl_cl_packed p = {.hh = tl_packed_forward_size(cell, rows, inputs, hidden)};
    p.ih = p.hh + tl_packed_transpose_size(few, hidden, sums);
    p.floats = p.ih + tl_packed_transpose_size(few, inputs, sums);
    size_t forward = tl_packed_blocks(cell, rows, hidden), hh = tl_transpose_blocks(rows, few, hidden);
    size_t ih = tl_transpose_blocks(rows, few, inputs);
    p.blocks = forward > hh ? forward : hh;
    p.blocks = ih > p.blocks ? ih : p.blocks;
    return p;
}

static tally_status pack_layer(const tally_layer_weights *weights, const tally_layer_state *state) {
    size_t inputs = weights->w_ih.shape[1], hidden = weights->w_hh.shape[1];
    tl_launch l = tl_launch_start_cell(&weights->w_ih, weights->cell, TL_CL_pack_layer);
    const tl_cl_packed packed = tl_cl_packed_layer(l.device, weights->cell, inputs, hidden);
    tl_launch_number(&l, inputs);
    tl_launch_number(&l, hidden);
    tl_launch_view(&l, &weights->w_ih, 0);
    tl_launch_view(&l, &weights->w_hh, 0);
    tl_launch_view(&l, &weights->bias, 0);
    tl_launch_view(&l, &state->scratch, 0);
    tl_launch_number(&l, packed.hh);
    tl_launch_number(&l, packed.ih);
    return tl_launch_run(&l, packed.blocks, 1, 1, 1);
}

/* Columns that a work-item takes through all time steps. */
static size_t stretch_of(const tl_cl_device *device) {
    return device->width == 1 ? 1 : TL_MICRO_BATCH;
}

static tally_status stretches_forward(const tally_layer_weights *weights, const tally_tensor *x,
                                      const tally_layer_state *state) {
    tally_status status = pack_layer(weights, state);
    if (status)
        return status;
    tl_launch l = tl_launch_start_cell(x, weights->cell, TL_CL_layer_forward);
    tl_launch_number(&l, x->shape[0]);
    tl_launch_number(&l, state->h.shape[0]);
    tl_launch_number(&l, x->shape[1]);
    tl_launch_view(&l, &state->scratch, 0);
    tl_launch_view(&l, x, 3);
    tl_launch_view(&l, &state->gates, 3);
    tl_launch_view_or(&l, &state->c, &state->h, 3);
    tl_launch_view(&l, &state->h, 3);
    tl_launch_view_or(&l, &state->tanh_c, &state->h, 3);
    tl_launch_starts(&l, state);
    return tl_launch_run(&l, x->shape[2], stretch_of(l.device), 1, 1);
}

tally_status tl_cl_layer_forward(const tally_layer_weights *weights, const tally_tensor *x,
                                 const tally_layer_state *state) {
    tally_status status;
    if (tl_cl_device_of(x)->longest_sum)
        return tl_layer_forward_composed(weights, x, state);
    if (tl_cl_group_forward(weights, x, state, &status))
        return status;
    return stretches_forward(weights, x, state);
}

static tally_status stretches_backward(const tally_layer_weights *weights, const tally_tensor *dy,
                                       const tally_layer_state *state, const tally_tensor *dx) {
    size_t inputs = weights->w_ih.shape[1], hidden = state->h.shape[0];
    tally_status status = pack_layer(weights, state);
    if (status)
        return status;
    tl_launch l = tl_launch_start_cell(&state->h, weights->cell, TL_CL_layer_backward);
    const tl_cl_packed packed = tl_cl_packed_layer(l.device, weights->cell, inputs, hidden);
    tl_launch_number(&l, inputs);
    tl_launch_number(&l, hidden);
    tl_launch_number(&l, state->gates.shape[1]);
    tl_launch_view(&l, &state->scratch, 0);
    tl_launch_number(&l, packed.hh);
    tl_launch_number(&l, packed.ih);
    tl_launch_view(&l, &state->gates, 3);
    tl_launch_view(&l, tl_cell_previous(weights->cell) == TL_READS_C ? &state->c : &state->h, 3);
    tl_launch_view_or(&l, &state->tanh_c, &state->h, 3);
    tl_launch_int(&l, dy != NULL);
    tl_launch_view_or(&l, dy, &state->h, 3);
    tl_launch_int(&l, dx != NULL);
    tl_launch_view_or(&l, dx, &state->h, 3);
    tl_launch_view(&l, &state->dh, 0);
    tl_launch_view_or(&l, &state->dc, &state->dh, 0);
    tl_launch_starts(&l, state);
    return tl_launch_run(&l, state->gates.shape[2], stretch_of(l.device), 1, 1);
}

/* dx = W_ih^T times the gates' gradients, a time step after another. */
static tally_status input_gradient(const tally_layer_weights *weights, const tally_layer_state *state,
                                   const tally_tensor *dx) {
    tally_tensor from_x = tl_gates_from_x(weights, &state->gates);
    tally_status status = TALLY_OK;
    for (size_t t = 0; t < dx->shape[1] && !status; t++) {
        tally_tensor gates = tl_view_step(&from_x, t), dx_step = tl_view_step(dx, t);
        status = tl_cl_gemm(true, false, 1.0f, &weights->w_ih, &gates, 0.0f, &dx_step);
    }
    return status;
}

tally_status tl_cl_layer_backward(const tally_layer_weights *weights, const tally_tensor *x, const tally_tensor *dy,
                                  const tally_layer_state *state, const tally_layer_weights *gradients,
                                  const tally_tensor *dx) {
    tally_status status;
    if (tl_cl_device_of(x)->longest_sum)
        return tl_layer_backward_composed(weights, x, dy, state, gradients, dx);
    if (!tl_cl_group_backward(weights, dy, state, &status))
        status = stretches_backward(weights, dy, state, dx);
    else if (!status && dx)
        status = input_gradient(weights, state, dx);

    tally_tensor h_prev = tl_view_steps(&state->h, x->shape[1]);
    tally_tensor from_x = tl_gates_from_x(weights, &state->gates), from_h = tl_gates_from_h(weights, &state->gates);
    if (!status)
        status = tl_cl_accumulate(&from_x, x, &gradients->w_ih);
    if (!status)
        status = tl_cl_accumulate(&from_h, &h_prev, &gradients->w_hh);
    return status ? status : tl_cl_accumulate(&state->gates, NULL, &gradients->bias);
}

tally_status tl_cl_clblast_layer_forward(const tally_layer_weights *weights, const tally_tensor *x,
                                         const tally_layer_state *state) {
    return state->starts.storage ? tl_cl_layer_forward(weights, x, state)
                                 : tl_layer_forward_composed(weights, x, state);
}

tally_status tl_cl_clblast_layer_backward(const tally_layer_weights *weights, const tally_tensor *x,
                                          const tally_tensor *dy, const tally_layer_state *state,
                                          const tally_layer_weights *gradients, const tally_tensor *dx) {
    return state->starts.storage ? tl_cl_layer_backward(weights, x, dy, state, gradients, dx)
                                 : tl_layer_backward_composed(weights, x, dy, state, gradients, dx);
}
