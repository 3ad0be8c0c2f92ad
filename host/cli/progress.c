#include "progress.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "format.h"

enum { SAMPLE = 1000, BAR_MIN = 10, BAR_SPACE = 3 + BAR_MIN, BAR_MAX = 40, LINE_SIZE = 256 };
static const double REDRAW_SECONDS = 0.1;
static const double SAMPLING_SHARE = 0.01; /* of the training time */

static size_t columns_in_use; /* of the terminal line, by the bar */

void progress_start(progress *p, bool quiet) {
    *p = (progress){.kind = PROGRESS_NONE, .error = NAN};
    const char *terminal = getenv("TERM");
    if (!quiet) {
        bool redraws = isatty(STDERR_FILENO) && terminal != NULL && strcmp(terminal, "dumb") != 0;
        p->kind = redraws ? PROGRESS_BAR : PROGRESS_LINES;
    }
}

static size_t tenths_of(const progress *p, size_t epoch) {
    return (size_t)(10.0 * (double)epoch / (double)p->epochs);
}

void progress_train(progress *p, const task_words *words, const tally_model *model, const tally_dataset *train,
                    const tally_dataset *test, const tally_train_options *options, const tally_train_result *done) {
    p->words = words;
    p->model = model;
    p->test = test;
    p->epochs = options->epochs;
    p->train_size = train->size;
    p->batch = options->batch;
    p->first_step = done->steps;
    p->tenths = tenths_of(p, done->epochs);
    p->started = command_seconds();
    if (p->kind != PROGRESS_LINES)
        return;
    char before[64] = "";
    if (done->steps > 0)
        snprintf(before, sizeof before, ", %s of them done", format_whole(done->epochs).text);
    fprintf(stderr, "%s%straining on %s %s of %s%zu %s for %s epoch%s%s\n", p->name != NULL ? p->name : "",
            p->name != NULL ? ": " : "", format_whole(train->size).text, words->many,
            train->lengths != NULL ? "up to " : "", train->steps, words->steps, format_whole(options->epochs).text,
            options->epochs == 1 ? "" : "s", before);
}

static void test_sample(progress *p, size_t epoch) {
    double start = command_seconds();
    tally_test_result result = {.tested = 0};
    size_t count = p->test->size < SAMPLE ? p->test->size : SAMPLE;
    /* Ignores a failure: a device that fails here fails in the next training step too, which reports it. */
    if (count > 0 && tally_test(p->model, p->test, 0, count, NULL, &result) == TALLY_OK)
        p->error = (double)result.mistakes / (double)result.tested;
    p->sampled_epoch = epoch;
    p->sampling += command_seconds() - start;
}

static size_t terminal_width(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    const char *columns = getenv("COLUMNS");
    unsigned long width = columns != NULL ? strtoul(columns, NULL, 10) : 0;
    return width > 0 && width < LINE_SIZE ? width : 80;
}

typedef struct field {
    char text[48];
    bool shown;
} field;

/* Redraws the line "share [bar]  field  field". Fields that do not fit are omitted, starting with the first, which
 * is also omitted to make space for the bar. */
static void draw_bar(double share, field *fields, size_t count) {
    size_t width = terminal_width();
    width = (width < LINE_SIZE ? width : LINE_SIZE) - 1; /* some terminals wrap at the last column */
    char line[LINE_SIZE + 1];
    int start = snprintf(line, sizeof line, "%3d %%", (int)(100 * share));
    size_t used = start > 0 ? (size_t)start : 0;
    size_t needed = used;
    for (size_t i = 0; i < count; i++) {
        fields[i].shown = fields[i].text[0] != '\0';
        needed += fields[i].shown ? 2 + strlen(fields[i].text) : 0;
    }
    for (size_t i = 0; i < count; i++) {
        size_t wanted = needed + (i == 0 ? BAR_SPACE : 0);
        if (fields[i].shown && wanted > width) {
            fields[i].shown = false;
            needed -= 2 + strlen(fields[i].text);
        }
    }
    if (width >= needed + BAR_SPACE) {
        size_t room = width - needed - (BAR_SPACE - BAR_MIN), cells = room < BAR_MAX ? room : BAR_MAX;
        size_t full = (size_t)(share * (double)cells);
        line[used++] = ' ';
        line[used++] = '[';
        for (size_t i = 0; i < cells; i++)
            line[used++] = i < full ? '#' : '-';
        line[used++] = ']';
    }
    for (size_t i = 0; i < count; i++)
        if (fields[i].shown) {
            size_t length = strlen(fields[i].text);
            memcpy(line + used, "  ", 2);
            memcpy(line + used + 2, fields[i].text, length);
            used += 2 + length;
        }
    if (used > width)
        used = width;
    size_t erase = columns_in_use > used && columns_in_use <= width ? columns_in_use - used : 0;
    fprintf(stderr, "\r%.*s%*s", (int)used, line, (int)erase, "");
    fflush(stderr);
    columns_in_use = used;
}

/* Limits how often the bar is drawn, but always draws its last state. */
static bool is_due(progress *p, bool last) {
    double now = command_seconds();
    if (!last && now - p->drawn < REDRAW_SECONDS)
        return false;
    p->drawn = now;
    return true;
}

typedef struct train_state {
    double share, left; /* share of the steps done; seconds left */
    double rate;        /* sequences per second */
    double loss;
} train_state;

