#include "core/clock.h"
#include "core/fail.h"
#include "parity/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each check comes after those whose operations it builds on. New ones go to the end: the random numbers of a case
 * depend on the position of its check. */
#define CHECKS(one)                                                                                                    \
    one(arithmetic) one(exp) one(log) one(sigmoid) one(tanh) one(copy) one(fill) one(add) one(bias) one(reduce)        \
        one(accumulate) one(gemm) one(cell_forward) one(cell_backward) one(softmax_loss) one(softmax_loss_backward)    \
            one(optimizer_step) one(layer_forward) one(layer_backward) one(gradients) one(dropout)
#define CHECK(name) &tl_check_##name,
#define NAME(name) #name,

static const tl_check *const checks[] = {CHECKS(CHECK)};
static const char *const names[] = {CHECKS(NAME) "training", NULL};
enum { TRAINING = sizeof checks / sizeof *checks };

tally_parity_options tally_parity_defaults(void) {
    return (tally_parity_options){.seed = 1, .steps = 20};
}

const char *const *tally_parity_operations(void) {
    return names;
}

typedef struct parity {
    tally_device *device, *peer;
    const tally_parity_options *options;
    tally_parity_observer *observer;
    void *context;
    bool slow;
    bool alone;    /* the device under test is the C path with the peer's instruction set */
    bool one_case; /* only case number runs */
    size_t number;
    double last_notified; /* when the observer was last called */
} parity;

static bool notify_observer(parity *p, const tally_parity_line *line, bool done) {
    p->last_notified = tl_seconds();
    return !p->observer || p->observer(p->context, line, done);
}

/* Notifies the observer during a check, at most five times a second. */
static bool notify_progress(void *context, const tally_parity_line *line) {
    parity *p = context;
    return tl_seconds() - p->last_notified <= 0.2 || notify_observer(p, line, false);
}

/* Finds the checks that a name selects: "gemm" one check, "gemm/37" one case, NULL all of them. */
static tally_status select_checks(parity *p, size_t *first, size_t *end) {
    const char *wanted = p->options->operation;
    *first = 0;
    *end = TRAINING + 1;
    if (!wanted)
        return TALLY_OK;
    size_t length = strcspn(wanted, "/");
    for (size_t i = 0; names[i]; i++)
        if (strlen(names[i]) == length && strncmp(names[i], wanted, length) == 0) {
            *first = i;
            *end = i + 1;
        }
    if (*end != *first + 1)
        return tl_fail(TALLY_USAGE, "there is no check \"%s\"", wanted);
    if (!wanted[length])
        return TALLY_OK;
    char *rest;
    unsigned long long number = strtoull(wanted + length + 1, &rest, 10);
    size_t cases = *first == TRAINING ? 0 : checks[*first]->cases;
    if (cases == TL_FUNCTION_SAMPLES) /* the exhaustive cases can always be named */
        cases += TL_FUNCTION_EVERY;
    if (wanted[length + 1] < '0' || wanted[length + 1] > '9' || *rest || number >= cases)
        return cases ? tl_fail(TALLY_USAGE, "%s: its cases are 0 to %zu", wanted, cases - 1)
                     : tl_fail(TALLY_USAGE, "%s: training has no cases", wanted);
    p->one_case = true;
    p->number = (size_t)number;
    return TALLY_OK;
}

/* Adds a case's findings to the line of its check. */
static void merge_case(const tl_case *c, tally_parity_line *line) {
    line->cases++;
    line->worst_ulp = fmax(line->worst_ulp, c->worst_ulp);
    bool first_failure = c->failure[0] && !line->failure[0];
    if (first_failure)
        snprintf(line->failure, sizeof line->failure, "%s", c->failure);
    if (first_failure || (!line->failure[0] && (line->cases == 1 || c->worst_share > line->worst_share))) {
        line->worst_case = c->number;
        snprintf(line->worst, sizeof line->worst, "%s", c->text);
    }
    line->worst_share = fmax(line->worst_share, c->worst_share);
    tally_parity_verdict verdict = c->failure[0]   ? TALLY_PARITY_BROKEN
                                   : c->other_bits ? TALLY_PARITY_WITHIN_BOUND
                                                   : TALLY_PARITY_EXACT;
    if (verdict > line->verdict)
        line->verdict = verdict;
}

static tally_status run_case(parity *p, size_t index, size_t number, tally_parity_line *line) {
    const tl_check *check = checks[index];
    bool own_bits =
        *tally_device_inexact(p->device) || (check->clblast && tally_device_route(p->device) == TALLY_ROUTE_CLBLAST);
    tl_case *c = calloc(1, sizeof *c);
    if (!c)
        return tl_fail(TALLY_MEMORY, "no memory left for a case");
    c->device[TL_DEVICE] = p->device;
    c->device[TL_PEER] = p->peer;
    c->check = check->name;
    c->number = number;
    c->same_bits = !own_bits;
    tl_random_start(&c->random, p->options->seed, TL_STREAM_PARITY, (uint32_t)(1 + index) << 24 | (uint32_t)number);
    check->run(c);
    tl_case_guards(c);
    tally_status status = c->status;
    if (!status && !c->compared)
        status = tl_fail(TALLY_DEVICE, "nothing was compared");
    if (status)
        tl_fail_within(status, "%s/%zu, %s: ", check->name, number, c->text);
    else
        merge_case(c, line);
    tl_case_end(c);
    free(c);
    return status;
}

