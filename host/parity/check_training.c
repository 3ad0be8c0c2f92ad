/* The counting model of each cell, and one with two layers, is trained on both sides; weights and losses are
 * compared after every step, and the result of a test at the end. */
#include "core/fail.h"
#include "parity/bounded_ops.h"
#include "parity/checks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/data.h>
#include <tally/train.h>

enum { LENGTH = 20, HIDDEN = 24, BATCH = 200, SLOW_BATCH = 10, SLOW_STEPS = 2, PERTURBED_RUNS = 4 };

/* A device may have separate kernels for a layer that follows another one. */
static const struct {
    tally_cell cell;
    size_t layers;
} models[] = {{TALLY_LSTM, 1}, {TALLY_GRU, 1}, {TALLY_RNN, 1}, {TALLY_RNN_RELU, 1}, {TALLY_LSTM, 2}};
enum { MODELS = sizeof models / sizeof *models };

/* The losses and the weights after each step of a run. */
typedef struct record {
    double *losses; /* [steps + 1], means per string; the last one is that of a test at the end */
    float *weights; /* [steps][count] */
    size_t count, steps, batch;
    char digest[65];
} record;

static tally_status record_new(size_t steps, size_t batch, size_t count, record *r) {
    *r = (record){.count = count, .steps = steps, .batch = batch};
    r->losses = calloc(steps + 1, sizeof *r->losses);
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

/* The check of one model. */
typedef struct training {
    const tl_training *asked;
    tally_model_config config;
    char name[32];           /* the model's name */
    tally_parity_line *line; /* this model's, except for cases, which includes the models before */
    size_t before;
    tally_model *names; /* a model whose parameters give the names and sizes */
    record got, want;   /* the device's and the C path's */
    char title[96];     /* what a failure's text starts with */
} training;

typedef struct recorder {
    training *t;
    record *record;
    const tally_model *model;
    tally_status status;
    char text[1024]; /* the status's text, which tally_train replaces by its own */
} recorder;

static bool record_step(void *context, const tally_progress *now) {
    recorder *w = context;
    record *r = w->record;
    r->losses[now->step - 1] = now->step_loss / (double)r->batch;
    w->status = read_weights(w->model, r->weights + (now->step - 1) * r->count);
    if (r == &w->t->got)
        w->t->line->cases = w->t->before + now->step;
    if (!w->status && !w->t->asked->progress(w->t->asked->context, w->t->line))
        w->status = tl_fail(TALLY_STOPPED, "stopped in training");
    if (w->status)
        snprintf(w->text, sizeof w->text, "%s", tally_error_text());
    return !w->status;
}

/* Moves every weight by up to share of itself, in either direction. */
static tally_status perturb_weights(tally_model *model, double share, tl_random *random) {
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

/* Trains for one epoch of as many batches as the record has steps, tests, and records both. */
static tally_status train_and_record(training *t, tally_device *device, double share, tl_random *random, record *r) {
    uint64_t seed = t->asked->options->seed;
    tally_count_options data = {.length = LENGTH, .train_size = r->steps * r->batch, .seed = seed};
    tally_train_options options = tally_train_defaults();
    options.epochs = 1;
    options.batch = r->batch;
    tally_count *strings = NULL;
    tally_model *model = NULL;
    tally_status status = tally_count_new(&data, &strings);
    if (!status)
        status = tally_model_new(device, &t->config, &model);
    if (!status)
        status = tally_model_init(model, seed);
    if (!status && share > 0)
        status = perturb_weights(model, share, random);
    recorder w = {.t = t, .record = r, .model = model};
    tally_observer observer = {record_step, &w};
    if (!status)
        status = tally_train(model, tally_count_train(strings), &options, &observer, NULL);
    if (w.status)
        status = tl_fail(w.status, "%s", w.text);
    tally_test_result tested = {.loss = &r->losses[r->steps]};
    if (!status)
        status = tally_test(model, tally_count_train(strings), 0, r->batch, NULL, &tested);
    r->losses[r->steps] /= (double)r->batch;
    if (!status)
        status = tally_model_digest(model, r->digest);
    tally_model_free(model);
    tally_count_free(strings);
    return status;
}

typedef struct difference {
    size_t step, parameter, element; /* the first difference; step 0 if there is none */
} difference;

static difference first_difference(const tally_model *names, const record *a, const record *b) {
    for (size_t s = 0; s < a->steps; s++)
        for (size_t p = 0, at = 0; p < tally_model_parameters(names); p++)
            for (size_t e = 0; e < tally_model_parameter(names, p).elements; e++, at++)
                if (memcmp(&a->weights[s * a->count + at], &b->weights[s * b->count + at], sizeof(float)) != 0)
                    return (difference){s + 1, p, e};
    return (difference){0, 0, 0};
}

/* The index of the first loss that differs, or steps + 1. */
static size_t first_other_loss(const record *a, const record *b) {
    size_t i = 0;
    while (i <= a->steps && memcmp(&a->losses[i], &b->losses[i], sizeof *a->losses) == 0)
        i++;
    return i;
}

/* The largest difference of a weight after a step. */
static double largest_difference(const record *a, const record *b, size_t step) {
    double largest = 0;
    for (size_t i = (step - 1) * a->count; i < step * a->count; i++)
        largest = fmax(largest, fabs((double)a->weights[i] - (double)b->weights[i]));
    return largest;
}

/* The index of a parameter's first weight among all weights. */
static size_t parameter_at(const tally_model *names, size_t parameter) {
    size_t at = 0;
    for (size_t p = 0; p < parameter; p++)
        at += tally_model_parameter(names, p).elements;
    return at;
}

/* The RMS difference of a parameter after a step, NaN if a weight is NaN. A single weight whose gradient is near 0
 * may go either way; all weights of a parameter do not. */
static double rms_difference(const tally_model *names, const record *a, const record *b, size_t step,
                             size_t parameter) {
    size_t at = (step - 1) * a->count + parameter_at(names, parameter);
    size_t elements = tally_model_parameter(names, parameter).elements;
    double squares = 0;
    for (size_t i = at; i < at + elements; i++) {
        double off = (double)a->weights[i] - (double)b->weights[i];
        squares += off * off;
    }
    return sqrt(squares / (double)elements);
}

/* How far two runs may be apart after each step. */
typedef struct band {
    size_t parameters;
    double *losses;  /* [steps + 1] */
    double *weights; /* [steps][parameters], RMS */
} band;

static tally_status band_new(const training *t, band *b) {
    size_t steps = t->want.steps;
    b->parameters = tally_model_parameters(t->names);
    b->losses = calloc(steps + 1, sizeof *b->losses);
    /* Fewer elements than the record's weights: this cannot overflow. */
    b->weights = calloc(steps * b->parameters, sizeof *b->weights);
    return b->losses && b->weights ? TALLY_OK : tl_fail(TALLY_MEMORY, "no memory left for %zu steps", steps);
}

static void band_free(band *b) {
    free(b->losses);
    free(b->weights);
}

/* Makes the band's width monotonic: two runs may cross by chance and be close for a step. */
static void make_monotonic(const training *t, band *b) {
    for (size_t s = 1; s <= t->want.steps; s++)
        b->losses[s] = fmax(b->losses[s], b->losses[s - 1]);
    for (size_t s = 1; s < t->want.steps; s++)
        for (size_t p = s * b->parameters; p < (s + 1) * b->parameters; p++)
            b->weights[p] = fmax(b->weights[p], b->weights[p - b->parameters]);
}

/* How far the optimizer's own roundings may put two runs apart in a first step with practically equal gradients.
 * For a weight that was 0 this is the only difference: its update is the learning rate with the sign of the
 * gradient, however the other weights were moved. */
static double optimizer_rounding(void) {
    const tally_optimizer_options optimizer = tally_train_defaults().optimizer;
    tl_bounded weight = {0, 0}, states[TALLY_MAX_OPTIMIZER_STATES] = {{0, 0}};
    /* A change by a smaller gradient is no larger. */
    tl_bounded_optimizer_step(&optimizer, 1, (tl_bounded){1, 0}, &weight, states);
    return 2 * weight.e;
}

/* The band is the largest difference between runs on the C path that start with every weight moved at random by up
 * to gamma(K), where K is the length of a step's longest sum: as much as all sums of a step together may be off. It
 * is at least what the optimizer rounds. */
static tally_status find_band(training *t, band *b) {
    tl_random random;
    tl_random_start(&random, t->asked->options->seed, TL_STREAM_PARITY, 0);
    const record *unperturbed = &t->want;
    double share = tl_bounded_gamma((double)(unperturbed->batch * LENGTH) + 2), rounding = optimizer_rounding();
    for (size_t p = 0; p < b->parameters; p++)
        b->weights[p] = rounding;
    record perturbed;
    tally_status status = record_new(unperturbed->steps, unperturbed->batch, unperturbed->count, &perturbed);
    for (int i = 0; i < PERTURBED_RUNS && !status; i++) {
        status = train_and_record(t, t->asked->peer, share, &random, &perturbed);
        for (size_t s = 0; s <= unperturbed->steps && !status; s++)
            b->losses[s] = fmax(b->losses[s], fabs(perturbed.losses[s] - unperturbed->losses[s]));
        for (size_t s = 0; s < unperturbed->steps && !status; s++)
            for (size_t p = 0; p < b->parameters; p++) {
                double *widest = &b->weights[s * b->parameters + p];
                *widest = fmax(*widest, rms_difference(t->names, &perturbed, unperturbed, s + 1, p));
            }
    }
    make_monotonic(t, b);
    record_free(&perturbed);
    return status;
}

static void write_note(training *t, const difference *d) {
    const record *got = &t->got;
    char *note = t->line->note;
    size_t size = sizeof t->line->note;
    if (d->step == 0) {
        snprintf(note, size, "%s, %zu steps, the same weights after each: SHA-256 %s", t->name, got->steps,
                 got->digest);
        return;
    }
    size_t used = (size_t)snprintf(note, size, "%s, weights first differ after step %zu, in %s[%zu]; at most by",
                                   t->name, d->step, tally_model_parameter(t->names, d->parameter).name, d->element);
    for (size_t step = d->step; used < size; step = 2 * step < got->steps ? 2 * step : got->steps) {
        used += (size_t)snprintf(note + used, size - used, "%s %.2g after %zu", step > d->step ? "," : "",
                                 largest_difference(got, &t->want, step), step);
        if (step == got->steps)
            break;
    }
}

/* Records a difference; true if it is the first that exceeds the bound. */
static bool exceeds_bound(tally_parity_line *line, size_t step, double off, double most) {
    double share = off == 0 ? 0 : off <= most ? off / most : most > 0 && isfinite(off) ? off / most : (double)INFINITY;
    if (share > line->worst_share) {
        line->worst_share = share;
        line->worst_case = step;
    }
    if (share <= 1 || line->verdict == TALLY_PARITY_BROKEN)
        return false;
    line->verdict = TALLY_PARITY_BROKEN;
    line->worst_case = step;
    return true;
}

/* The index of the parameter's weight that is furthest off after a step, or of one that is NaN. */
static size_t worst_element(const training *t, size_t step, size_t parameter) {
    size_t first = (step - 1) * t->got.count + parameter_at(t->names, parameter), at = 0;
    double most = -1;
    for (size_t e = 0; e < tally_model_parameter(t->names, parameter).elements; e++) {
        double off = fabs((double)t->got.weights[first + e] - (double)t->want.weights[first + e]);
        if (!(off <= most)) {
            most = isnan(off) ? (double)INFINITY : off;
            at = e;
        }
    }
    return at;
}

/* The step to which a loss belongs. */
static size_t step_of(const training *t, size_t loss) {
    return loss < t->got.steps ? loss + 1 : loss;
}

/* Formats both sides' values of a loss. */
static int format_loss(const training *t, size_t number, char *text, size_t size) {
    return snprintf(text, size, "%s: after step %zu the loss%s is %.9g, but %.9g on the C path", t->title,
                    step_of(t, number), number == t->got.steps ? " of a test" : "", t->got.losses[number],
                    t->want.losses[number]);
}

static void compare_loss(training *t, const band *b, size_t number) {
    tally_parity_line *line = t->line;
    double off = fabs(t->got.losses[number] - t->want.losses[number]), most = b->losses[number];
    if (!exceeds_bound(line, step_of(t, number), off, most))
        return;
    int used = format_loss(t, number, line->failure, sizeof line->failure);
    if (used >= 0 && (size_t)used < sizeof line->failure)
        snprintf(line->failure + used, sizeof line->failure - (size_t)used,
                 ", which is more than the %.3g that rounding explains", most);
}

static void compare_step(training *t, const band *b, size_t step) {
    tally_parity_line *line = t->line;
    compare_loss(t, b, step - 1);
    for (size_t p = 0; p < b->parameters; p++) {
        double off = rms_difference(t->names, &t->got, &t->want, step, p);
        double most = b->weights[(step - 1) * b->parameters + p];
        if (!exceeds_bound(line, step, off, most))
            continue;
        size_t element = worst_element(t, step, p),
               at = (step - 1) * t->got.count + parameter_at(t->names, p) + element;
        const char *name = tally_model_parameter(t->names, p).name;
        snprintf(
            line->failure, sizeof line->failure,
            "%s: after step %zu %s is off by %.3g (RMS), more than the %.3g that rounding explains; %s[%zu] is %.9g, "
            "but %.9g on the C path",
            t->title, step, name, off, most, name, element, (double)t->got.weights[at], (double)t->want.weights[at]);
    }
}

/* Reports bits that had to be the same: those of a weight or, if all weights agree, those of a loss. */
static void fail_bits(training *t, const difference *d, size_t loss) {
    tally_parity_line *line = t->line;
    line->verdict = TALLY_PARITY_BROKEN;
    if (d->step == 0) {
        line->worst_case = step_of(t, loss);
        format_loss(t, loss, line->failure, sizeof line->failure);
        return;
    }
    size_t at = (d->step - 1) * t->got.count + parameter_at(t->names, d->parameter) + d->element;
    line->worst_case = d->step;
    snprintf(line->failure, sizeof line->failure, "%s: after step %zu %s[%zu] is %.9g, but %.9g on the C path",
             t->title, d->step, tally_model_parameter(t->names, d->parameter).name, d->element,
             (double)t->got.weights[at], (double)t->want.weights[at]);
}

static tally_status compare_runs(training *t) {
    difference d = first_difference(t->names, &t->got, &t->want);
    write_note(t, &d);
    size_t loss = first_other_loss(&t->got, &t->want);
    bool same = d.step == 0 && loss > t->got.steps;
    t->line->verdict = same ? TALLY_PARITY_EXACT : TALLY_PARITY_WITHIN_BOUND;
    if (same)
        return TALLY_OK;
    if (t->asked->same_bits) {
        fail_bits(t, &d, loss);
        return TALLY_OK;
    }
    band b;
    tally_status status = band_new(t, &b);
    if (!status)
        status = find_band(t, &b);
    for (size_t s = 0; s < t->got.steps && !status; s++)
        compare_step(t, &b, s + 1);
    if (!status)
        compare_loss(t, &b, t->got.steps);
    band_free(&b);
    return status;
}

/* Runs both sides and compares them. If only the device's run ends in NaN or infinity, that is a finding and not an
 * error. */
static tally_status run_both(training *t) {
    tally_status status = train_and_record(t, t->asked->peer, 0, NULL, &t->want);
    if (!status)
        status = train_and_record(t, t->asked->device, 0, NULL, &t->got);
    if (status == TALLY_NUMBERS && t->line->cases - t->before < t->got.steps && t->want.digest[0]) {
        t->line->verdict = TALLY_PARITY_BROKEN;
        t->line->worst_case = t->line->cases - t->before + 1;
        snprintf(t->line->failure, sizeof t->line->failure, "%s: %s, but not on the C path", t->title,
                 tally_error_text());
        return TALLY_OK;
    }
    return status ? status : compare_runs(t);
}

/* Checks one model, with a line of its own. */
static tally_status check_model(const tl_training *asked, size_t number, size_t steps, size_t batch,
                                tally_parity_line *line) {
    training t = {.asked = asked, .line = line, .before = line->cases};
    t.config = (tally_model_config){.cell = models[number].cell,
                                    .inputs = 1,
                                    .hidden = HIDDEN,
                                    .classes = LENGTH + 1,
                                    .layers = models[number].layers};
    snprintf(t.name, sizeof t.name, "%s%s", tally_cell_name(t.config.cell),
             t.config.layers > 1 ? " of two layers" : "");
    snprintf(t.title, sizeof t.title, "training, %s, seed %llu, %zu steps of %zu strings", t.name,
             (unsigned long long)asked->options->seed, steps, batch);
    snprintf(line->worst, sizeof line->worst, "%s, %zu steps of %zu strings of %d bits, %d hidden", t.name, steps,
             batch, LENGTH, HIDDEN);
    tally_status status = tally_model_new(asked->peer, &t.config, &t.names);
    if (!status)
        status = record_new(steps, batch, weight_count(t.names), &t.got);
    if (!status)
        status = record_new(steps, batch, weight_count(t.names), &t.want);
    if (!status)
        status = run_both(&t);
    record_free(&t.got);
    record_free(&t.want);
    tally_model_free(t.names);
    return status && status != TALLY_STOPPED ? tl_fail_within(status, "%s: ", t.title) : status;
}

/* Merges a model's line into the check's: the first failure, the largest share, all notes. */
static void merge_line(const tally_parity_line *of_model, bool first, tally_parity_line *line) {
    bool failed = of_model->failure[0] && !line->failure[0];
    if (failed)
        memcpy(line->failure, of_model->failure, sizeof line->failure);
    if (first || failed || (!line->failure[0] && of_model->worst_share > line->worst_share)) {
        line->worst_case = of_model->worst_case;
        memcpy(line->worst, of_model->worst, sizeof line->worst);
    }
    line->cases = of_model->cases;
    line->worst_share = fmax(line->worst_share, of_model->worst_share);
    if (of_model->verdict > line->verdict)
        line->verdict = of_model->verdict;
    size_t used = strlen(line->note);
    if (of_model->note[0])
        snprintf(line->note + used, sizeof line->note - used, "%s%s", used ? "; " : "", of_model->note);
}

tally_status tl_check_training(const tl_training *asked, tally_parity_line *line) {
    const tally_parity_options *options = asked->options;
    size_t steps = asked->slow && options->steps > SLOW_STEPS ? SLOW_STEPS : options->steps;
    size_t batch = asked->slow ? SLOW_BATCH : BATCH;
    if (steps > ((size_t)1 << LENGTH) / batch)
        return tl_fail(TALLY_USAGE, "%zu steps: at most %zu", steps, ((size_t)1 << LENGTH) / batch);
    line->left_out = MODELS * (options->steps - steps);
    for (size_t number = 0; number < MODELS; number++) {
        tally_parity_line of_model = {.operation = line->operation, .cases = line->cases};
        tally_status status = check_model(asked, number, steps, batch, &of_model);
        if (status)
            return status;
        merge_line(&of_model, number == 0, line);
    }
    return TALLY_OK;
}
