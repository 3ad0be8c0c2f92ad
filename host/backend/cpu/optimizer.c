#include "backend/optimizer.h"
#include "backend/cpu/kernels.h"

#define TL_RULE_FUNCTIONS
#include "optimizers.h"

#include <math.h>

/* Flat tensors that are updated, and by what. */
typedef struct flats {
    size_t elements;
    const float *gradient;
    float *weights, *states[TALLY_MAX_OPTIMIZER_STATES];
    float scalars[TL_MAX_SCALARS];
} flats;

/* By one rule, whose number and states are constants wherever this is called. Whether all new weights are finite. */
TL_INLINE bool update_flats(tl_rule rule, size_t states, const flats *f) {
    tl_vf scalars[TL_MAX_SCALARS], state[TALLY_MAX_OPTIMIZER_STATES];
    for (size_t s = 0; s < TL_MAX_SCALARS; s++)
        scalars[s] = TL_SPLAT(f->scalars[s]);
    bool finite = true;
    for (size_t i = 0; i < f->elements; i += TL_W) {
        size_t valid = f->elements - i < TL_W ? f->elements - i : TL_W;
        tl_vf weight = tl_v_load_some(f->weights + i, 1, valid);
        for (size_t s = 0; s < states; s++)
            state[s] = tl_v_load_some(f->states[s] + i, 1, valid);
        tl_v_update(rule, tl_v_load_some(f->gradient + i, 1, valid), &weight, state, scalars);
        tl_v_store_some(f->weights + i, 1, valid, weight);
        for (size_t s = 0; s < states; s++)
            tl_v_store_some(f->states[s] + i, 1, valid, state[s]);
        for (size_t l = 0; l < valid; l++)
            finite &= isfinite(f->weights[i + l]) != 0;
    }
    return finite;
}

#define TL_RULE(name, states)                                                                                          \
    static bool update_##name(const flats *f) {                                                                        \
        return update_flats(TL_RULE_##name, states, f);                                                                \
    }
TL_RULES(TL_RULE)
#undef TL_RULE

static bool (*const updates[])(const flats *) = {
#define TL_RULE(name, states) [TL_RULE_##name] = update_##name,
    TL_RULES(TL_RULE)
#undef TL_RULE
};

tally_status TL_ISA_NAME(optimizer_step)(const tally_optimizer_options *options, uint64_t step,
                                         const tally_tensor *gradient, const tally_tensor *weights,
                                         const tally_tensor *states, const tally_tensor *faults) {
    tl_update update = tl_update_of(options, step);
    flats f = {.elements = weights->shape[0], .gradient = tl_view_floats(gradient), .weights = tl_view_floats(weights)};
    for (size_t s = 0; s < update.states; s++)
        f.states[s] = tl_view_floats(&states[s]);
    tl_update_floats(&update, f.scalars);
    if (!updates[update.rule](&f))
        tl_view_ints(faults)[0]++;
    return TALLY_OK;
}
