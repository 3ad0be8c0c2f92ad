#include "backend/cells.h"
#include "core/fail.h"
#include "core/size.h"
#include "tensor/activations.h"
#include "tensor/dispatch.h"
#include "tensor/shapes.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* Elements of a state's scratch. */
static size_t scratch_of(tally_device *device, tally_cell cell, size_t inputs, size_t hidden, size_t steps,
                         size_t columns) {
    const tl_backend *table = device->backend->layer_scratch ? device->backend : tl_cpu_backend();
    return table->layer_scratch(device, cell, inputs, hidden, steps, columns);
}

static tally_status check_state_sizes(tally_cell cell, size_t inputs, size_t hidden, size_t steps) {
    size_t gates, more_steps, values, weights;
    if (!tl_size_mul(tl_cell_gates(cell), hidden, &gates) || !tl_size_add(steps, 1, &more_steps) ||
        !tl_size_add(inputs, hidden, &values) || !tl_size_mul(gates, values, &weights) ||
        !tl_size_mul(weights, 32, &weights)) /* a backend's scratch, which does not check, has less than so many */
        return tl_fail(TALLY_MEMORY,
                       "tally_layer_state_new: %zu inputs and %zu hidden units over %zu steps do not fit a size",
                       inputs, hidden, steps);
    return TALLY_OK;
}

/* all_steps: backward follows; else gates, c and tanh_c have memory for one step. */
static tally_status new_activations(tally_device *device, tally_cell cell, size_t hidden, size_t steps, size_t columns,
                                    bool all_steps, tally_layer_state *state) {
    const bool has_c = tl_cell_state(cell);
    const struct {
        tally_tensor *tensor;
        size_t features, steps;
        bool all_steps, there;
    } parts[] = {
        {&state->gates, tl_cell_gates(cell) * hidden, steps, all_steps, true},
        {&state->h, hidden, steps + 1, true, true},
        {&state->c, hidden, steps + 1, all_steps, has_c},
        {&state->tanh_c, hidden, steps, all_steps, has_c},
    };
    tally_status status = TALLY_OK;
    for (size_t i = 0; i < COUNT(parts) && !status; i++)
        if (parts[i].there)
            status = (parts[i].all_steps ? tl_activations_new : tl_activations_new_step)(
                device, parts[i].features, parts[i].steps, columns, parts[i].tensor);
    return status;
}

static tally_status new_state(tally_device *device, tally_cell cell, size_t inputs, size_t hidden, size_t steps,
                              size_t columns, bool training, tally_layer_state *state) {
    tally_status status = check_state_sizes(cell, inputs, hidden, steps);
    if (!status)
        status = new_activations(device, cell, hidden, steps, columns, training, state);
    const size_t last[] = {hidden, columns};
    if (!status && training)
        status = tally_tensor_new(device, TALLY_F32, 2, last, &state->dh);
    if (!status && training && tl_cell_state(cell))
        status = tally_tensor_new(device, TALLY_F32, 2, last, &state->dc);
    if (!status) {
        size_t scratch = scratch_of(device, cell, inputs, hidden, steps, columns);
        status = tally_tensor_new(device, TALLY_F32, 1, &scratch, &state->scratch);
    }
    return status;
}

static tally_status make_state(tally_device *device, tally_cell cell, size_t inputs, size_t hidden, size_t steps,
                               size_t columns, bool training, tally_layer_state *state) {
    if (!device || !state || !inputs || !steps || cell >= TALLY_CELLS)
        return tl_fail(TALLY_USAGE,
                       "tally_layer_state_new: no device, no state, no inputs, no steps or no such cell given");
    memset(state, 0, sizeof *state);
    tally_status status = new_state(device, cell, inputs, hidden, steps, columns, training, state);
    if (status)
        tally_layer_state_free(state);
    return status;
}

tally_status tally_layer_state_new(tally_device *device, tally_cell cell, size_t inputs, size_t hidden, size_t steps,
                                   size_t columns, tally_layer_state *state) {
    return make_state(device, cell, inputs, hidden, steps, columns, true, state);
}

tally_status tally_layer_state_new_inference(tally_device *device, tally_cell cell, size_t inputs, size_t hidden,
                                             size_t steps, size_t columns, tally_layer_state *state) {
    return make_state(device, cell, inputs, hidden, steps, columns, false, state);
}

