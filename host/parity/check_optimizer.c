/* The optimizers' steps. */
#include "backend/optimizer.h"
#include "parity/bounded_ops.h"
#include "parity/checks.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const size_t lengths[] = {1, 7, 16, 33, 3000};
static const uint64_t steps[] = {1, 2, 10, 50000};

/* Each optimizer with its defaults; with weight decay and momentum; and with a momentum that looks ahead. */
enum { SETTINGS = 3, VARIANTS = TALLY_OPTIMIZERS * SETTINGS, PLAIN = VARIANTS * COUNT(lengths) * TL_VALUES_KINDS };

static tally_optimizer_options variant(size_t number) {
    const tally_optimizer kind = (tally_optimizer)(number % TALLY_OPTIMIZERS);
    const size_t setting = number / TALLY_OPTIMIZERS;
    tally_optimizer_options options = tally_optimizer_defaults(kind);
    if (setting == 0)
        return options;
    options.weight_decay = 0.1;
    options.momentum = tally_optimizer_takes(kind, "momentum") ? 0.9 : 0;
    options.nesterov = setting == 2 && tally_optimizer_takes(kind, "nesterov");
    return options;
}

/* Behind the plain cases, those where one weight becomes no number or an infinity, which is to be counted. */
static const struct {
    const char *name;
    float gradient, weight;
} faulty[] = {{"a gradient is no number", NAN, 0},
              {"a gradient is infinite", INFINITY, 0},
              {"a weight is infinite", 0, -INFINITY}};
enum { CASES = PLAIN + VARIANTS * COUNT(lengths) * COUNT(faulty) };

static size_t cost(size_t number) {
    return lengths[number / VARIANTS % COUNT(lengths)] * 16;
}

typedef struct flats {
    size_t elements, states;
    tl_operand *gradient, *weights, *state[TALLY_MAX_OPTIMIZER_STATES], *faults;
} flats;

static flats prepare(tl_case *c, const tally_optimizer_options *options, size_t elements) {
    flats f = {.elements = elements,
               .states = tally_optimizer_states(options),
               .gradient = tl_case_operand(c, "gradient", false, 1, &elements),
               .weights = tl_case_operand(c, "weights", false, 1, &elements),
               .faults = tl_case_integers(c, "faults", 1, &(int32_t){0})};
    for (size_t s = 0; s < f.states; s++)
        f.state[s] = tl_case_operand(c, tally_optimizer_state_name(options->kind, s), false, 1, &elements);
    return f;
}

/* Squares of values, as steps before may have left them. */
static void fill_squares(tl_case *c, tl_operand *state, tl_values kind) {
    float *squares = tl_case_memory(c, state->elements, sizeof *squares);
    for (size_t i = 0; i < state->elements && squares; i++) {
        float value = tl_case_value(c, kind);
        squares[i] = value * value;
    }
    tl_case_write(c, state, squares);
}

static void fill(tl_case *c, const flats *f, const tally_optimizer_options *options, uint64_t step, tl_values kind) {
    tl_case_fill(c, f->gradient, kind);
    tl_case_uniform(c, f->weights, -1, 1);
    for (size_t s = 0; s < f->states; s++)
        if (step == 1)
            tl_case_uniform(c, f->state[s], 0, 0);
        else if (tl_optimizer_squares(options->kind, s))
            fill_squares(c, f->state[s], kind);
        else
            tl_case_fill(c, f->state[s], kind);
}

/* Makes one element faulty: the last, which is in the tail of a vector, or any. */
static void spoil(tl_case *c, const flats *f, size_t fault) {
    size_t at = fault == 0 ? f->elements - 1 : tl_random_below(&c->random, (uint32_t)f->elements);
    if (c->status)
        return;
    f->gradient->before[at] += faulty[fault].gradient;
    f->weights->before[at] += faulty[fault].weight;
    tl_case_write(c, f->gradient, f->gradient->before);
    tl_case_write(c, f->weights, f->weights->before);
}

