#include "backend/optimizer.h"

#include "backend/optimizer_settings.h"
#include "core/fail.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static const tally_setting settings[] = {TL_OPTIMIZER_SETTINGS(tally_optimizer_options, )};
enum { SETTINGS = sizeof settings / sizeof *settings, MAX_TAKEN = 6 };

const char *const tl_optimizer_names[TALLY_OPTIMIZERS + 1] = {
    [TALLY_ADAM] = "adam",       [TALLY_ADAMW] = "adamw",     [TALLY_SGD] = "sgd",
    [TALLY_RMSPROP] = "rmsprop", [TALLY_ADAGRAD] = "adagrad", [TALLY_OPTIMIZERS] = NULL};

typedef struct descriptor {
    /* The settings that it takes besides those that all do, and the default where it is not the table's; NULL behind
     * the last. */
    struct {
        const char *name, *initial;
    } settings[MAX_TAKEN + 1];
    struct {
        const char *name;
        bool squares;
    } states[TALLY_MAX_OPTIMIZER_STATES];
    bool decoupled; /* its weight decay leaves the gradient alone */
    /* Its rule, and what the rule reads: its own scalars, and its rate if that is another. */
    tl_rule (*prepare)(const tally_optimizer_options *options, uint64_t step, double *scalars);
} descriptor;

/* Squaring, not pow(): the same bits with every C library. */
static double power(double base, uint64_t exponent) {
    double result = 1.0;
    for (; exponent; exponent >>= 1, base *= base)
        if (exponent & 1)
            result *= base;
    return result;
}

static tl_rule prepare_adam(const tally_optimizer_options *o, uint64_t step, double *scalars) {
    scalars[TL_RATE] = o->rate / (1.0 - power(o->beta1, step));
    scalars[TL_ADAM_KEEP1] = 1.0 - o->beta1;
    scalars[TL_ADAM_BETA2] = o->beta2;
    scalars[TL_ADAM_KEEP2] = 1.0 - o->beta2;
    scalars[TL_ADAM_ROOT] = 1.0 / sqrt(1.0 - power(o->beta2, step));
    scalars[TL_ADAM_EPSILON] = o->epsilon;
    return TL_RULE_adam;
}

static tl_rule prepare_sgd(const tally_optimizer_options *o, uint64_t step, double *scalars) {
    (void)step;
    scalars[TL_SGD_MOMENTUM] = o->momentum;
    return o->momentum == 0 ? TL_RULE_sgd : o->nesterov ? TL_RULE_nesterov : TL_RULE_momentum;
}

static tl_rule prepare_rmsprop(const tally_optimizer_options *o, uint64_t step, double *scalars) {
    (void)step;
    scalars[TL_RMSPROP_ALPHA] = o->alpha;
    scalars[TL_RMSPROP_KEEP] = 1.0 - o->alpha;
    scalars[TL_RMSPROP_EPSILON] = o->epsilon;
    scalars[TL_RMSPROP_MOMENTUM] = o->momentum;
    return o->momentum == 0 ? TL_RULE_rmsprop : TL_RULE_rmsprop_momentum;
}

static tl_rule prepare_adagrad(const tally_optimizer_options *o, uint64_t step, double *scalars) {
    (void)step;
    scalars[TL_ADAGRAD_EPSILON] = o->epsilon;
    return TL_RULE_adagrad;
}

static const descriptor optimizers[TALLY_OPTIMIZERS] = {
    [TALLY_ADAM] = {.settings = {{"beta1", NULL}, {"beta2", NULL}, {"epsilon", NULL}},
                    .states = {{"m", false}, {"v", true}},
                    .prepare = prepare_adam},
    [TALLY_ADAMW] = {.settings = {{"weight_decay", "1e-2"}, {"beta1", NULL}, {"beta2", NULL}, {"epsilon", NULL}},
                     .states = {{"m", false}, {"v", true}},
                     .decoupled = true,
                     .prepare = prepare_adam},
    [TALLY_SGD] = {.settings = {{"momentum", NULL}, {"nesterov", NULL}},
                   .states = {{"momentum", false}},
                   .prepare = prepare_sgd},
    [TALLY_RMSPROP] =
        {.settings = {{"learning_rate", "1e-2"}, {"epsilon", NULL}, {"alpha", "0.99"}, {"momentum", NULL}},
         .states = {{"square", true}, {"momentum", false}},
         .prepare = prepare_rmsprop},
    [TALLY_ADAGRAD] = {.settings = {{"learning_rate", "1e-2"}, {"epsilon", "1e-10"}},
                       .states = {{"sum", true}},
                       .prepare = prepare_adagrad},
};

static bool is_optimizer(tally_optimizer kind) {
    return (unsigned)kind < TALLY_OPTIMIZERS;
}

