/* The counting model trained on both sides, compared after every step. */
#include "core/fail.h"
#include "parity/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/data.h>
#include <tally/train.h>

enum { LENGTH = 20, HIDDEN = 24, BATCH = 200, SLOW_BATCH = 10, SLOW_STEPS = 2, SHADOWS = 4 };

/* A run's losses and its weights after every step. */
typedef struct record {
    double *losses; /* [steps], a string's mean */
    float *weights; /* [steps][count] */
    size_t count, steps, batch;
    char digest[65];
} record;

static tally_status record_new(size_t steps, size_t batch, size_t count, record *r) {
    *r = (record){.count = count, .steps = steps, .batch = batch};
    r->losses = calloc(steps, sizeof *r->losses);
    r->weights = count > SIZE_MAX / sizeof(float) / steps ? NULL : calloc(steps * count, sizeof(float));
    return r->losses && r->weights ? TALLY_OK : tl_fail(TALLY_MEMORY, "no memory left for %zu steps", steps);
}

static void record_free(record *r) {
    free(r->losses);
    free(r->weights);
}

static tally_status read_weights(const tally_model *model, float *to) {
    tally_status status = TALLY_OK;
    for (size_t i = 0; i < tally_model_parameters(model) && !status; i++) {
        size_t count = tally_model_parameter(model, i).elements;
        status = tally_model_get(model, i, to, count);
        to += count;
    }
    return status;
}

static size_t weight_count(const tally_model *model) {
    size_t count = 0;
    for (size_t i = 0; i < tally_model_parameters(model); i++)
        count += tally_model_parameter(model, i).elements;
    return count;
}

typedef struct watcher {
    record *record;
    const tally_model *model;
    tally_status status;
} watcher;

static bool watch(void *context, const tally_progress *now) {
    watcher *w = context;
    record *r = w->record;
    r->losses[now->step - 1] = now->step_loss / (double)r->batch;
    w->status = read_weights(w->model, r->weights + (now->step - 1) * r->count);
    return !w->status;
}

/* Moves every weight by up to share of itself. */
static tally_status disturb(tally_model *model, double share, tl_random *random) {
    tally_status status = TALLY_OK;
    for (size_t i = 0; i < tally_model_parameters(model) && !status; i++) {
        size_t count = tally_model_parameter(model, i).elements;
        float *values = calloc(count, sizeof *values);
        status =
            values ? tally_model_get(model, i, values, count) : tl_fail(TALLY_MEMORY, "no memory left for weights");
        for (size_t e = 0; e < count && !status; e++)
            values[e] += (float)((double)values[e] * share * (2 * (double)tl_random_unit(random) - 1));
        if (!status)
            status = tally_model_set(model, i, values, count);
        free(values);
    }
    return status;
}

/* As many steps as the record has: an epoch of so many batches. */
static tally_status run(tally_device *device, uint64_t seed, double share, tl_random *random, record *r) {
    tally_count_options data = {.length = LENGTH, .train_size = r->steps * r->batch, .seed = seed};
    tally_model_config config = {.inputs = 1, .hidden = HIDDEN, .classes = LENGTH + 1, .layers = 1};
    tally_train_options options = tally_train_defaults();
    options.epochs = 1;
    options.batch = r->batch;
    tally_count *strings = NULL;
    tally_model *model = NULL;
    tally_status status = tally_count_new(&data, &strings);
    if (!status)
        status = tally_model_new(device, &config, &model);
    if (!status)
        status = tally_model_init(model, seed);
    if (!status && share > 0)
        status = disturb(model, share, random);
    watcher w = {.record = r, .model = model};
    tally_observer observer = {watch, &w};
    if (!status)
        status = tally_train(model, tally_count_train(strings), &options, &observer, NULL);
    if (w.status)
        status = w.status;
    if (!status)
        status = tally_model_digest(model, r->digest);
    tally_model_free(model);
    tally_count_free(strings);
    return status;
}

typedef struct difference {
    size_t step, parameter, element; /* the first; step 0: none */
} difference;

static difference first_difference(const tally_model *names, const record *a, const record *b) {
    for (size_t s = 0; s < a->steps; s++)
        for (size_t p = 0, at = 0; p < tally_model_parameters(names); p++)
            for (size_t e = 0; e < tally_model_parameter(names, p).elements; e++, at++)
                if (memcmp(&a->weights[s * a->count + at], &b->weights[s * b->count + at], sizeof(float)) != 0)
                    return (difference){s + 1, p, e};
    return (difference){0, 0, 0};
}

/* Of a weight, after a step. */
static double largest_difference(const record *a, const record *b, size_t step) {
    double largest = 0;
    for (size_t i = (step - 1) * a->count; i < step * a->count; i++)
        largest = fmax(largest, fabs((double)a->weights[i] - (double)b->weights[i]));
    return largest;
}

/* How far two runs may be apart after each step. */
typedef struct band {
    double *losses, *weights; /* [steps] */
} band;

/* As far as runs on the C path go apart that begin with every weight moved at random by up to gamma(K), K being the longest sum of a
 * step. That is as much as all of a step's sums together may be off. */
