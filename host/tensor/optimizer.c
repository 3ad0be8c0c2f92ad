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
    const tally_tensor *tensors[3 + TALLY_MAX_OPTIMIZER_STATES] = {gradient, weights, faults};
    size_t used = 3;
    for (size_t s = 0; s < tally_optimizer_states(options); s++)
        tensors[used++] = &states[s];
    tl_run run;
    status = tl_run_begin(&run, TL_OP_optimizer_step, tensors, used);
    return status ? status
                  : tl_run_end(&run, run.table->optimizer_step(options, step, gradient, weights, states, faults));
}
