#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_report.h"
#include "format.h"
#include "options.h"
#include "progress.h"
#include "stop.h"
#include "suggest.h"

typedef struct arguments {
    const char *workload;
    command_device device;
    uint64_t repeat;
    int format; /* a bench_format */
    const char *compare;
    bool sweep;
} arguments;

static const char COMMAND[] = "bench";

static const char about[] = "count trains on the counting experiment's strings, and score tests its model on\n"
                            "the other strings. The others train on random numbers: rows has the shape of an\n"
                            "image read row by row, pixels of one read pixel by pixel, and deep is for much\n"
                            "arithmetic. Where steps are a range, the lengths of a batch's sequences cycle\n"
                            "through it: the first sequence has the fewest steps, each next one a step more,\n"
                            "and after the longest one comes a shortest one again.\n"
                            "\n"
                            "A step is forward, loss, backward and Adam on a batch that is in memory; of\n"
                            "score, it is every string once. After at least two steps and 0.2 s to warm up,\n"
                            "each run is as many steps as take about 0.5 s; shown are the median of the runs,\n"
                            "and their spread, (largest - smallest) / median. GFLOP/s are those of the matrix\n"
                            "products, a multiplication and an addition being two: of I inputs, H hidden, C\n"
                            "classes and a cell whose weights have W H rows (W is 4 for lstm, 3 for gru, 1\n"
                            "for rnn), a sequence of T steps takes 2 W H (I + H) T a layer forward, with 2 H\n"
                            "C for the linear layer, and twice that backward but for the gradient of the\n"
                            "first layer's inputs (2 W H I T), which nobody needs. 'peak' is their share of\n"
                            "what the device does in a short loop of fused multiply-adds in registers,\n"
                            "measured beside it. 'MiB' is the most memory of the process, a GPU's own not\n"
                            "counted; 'first s' is from opening the device to the end of the first step, with\n"
                            "what drivers compile.\n"
                            "\n"
                            "The weights after a fixed number of steps are digested: on the exact route they\n"
                            "are the same on every device and with any number of threads. If they are not,\n"
                            "among the devices or beside --compare FILE of this version, the exit code is 8.\n"
                            "\n"
                            "JSON is a list of objects, CSV has their keys as its header: version, workload,\n"
                            "device, selector, backend, platform, route, arithmetic (exact, or why not),\n"
                            "threads, cell, layers, hidden, inputs, shortest (steps of the shortest\n"
                            "sequence), steps, classes, batch, dropout, repeat, steps_a_run, ms_per_step,\n"
                            "spread, gflops, peak_gflops, share, memory_mib, first_step_seconds,\n"
                            "sequences_per_second, fallbacks (operations the C path executed for the device),\n"
                            "weights_after_steps, weights_sha256 and mistakes (of score, or null); with\n"
                            "--compare also old_ms_per_step, old_over_new (both null where FILE has no such\n"
                            "workload, device and route) and weights_as_old (equal, different, or null).";

static const char examples[] = "  tally bench --device all\n"
                               "  tally bench --workload count --device cpu --threads 1 --format json > old.json\n"
                               "  tally bench --workload count --device cpu --compare old.json\n"
                               "  tally bench --sweep";

/* The state of one invocation. */
typedef struct session {
    const arguments *arguments;
    const workload *list;
    size_t workloads;
    tally_device_list devices;
    const char **selectors;
    size_t selector_count;
    bench_line *lines;
    bench_report report;
    progress progress;
    size_t begun; /* measurements begun, the current one included */
    int failed;   /* the status of the first device that failed while others went on */
} session;

static bool watch_runs(void *context, size_t runs) {
    session *s = context;
    progress_bench_step(&s->progress, s->begun - 1, runs);
    return stop_signal() == 0;
}

static int measure_on_device(session *s, const workload *w, const char *selector) {
    command_device wanted = s->arguments->device;
    wanted.selector = selector;
    s->begun++;
    progress_bench(&s->progress, w->name, selector, s->workloads * s->selector_count, s->arguments->repeat);
    const bench_watch with = {.go_on = watch_runs, .context = s};
    bench_line *line = &s->lines[s->report.count];
    int result = bench_measure(w, &wanted, (size_t)s->arguments->repeat, &with, line);
    progress_end();
    if (result != TALLY_OK)
        return result;
    s->report.count++;
    return bench_report_line(&s->report);
}