static tally_status find_band(tally_device *peer, uint64_t seed, const record *straight, band *b) {
    tl_random random;
    tl_random_start(&random, seed, TL_STREAM_PARITY, 0);
    double share = tl_bounded_gamma((double)(straight->batch * LENGTH) + 2);
    record shadow;
    tally_status status = record_new(straight->steps, straight->batch, straight->count, &shadow);
    for (int i = 0; i < SHADOWS && !status; i++) {
        status = run(peer, seed, share, &random, &shadow);
        for (size_t s = 0; s < straight->steps && !status; s++) {
            b->losses[s] = fmax(b->losses[s], fabs(shadow.losses[s] - straight->losses[s]));
            b->weights[s] = fmax(b->weights[s], largest_difference(&shadow, straight, s + 1));
        }
    }
    /* A band may not get narrower: the two runs cross each other. */
    for (size_t s = 1; s < straight->steps; s++) {
        b->losses[s] = fmax(b->losses[s], b->losses[s - 1]);
        b->weights[s] = fmax(b->weights[s], b->weights[s - 1]);
    }
    record_free(&shadow);
    return status;
}

static void describe(const tally_model *names, const record *got, const record *want, const difference *d,
                     tally_parity_line *line) {
    size_t size = sizeof line->note;
    if (d->step == 0) {
        snprintf(line->note, size, "%zu steps, the same weights after each: SHA-256 %s", got->steps, got->digest);
        return;
    }
    size_t used = (size_t)snprintf(line->note, size, "weights first differ after step %zu, in %s[%zu]; at most by",
                                   d->step, tally_model_parameter(names, d->parameter).name, d->element);
    for (size_t step = d->step; used < size; step = 2 * step < got->steps ? 2 * step : got->steps) {
        used += (size_t)snprintf(line->note + used, size - used, "%s %.2g after %zu", step > d->step ? "," : "",
                                 largest_difference(got, want, step), step);
        if (step == got->steps)
            break;
    }
}

static void take(tally_parity_line *line, uint64_t seed, const char *what, size_t step, double off, double most) {
    double share = most > 0 ? off / most : off > 0 ? (double)INFINITY : 0;
    if (!(share <= line->worst_share)) {
        line->worst_share = share;
        line->worst_case = step;
    }
    if (share <= 1 || line->failure[0])
        return;
    line->verdict = TALLY_PARITY_BROKEN;
    snprintf(line->failure, sizeof line->failure,
             "training, seed %llu: after step %zu %s is off by %.3g, more than the %.3g that rounding explains",
             (unsigned long long)seed, step, what, off, most);
}

static tally_status compare_runs(tally_device *peer, const tally_parity_options *options, const tally_model *names,
                                 const record *got, const record *want, bool same_bits, tally_parity_line *line) {
    difference d = first_difference(names, got, want);
    describe(names, got, want, &d, line);
    line->verdict = d.step ? TALLY_PARITY_WITHIN_BOUND : TALLY_PARITY_EXACT;
    if (d.step == 0)
        return TALLY_OK;
    size_t at = 0;
    for (size_t p = 0; p < d.parameter; p++)
        at += tally_model_parameter(names, p).elements;
    size_t element = (d.step - 1) * got->count + at + d.element;
    if (same_bits) {
        line->verdict = TALLY_PARITY_BROKEN;
        snprintf(line->failure, sizeof line->failure,
                 "training, seed %llu: after step %zu %s[%zu] is %.9g, but %.9g on the C path",
                 (unsigned long long)options->seed, d.step, tally_model_parameter(names, d.parameter).name, d.element,
                 (double)got->weights[element], (double)want->weights[element]);
        return TALLY_OK;
    }
    band b = {calloc(got->steps, sizeof(double)), calloc(got->steps, sizeof(double))};
    tally_status status = b.losses && b.weights ? find_band(peer, options->seed, want, &b)
                                                : tl_fail(TALLY_MEMORY, "no memory left for %zu steps", got->steps);
    for (size_t s = 0; s < got->steps && !status; s++) {
        take(line, options->seed, "the loss", s + 1, fabs(got->losses[s] - want->losses[s]), b.losses[s]);
        take(line, options->seed, "a weight", s + 1, largest_difference(got, want, s + 1), b.weights[s]);
    }
    free(b.losses);
    free(b.weights);
    return status;
}

tally_status tl_check_training(tally_device *device, tally_device *peer, const tally_parity_options *options, bool slow,
                               bool same_bits, tally_parity_line *line) {
    size_t steps = slow && options->steps > SLOW_STEPS ? SLOW_STEPS : options->steps;
    size_t batch = slow ? SLOW_BATCH : BATCH;
    if (steps > ((size_t)1 << LENGTH) / batch)
        return tl_fail(TALLY_USAGE, "%zu steps: at most %zu", steps, ((size_t)1 << LENGTH) / batch);
    tally_model_config config = {.inputs = 1, .hidden = HIDDEN, .classes = LENGTH + 1, .layers = 1};
    tally_model *names = NULL;
    record got = {0}, want = {0};
    tally_status status = tally_model_new(peer, &config, &names);
    if (!status)
        status = record_new(steps, batch, weight_count(names), &got);
    if (!status)
        status = record_new(steps, batch, weight_count(names), &want);
    if (!status)
        status = run(peer, options->seed, 0, NULL, &want);
    if (!status)
        status = run(device, options->seed, 0, NULL, &got);
    line->cases = steps;
    line->left_out = options->steps - steps;
    snprintf(line->worst, sizeof line->worst, "%zu steps of %zu strings of %d bits, %d hidden", steps, batch, LENGTH,
             HIDDEN);
    if (!status)
        status = compare_runs(peer, options, names, &got, &want, same_bits, line);
    record_free(&got);
    record_free(&want);
    tally_model_free(names);
    return status;
}
