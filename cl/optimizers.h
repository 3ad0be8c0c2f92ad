/* optimizers.h: the update rules of the optimizers. The C compiler reads them, the OpenCL compiler, and parity's
 * error analysis (host/parity/bounded_optimizer.c), in which a number with its bound stands for a float.
 * include/tally/optimizer.h has the formulas.
 *
 * Included as it is, this is the list of rules. Where TL_RULE_FUNCTIONS is defined before, their functions follow, for
 * the TL_F, TL_FMA and so on of arith.h. Each macro in a rule is one operation, rounded once.
 */
#ifndef TL_RULES

/* X(name, states): a rule and how many tensors of state it has. An optimizer may have several, among which its
 * options choose. */
#define TL_RULES(X)                                                                                                    \
    X(adam, 2) X(sgd, 0) X(momentum, 1) X(nesterov, 1) X(rmsprop, 1) X(rmsprop_momentum, 2) X(adagrad, 1)

typedef enum tl_rule {
#define TL_RULE(name, states) TL_RULE_##name,
    TL_RULES(TL_RULE)
#undef TL_RULE
} tl_rule;

/* The scalars that a rule reads: host/backend/optimizer.c computes them from the options and the step, in double, and
 * rounds them to float. */
enum {
    TL_L2,     /* weight decay that is added to the gradient */
    TL_SHRINK, /* weight decay that each weight is multiplied by */
    TL_RATE,
    TL_OWN_SCALARS /* the first that is a rule's own */
};
enum { TL_ADAM_KEEP1 = TL_OWN_SCALARS, TL_ADAM_BETA2, TL_ADAM_KEEP2, TL_ADAM_ROOT, TL_ADAM_EPSILON };
enum { TL_SGD_MOMENTUM = TL_OWN_SCALARS };
enum { TL_RMSPROP_ALPHA = TL_OWN_SCALARS, TL_RMSPROP_KEEP, TL_RMSPROP_EPSILON, TL_RMSPROP_MOMENTUM };
enum { TL_ADAGRAD_EPSILON = TL_OWN_SCALARS };
#define TL_MAX_SCALARS 8 /* a width that OpenCL has vectors of */

#endif

#ifdef TL_RULE_FUNCTIONS
#undef TL_RULE_FUNCTIONS

TL_FN void TL_NAME(update_adam)(TL_F gradient, TL_F *weight, TL_F *state, const TL_F *scalars) {
    TL_F *m = &state[0], *v = &state[1];
    *m = TL_FMA(scalars[TL_ADAM_KEEP1], TL_SUB(gradient, *m), *m);
    *v = TL_FMA(scalars[TL_ADAM_BETA2], *v, TL_MUL(TL_MUL(scalars[TL_ADAM_KEEP2], gradient), gradient));
    TL_F divisor = TL_FMA(TL_SQRT(*v), scalars[TL_ADAM_ROOT], scalars[TL_ADAM_EPSILON]);
    *weight = TL_SUB(*weight, TL_MUL(scalars[TL_RATE], TL_DIV(*m, divisor)));
}

TL_FN void TL_NAME(update_sgd)(TL_F gradient, TL_F *weight, TL_F *state, const TL_F *scalars) {
    (void)state;
    *weight = TL_SUB(*weight, TL_MUL(scalars[TL_RATE], gradient));
}

TL_FN void TL_NAME(update_momentum)(TL_F gradient, TL_F *weight, TL_F *state, const TL_F *scalars) {
    *state = TL_FMA(scalars[TL_SGD_MOMENTUM], *state, gradient);
    *weight = TL_SUB(*weight, TL_MUL(scalars[TL_RATE], *state));
}

TL_FN void TL_NAME(update_nesterov)(TL_F gradient, TL_F *weight, TL_F *state, const TL_F *scalars) {
    *state = TL_FMA(scalars[TL_SGD_MOMENTUM], *state, gradient);
    TL_F ahead = TL_FMA(scalars[TL_SGD_MOMENTUM], *state, gradient);
    *weight = TL_SUB(*weight, TL_MUL(scalars[TL_RATE], ahead));
}

/* The gradient over the root of its mean square. */
TL_FN TL_F TL_NAME(rmsprop_ratio)(TL_F gradient, TL_F *square, const TL_F *scalars) {
    *square = TL_FMA(scalars[TL_RMSPROP_ALPHA], *square, TL_MUL(TL_MUL(scalars[TL_RMSPROP_KEEP], gradient), gradient));
    return TL_DIV(gradient, TL_ADD(TL_SQRT(*square), scalars[TL_RMSPROP_EPSILON]));
}

TL_FN void TL_NAME(update_rmsprop)(TL_F gradient, TL_F *weight, TL_F *state, const TL_F *scalars) {
    TL_F ratio = TL_NAME(rmsprop_ratio)(gradient, state, scalars);
    *weight = TL_SUB(*weight, TL_MUL(scalars[TL_RATE], ratio));
}

TL_FN void TL_NAME(update_rmsprop_momentum)(TL_F gradient, TL_F *weight, TL_F *state, const TL_F *scalars) {
    TL_F ratio = TL_NAME(rmsprop_ratio)(gradient, &state[0], scalars);
    state[1] = TL_FMA(scalars[TL_RMSPROP_MOMENTUM], state[1], ratio);
    *weight = TL_SUB(*weight, TL_MUL(scalars[TL_RATE], state[1]));
}

TL_FN void TL_NAME(update_adagrad)(TL_F gradient, TL_F *weight, TL_F *state, const TL_F *scalars) {
    *state = TL_FMA(gradient, gradient, *state);
    TL_F divisor = TL_ADD(TL_SQRT(*state), scalars[TL_ADAGRAD_EPSILON]);
    *weight = TL_SUB(*weight, TL_MUL(scalars[TL_RATE], TL_DIV(gradient, divisor)));
}

/* One weight: weight decay, then the rule. */
TL_FN void TL_NAME(update)(tl_rule rule, TL_F gradient, TL_F *weight, TL_F *state, const TL_F *scalars) {
    gradient = TL_FMA(scalars[TL_L2], *weight, gradient);
    *weight = TL_MUL(scalars[TL_SHRINK], *weight);
    switch (rule) {
#define TL_RULE(name, states)                                                                                        \
    case TL_RULE_##name:                                                                                             \
        TL_NAME(update_##name)(gradient, weight, state, scalars);                                                      \
        break;
        TL_RULES(TL_RULE)
#undef TL_RULE
    }
}

#endif
