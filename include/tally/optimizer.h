/* optimizer.h: how a step of training changes the weights.
 *
 * Formulas, names of options and defaults are those of torch.optim. g is the gradient, w the weights; each state is
 * a tensor like w that begins as 0. First comes weight decay, of all parameters, biases included, and after any
 * clipping:
 *   g = g + weight_decay w
 * The roundings are those of cl/optimizers.h.
 */
#ifndef TALLY_OPTIMIZER_H
#define TALLY_OPTIMIZER_H

#include <tally/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tally_optimizer {
    /* Kingma & Ba 2015, with the bias corrections applied as PyTorch does. Takes beta1, beta2, epsilon. States m, v.
     *   m = m + (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g g
     *   w = w - (rate / (1 - beta1^step)) m / (sqrt(v) / sqrt(1 - beta2^step) + epsilon) */
    TALLY_ADAM,
    /* Loshchilov & Hutter 2019: Adam whose weight decay leaves the gradient alone and is
     *   w = w (1 - rate weight_decay) */
    TALLY_ADAMW,
    /* Stochastic gradient descent. Takes momentum, nesterov. Without momentum, it has no state:
     *   w = w - rate g
     * with it (Polyak 1964), state momentum, b; and with nesterov (Sutskever et al. 2013, as PyTorch has it):
     *   b = momentum b + g;  w = w - rate b
     *   b = momentum b + g;  w = w - rate (g + momentum b) */
    TALLY_SGD,
    /* Hinton 2012, in his lectures. Takes alpha, epsilon, momentum. State square, v; with momentum, state momentum, b:
     *   v = alpha v + (1 - alpha) g g;  b = g / (sqrt(v) + epsilon) + momentum b;  w = w - rate b */
    TALLY_RMSPROP,
    /* Duchi, Hazan & Singer 2011. Takes epsilon. State sum, s:
     *   s = s + g g;  w = w - rate g / (sqrt(s) + epsilon) */
    TALLY_ADAGRAD,
    TALLY_OPTIMIZERS
} tally_optimizer;

enum { TALLY_MAX_OPTIMIZER_STATES = 2 };

/* What an optimizer does not take is 0. All take rate and weight_decay. */
typedef struct tally_optimizer_options {
    tally_optimizer kind;
    double rate;         /* 0 to the largest float; a learning-rate schedule changes it and nothing else */
    double weight_decay; /* 0 to the largest float */
    double beta1, beta2; /* 0 to below 1 */
    double epsilon;      /* 0 to the largest float */
    double momentum;     /* 0 to below 1 */
    bool nesterov;       /* needs a momentum above 0 */
    double alpha;        /* 0 to below 1 */
} tally_optimizer_options;

/* "adam"; NULL if there is no such optimizer. */
TALLY_API const char *tally_optimizer_name(tally_optimizer kind);
/* PyTorch's: rate 1e-3, RMSprop's and Adagrad's 1e-2; weight decay 0, AdamW's 1e-2; beta1 0.9, beta2 0.999; epsilon
 * 1e-8, Adagrad's 1e-10; alpha 0.99; no momentum. */
TALLY_API tally_optimizer_options tally_optimizer_defaults(tally_optimizer kind);
/* Whether it takes a setting, by its name in tally_train_settings: "beta1". */
TALLY_API bool tally_optimizer_takes(tally_optimizer kind, const char *setting);
/* TALLY_USAGE, with the name of the setting, where one is out of its range or not 0 though the optimizer does not
 * take it. */
TALLY_API tally_status tally_optimizer_check(const tally_optimizer_options *options);

/* How many states an optimizer with these options has. */
TALLY_API size_t tally_optimizer_states(const tally_optimizer_options *options);
/* The name of one of them: "m". NULL where the optimizer never has so many. */
TALLY_API const char *tally_optimizer_state_name(tally_optimizer kind, size_t state);

/* Changes weights and states by a gradient. step counts from 1. states: tally_optimizer_states of them, or NULL for
 * none. All 1-D, contiguous and of the same length, but for faults, I32 [1], which is increased by at least 1 if any
 * new weight is not finite. */
TALLY_API tally_status tally_optimizer_step(const tally_optimizer_options *options, uint64_t step,
                                            const tally_tensor *gradient, const tally_tensor *weights,
                                            const tally_tensor *states, const tally_tensor *faults);

#ifdef __cplusplus
}
#endif
#endif
