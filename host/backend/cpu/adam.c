#include "backend/adam_step.h"
#include "backend/cpu/kernels.h"

#include <math.h>

tally_status TL_ISA_NAME(adam)(const tally_adam_options *options, uint64_t step, const tally_tensor *gradient,
                               const tally_tensor *weights, const tally_tensor *m, const tally_tensor *v,
                               const tally_tensor *faults) {
    tl_adam_step with = tl_adam_step_of(options, step);
    tl_vf rate = TL_SPLAT(with.rate), root = TL_SPLAT(with.root), epsilon = TL_SPLAT(with.epsilon);
    tl_vf keep1 = TL_SPLAT(with.keep1), beta2 = TL_SPLAT(with.beta2), keep2 = TL_SPLAT(with.keep2);

    size_t n = weights->shape[0];
    const float *g = tl_view_floats(gradient);
    float *w = tl_view_floats(weights), *first = tl_view_floats(m), *second = tl_view_floats(v);
    bool fault = false;
    for (size_t i = 0; i < n; i += TL_W) {
        size_t valid = n - i < TL_W ? n - i : TL_W;
        tl_vf weight = tl_v_load_some(w + i, 1, valid);
        tl_vf mean = tl_v_load_some(first + i, 1, valid), square = tl_v_load_some(second + i, 1, valid);
        tl_v_adam(tl_v_load_some(g + i, 1, valid), &weight, &mean, &square, rate, root, keep1, beta2, keep2, epsilon);
        tl_v_store_some(w + i, 1, valid, weight);
        tl_v_store_some(first + i, 1, valid, mean);
        tl_v_store_some(second + i, 1, valid, square);
        for (size_t l = 0; l < valid; l++)
            fault |= !isfinite(w[i + l]);
    }
    if (fault)
        tl_view_ints(faults)[0]++;
    return TALLY_OK;
}
