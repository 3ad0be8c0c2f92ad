/* optimizers.h: the update rules of the optimizers, for the C compiler, the OpenCL compiler and, with a number and its bound instead of
 * a float, for parity's error analysis (host/parity/bounded_ops.c). include/tally/optimizer.h has the formulas.
 *
 * Read as it is, this is the list of rules; with TL_RULE_FUNCTIONS, their functions as well, once for each TL_F. Whoever asks for these
 * defines what arith.h asks for. Each macro in a rule is one operation, rounded once.
 */
#ifndef TL_RULES

/* X(name, states): how many tensors of state it keeps. An optimizer may have several rules, for its options to choose from. */
#define TL_RULES(X) X(adam, 2)

typedef enum tl_rule {
#define TL_RULE(name, states) TL_RULE_##name,
    TL_RULES(TL_RULE)
#undef TL_RULE
} tl_rule;

/* What a rule reads besides: numbers that host/backend/optimizer.c makes of the options and the step, in double, rounded to float. */
enum {
    TL_L2,     /* weight decay that is added to the gradient */
    TL_SHRINK, /* weight decay that each weight is multiplied by */
    TL_RATE,
    TL_OWN_SCALARS /* the first that is a rule's own */
};
enum { TL_ADAM_KEEP1 = TL_OWN_SCALARS, TL_ADAM_BETA2, TL_ADAM_KEEP2, TL_ADAM_ROOT, TL_ADAM_EPSILON };
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
