/* optimizer.h: optimizers: how a training step changes the weights.
 *
 * The formulas, option names and defaults are those of torch.optim. g is the gradient and w the weights; a state is
 * a tensor of the shape of w, initially 0. Weight decay comes first, after any clipping, and applies to all
 * parameters, biases included:
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
    /* Kingma & Ba 2015, with bias correction as in PyTorch. Settings beta1, beta2, epsilon. States m, v.
     *   m = m + (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g g
     *   w = w - (rate / (1 - beta1^step)) m / (sqrt(v) / sqrt(1 - beta2^step) + epsilon) */
    TALLY_ADAM,
    /* Loshchilov & Hutter 2019: Adam with decoupled weight decay, which does not change the gradient:
     *   w = w (1 - rate weight_decay) */
    TALLY_ADAMW,
    /* Stochastic gradient descent. Settings momentum, nesterov. Without momentum it has no state:
     *   w = w - rate g
     * With momentum (Polyak 1964) it has the state momentum, b. The second form is nesterov's (Sutskever et al.
     * 2013, as in PyTorch):
     *   b = momentum b + g;  w = w - rate b
     *   b = momentum b + g;  w = w - rate (g + momentum b) */
    TALLY_SGD,
    /* Hinton 2012 (lectures). Settings alpha, epsilon, momentum. State square, v; with momentum also state momentum,
     * b:
     *   v = alpha v + (1 - alpha) g g;  b = g / (sqrt(v) + epsilon) + momentum b;  w = w - rate b */
    TALLY_RMSPROP,
    /* Duchi, Hazan & Singer 2011. Setting epsilon. State sum, s:
     *   s = s + g g;  w = w - rate g / (sqrt(s) + epsilon) */
    TALLY_ADAGRAD,
    TALLY_OPTIMIZERS
} tally_optimizer;

enum { TALLY_MAX_OPTIMIZER_STATES = 2 };

/* Settings that an optimizer does not have are 0. All optimizers have rate and weight_decay. */
typedef struct tally_optimizer_options {
    tally_optimizer kind;
    double rate;         /* 0 to the largest float; the only setting that a learning-rate schedule changes */
    double weight_decay; /* 0 to the largest float */
    double beta1, beta2; /* 0 to below 1 */
    double epsilon;      /* 0 to the largest float */
    double momentum;     /* 0 to below 1 */
    bool nesterov;       /* needs a momentum above 0 */
    double alpha;        /* 0 to below 1 */
} tally_optimizer_options;

/* The optimizer's name, such as "adam"; NULL if there is no such optimizer. */
TALLY_API const char *tally_optimizer_name(tally_optimizer kind);
/* PyTorch's: rate 1e-3, RMSprop's and Adagrad's 1e-2; weight decay 0, AdamW's 1e-2; beta1 0.9, beta2 0.999; epsilon
 * 1e-8, Adagrad's 1e-10; alpha 0.99; no momentum. */
TALLY_API tally_optimizer_options tally_optimizer_defaults(tally_optimizer kind);
/* Whether the optimizer has the setting with this name in tally_train_settings, such as "beta1". */
TALLY_API bool tally_optimizer_takes(tally_optimizer kind, const char *setting);
/* TALLY_USAGE: a setting is out of range, or is not 0 although the optimizer does not have it; the text names it. */
TALLY_API tally_status tally_optimizer_check(const tally_optimizer_options *options);

/* The number of states of an optimizer with these options. */
TALLY_API size_t tally_optimizer_states(const tally_optimizer_options *options);
/* The name of a state, such as "m"; NULL if the optimizer never has that many. */
TALLY_API const char *tally_optimizer_state_name(tally_optimizer kind, size_t state);

/* Updates weights and states by a gradient. step counts from 1. states: tally_optimizer_states() tensors, or NULL if
 * there are none. All are 1-D, contiguous and of the same length, except faults, I32 [1], which is increased by at
 * least 1 if any new weight is not finite. */
TALLY_API tally_status tally_optimizer_step(const tally_optimizer_options *options, uint64_t step,
                                            const tally_tensor *gradient, const tally_tensor *weights,
                                            const tally_tensor *states, const tally_tensor *faults);

#ifdef __cplusplus
}
#endif
#endif
