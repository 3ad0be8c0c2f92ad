/* The update rules of cl/optimizers.h, compiled with a number and its bound in place of each float. */
#include "backend/optimizer.h"
#include "parity/bounded_ops.h"

#define TL_F tl_bounded
#define TL_FN static
#define TL_NAME(name) bounded_##name
#define TL_ADD(a, b) tl_bounded_add(a, b)
#define TL_SUB(a, b) tl_bounded_sub(a, b)
#define TL_MUL(a, b) tl_bounded_mul(a, b)
#define TL_DIV(a, b) tl_bounded_div(a, b)
#define TL_FMA(a, b, c) tl_bounded_fma(a, b, c)
#define TL_SQRT(a) tl_bounded_sqrt(a)
#define TL_RULE_FUNCTIONS
#include "optimizers.h"

/* A float computed from the options in double, where a subtraction from 1 may lose three or four of sixteen digits. */
static tl_bounded constant(double v) {
    return tl_bounded_rounded(v, 1e-12 * fabs(v));
}

/* Without weight decay the scalar is exactly 0 or 1. */
static tl_bounded decay_constant(double v) {
    return v == 0 || v == 1 ? (tl_bounded){v, 0} : constant(v);
}

void tl_bounded_optimizer_step(const tally_optimizer_options *options, uint64_t step, tl_bounded gradient,
                               tl_bounded *weight, tl_bounded *states) {
    const tl_update update = tl_update_of(options, step);
    tl_bounded scalars[TL_MAX_SCALARS];
    for (int s = 0; s < TL_MAX_SCALARS; s++)
        scalars[s] = s < TL_RATE ? decay_constant(update.scalars[s]) : constant(update.scalars[s]);
    bounded_update(update.rule, gradient, weight, states, scalars);
}
