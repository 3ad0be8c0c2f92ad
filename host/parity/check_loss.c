/* Softmax with cross-entropy, and Adam. */
#include "parity/bounded_ops.h"
#include "parity/checks.h"

#include <string.h>

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
    int32_t label;
    memcpy(&label, &b->labels->before[column], sizeof label);
    return label;
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
enum { ADAM_CASES = COUNT(lengths) * COUNT(steps) * TL_VALUES_KINDS };

static size_t adam_cost(size_t number) {
    return lengths[number % COUNT(lengths)] * 16;
}

static void adam(tl_case *c) {
    size_t n = lengths[c->number % COUNT(lengths)], one = 1;
    uint64_t step = steps[c->number / COUNT(lengths) % COUNT(steps)];
    tl_values kind = (tl_values)(c->number / COUNT(lengths) / COUNT(steps));
    const tally_adam_options options = {.rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    tl_case_describe(c, "%zu weights, step %llu, %s gradients", n, (unsigned long long)step, tl_values_name(kind));
    static const char *const names[] = {"gradient", "weights", "m", "v"};
    tl_operand *o[4], *faults = tl_case_labels(c, one, 1);
    for (int i = 0; i < 4; i++)
        o[i] = tl_case_operand(c, names[i], false, 1, &n);
    /* A square of a large gradient is still a float; moments are as steps before may have left them. */
    tl_case_fill(c, o[0], kind == TL_VALUES_LARGE ? TL_VALUES_ORDINARY : kind);
    tl_case_uniform(c, o[1], -1, 1);
    tl_case_uniform(c, o[2], -1, 1);
    tl_case_uniform(c, o[3], 0, 1);
    for (int i = 0; i < TL_SIDES && !c->status; i++)
        tl_case_keep(
            c, tally_adam(&options, step, &o[0]->on[i], &o[1]->on[i], &o[2]->on[i], &o[3]->on[i], &faults->on[i]));
    tl_bounded *want[4];
    for (int i = 1; i < 4; i++) {
        tl_case_read(c, o[i]);
        want[i] = tl_case_memory(c, n, sizeof *want[i]);
    }
    for (size_t e = 0; e < n && !c->status; e++) {
        tl_bounded at[4];
        for (int i = 0; i < 4; i++)
            at[i] = tl_bounded_of((double)o[i]->before[e]);
        tl_bounded_adam(&options, step, at[0], &at[1], &at[2], &at[3]);
        for (int i = 1; i < 4; i++)
            want[i][e] = at[i];
    }
    for (int i = 1; i < 4 && !c->status; i++)
        tl_case_compare(c, o[i], want[i]);
}

const tl_check tl_check_adam = {"adam", ADAM_CASES, adam_cost, adam, false};
