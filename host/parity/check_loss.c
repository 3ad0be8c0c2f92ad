/* Softmax with cross-entropy, and Adam. */
#include "parity/bounded_ops.h"
#include "parity/checks.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const size_t shapes[][2] = {{1, 1}, {2, 31}, {3, 16}, {10, 33}, {21, 64}, {5, 257}, {300, 7}};
static const struct {
    const char *name;
    float logits;
} ranges[] = {{"ordinary", 9}, {"saturated", 500}, {"small", 0x1p-20f}, {"denormal", 0x1p-127f}, {"equal", 0}};
enum { CASES = COUNT(shapes) * COUNT(ranges) };

static size_t cost(size_t number) {
    return shapes[number % COUNT(shapes)][0] * shapes[number % COUNT(shapes)][1] * 32;
}

typedef struct batch {
    size_t classes, columns;
    tl_operand *logits, *labels, *probabilities, *loss;
} batch;

static batch prepare(tl_case *c) {
    const size_t *s = shapes[c->number % COUNT(shapes)];
    size_t range = c->number / COUNT(shapes);
    bool spaced = tl_random_below(&c->random, 2);
    tl_case_describe(c, "%zu classes, %zu columns%s, %s logits", s[0], s[1], spaced ? ", cut out" : "",
                     ranges[range].name);
    batch b = {.classes = s[0],
               .columns = s[1],
               .logits = tl_case_operand(c, "logits", spaced, 2, s),
               .labels = tl_case_labels(c, s[1], s[0]),
               .probabilities = tl_case_operand(c, "probabilities", spaced, 2, s),
               .loss = tl_case_operand(c, "loss", false, 1, &s[1])};
    tl_case_uniform(c, b.logits, -ranges[range].logits, ranges[range].logits);
    return b;
}

static int32_t label_of(const batch *b, size_t column) {
    return tl_case_integer(&b->labels->before[column]);
}

static void forward(tl_case *c) {
    batch b = prepare(c);
    for (int i = 0; i < TL_SIDES && !c->status; i++)
        tl_case_keep(c,
                     tally_softmax_loss(&b.logits->on[i], &b.labels->on[i], &b.probabilities->on[i], &b.loss->on[i]));
    tl_case_read(c, b.probabilities);
    tl_case_read(c, b.loss);
    tl_bounded *want = tl_case_memory(c, b.classes * b.columns, sizeof *want);
    tl_bounded *want_loss = tl_case_memory(c, b.columns, sizeof *want_loss);
    if (c->status)
        return;
    for (size_t i = 0; i < b.classes * b.columns; i++)
        want[i] = tl_bounded_of((double)b.logits->before[i]);
    for (size_t j = 0; j < b.columns; j++) {
        tl_bounded_softmax(b.classes, b.columns, want + j, want + j);
        want_loss[j] = tl_bounded_loss(b.classes, b.columns, want + j, label_of(&b, j));
    }
    tl_case_compare(c, b.probabilities, want);
    tl_case_compare(c, b.loss, want_loss);
}

const tl_check tl_check_softmax_loss = {"softmax_loss", CASES, cost, forward, false};

/* Probabilities need not add up to 1 here. */
static void backward(tl_case *c) {
    batch b = prepare(c);
    tl_case_uniform(c, b.probabilities, 0, 1);
    for (int i = 0; i < TL_SIDES && !c->status; i++)
        tl_case_keep(c, tally_softmax_loss_backward(&b.probabilities->on[i], &b.labels->on[i], &b.logits->on[i]));
    tl_case_read(c, b.logits);
    tl_bounded *want = tl_case_memory(c, b.classes * b.columns, sizeof *want);
    for (size_t i = 0; i < b.classes * b.columns && want && !c->status; i++) {
        int32_t label = label_of(&b, i % b.columns);
        double target = label >= 0 && (size_t)label == i / b.columns ? 1 : 0;
        want[i] = label < 0
                      ? (tl_bounded){0, 0}
                      : tl_bounded_sub(tl_bounded_of((double)b.probabilities->before[i]), (tl_bounded){target, 0});
    }
    b.logits->name = "dlogits";
    tl_case_compare(c, b.logits, want);
}

const tl_check tl_check_softmax_loss_backward = {"softmax_loss_backward", CASES, cost, backward, false};

static const size_t lengths[] = {1, 7, 16, 33, 3000};
static const uint64_t steps[] = {1, 2, 10, 50000};
enum { ADAM_PLAIN = COUNT(lengths) * COUNT(steps) * TL_VALUES_KINDS };

/* Behind the plain cases, those where one weight becomes no number or an infinity, which Adam has to count. */
static const struct {
    const char *name;
    float gradient, weight;
} faulty[] = {{"a gradient is no number", NAN, 0},
              {"a gradient is infinite", INFINITY, 0},
              {"a weight is infinite", 0, -INFINITY}};
enum { ADAM_CASES = ADAM_PLAIN + COUNT(lengths) * COUNT(faulty) };