const char *tally_optimizer_name(tally_optimizer kind) {
    return is_optimizer(kind) ? tl_optimizer_names[kind] : NULL;
}

/* Whether an optimizer takes a setting; *initial is its own default, or the table's. */
static bool takes(tally_optimizer kind, int number, const char **initial) {
    *initial = settings[number].initial;
    for (int i = 0; optimizers[kind].settings[i].name; i++)
        if (strcmp(optimizers[kind].settings[i].name, settings[number].name) == 0) {
            if (optimizers[kind].settings[i].initial)
                *initial = optimizers[kind].settings[i].initial;
            return true;
        }
    return number < TL_COMMON_OPTIMIZER_SETTINGS;
}

bool tally_optimizer_takes(tally_optimizer kind, const char *setting) {
    const char *initial;
    for (int number = 0; number < SETTINGS && is_optimizer(kind); number++)
        if (strcmp(settings[number].name, setting) == 0)
            return takes(kind, number, &initial);
    return false;
}

tally_optimizer_options tally_optimizer_defaults(tally_optimizer kind) {
    tally_optimizer_options options = {0};
    for (int number = 0; number < SETTINGS && is_optimizer(kind); number++) {
        const char *initial;
        if (takes(kind, number, &initial))
            tally_setting_parse(&settings[number], &options, initial);
    }
    options.kind = kind;
    return options;
}

static double value_of(const tally_setting *setting, const tally_optimizer_options *options) {
    const void *at = (const char *)options + setting->offset;
    return setting->type == TALLY_SETTING_FLAG ? *(const bool *)at : *(const double *)at;
}

static tally_status check_setting(const tally_optimizer_options *options, int number) {
    const tally_setting *s = &settings[number];
    double value = value_of(s, options);
    const char *optimizer = tl_optimizer_names[options->kind], *initial;
    char text[TALLY_SETTING_TEXT_SIZE];
    if (!takes(options->kind, number, &initial))
        return value == 0 ? TALLY_OK
                          : tl_fail(TALLY_USAGE, "%s takes no %s, which is %s", optimizer, s->name,
                                    tally_setting_format(s, options, text));
    if (s->type == TALLY_SETTING_FLAG || (value >= s->low && (s->below_high ? value < s->high : value <= s->high)))
        return TALLY_OK;
    tally_setting_describe_range(s, text);
    return tl_fail(TALLY_USAGE, "%s: %s is %g, not %s", optimizer, s->name, value, text);
}

tally_status tally_optimizer_check(const tally_optimizer_options *options) {
    if (!options)
        return tl_fail(TALLY_USAGE, "no options of an optimizer given");
    if (!is_optimizer(options->kind))
        return tl_fail(TALLY_USAGE, "there is no optimizer %d", (int)options->kind);
    tally_status status = TALLY_OK;
    for (int number = 1; number < SETTINGS && !status; number++)
        status = check_setting(options, number);
    if (!status && options->nesterov && options->momentum == 0)
        return tl_fail(TALLY_USAGE, "%s: nesterov needs a momentum above 0", tl_optimizer_names[options->kind]);
    return status;
}

static size_t states_of(tl_rule rule) {
    static const size_t states[] = {
#define TL_RULE(name, states) [TL_RULE_##name] = states,
        TL_RULES(TL_RULE)
#undef TL_RULE
    };
    return states[rule];
}

tl_update tl_update_of(const tally_optimizer_options *options, uint64_t step) {
    const descriptor *optimizer = &optimizers[options->kind];
    tl_update update = {.scalars = {[TL_SHRINK] = 1.0, [TL_RATE] = options->rate}};
    if (optimizer->decoupled)
        update.scalars[TL_SHRINK] = 1.0 - options->rate * options->weight_decay;
    else
        update.scalars[TL_L2] = options->weight_decay;
    update.rule = optimizer->prepare(options, step, update.scalars);
    update.states = states_of(update.rule);
    return update;
}

void tl_update_floats(const tl_update *update, float scalars[TL_MAX_SCALARS]) {
    for (size_t s = 0; s < TL_MAX_SCALARS; s++)
        scalars[s] = (float)update->scalars[s];
}

size_t tally_optimizer_states(const tally_optimizer_options *options) {
    return options && is_optimizer(options->kind) ? tl_update_of(options, 1).states : 0;
}

const char *tally_optimizer_state_name(tally_optimizer kind, size_t state) {
    return is_optimizer(kind) && state < TALLY_MAX_OPTIMIZER_STATES ? optimizers[kind].states[state].name : NULL;
}

bool tl_optimizer_squares(tally_optimizer kind, size_t state) {
    return optimizers[kind].states[state].squares;
}