static train_state train_state_now(progress *p, const tally_progress *now) {
    size_t in_epoch = now->step % now->steps_an_epoch;
    double strings = now->epoch_done ? (double)p->train_size : (double)in_epoch * (double)p->batch;
    double all_strings = (double)now->epoch * (double)p->train_size + (now->epoch_done ? 0 : strings);
    double all_steps = (double)p->epochs * (double)now->steps_an_epoch;
    double elapsed = command_seconds() - p->started;
    return (train_state){.share = (double)now->step / all_steps,
                         .left = elapsed * (all_steps - (double)now->step) / (double)(now->step - p->first_step),
                         .rate = now->seconds > 0 ? all_strings / now->seconds : 0,
                         .loss = now->epoch_loss / strings};
}

static void draw_train(progress *p, const tally_progress *now) {
    train_state s = train_state_now(p, now);
    enum { EPOCH, RATE, ERROR, LOSS, LEFT, NAME, FIELDS };
    field fields[FIELDS] = {0};
    snprintf(fields[NAME].text, sizeof fields[NAME].text, "%s", p->name != NULL ? p->name : "");
    snprintf(fields[EPOCH].text, sizeof fields[EPOCH].text, "epoch %zu/%zu", now->epoch, p->epochs);
    snprintf(fields[RATE].text, sizeof fields[RATE].text, "%s %s/s", format_whole((uint64_t)s.rate).text,
             p->words->many);
    if (!isnan(p->error))
        snprintf(fields[ERROR].text, sizeof fields[ERROR].text, "error %.1f %%", 100 * p->error);
    snprintf(fields[LOSS].text, sizeof fields[LOSS].text, "loss %.3g", s.loss);
    snprintf(fields[LEFT].text, sizeof fields[LEFT].text, "%s left", format_duration(s.left).text);
    draw_bar(s.share, fields, FIELDS);
}

static void print_train_line(progress *p, const tally_progress *now) {
    train_state s = train_state_now(p, now);
    fprintf(stderr, "%s%sepoch %zu of %zu: loss %.4g %s %s, ", p->name != NULL ? p->name : "",
            p->name != NULL ? ": " : "", now->epoch, p->epochs, s.loss, p->words->article, p->words->one);
    if (!isnan(p->error))
        fprintf(stderr, "error %.4g %% of a sample, ", 100 * p->error);
    fprintf(stderr, "%s %s/s, %s left\n", format_whole((uint64_t)s.rate).text, p->words->many,
            format_duration(s.left).text);
}

void progress_train_step(progress *p, const tally_progress *now) {
    if (p->kind == PROGRESS_LINES && now->epoch_done) {
        size_t tenths = tenths_of(p, now->epoch);
        if (tenths == p->tenths)
            return;
        p->tenths = tenths;
        test_sample(p, now->epoch);
        print_train_line(p, now);
    } else if (p->kind == PROGRESS_BAR) {
        bool enough_epochs = p->sampled_epoch == 0 || now->epoch - p->sampled_epoch >= p->epochs / 50;
        if (now->epoch_done && enough_epochs && p->sampling <= SAMPLING_SHARE * (command_seconds() - p->started))
            test_sample(p, now->epoch);
        if (is_due(p, now->epoch_done && now->epoch == p->epochs))
            draw_train(p, now);
    }
}

void progress_test(progress *p, const task_words *words, size_t sequences) {
    progress_end();
    p->words = words;
    p->tests = sequences;
}

void progress_test_step(progress *p, const tally_progress *now) {
    if (p->kind != PROGRESS_BAR || !is_due(p, now->step == p->tests))
        return;
    field tested = {0};
    snprintf(tested.text, sizeof tested.text, "tested %s %s", format_whole(now->step).text, p->words->many);
    draw_bar((double)now->step / (double)p->tests, &tested, 1);
}

void progress_parity(progress *p, const char *device, const char *route, size_t checks) {
    progress_end();
    p->device = device;
    p->route = route;
    p->checks = checks;
}

void progress_parity_step(progress *p, size_t done, const tally_parity_line *line) {
    if (p->kind != PROGRESS_BAR || !is_due(p, done == p->checks))
        return;
    enum { CASES, OPERATION, WHERE, FIELDS };
    field fields[FIELDS] = {0};
    snprintf(fields[CASES].text, sizeof fields[CASES].text, "%s cases", format_whole(line->cases).text);
    snprintf(fields[OPERATION].text, sizeof fields[OPERATION].text, "%s", line->operation);
    snprintf(fields[WHERE].text, sizeof fields[WHERE].text, "device %s, %s", p->device, p->route);
    draw_bar((double)done / (double)p->checks, fields, FIELDS);
}

void progress_bench(progress *p, const char *workload, const char *device, size_t measurements, size_t runs) {
    progress_end();
    p->workload = workload;
    p->device = device;
    p->measurements = measurements;
    p->runs = runs;
}

void progress_bench_step(progress *p, size_t measured, size_t runs) {
    if (p->kind != PROGRESS_BAR || !is_due(p, measured + 1 == p->measurements && runs == p->runs))
        return;
    enum { RUNS, WORKLOAD, WHERE, FIELDS };
    field fields[FIELDS] = {0};
    snprintf(fields[RUNS].text, sizeof fields[RUNS].text, "run %zu of %zu", runs < p->runs ? runs + 1 : runs, p->runs);
    snprintf(fields[WORKLOAD].text, sizeof fields[WORKLOAD].text, "%s", p->workload);
    snprintf(fields[WHERE].text, sizeof fields[WHERE].text, "device %.30s", p->device);
    double done = (double)measured + (double)runs / (double)p->runs;
    draw_bar(done / (double)p->measurements, fields, FIELDS);
}

void progress_end(void) {
    if (columns_in_use > 0)
        fputc('\n', stderr);
    columns_in_use = 0;
}
