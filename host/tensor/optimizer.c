#include "core/fail.h"
#include "tensor/dispatch.h"
#include "tensor/shapes.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static tally_status check_tensors(const tally_optimizer_options *options, const tally_tensor *gradient,
                                  const tally_tensor *weights, const tally_tensor *states, const tally_tensor *faults) {
    size_t n = weights ? weights->shape[0] : 0, count = tally_optimizer_states(options), used = 3;
    tl_expected expected[3 + TALLY_MAX_OPTIMIZER_STATES] = {
        {"weights", weights, TALLY_F32, 1, {0}, TL_WHOLE},
        {"gradient", gradient, TALLY_F32, 1, {n}, TL_WHOLE},
        {"faults", faults, TALLY_I32, 1, {1}, TL_ANY},
    };
    for (size_t s = 0; s < count; s++)
        expected[used++] = (tl_expected){
            tally_optimizer_state_name(options->kind, s), states ? &states[s] : NULL, TALLY_F32, 1, {n}, TL_WHOLE};
    return tl_check_tensors("tally_optimizer_step", expected, used);
}

/* NULL where the optimizer has no such state. */
static const tally_tensor *state_of(const tally_optimizer_options *options, const tally_tensor *states, size_t number) {
    return number < tally_optimizer_states(options) ? &states[number] : NULL;
}
static_assert(TALLY_MAX_OPTIMIZER_STATES == 2, "tally_optimizer_step dispatches every state");

tally_status tally_optimizer_step(const tally_optimizer_options *options, uint64_t step, const tally_tensor *gradient,
                                  const tally_tensor *weights, const tally_tensor *states, const tally_tensor *faults) {
    tally_status status = tally_optimizer_check(options);
    if (status)
        return tl_fail_within(status, "tally_optimizer_step: ");
    if (step == 0)
        return tl_fail(TALLY_USAGE, "tally_optimizer_step: steps are counted from 1");
    status = check_tensors(options, gradient, weights, states, faults);
    if (status)
        return status;
    return TL_DISPATCH(optimizer_step,
                       (.gradient = gradient, .weights = weights, .faults = faults,
                        .states = {state_of(options, states, 0), state_of(options, states, 1)}),
                       options, step, gradient, weights, states, faults);
}
