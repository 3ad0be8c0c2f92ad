/* The whole sequence in one launch each way; the weights' gradients and dx are products that follow. */
#include "backend/opencl/launch.h"
#include "backend/view.h"

tally_status tl_cl_lstm_forward(const tally_lstm_weights *weights, const tally_tensor *x,
                                const tally_lstm_state *state) {
    if (tl_cl_device_of(x)->longest_sum)
        return tl_lstm_forward_composed(weights, x, state);
    tl_launch l = tl_launch_start(x, TL_CL_LSTM_FORWARD);
    tl_launch_number(&l, x->shape[0]);
    tl_launch_number(&l, state->h.shape[0]);
    tl_launch_number(&l, x->shape[1]);
    tl_launch_view(&l, &weights->w_ih, 0);
    tl_launch_view(&l, &weights->w_hh, 0);
    tl_launch_view(&l, &weights->bias, 0);
    tl_launch_view(&l, x, 0);
    tl_launch_number(&l, x->stride[0]);
    tl_launch_view(&l, &state->gates, 0);
    tl_launch_view(&l, &state->c, 0);
    tl_launch_view(&l, &state->h, 0);
    tl_launch_view(&l, &state->tanh_c, 0);
    return tl_launch_run(&l, x->shape[2], l.device->width, 1, 1);
}

tally_status tl_cl_lstm_backward(const tally_lstm_weights *weights, const tally_tensor *x, const tally_tensor *dy,
                                 const tally_lstm_state *state, const tally_lstm_weights *gradients,
                                 const tally_tensor *dx) {
    if (tl_cl_device_of(x)->longest_sum)
        return tl_lstm_backward_composed(weights, x, dy, state, gradients, dx);
    size_t steps = x->shape[1];
    tl_launch l = tl_launch_start(x, TL_CL_LSTM_BACKWARD);
    tl_launch_number(&l, state->h.shape[0]);
    tl_launch_number(&l, steps);
    tl_launch_view(&l, &weights->w_hh, 0);
    tl_launch_view(&l, &state->gates, 0);
    tl_launch_view(&l, &state->c, 0);
    tl_launch_view(&l, &state->tanh_c, 0);
    tl_launch_int(&l, dy != NULL);
    tl_launch_view(&l, dy ? dy : &state->tanh_c, 0);
    tl_launch_number(&l, dy ? dy->stride[0] : 0);
    tl_launch_view(&l, &state->dh, 0);
    tl_launch_view(&l, &state->dc, 0);
    tally_status status = tl_launch_run(&l, x->shape[2], l.device->width, 1, 1);

    tally_tensor h_prev = tl_view_steps(&state->h, steps);
    if (!status)
        status = tl_cl_accumulate(&state->gates, x, &gradients->w_ih);
    if (!status)
        status = tl_cl_accumulate(&state->gates, &h_prev, &gradients->w_hh);
    if (!status)
        status = tl_cl_accumulate(&state->gates, NULL, &gradients->bias);
    if (!status && dx) {
        tally_tensor gates = tl_view_rows(&state->gates, steps), all_dx = tl_view_rows(dx, steps);
        status = tl_cl_gemm(true, false, 1.0f, &weights->w_ih, &gates, 0.0f, &all_dx);
    }
    return status;
}
