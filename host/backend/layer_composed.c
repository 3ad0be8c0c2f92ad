#include "backend/backend.h"
#include "backend/view.h"

/* Both with a row's steps one behind the other, so that one matrix has them all. */
static bool joined(const tally_tensor *a, const tally_tensor *b) {
    return a->shape[1] == 1 || (a->stride[1] == a->shape[2] && b->stride[1] == b->shape[2]);
}

/* Matrix number of a sequence: all its steps, or one. */
static tally_tensor matrix_of(const tally_tensor *t, bool all, size_t number) {
    return all ? tl_view_rows(t, t->shape[1]) : tl_view_step(t, number);
}

/* gates = bias + W_ih x, for all steps. */
static tally_status project(const tally_layer_weights *weights, const tally_tensor *x, const tally_tensor *gates) {
    const tl_backend *table = x->device->backend;
    bool all = joined(x, gates);
    tally_status status = table->fill(gates, 0.0f);
    for (size_t t = 0; t < (all ? 1 : x->shape[1]) && !status; t++) {
        tally_tensor to = matrix_of(gates, all, t), from = matrix_of(x, all, t);
        status = table->bias(&weights->bias, &to);
        if (!status)
            status = table->gemm(false, false, 1.0f, &weights->w_ih, &from, 1.0f, &to);
    }
    return status;
}

/* dx = W_ih^T gates, for all steps. */
static tally_status project_back(const tally_layer_weights *weights, const tally_tensor *gates,
                                 const tally_tensor *dx) {
    bool all = joined(dx, gates);
    tally_status status = TALLY_OK;
    for (size_t t = 0; t < (all ? 1 : dx->shape[1]) && !status; t++) {
        tally_tensor to = matrix_of(dx, all, t), from = matrix_of(gates, all, t);
        status = dx->device->backend->gemm(true, false, 1.0f, &weights->w_ih, &from, 0.0f, &to);
    }
    return status;
}

tally_status tl_layer_forward_composed(const tally_layer_weights *weights, const tally_tensor *x,
                                       const tally_layer_state *state) {
    const tl_backend *table = x->device->backend;
    size_t steps = x->shape[1];

    tally_status status = project(weights, x, &state->gates);
    for (size_t t = 0; t < steps && !status; t++) {
        tally_tensor gates = tl_view_step(&state->gates, t);
        tally_tensor h_prev = tl_view_step(&state->h, t), h = tl_view_step(&state->h, t + 1);
        tally_tensor c_prev = tl_view_step(&state->c, t), c = tl_view_step(&state->c, t + 1);
        tally_tensor tanh_c = tl_view_step(&state->tanh_c, t);
        status = table->gemm(false, false, 1.0f, &weights->w_hh, &h_prev, 1.0f, &gates);
        if (!status)
            status = table->cell_forward(&gates, &c_prev, &c, &tanh_c, &h);
    }
    return status;
}

tally_status tl_layer_backward_composed(const tally_layer_weights *weights, const tally_tensor *x,
                                        const tally_tensor *dy, const tally_layer_state *state,
                                        const tally_layer_weights *gradients, const tally_tensor *dx) {
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
            status = table->cell_backward(&gates, &c_prev, &tanh_c, &state->dh, &state->dc);
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
    if (!status && dx)
        status = project_back(weights, &state->gates, dx);
    return status;
}