void tally_layer_state_free(tally_layer_state *state) {
    if (!state)
        return;
    tally_tensor *parts[] = {&state->gates, &state->c,  &state->h,      &state->tanh_c,
                             &state->dh,    &state->dc, &state->scratch};
    for (size_t i = 0; i < COUNT(parts); i++)
        tally_tensor_free(parts[i]);
}

tally_status tally_layer_state_narrow(const tally_layer_state *state, size_t columns, tally_layer_state *view) {
    if (!state || !view || !state->gates.storage)
        return tl_fail(TALLY_USAGE, "tally_layer_state_narrow: no state given");
    if (columns == 0 || columns > state->gates.shape[2])
        return tl_fail(TALLY_USAGE, "tally_layer_state_narrow: %zu columns of a state of %zu", columns,
                       state->gates.shape[2]);
    tally_layer_state result = *state;
    tally_tensor *activations[] = {&result.gates, &result.c, &result.h, &result.tanh_c};
    for (size_t i = 0; i < COUNT(activations); i++)
        if (activations[i]->storage)
            *activations[i] = tl_activations_narrow(activations[i], columns);
    const size_t last[] = {state->h.shape[0], columns};
    tally_status status = TALLY_OK;
    if (state->dh.storage)
        status = tally_tensor_reshape(&state->dh, 2, last, &result.dh);
    if (!status && state->dc.storage)
        status = tally_tensor_reshape(&state->dc, 2, last, &result.dc);
    if (!status && state->starts.storage)
        status = tally_tensor_slice(&state->starts, 0, 0, columns, &result.starts);
    if (!status)
        *view = result;
    return status;
}

/* Steps are compared as floats, which have no more whole numbers in a row. */
enum { MOST_STEPS = 1 << 24 };

/* What a layer has, in the order of the checks; no more than there are. */
typedef struct part {
    tl_expected expected;
    bool there;
} part;

static tally_status check_parts(const char *operation, const part *parts, size_t count) {
    tl_expected expected[TL_MOST_TENSORS];
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (parts[i].there)
            expected[used++] = parts[i].expected;
    return tl_check_tensors(operation, expected, used);
}

/* The rows of the gates and of the weights; false if they do not fit, so that no tensor has so many. */
static bool rows_of(tally_cell cell, size_t hidden, size_t *gates, size_t *weights) {
    return tl_size_mul(tl_cell_gates(cell), hidden, gates) && tl_size_mul(tl_cell_weights(cell), hidden, weights);
}

/* What forward and backward share. */
static tally_status check_sequence(const char *operation, bool backward, const tally_layer_weights *weights,
                                   const tally_tensor *x, const tally_layer_state *state) {
    if (!weights || !x || !state)
        return tl_fail(TALLY_USAGE, "%s: no weights, no x or no state given", operation);
    if (weights->cell >= TALLY_CELLS)
        return tl_fail(TALLY_USAGE, "%s: there is no cell %d", operation, (int)weights->cell);
    size_t inputs = x->shape[0], steps = x->shape[1], n = x->shape[2], hidden = state->h.shape[0], gates, rows;
    if (!rows_of(weights->cell, hidden, &gates, &rows))
        return tl_fail(TALLY_USAGE, "%s: %zu hidden units do not fit a size", operation, hidden);
    const bool has_state = tl_cell_state(weights->cell);
    const part parts[] = {
        {{"x", x, TALLY_F32, 3, {0, 0, 0}, TL_ROWS}, true},
        {{"state h", &state->h, TALLY_F32, 3, {hidden, steps + 1, n}, TL_ROWS}, true},
        {{"state c", &state->c, TALLY_F32, 3, {hidden, steps + 1, n}, TL_ROWS}, has_state},
        {{"state gates", &state->gates, TALLY_F32, 3, {gates, steps, n}, TL_ROWS}, true},
        {{"state tanh_c", &state->tanh_c, TALLY_F32, 3, {hidden, steps, n}, TL_ROWS}, has_state},
        {{"state dh", &state->dh, TALLY_F32, 2, {hidden, n}, TL_WHOLE}, backward},
        {{"state dc", &state->dc, TALLY_F32, 2, {hidden, n}, TL_WHOLE}, backward && has_state},
        {{"w_ih", &weights->w_ih, TALLY_F32, 2, {rows, inputs}, TL_WHOLE}, true},
        {{"w_hh", &weights->w_hh, TALLY_F32, 2, {rows, hidden}, TL_WHOLE}, true},
        {{"bias", &weights->bias, TALLY_F32, 1, {gates}, TL_WHOLE}, true},
        {{"state scratch", &state->scratch, TALLY_F32, 1, {0}, TL_WHOLE}, true},
        {{"state starts", &state->starts, TALLY_I32, 1, {n}, TL_WHOLE}, state->starts.storage != NULL},
    };
    tally_status status = check_parts(operation, parts, COUNT(parts));
    if (status)
        return status;
    if (state->starts.storage && steps > MOST_STEPS)
        return tl_fail(TALLY_USAGE, "%s: %zu steps of sequences that start later; %d are possible", operation, steps,
                       MOST_STEPS);
    size_t scratch = scratch_of(x->device, weights->cell, inputs, hidden, steps, n);
    if (tally_tensor_elements(&state->scratch) < scratch)
        return tl_fail(TALLY_USAGE, "%s: the state was made for other sizes", operation);
    return TALLY_OK;
}