/* Measures every workload on every device. A device that fails is skipped if there are several. */
static int measure_all(session *s) {
    for (size_t w = 0; w < s->workloads; w++)
        for (size_t d = 0; d < s->selector_count; d++) {
            int result = measure_on_device(s, &s->list[w], s->selectors[d]);
            if (result != TALLY_OK && (result != TALLY_DEVICE || s->selector_count == 1))
                return result;
            if (s->failed == TALLY_OK)
                s->failed = result;
            if (stop_signal() != 0)
                return TALLY_STOPPED;
        }
    return TALLY_OK;
}

static int conclude_bench(session *s, int result) {
    int printed = bench_report_end(&s->report);
    if (result == TALLY_STOPPED)
        return 128 + stop_signal();
    if (result != TALLY_OK || printed != TALLY_OK)
        return result != TALLY_OK ? result : printed;
    if (s->failed != TALLY_OK)
        return s->failed;
    if (bench_report_differs(&s->report))
        return command_fail(TALLY_PARITY, "weights differ where they must be the same");
    return TALLY_OK;
}

/* The devices for --device; with all, those that have the requested route. */
static int find_devices(session *s) {
    const command_device *wanted = &s->arguments->device;
    bool all = strcmp(wanted->selector, "all") == 0, clblast = wanted->route == TALLY_ROUTE_CLBLAST;
    if (all) {
        tally_status status = tally_device_list_new(&s->devices);
        if (status != TALLY_OK)
            return command_fail_library(status);
        if (clblast && s->devices.count == 1)
            return command_fail(TALLY_DEVICE, "no device for route clblast: %s", s->devices.opencl_note);
    }
    s->selectors = calloc(all ? s->devices.count : 1, sizeof *s->selectors);
    if (s->selectors == NULL)
        return command_fail(TALLY_MEMORY, "no memory left for the devices");
    for (size_t d = clblast ? 1 : 0; d < s->devices.count; d++)
        s->selectors[s->selector_count++] = s->devices.devices[d].selector;
    if (!all)
        s->selectors[s->selector_count++] = wanted->selector;
    return TALLY_OK;
}

static int run_bench(const arguments *a, const workload *list, size_t count, const json_t *old) {
    session s = {.arguments = a, .list = list, .workloads = count};
    int result = find_devices(&s);
    if (result == TALLY_OK) {
        s.lines = calloc(count * s.selector_count, sizeof *s.lines);
        if (s.lines == NULL)
            result = command_fail(TALLY_MEMORY, "no memory left for the results");
    }
    if (result == TALLY_OK) {
        s.report = (bench_report){.format = (bench_format)a->format, .old = old, .sweep = a->sweep, .lines = s.lines};
        stop_catch();
        progress_start(&s.progress, false);
        result = conclude_bench(&s, measure_all(&s));
    }
    free(s.lines);
    free(s.selectors);
    tally_device_list_free(&s.devices);
    return result;
}

/* The shape of count with one size at a time doubled, on random data: there are too many strings of 80 bits. */
enum { SWEEP_MOST = 16 };

static size_t list_sweep(workload list[SWEEP_MOST]) {
    const struct {
        const char *name;
        size_t offset, first, last;
    } sizes[] = {{"batch", offsetof(workload, batch), 125, 4000},
                 {"length", offsetof(workload, steps), 10, 80},
                 {"hidden", offsetof(workload, hidden), 12, 192}};
    size_t count = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (size_t size = sizes[i].first; size <= sizes[i].last; size *= 2) {
            workload *w = &list[count++];
            *w = workloads[0];
            w->kind = WORKLOAD_MADE;
            snprintf(w->name, sizeof w->name, "%s %zu", sizes[i].name, size);
            memcpy((char *)w + sizes[i].offset, &size, sizeof size);
            w->shortest = w->steps;
        }
    return count;
}

static int unknown_workload(const char *name) {
    suggest near;
    suggest_start(&near, name);
    suggest_offer(&near, "all");
    for (size_t i = 0; i < WORKLOADS; i++)
        suggest_offer(&near, workloads[i].name);
    if (near.nearest != NULL)
        return command_misused(COMMAND, "option --workload: no workload '%s'; did you mean %s?", name, near.nearest);
    return command_misused(COMMAND, "option --workload: no workload '%s'", name);
}

