/* adam_step.h: what Adam's step number makes of its options, the same for every backend. */
#ifndef TALLY_BACKEND_ADAM_STEP_H
#define TALLY_BACKEND_ADAM_STEP_H

#include <math.h>
#include <tally/tensor.h>

/* The arguments of adam() in cl/arith.h. */
typedef struct tl_adam_step {
    float rate, root, keep1, beta2, keep2, epsilon;
} tl_adam_step;

/* Squaring, not pow(): the same bits with every C library. */
static inline double tl_power(double base, uint64_t exponent) {
    double result = 1.0;
    for (; exponent; exponent >>= 1, base *= base)
        if (exponent & 1)
            result *= base;
    return result;
}

static inline tl_adam_step tl_adam_step_of(const tally_adam_options *options, uint64_t step) {
    return (tl_adam_step){
        .rate = (float)(options->rate / (1.0 - tl_power(options->beta1, step))),
        .root = (float)(1.0 / sqrt(1.0 - tl_power(options->beta2, step))),
        .keep1 = (float)(1.0 - options->beta1),
        .beta2 = (float)options->beta2,
        .keep2 = (float)(1.0 - options->beta2),
        .epsilon = (float)options->epsilon,
    };
}

#endif
