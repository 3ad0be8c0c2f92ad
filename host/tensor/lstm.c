#include "core/fail.h"
#include "core/size.h"
#include "tensor/dispatch.h"
#include "tensor/shapes.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static tally_status new_state(tally_device *device, size_t inputs, size_t hidden, size_t steps, size_t columns,
                              tally_lstm_state *state) {
    size_t gates, more_steps;
    if (!tl_size_mul(4, hidden, &gates) || !tl_size_add(steps, 1, &more_steps))
        return tl_fail(TALLY_MEMORY, "tally_lstm_state_new: %zu hidden units over %zu steps do not fit a size", hidden,
                       steps);
    struct {
        tally_tensor *tensor;
        int ndim;
        size_t shape[TALLY_MAX_DIMS];
    } parts[] = {
        {&state->gates, 3, {gates, steps, columns}},
        {&state->c, 3, {hidden, more_steps, columns}},
        {&state->h, 3, {hidden, more_steps, columns}},
        {&state->tanh_c, 3, {hidden, steps, columns}},
        {&state->dh, 2, {hidden, columns}},
        {&state->dc, 2, {hidden, columns}},
    };
    tally_status status = TALLY_OK;
    for (size_t i = 0; i < COUNT(parts) && !status; i++)
        status = tally_tensor_new(device, TALLY_F32, parts[i].ndim, parts[i].shape, parts[i].tensor);
    if (!status) {
        size_t scratch = device->backend->lstm_scratch(device, inputs, hidden, steps, columns);
        status = tally_tensor_new(device, TALLY_F32, 1, &scratch, &state->scratch);
    }
    return status;
}

tally_status tally_lstm_state_new(tally_device *device, size_t inputs, size_t hidden, size_t steps, size_t columns,
                                  tally_lstm_state *state) {
    if (!device || !state || !inputs)
        return tl_fail(TALLY_USAGE, "tally_lstm_state_new: no device, no state or no inputs given");
    memset(state, 0, sizeof *state);
    tally_status status = new_state(device, inputs, hidden, steps, columns, state);
    if (status)
        tally_lstm_state_free(state);
    return status;
}

void tally_lstm_state_free(tally_lstm_state *state) {
    if (!state)
        return;
    tally_tensor *parts[] = {&state->gates, &state->c,  &state->h,      &state->tanh_c,
                             &state->dh,    &state->dc, &state->scratch};
    for (size_t i = 0; i < COUNT(parts); i++)
        tally_tensor_free(parts[i]);
}

tally_status tally_lstm_state_narrow(const tally_lstm_state *state, size_t columns, tally_lstm_state *view) {
    if (!state || !view || !state->gates.storage)
        return tl_fail(TALLY_USAGE, "tally_lstm_state_narrow: no state given");
    if (columns == 0 || columns > state->gates.shape[2])
        return tl_fail(TALLY_USAGE, "tally_lstm_state_narrow: %zu columns of a state of %zu", columns,
                       state->gates.shape[2]);
    tally_lstm_state result = *state;
    struct {
        const tally_tensor *from;
        tally_tensor *to;
    } parts[] = {
        {&state->gates, &result.gates},   {&state->c, &result.c},   {&state->h, &result.h},
        {&state->tanh_c, &result.tanh_c}, {&state->dh, &result.dh}, {&state->dc, &result.dc},
    };
    tally_status status = TALLY_OK;
    for (size_t i = 0; i < COUNT(parts) && !status; i++) {
        size_t shape[TALLY_MAX_DIMS];
        memcpy(shape, parts[i].from->shape, sizeof shape);
        shape[parts[i].from->ndim - 1] = columns;
        status = tally_tensor_reshape(parts[i].from, parts[i].from->ndim, shape, parts[i].to);
    }
    if (!status)
        *view = result;
    return status;
}

/* The steps of a feature lie behind one another, wherever the features lie. */
static tally_status check_features(const char *operation, const char *name, const tally_tensor *t) {
    if ((t->shape[2] == 1 || t->stride[2] == 1) && (t->shape[1] == 1 || t->stride[1] == t->shape[2]))
        return TALLY_OK;
    return tl_fail(TALLY_USAGE, "%s: the features of %s are not contiguous", operation, name);
}