static void run_both(tl_case *c, const flats *f, const tally_optimizer_options *options, uint64_t step) {
    for (int side = 0; side < TL_SIDES && !c->status; side++) {
        tally_tensor states[TALLY_MAX_OPTIMIZER_STATES];
        for (size_t s = 0; s < f->states; s++)
            states[s] = f->state[s]->on[side];
        tl_case_keep(c, tally_optimizer_step(options, step, &f->gradient->on[side], &f->weights->on[side], states,
                                             &f->faults->on[side]));
    }
    tl_case_read(c, f->weights);
    tl_case_read(c, f->faults);
    for (size_t s = 0; s < f->states; s++)
        tl_case_read(c, f->state[s]);
}

static void compare(tl_case *c, const flats *f, const tally_optimizer_options *options, uint64_t step) {
    tl_bounded *weights = tl_case_memory(c, f->elements, sizeof *weights), *states[TALLY_MAX_OPTIMIZER_STATES];
    for (size_t s = 0; s < f->states; s++)
        states[s] = tl_case_memory(c, f->elements, sizeof *states[s]);
    for (size_t e = 0; e < f->elements && !c->status; e++) {
        tl_bounded state[TALLY_MAX_OPTIMIZER_STATES];
        weights[e] = tl_bounded_of((double)f->weights->before[e]);
        for (size_t s = 0; s < f->states; s++)
            state[s] = tl_bounded_of((double)f->state[s]->before[e]);
        tl_bounded_optimizer_step(options, step, tl_bounded_of((double)f->gradient->before[e]), &weights[e], state);
        for (size_t s = 0; s < f->states; s++)
            states[s][e] = state[s];
    }
    if (c->status)
        return;
    tl_case_compare(c, f->weights, weights);
    for (size_t s = 0; s < f->states; s++)
        tl_case_compare(c, f->state[s], states[s]);
}

/* Faults, which were 0, must be above it where a weight is not finite, and nowhere else. */
static void compare_faults(tl_case *c, const flats *f) {
    for (int side = 0; side < TL_SIDES && !c->status; side++) {
        size_t bad = 0;
        for (size_t e = 0; e < f->elements; e++)
            bad += isfinite(f->weights->after[side][e]) ? 0 : 1;
        int32_t counted = tl_case_integer(f->faults->after[side]);
        if (counted < 0 || (counted > 0) != (bad > 0))
            tl_case_fail(c, "faults are %d%s, but %zu weights are not finite", (int)counted,
                         side == TL_PEER ? " on the C path" : "", bad);
    }
}

static void optimizer_step(tl_case *c) {
    const tally_optimizer_options options = variant(c->number % VARIANTS);
    size_t n = lengths[c->number / VARIANTS % COUNT(lengths)];
    bool plain = c->number < PLAIN;
    size_t group = (plain ? c->number : c->number - PLAIN) / (VARIANTS * COUNT(lengths));
    uint64_t step = steps[tl_random_below(&c->random, COUNT(steps))];
    tl_values kind = plain ? (tl_values)group : TL_VALUES_ORDINARY;
    tl_case_describe(c, "%s, weight decay %g, momentum %g%s, %zu weight%s, step %llu, %s%s",
                     tally_optimizer_name(options.kind), options.weight_decay, options.momentum,
                     options.nesterov ? " ahead" : "", n, n == 1 ? "" : "s", (unsigned long long)step,
                     plain ? tl_values_name(kind) : faulty[group].name, plain ? " gradients" : "");
    flats f = prepare(c, &options, n);
    fill(c, &f, &options, step, kind);
    if (!plain)
        spoil(c, &f, group);
    run_both(c, &f, &options, step);
    compare(c, &f, &options, step);
    compare_faults(c, &f);
}

const tl_check tl_check_optimizer_step = {"optimizer_step", CASES, cost, optimizer_step, false};
