/* optimizer_settings.h: the settings of an optimizer, rows for a table. */
#ifndef TALLY_BACKEND_OPTIMIZER_SETTINGS_H
#define TALLY_BACKEND_OPTIMIZER_SETTINGS_H

#include <float.h>
#include <tally/optimizer.h>
#include <tally/settings.h>

/* NULL behind the last. */
extern const char *const tl_optimizer_names[TALLY_OPTIMIZERS + 1];

/* One row for each member of tally_optimizer_options, which a struct has in its member o, given with a point behind
 * it; o may be nothing. Defaults are Adam's. All optimizers take the first three. */
#define TL_OPTIMIZER_SETTINGS(type, o)                                                                                 \
    TL_ROW("optimizer", "optimizer", "NAME", "adam", "how a step changes the weights",                                 \
           TALLY_CHOICE_AT(type, o kind, tl_optimizer_names)),                                                         \
        TL_ROW("learning_rate", "lr", "X", "1e-3", "learning rate", TALLY_REAL_AT(type, o rate, 0, (double)FLT_MAX)),  \
        TL_ROW("weight_decay", "weight-decay", "X", "0",                                                               \
               "share of each weight that is added to its gradient; of adamw, share that the weight loses, times the " \
               "learning rate",                                                                                        \
               TALLY_REAL_AT(type, o weight_decay, 0, (double)FLT_MAX)),                                               \
        TL_ROW("beta1", "beta1", "X", "0.9", "Adam's decay of the gradient's mean", TALLY_FRACTION_AT(type, o beta1)), \
        TL_ROW("beta2", "beta2", "X", "0.999", "Adam's decay of the gradient's square",                                \
               TALLY_FRACTION_AT(type, o beta2)),                                                                      \
        TL_ROW("epsilon", "epsilon", "X", "1e-8", "what the optimizer adds to a divisor",                              \
               TALLY_REAL_AT(type, o epsilon, 0, (double)FLT_MAX)),                                                    \
        TL_ROW("momentum", "momentum", "X", "0", "share of the step before that a step of sgd or rmsprop has in it",   \
               TALLY_FRACTION_AT(type, o momentum)),                                                                   \
        TL_ROW("nesterov", "nesterov", NULL, "false", "sgd's momentum looks ahead", TALLY_FLAG_AT(type, o nesterov)),  \
        TL_ROW("alpha", "alpha", "X", "0", "rmsprop's decay of the gradient's square",                                 \
               TALLY_FRACTION_AT(type, o alpha))
#define TL_ROW(name_, option_, metavar_, initial_, help_, ...)                                                         \
    { .name = name_, .option = option_, .metavar = metavar_, .initial = initial_, .help = help_, __VA_ARGS__ }
enum { TL_COMMON_OPTIMIZER_SETTINGS = 3 };

#endif