/* What forward and backward share. */
static tally_status check_sequence(const char *operation, const tally_lstm_weights *weights, const tally_tensor *x,
                                   const tally_lstm_state *state) {
    if (!weights || !x || !state)
        return tl_fail(TALLY_USAGE, "%s: no weights, no x or no state given", operation);
    size_t inputs = x->shape[0], steps = x->shape[1], n = x->shape[2], hidden = state->h.shape[0];
    const tl_expected expected[] = {
        {"x", x, TALLY_F32, 3, {0, 0, 0}, false},
        {"state h", &state->h, TALLY_F32, 3, {hidden, steps + 1, n}, true},
        {"state c", &state->c, TALLY_F32, 3, {hidden, steps + 1, n}, true},
        {"state gates", &state->gates, TALLY_F32, 3, {4 * hidden, steps, n}, true},
        {"state tanh_c", &state->tanh_c, TALLY_F32, 3, {hidden, steps, n}, true},
        {"state dh", &state->dh, TALLY_F32, 2, {hidden, n}, true},
        {"state dc", &state->dc, TALLY_F32, 2, {hidden, n}, true},
        {"w_ih", &weights->w_ih, TALLY_F32, 2, {4 * hidden, inputs}, true},
        {"w_hh", &weights->w_hh, TALLY_F32, 2, {4 * hidden, hidden}, true},
        {"bias", &weights->bias, TALLY_F32, 1, {4 * hidden}, true},
    };
    tally_status status = tl_check_tensors(operation, expected, COUNT(expected));
    if (!status)
        status = check_features(operation, "x", x);
    if (status)
        return status;
    size_t scratch = x->device->backend->lstm_scratch(x->device, inputs, hidden, steps, n);
    if (tally_tensor_elements(&state->scratch) < scratch)
        return tl_fail(TALLY_USAGE, "%s: the state was made for other sizes", operation);
    return TALLY_OK;
}

tally_status tally_lstm_forward(const tally_lstm_weights *weights, const tally_tensor *x,
                                const tally_lstm_state *state) {
    tally_status status = check_sequence("tally_lstm_forward", weights, x, state);
    if (status)
        return status;
    const tally_tensor *tensors[] = {x,         &weights->w_ih, &weights->w_hh, &weights->bias, &state->gates,
                                     &state->c, &state->h,      &state->tanh_c, &state->scratch};
    tl_run run;
    status = tl_run_begin(&run, TL_OP_LSTM_FORWARD, tensors, COUNT(tensors));
    return status ? status : tl_run_end(&run, run.table->lstm_forward(weights, x, state));
}

tally_status tally_lstm_backward(const tally_lstm_weights *weights, const tally_tensor *x, const tally_tensor *dy,
                                 const tally_lstm_state *state, const tally_lstm_weights *gradients,
                                 const tally_tensor *dx) {
    tally_status status = check_sequence("tally_lstm_backward", weights, x, state);
    if (status)
        return status;
    if (!gradients)
        return tl_fail(TALLY_USAGE, "tally_lstm_backward: no gradients given");
    size_t inputs = x->shape[0], steps = x->shape[1], n = x->shape[2], hidden = state->h.shape[0];
    const tl_expected expected[] = {
        {"x", x, TALLY_F32, 3, {0, 0, 0}, false},
        {"w_ih gradient", &gradients->w_ih, TALLY_F32, 2, {4 * hidden, inputs}, true},
        {"w_hh gradient", &gradients->w_hh, TALLY_F32, 2, {4 * hidden, hidden}, true},
        {"bias gradient", &gradients->bias, TALLY_F32, 1, {4 * hidden}, true},
        {"dy", dy ? dy : &state->tanh_c, TALLY_F32, 3, {hidden, steps, n}, false},
        {"dx", dx ? dx : x, TALLY_F32, 3, {inputs, steps, n}, false},
    };
    status = tl_check_tensors("tally_lstm_backward", expected, COUNT(expected));
    if (!status && dy)
        status = check_features("tally_lstm_backward", "dy", dy);
    if (!status && dx)
        status = check_features("tally_lstm_backward", "dx", dx);
    if (status)
        return status;
    const tally_tensor *tensors[] = {x,
                                     dy,
                                     dx,
                                     &weights->w_ih,
                                     &weights->w_hh,
                                     &weights->bias,
                                     &state->gates,
                                     &state->c,
                                     &state->h,
                                     &state->tanh_c,
                                     &state->dh,
                                     &state->dc,
                                     &state->scratch,
                                     &gradients->w_ih,
                                     &gradients->w_hh,
                                     &gradients->bias};
    tl_run run;
    status = tl_run_begin(&run, TL_OP_LSTM_BACKWARD, tensors, COUNT(tensors));
    return status ? status : tl_run_end(&run, run.table->lstm_backward(weights, x, dy, state, gradients, dx));
}
