/* The whole sequence in one launch each way; the weights' gradients and dx are products that follow. */
#include "backend/cells.h"
#include "backend/opencl/launch.h"
#include "backend/view.h"

/* Kernels want a buffer where the cell has none; they do not look at it. */
static const tally_tensor *there(const tally_tensor *t, const tally_tensor *instead) {
    return t->storage ? t : instead;
}

void tl_cl_layer_forward_arguments(tl_launch *l, const tally_layer_weights *weights, const tally_tensor *x,
                                   const tally_layer_state *state) {
    tl_launch_number(l, x->shape[0]);
    tl_launch_number(l, state->h.shape[0]);
    tl_launch_number(l, x->shape[1]);
    tl_launch_view(l, &weights->w_ih, 0);
    tl_launch_view(l, &weights->w_hh, 0);
    tl_launch_view(l, &weights->bias, 0);
    tl_launch_view(l, x, 3);
    tl_launch_view(l, &state->gates, 3);
    tl_launch_view(l, there(&state->c, &state->h), 3);
    tl_launch_view(l, &state->h, 3);
    tl_launch_view(l, there(&state->tanh_c, &state->h), 3);
}

/* The next arguments of the kernels that take columns which start later. */
static void starts(tl_launch *l, const tally_layer_state *state) {
    tl_launch_int(l, state->starts.storage != NULL);
    tl_launch_view(l, there(&state->starts, &state->h), 0);
}

tally_status tl_cl_layer_forward(const tally_layer_weights *weights, const tally_tensor *x,
                                 const tally_layer_state *state) {
    tally_status status;
    if (tl_cl_device_of(x)->longest_sum)
        return tl_layer_forward_composed(weights, x, state);
    if (tl_cl_lstm_group_forward(weights, x, state, &status))
        return status;
    tl_launch l = tl_launch_start(x, TL_CL_LAYER_FORWARD + weights->cell);
    tl_cl_layer_forward_arguments(&l, weights, x, state);
    starts(&l, state);
    return tl_launch_run(&l, x->shape[2], l.device->width, 1, 1);
}

void tl_cl_layer_backward_arguments(tl_launch *l, const tally_layer_weights *weights, const tally_tensor *dy,
                                    const tally_layer_state *state) {
    tl_launch_number(l, state->h.shape[0]);
    tl_launch_number(l, state->gates.shape[1]);
    tl_launch_view(l, &weights->w_hh, 0);
    tl_launch_view(l, &state->gates, 3);
    tl_launch_view(l, weights->cell == TALLY_LSTM ? &state->c : &state->h, 3);
    tl_launch_view(l, there(&state->tanh_c, &state->h), 3);
    tl_launch_int(l, dy != NULL);
    tl_launch_view(l, dy ? dy : &state->h, 3);
    tl_launch_view(l, &state->dh, 0);
    tl_launch_view(l, there(&state->dc, &state->dh), 0);
}

/* The sequence alone. */
static tally_status backward(const tally_layer_weights *weights, const tally_tensor *dy,
                             const tally_layer_state *state) {
    tally_status status;
    if (tl_cl_lstm_group_backward(weights, dy, state, &status))
        return status;
    tl_launch l = tl_launch_start(&state->h, TL_CL_LAYER_BACKWARD + weights->cell);
    tl_cl_layer_backward_arguments(&l, weights, dy, state);
    starts(&l, state);
    return tl_launch_run(&l, state->gates.shape[2], l.device->width, 1, 1);
}

tally_status tl_cl_layer_backward(const tally_layer_weights *weights, const tally_tensor *x, const tally_tensor *dy,
                                  const tally_layer_state *state, const tally_layer_weights *gradients,
                                  const tally_tensor *dx) {
    if (tl_cl_device_of(x)->longest_sum)
        return tl_layer_backward_composed(weights, x, dy, state, gradients, dx);
    size_t steps = x->shape[1];
    tally_status status = backward(weights, dy, state);

    tally_tensor h_prev = tl_view_steps(&state->h, steps);
    tally_tensor from_x = tl_gates_from_x(weights, &state->gates), from_h = tl_gates_from_h(weights, &state->gates);
    if (!status)
        status = tl_cl_accumulate(&from_x, x, &gradients->w_ih);
    if (!status)
        status = tl_cl_accumulate(&from_h, &h_prev, &gradients->w_hh);
    if (!status)
        status = tl_cl_accumulate(&state->gates, NULL, &gradients->bias);
    for (size_t t = 0; t < steps && dx && !status; t++) {
        tally_tensor gates = tl_view_step(&from_x, t), dx_step = tl_view_step(dx, t);
        status = tl_cl_gemm(true, false, 1.0f, &weights->w_ih, &gates, 0.0f, &dx_step);
    }
    return status;
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
