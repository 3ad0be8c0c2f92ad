/* Softmax with cross-entropy. */
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

static batch new_batch(tl_case *c) {
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

static void check_softmax_loss(tl_case *c) {
    batch b = new_batch(c);
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

const tl_check tl_check_softmax_loss = {"softmax_loss", CASES, cost, check_softmax_loss, false};

/* The gradient needs no probabilities that add up to 1. */
static void check_softmax_loss_backward(tl_case *c) {
    batch b = new_batch(c);
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

const tl_check tl_check_softmax_loss_backward = {"softmax_loss_backward", CASES, cost, check_softmax_loss_backward,
                                                 false};