static int run_chosen_workloads(const arguments *a, const json_t *old) {
    workload sweep[SWEEP_MOST];
    if (a->sweep)
        return run_bench(a, sweep, list_sweep(sweep), old);
    if (strcmp(a->workload, "all") == 0)
        return run_bench(a, workloads, WORKLOADS, old);
    return run_bench(a, workload_find(a->workload), 1, old);
}

/* The time steps of a workload's sequences: "28", or "7-28". */
static void describe_steps(const workload *w, char *to, size_t size) {
    if (w->shortest < w->steps)
        snprintf(to, size, "%zu-%zu", w->shortest, w->steps);
    else
        snprintf(to, size, "%zu", w->steps);
}

/* The help text: the table of workloads, then about. */
static void describe_workloads(char *to, size_t size) {
    size_t used = (size_t)snprintf(to, size,
                                   "Measures how fast training and testing are, with workloads of fixed shapes:\n\n"
                                   "  %-12s  %-4s  %6s  %6s  %6s  %5s  %7s %9s  %7s\n",
                                   "", "cell", "layers", "hidden", "inputs", "steps", "classes", "batch", "dropout");
    for (size_t i = 0; i < WORKLOADS && used < size; i++) {
        const workload *w = &workloads[i];
        char steps[48];
        describe_steps(w, steps, sizeof steps);
        used += (size_t)snprintf(to + used, size - used, "  %-12s  %-4s  %6zu  %6zu  %6zu  %5s  %7zu %9s  %7g\n",
                                 w->name, tally_cell_name(w->cell), w->layers, w->hidden, w->inputs, steps, w->classes,
                                 format_whole(w->batch).text, w->dropout);
    }
    if (used < size)
        snprintf(to + used, size - used, "\n%s", about);
}

int command_bench(int argc, char **argv) {
    arguments a = {.workload = "all", .device = {.selector = "auto"}, .repeat = 5};
    char described[6144];
    describe_workloads(described, sizeof described);
    const command_help help = {
        .command = COMMAND, .usage = "tally bench [OPTION...]", .about = described, .examples = examples};
    static const tally_setting options[] = {
        {.option = "workload",
         .metavar = "NAME",
         .help = "what to measure: all, or one of the table above",
         TALLY_TEXT_AT(arguments, workload)},
        {.option = "device",
         .metavar = "D",
         .help = "where: all, " COMMAND_SELECTORS,
         TALLY_TEXT_AT(arguments, device.selector)},
        OPTION_ROUTE(arguments, device.route),
        OPTION_THREADS(arguments, device.threads),
        {.option = "repeat",
         .metavar = "N",
         .help = "runs, of which the median is taken",
         TALLY_WHOLE_AT(arguments, repeat, 1, BENCH_MAX_REPEAT)},
        {.option = "format",
         .metavar = "F",
         .help = "how to print it",
         TALLY_CHOICE_AT(arguments, format, bench_formats)},
        {.option = "compare",
         .metavar = "FILE",
         .help = "show old / new beside an earlier run's JSON, and whether the weights are the same",
         .fallback = "",
         TALLY_TEXT_AT(arguments, compare)},
        {.option = "sweep",
         .help = "instead of the workloads, the shape of count with batch 125 to 4000, length 10 to 80 and hidden 12 "
                 "to 192, one size at a time doubled: whether time is in proportion to the work, and memory bounded",
         TALLY_FLAG_AT(arguments, sweep)},
        OPTION_VERBOSE(arguments, device.verbose),
        {.option = NULL},
    };
    int operands;
    int parsed = options_parse(options, &a, &help, argc, argv, &operands);
    if (parsed != TALLY_OK)
        return parsed < 0 ? TALLY_OK : parsed;
    if (operands > 0)
        return command_misused(COMMAND, "unexpected argument '%s': the command takes only options", argv[0]);
    if (strcmp(a.workload, "all") != 0 && workload_find(a.workload) == NULL)
        return unknown_workload(a.workload);
    if (a.sweep && strcmp(a.workload, "all") != 0 && strcmp(a.workload, "count") != 0)
        return command_misused(COMMAND, "option --sweep: its shapes are count's, not those of %s", a.workload);
    a.device.quiet = a.format != BENCH_TABLE;
    json_t *old = NULL;
    if (a.compare != NULL) {
        int loaded = bench_compare_load(a.compare, &old);
        if (loaded != TALLY_OK)
            return loaded;
    }
    int result = run_chosen_workloads(&a, old);
    json_decref(old);
    return result;
}
