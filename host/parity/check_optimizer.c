/* The update steps of the optimizers. */
#include "backend/optimizer.h"
#include "parity/bounded_ops.h"
#include "parity/checks.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const size_t lengths[] = {1, 7, 16, 33, 3000};
static const uint64_t steps[] = {1, 2, 10, 50000};

/* Each optimizer with its defaults, with weight decay and momentum, and with Nesterov momentum as well. */
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

/* After these cases come those in which one weight becomes NaN or infinite, which the step has to report. */
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

typedef struct buffers {
    size_t elements, states;
    tl_operand *gradient, *weights, *state[TALLY_MAX_OPTIMIZER_STATES], *faults;
} buffers;

static buffers new_buffers(tl_case *c, const tally_optimizer_options *options, size_t elements) {
    buffers f = {.elements = elements,
                 .states = tally_optimizer_states(options),
                 .gradient = tl_case_operand(c, "gradient", false, 1, &elements),
                 .weights = tl_case_operand(c, "weights", false, 1, &elements),
                 .faults = tl_case_integers(c, "faults", 1, &(int32_t){0})};
    for (size_t s = 0; s < f.states; s++)
        f.state[s] = tl_case_operand(c, tally_optimizer_state_name(options->kind, s), false, 1, &elements);
    return f;
}

/* Squares, like those that earlier steps leave in a state. */
static void fill_squares(tl_case *c, tl_operand *state, tl_values kind) {
    float *squares = tl_case_memory(c, state->elements, sizeof *squares);
    for (size_t i = 0; i < state->elements && squares; i++) {
        float value = tl_case_value(c, kind);
        squares[i] = value * value;
    }
    tl_case_write(c, state, squares);
}

static void fill_buffers(tl_case *c, const buffers *f, const tally_optimizer_options *options, uint64_t step,
                         tl_values kind) {
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

/* Makes one element faulty: the last, which is in the tail of a vector, or a random one. */
static void make_faulty(tl_case *c, const buffers *f, size_t fault) {
    size_t at = fault == 0 ? f->elements - 1 : tl_random_below(&c->random, (uint32_t)f->elements);
    if (c->status)
        return;
    f->gradient->before[at] += faulty[fault].gradient;
    f->weights->before[at] += faulty[fault].weight;
    tl_case_write(c, f->gradient, f->gradient->before);
    tl_case_write(c, f->weights, f->weights->before);
}

static void step_on_both_sides(tl_case *c, const buffers *f, const tally_optimizer_options *options, uint64_t step) {
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

static void compare_updates(tl_case *c, const buffers *f, const tally_optimizer_options *options, uint64_t step) {
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

/* faults, which was 0, must be positive if and only if a weight is not finite. */
static void compare_faults(tl_case *c, const buffers *f) {
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

static void check_optimizer_step(tl_case *c) {
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
    buffers f = new_buffers(c, &options, n);
    fill_buffers(c, &f, &options, step, kind);
    if (!plain)
        make_faulty(c, &f, group);
    step_on_both_sides(c, &f, &options, step);
    compare_updates(c, &f, &options, step);
    compare_faults(c, &f);
}

const tl_check tl_check_optimizer_step = {"optimizer_step", CASES, cost, check_optimizer_step, false};