/* NULL where the cell has none. */
static const tally_tensor *own(const tally_layer_weights *weights, const tally_tensor *tensor) {
    return tl_cell_state(weights->cell) ? tensor : NULL;
}

/* Last of an operation's tensors. */
static const tally_tensor *starts_of(const tally_layer_state *state) {
    return state->starts.storage ? &state->starts : NULL;
}

tally_status tally_layer_forward(const tally_layer_weights *weights, const tally_tensor *x,
                                 const tally_layer_state *state) {
    tally_status status = check_sequence("tally_layer_forward", false, weights, x, state);
    if (status)
        return status;
    return TL_DISPATCH_WITH(layer_forward,
                            (.x = x, .w_ih = &weights->w_ih, .w_hh = &weights->w_hh, .bias = &weights->bias,
                             .gates = &state->gates, .c = own(weights, &state->c), .h = &state->h,
                             .tanh_c = own(weights, &state->tanh_c), .scratch = &state->scratch,
                             .starts = starts_of(state)),
                            (.cell = weights->cell), weights, x, state);
}

tally_status tally_layer_backward(const tally_layer_weights *weights, const tally_tensor *x, const tally_tensor *dy,
                                  const tally_layer_state *state, const tally_layer_weights *gradients,
                                  const tally_tensor *dx) {
    tally_status status = check_sequence("tally_layer_backward", true, weights, x, state);
    if (status)
        return status;
    if (!gradients)
        return tl_fail(TALLY_USAGE, "tally_layer_backward: no gradients given");
    size_t inputs = x->shape[0], steps = x->shape[1], n = x->shape[2], hidden = state->h.shape[0];
    size_t gates = weights->bias.shape[0], rows = weights->w_ih.shape[0];
    const part parts[] = {
        {{"x", x, TALLY_F32, 3, {0, 0, 0}, TL_ROWS}, true},
        {{"w_ih gradient", &gradients->w_ih, TALLY_F32, 2, {rows, inputs}, TL_WHOLE}, true},
        {{"w_hh gradient", &gradients->w_hh, TALLY_F32, 2, {rows, hidden}, TL_WHOLE}, true},
        {{"bias gradient", &gradients->bias, TALLY_F32, 1, {gates}, TL_WHOLE}, true},
        {{"dy", dy, TALLY_F32, 3, {hidden, steps, n}, TL_ROWS}, dy != NULL},
        {{"dx", dx, TALLY_F32, 3, {inputs, steps, n}, TL_ROWS}, dx != NULL},
    };
    status = check_parts("tally_layer_backward", parts, COUNT(parts));
    if (status)
        return status;
    return TL_DISPATCH_WITH(
        layer_backward,
        (.x = x, .dy = dy, .dx = dx, .w_ih = &weights->w_ih, .w_hh = &weights->w_hh, .bias = &weights->bias,
         .gates = &state->gates, .c = own(weights, &state->c), .h = &state->h, .tanh_c = own(weights, &state->tanh_c),
         .dh = &state->dh, .dc = own(weights, &state->dc), .scratch = &state->scratch, .starts = starts_of(state),
         .w_ih_gradient = &gradients->w_ih, .w_hh_gradient = &gradients->w_hh, .bias_gradient = &gradients->bias),
        (.cell = weights->cell), weights, x, dy, state, gradients, dx);
}
