#include "backend/backend.h"
#include "backend/cells.h"
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
        to = tl_gates_from_x(weights, &to);
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
        from = tl_gates_from_x(weights, &from);
        status = dx->device->backend->gemm(true, false, 1.0f, &weights->w_ih, &from, 0.0f, &to);
    }
    return status;
}

/* What a cell has besides gates and h, at a step; NULL where it has none. */
typedef struct cell_step {
    tally_tensor previous, c, tanh_c;
    const tally_tensor *previous_or, *c_or, *tanh_c_or;
} cell_step;

static void cell_at(tally_cell cell, const tally_layer_state *state, size_t t, cell_step *at) {
    *at = (cell_step){0};
    if (tl_cell_previous(cell) == TL_READS_NOTHING)
        return;
    at->previous = tl_view_step(tl_cell_previous(cell) == TL_READS_C ? &state->c : &state->h, t);
    at->previous_or = &at->previous;
    if (!tl_cell_state(cell))
        return;
    at->c = tl_view_step(&state->c, t + 1);
    at->tanh_c = tl_view_step(&state->tanh_c, t);
    at->c_or = &at->c;
    at->tanh_c_or = &at->tanh_c;
}

/* Step t of [feature][time][column], as a sequence of one step. */
static tally_tensor one_step(const tally_tensor *t, size_t step) {
    tally_tensor view = *t;
    view.offset += step * t->stride[1];
    view.shape[1] = 1;
    return view;
}

tally_status tl_layer_forward_composed(const tally_layer_weights *weights, const tally_tensor *x,
                                       const tally_layer_state *state) {
    const tl_backend *table = x->device->backend;
    size_t steps = x->shape[1];
    bool inference = state->gates.stride[1] == 0; /* gates of one step at a time */

    tally_status status = inference ? TALLY_OK : project(weights, x, &state->gates);
    for (size_t t = 0; t < steps && !status; t++) {
        tally_tensor x_step = one_step(x, t), gates_step = one_step(&state->gates, t);
        if (inference)
            status = project(weights, &x_step, &gates_step);
        tally_tensor gates = tl_view_step(&state->gates, t), from_h = tl_gates_from_h(weights, &gates);
        tally_tensor h_prev = tl_view_step(&state->h, t), h = tl_view_step(&state->h, t + 1);
        cell_step at;
        cell_at(weights->cell, state, t, &at);
        if (!status)
            status = table->gemm(false, false, 1.0f, &weights->w_hh, &h_prev, 1.0f, &from_h);
        if (!status)
            status = table->cell_forward(weights->cell, &gates, at.previous_or, at.c_or, at.tanh_c_or, &h);
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
        tally_tensor gates = tl_view_step(&state->gates, t), from_h = tl_gates_from_h(weights, &gates);
        cell_step at;
        cell_at(weights->cell, state, t, &at);
        if (dy) {
            tally_tensor dy_step = tl_view_step(dy, t);
            status = table->add(&dy_step, &state->dh);
        }
        if (!status)
            status = table->cell_backward(weights->cell, &gates, at.previous_or, at.tanh_c_or, &state->dh,
                                          tl_cell_state(weights->cell) ? &state->dc : NULL);
        if (!status)
            status = table->gemm(true, false, 1.0f, &weights->w_hh, &from_h,
                                 tl_cell_bypass(weights->cell) ? 1.0f : 0.0f, &state->dh);
    }

    tally_tensor h_prev = tl_view_steps(&state->h, steps);
    tally_tensor from_x = tl_gates_from_x(weights, &state->gates), from_h = tl_gates_from_h(weights, &state->gates);
    if (!status)
        status = table->accumulate(&from_x, x, &gradients->w_ih);
    if (!status)
        status = table->accumulate(&from_h, &h_prev, &gradients->w_hh);
    if (!status)
        status = table->accumulate(&state->gates, NULL, &gradients->bias);
    if (!status && dx)
        status = project_back(weights, &state->gates, dx);
    return status;
}