/* A simulator takes seconds for what takes other devices milliseconds: it runs the smaller cases only. */
enum { SLOW_COST = 100000 };

static tally_status run_check(parity *p, size_t index, tally_parity_line *line) {
    const tl_check *check = checks[index];
    if (p->one_case)
        return run_case(p, index, p->number, line);
    size_t cases = check->cases;
    if (p->options->exhaustive && cases == TL_FUNCTION_SAMPLES)
        cases += TL_FUNCTION_EVERY;
    for (size_t number = 0; number < cases; number++) {
        if (p->slow && check->cost(number) > SLOW_COST) {
            line->left_out++;
            continue;
        }
        tally_status status = run_case(p, index, number, line);
        if (status)
            return status;
        if (!notify_progress(p, line))
            return tl_fail(TALLY_STOPPED, "stopped in %s", check->name);
    }
    return TALLY_OK;
}

static tally_status run_line(parity *p, size_t index, tally_parity_line *line) {
    *line = (tally_parity_line){.operation = names[index]};
    uint64_t before = tally_device_fallbacks(p->device, NULL, 0);
    if (!notify_observer(p, line, false))
        return tl_fail(TALLY_STOPPED, "stopped before %s", names[index]);
    bool own_bits = *tally_device_inexact(p->device) || tally_device_route(p->device) == TALLY_ROUTE_CLBLAST;
    const tl_training training = {p->device, p->peer, p->options, p->slow, !own_bits, notify_progress, p};
    tally_status status = index == TRAINING ? tl_check_training(&training, line) : run_check(p, index, line);
    if (p->alone) {
        size_t used = strlen(line->note);
        snprintf(line->note + used, sizeof line->note - used, "%scompared with itself: this is the plainest form",
                 used > 0 ? "; " : "");
    }
    line->fallbacks = (size_t)(tally_device_fallbacks(p->device, NULL, 0) - before);
    return status;
}

/* A device is slow if its fastest try is: the first one may compile, and others may be delayed by other programs. */
static tally_status detect_slow_device(parity *p) {
    enum { SIZE = 32, TRIES = 5 };
    tally_tensor matrix[3] = {0};
    tally_status status = TALLY_OK;
    for (int i = 0; i < 3 && !status; i++)
        status = tally_tensor_new(p->device, TALLY_F32, 2, (size_t[]){SIZE, SIZE}, &matrix[i]);
    float result[SIZE * SIZE];
    p->slow = true;
    for (int i = 0; i <= TRIES && !status && p->slow; i++) {
        double start = tl_seconds();
        status = tally_gemm(false, false, 1, &matrix[0], &matrix[1], 0, &matrix[2]);
        if (!status)
            status = tally_tensor_read(&matrix[2], result, SIZE * SIZE);
        p->slow = tl_seconds() - start > 0.01;
    }
    for (int i = 0; i < 3; i++)
        tally_tensor_free(&matrix[i]);
    return status;
}

static tally_status run_all(parity *p, size_t first, size_t end, tally_parity_verdict *verdict) {
    for (size_t i = first; i < end; i++) {
        tally_parity_line line;
        tally_status status = run_line(p, i, &line);
        if (status)
            return status;
        if (line.verdict > *verdict)
            *verdict = line.verdict;
        if (!notify_observer(p, &line, true))
            return tl_fail(TALLY_STOPPED, "stopped after %s", names[i]);
    }
    return TALLY_OK;
}

tally_status tally_parity_run(tally_device *device, const tally_parity_options *options,
                              tally_parity_observer *observer, void *context, tally_parity_verdict *verdict) {
    if (!device || !options || !verdict || options->steps < 1)
        return tl_fail(TALLY_USAGE, "tally_parity_run: no device, no options, no steps or no pointer to the verdict");
    *verdict = TALLY_PARITY_EXACT;
    parity p = {.device = device, .options = options, .observer = observer, .context = context};
    size_t first, end;
    tally_status status = select_checks(&p, &first, &end);
    /* The C path is compared with its own baseline, which has no vectors wider than 4 and computes fma in software. */
    bool cpu = strcmp(tally_device_get_info(device)->backend, "cpu") == 0;
    const tally_device_options peer = {.threads = cpu ? 1 : 0, .instruction_set = cpu ? "baseline" : NULL};
    if (!status)
        status = tally_device_open("cpu", &peer, &p.peer);
    if (!status)
        status = detect_slow_device(&p);
    p.alone = !status && strcmp(tally_device_get_info(device)->platform, tally_device_get_info(p.peer)->platform) == 0;
    bool flushes = tl_bounded_flushes;
    tl_bounded_flushes = *tally_device_inexact(device) != '\0';
    if (!status)
        status = run_all(&p, first, end, verdict);
    tl_bounded_flushes = flushes;
    tally_device_close(p.peer);
    return status;
}