static size_t adam_cost(size_t number) {
    return lengths[number % COUNT(lengths)] * 16;
}

enum { GRADIENT, WEIGHTS, M, V, ADAM_OPERANDS };

/* The moments are as steps before may have left them: m like the gradients, v like their squares. */
static void fill_adam(tl_case *c, tl_operand *o[ADAM_OPERANDS], uint64_t step, tl_values kind) {
    size_t n = o[V]->elements;
    tl_case_fill(c, o[GRADIENT], kind);
    tl_case_uniform(c, o[WEIGHTS], -1, 1);
    if (step == 1) {
        tl_case_uniform(c, o[M], 0, 0);
        tl_case_uniform(c, o[V], 0, 0);
        return;
    }
    tl_case_fill(c, o[M], kind);
    float *squares = tl_case_memory(c, n, sizeof *squares);
    for (size_t i = 0; i < n && squares; i++) {
        float value = tl_case_value(c, kind);
        squares[i] = value * value;
    }
    tl_case_write(c, o[V], squares);
}

/* Makes one element faulty: the last, which is in the tail of a vector, or any. */
static void spoil(tl_case *c, tl_operand *o[ADAM_OPERANDS], size_t fault) {
    size_t n = o[WEIGHTS]->elements, at = fault == 0 ? n - 1 : tl_random_below(&c->random, (uint32_t)n);
    if (c->status)
        return;
    o[GRADIENT]->before[at] += faulty[fault].gradient;
    o[WEIGHTS]->before[at] += faulty[fault].weight;
    tl_case_write(c, o[GRADIENT], o[GRADIENT]->before);
    tl_case_write(c, o[WEIGHTS], o[WEIGHTS]->before);
}

/* Faults, which were 0, must be above it where a weight is not finite, and nowhere else. */
static void compare_faults(tl_case *c, const tl_operand *weights, tl_operand *faults) {
    tl_case_read(c, faults);
    for (int i = 0; i < TL_SIDES && !c->status; i++) {
        size_t bad = 0;
        for (size_t e = 0; e < weights->elements; e++)
            bad += isfinite(weights->after[i][e]) ? 0 : 1;
        int32_t counted = tl_case_integer(faults->after[i]);
        if (counted < 0 || (counted > 0) != (bad > 0))
            tl_case_fail(c, "faults are %d%s, but %zu weights are not finite", (int)counted,
                         i == TL_PEER ? " on the C path" : "", bad);
    }
}

static void adam(tl_case *c) {
    bool plain = c->number < ADAM_PLAIN;
    size_t n = lengths[c->number % COUNT(lengths)], group = c->number / COUNT(lengths);
    size_t fault = plain ? 0 : (c->number - ADAM_PLAIN) / COUNT(lengths);
    uint64_t step = plain ? steps[group % COUNT(steps)] : 10;
    tl_values kind = plain ? (tl_values)(group / COUNT(steps)) : TL_VALUES_ORDINARY;
    const tally_adam_options options = {.rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    tl_case_describe(c, "%zu weight%s, step %llu, %s%s", n, n == 1 ? "" : "s", (unsigned long long)step,
                     plain ? tl_values_name(kind) : faulty[fault].name, plain ? " gradients" : "");
    static const char *const names[ADAM_OPERANDS] = {"gradient", "weights", "m", "v"};
    tl_operand *o[ADAM_OPERANDS], *faults = tl_case_integers(c, "faults", 1, &(int32_t){0});
    for (int i = 0; i < ADAM_OPERANDS; i++)
        o[i] = tl_case_operand(c, names[i], false, 1, &n);
    fill_adam(c, o, step, kind);
    if (!plain)
        spoil(c, o, fault);
    for (int i = 0; i < TL_SIDES && !c->status; i++)
        tl_case_keep(c, tally_adam(&options, step, &o[GRADIENT]->on[i], &o[WEIGHTS]->on[i], &o[M]->on[i], &o[V]->on[i],
                                   &faults->on[i]));
    tl_bounded *want[ADAM_OPERANDS];
    for (int i = WEIGHTS; i < ADAM_OPERANDS; i++) {
        tl_case_read(c, o[i]);
        want[i] = tl_case_memory(c, n, sizeof *want[i]);
    }
    for (size_t e = 0; e < n && !c->status; e++) {
        tl_bounded at[ADAM_OPERANDS];
        for (int i = 0; i < ADAM_OPERANDS; i++)
            at[i] = tl_bounded_of((double)o[i]->before[e]);
        tl_bounded_adam(&options, step, at[GRADIENT], &at[WEIGHTS], &at[M], &at[V]);
        for (int i = WEIGHTS; i < ADAM_OPERANDS; i++)
            want[i][e] = at[i];
    }
    for (int i = WEIGHTS; i < ADAM_OPERANDS && !c->status; i++)
        tl_case_compare(c, o[i], want[i]);
    compare_faults(c, o[WEIGHTS], faults);
}

const tl_check tl_check_adam = {"adam", ADAM_CASES, adam_cost, adam, false};
