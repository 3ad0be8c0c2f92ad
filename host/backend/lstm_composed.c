#include "backend/backend.h"
#include "backend/view.h"

tally_status tl_lstm_forward_composed(const tally_lstm_weights *weights, const tally_tensor *x,
                                      const tally_lstm_state *state) {
    const tl_backend *table = x->device->backend;
    size_t steps = x->shape[1];

    tally_tensor all_gates = tl_view_rows(&state->gates, steps);
    tally_tensor all_x = tl_view_rows(x, steps);
    tally_status status = table->fill(&all_gates, 0.0f);
    if (!status)
        status = table->bias(&weights->bias, &all_gates);
    if (!status)
        status = table->gemm(false, false, 1.0f, &weights->w_ih, &all_x, 1.0f, &all_gates);

    for (size_t t = 0; t < steps && !status; t++) {
        tally_tensor gates = tl_view_step(&state->gates, t);
        tally_tensor h_prev = tl_view_step(&state->h, t), h = tl_view_step(&state->h, t + 1);
        tally_tensor c_prev = tl_view_step(&state->c, t), c = tl_view_step(&state->c, t + 1);
        tally_tensor tanh_c = tl_view_step(&state->tanh_c, t);
        status = table->gemm(false, false, 1.0f, &weights->w_hh, &h_prev, 1.0f, &gates);
        if (!status)
            status = table->lstm_gates(&gates, &c_prev, &c, &tanh_c, &h);
    }
    return status;
}

tally_status tl_lstm_backward_composed(const tally_lstm_weights *weights, const tally_tensor *x, const tally_tensor *dy,
                                       const tally_lstm_state *state, const tally_lstm_weights *gradients,
                                       const tally_tensor *dx) {
    const tl_backend *table = x->device->backend;
    size_t steps = x->shape[1];
    tally_status status = TALLY_OK;

    for (size_t t = steps; t-- > 0 && !status;) {
        tally_tensor gates = tl_view_step(&state->gates, t);
        tally_tensor c_prev = tl_view_step(&state->c, t), tanh_c = tl_view_step(&state->tanh_c, t);
        if (dy) {
            tally_tensor dy_step = tl_view_step(dy, t);
            status = table->add(&dy_step, &state->dh);
        }
        if (!status)
            status = table->lstm_gates_backward(&gates, &c_prev, &tanh_c, &state->dh, &state->dc);
        if (!status)
            status = table->gemm(true, false, 1.0f, &weights->w_hh, &gates, 0.0f, &state->dh);
    }

    tally_tensor h_prev = tl_view_steps(&state->h, steps);
    if (!status)
        status = table->accumulate(&state->gates, x, &gradients->w_ih);
    if (!status)
        status = table->accumulate(&state->gates, &h_prev, &gradients->w_hh);
    if (!status)
        status = table->accumulate(&state->gates, NULL, &gradients->bias);
    if (!status && dx) {
        tally_tensor all_gates = tl_view_rows(&state->gates, steps), all_dx = tl_view_rows(dx, steps);
        status = table->gemm(true, false, 1.0f, &weights->w_ih, &all_gates, 0.0f, &all_dx);
    }
    return status;
}
