#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "options.h"
#include "parity_report.h"
#include "progress.h"
#include "stop.h"
#include "suggest.h"

/* The strings of a training run are all different up to this many steps. */
enum { MAX_STEPS = 5000 };

typedef struct arguments {
    command_device device;
    tally_parity_options options;
    bool json;
} arguments;

static const command_help help = {
    .command = "parity",
    .usage = "tally parity [OPTION...]",
    .about = "Compares a device with the C path and with double precision: every operation in\n"
             "many shapes, and training runs of each cell. An OpenCL device is checked on\n"
             "both routes; the C path itself is held against its plainest form.\n"
             "Each operation is exact (the C path's bits in every case), within bound (other\n"
             "bits, as they may be through CLBlast or on a device whose arithmetic is within\n"
             "tolerance only, and no error above the bound that its arithmetic implies), or\n"
             "broken. The exit code is 8 if anything is broken.\n"
             "\n"
             "The table has the largest error, in units of the last place (ULP) and as a\n"
             "share of the bound, and the option that runs one case alone: the first that\n"
             "failed, or the one with the largest share. With --verbose that one is told in\n"
             "words. Failures are below the table, each with the command that repeats it.\n"
             "\n"
             "The JSON object has version, seed (a string: it may need 64 bits), steps,\n"
             "verdict (the worst; null if stopped) and devices, one for each device and\n"
             "route: selector, device, backend, route, arithmetic (exact, or why not),\n"
             "verdict, error (what it failed with, or null), repeat (the command that runs\n"
             "what it failed in again, or null), seconds and checks. Each check has\n"
             "operation, verdict, cases, left_out (cases too large for a device this slow),\n"
             "fallbacks (operations the C path executed for the device), worst_ulp,\n"
             "worst_share, worst_case, worst (that case in words), failure (the first, or\n"
             "null), note (or null) and repeat (the command that runs one case alone).",
    .examples = "  tally parity\n"
                "  tally parity --device all --json\n"
                "  tally parity --device 0:0 --route exact --op gemm/37 --verbose",
};

/* The state of one invocation; run is the current run. */
typedef struct session {
    const arguments *arguments;
    parity_report report;
    parity_run *runs;
    size_t checks; /* per run */
    progress progress;
    parity_run *run;
} session;

static bool watch_checks(void *context, const tally_parity_line *line, bool done) {
    session *s = context;
    parity_run *run = s->run;
    run->operation = line->operation;
    if (done && run->count < s->checks) {
        run->lines[run->count++] = *line;
        if (line->verdict > run->verdict)
            run->verdict = line->verdict;
    }
    progress_parity_step(&s->progress, run->count, line);
    return stop_signal() == 0;
}

/* TALLY_USAGE concerns the command line, not the device, and ends the command. TALLY_MEMORY does not: drivers report
 * it for other reasons, and the next device may need less. */
static bool is_misuse(tally_status status) {
    return status == TALLY_USAGE;
}

static void check_opened_device(session *s, tally_device *device) {
    parity_run *run = s->run;
    run->opened = true;
    run->device = *tally_device_get_info(device);
    snprintf(run->inexact, sizeof run->inexact, "%s", tally_device_inexact(device));
    double start = command_seconds();
    progress_parity(&s->progress, run->device.selector, command_routes[run->route], s->checks);
    tally_parity_verdict verdict = TALLY_PARITY_EXACT;
    tally_status status = tally_parity_run(device, &s->arguments->options, watch_checks, s, &verdict);
    progress_end();
    run->seconds = command_seconds() - start;
    run->status = status;
    run->stopped = status == TALLY_STOPPED;
    if (is_misuse(status)) {
        command_fail_library(status);
    } else if (status != TALLY_OK && status != TALLY_STOPPED) {
        run->verdict = TALLY_PARITY_BROKEN;
        snprintf(run->error, sizeof run->error, "%s", tally_error_text());
        command_fail((int)status, "%s, route %s: %s", run->device.selector, command_routes[run->route], run->error);
    }
}

/* One run. listed describes a device from the list; NULL if the device is not known yet, in which case failing to
 * open it is an error. */
static int check_route(session *s, const char *selector, tally_route route, const tally_device_info *listed) {
    if (stop_signal() != 0) {
        s->report.stopped = true;
        return TALLY_OK;
    }
    command_device wanted = s->arguments->device;
    wanted.selector = selector;
    wanted.route = route;
    tally_device *device;
    int result = command_open_device(&wanted, &device);
    if (result != TALLY_OK && listed == NULL)
        return result;
    s->run = &s->runs[s->report.count++];
    *s->run = (parity_run){.route = route, .verdict = TALLY_PARITY_EXACT};
    if (result == TALLY_OK) {
        s->run->lines = calloc(s->checks, sizeof *s->run->lines);
        if (s->run->lines != NULL)
            check_opened_device(s, device);
        tally_device_close(device);
        if (s->run->lines == NULL)
            return command_fail(TALLY_MEMORY, "no memory left for the checks' results");
    } else {
        s->run->device = *listed;
        s->run->verdict = TALLY_PARITY_BROKEN;
        snprintf(s->run->error, sizeof s->run->error, "%s", tally_error_text());
    }
    if (is_misuse(s->run->status))
        return (int)s->run->status;
    s->report.stopped = s->run->stopped;
    if (!s->arguments->json)
        parity_report_run(&s->report, s->run);
    return s->arguments->json ? TALLY_OK : command_flush();
}

static int check_device(session *s, const char *selector, const tally_device_info *listed) {
    tally_route wanted = s->arguments->device.route;
    tally_route first = wanted == TALLY_ROUTE_CLBLAST ? TALLY_ROUTE_CLBLAST : TALLY_ROUTE_EXACT;
    int result = check_route(s, selector, first, listed);
    if (result != TALLY_OK || wanted != TALLY_ROUTE_AUTO || s->report.stopped)
        return result;
    const tally_device_info *device = &s->run->device;
    if (strcmp(device->backend, "cpu") == 0)
        return TALLY_OK;
    return check_route(s, device->selector, TALLY_ROUTE_CLBLAST, device);
}

static int check_all(session *s, const tally_device_list *list) {
    bool clblast = s->arguments->device.route == TALLY_ROUTE_CLBLAST;
    if (clblast && list->count == 1)
        return command_fail(TALLY_DEVICE, "no device for route clblast: %s", list->opencl_note);
    for (size_t d = clblast ? 1 : 0; d < list->count && !s->report.stopped; d++) {
        int result = check_device(s, list->devices[d].selector, &list->devices[d]);
        if (result != TALLY_OK)
            return result;
    }
    if (list->opencl_note[0] != '\0' && !s->arguments->json)
        printf("\nNo OpenCL device: %s\n", list->opencl_note);
    return TALLY_OK;
}

static int conclude_parity(const session *s) {
    if (s->arguments->json) {
        int printed = parity_report_json(&s->report);
        if (printed != TALLY_OK)
            return printed;
    } else if (s->report.count > 1) {
        parity_report_summary(&s->report);
    }
    if (s->report.stopped)
        return 128 + stop_signal();
    for (size_t i = 0; i < s->report.count; i++)
        if (s->runs[i].verdict == TALLY_PARITY_BROKEN)
            return TALLY_PARITY;
    return TALLY_OK;
}

static size_t count_checks(void) {
    size_t count = 0;
    while (tally_parity_operations()[count] != NULL)
        count++;
    return count;
}

static int run_parity(const arguments *a) {
    bool all = strcmp(a->device.selector, "all") == 0;
    tally_device_list list = {.count = 1};
    if (all) {
        tally_status status = tally_device_list_new(&list);
        if (status != TALLY_OK)
            return command_fail_library(status);
    }
    session s = {.arguments = a,
                 .report = {.options = a->options, .verbose = a->device.verbose},
                 .checks = a->options.operation != NULL ? 1 : count_checks()};
    int result = TALLY_OK;
    s.runs = calloc(2 * list.count, sizeof *s.runs); /* one per route */
    if (s.runs == NULL) {
        result = command_fail(TALLY_MEMORY, "no memory left for the results");
    } else {
        s.report.runs = s.runs;
        stop_catch();
        progress_start(&s.progress, false);
        result = all ? check_all(&s, &list) : check_device(&s, a->device.selector, NULL);
        if (result == TALLY_OK)
            result = conclude_parity(&s);
    }
    for (size_t i = 0; i < s.report.count; i++)
        free(s.runs[i].lines);
    free(s.runs);
    if (all)
        tally_device_list_free(&list);
    return result;
}

/* Checks the name before any device is opened. The library checks the case's number. */
static int check_name(const char *operation) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(operation, "/"), operation);
    suggest near;
    suggest_start(&near, name);
    for (const char *const *known = tally_parity_operations(); *known != NULL; known++) {
        if (strcmp(name, *known) == 0)
            return TALLY_OK;
        suggest_offer(&near, *known);
    }
    if (near.nearest != NULL)
        return command_misused(help.command, "option --op: no operation '%s'; did you mean %s?", name, near.nearest);
    return command_misused(help.command, "option --op: no operation '%s'", name);
}

/* The help text of --op. */
static void describe_operations(char *to, size_t size) {
    size_t used =
        (size_t)snprintf(to, size, "one operation only, or with /N behind its name only case N of it; there are");
    for (const char *const *name = tally_parity_operations(); *name != NULL && used < size; name++)
        used += (size_t)snprintf(to + used, size - used, " %s%s", *name, name[1] != NULL ? "," : "");
}

int command_parity(int argc, char **argv) {
    arguments a = {.device = {.selector = "auto"}, .options = tally_parity_defaults()};
    char operations[480];
    describe_operations(operations, sizeof operations);
    const tally_setting options[] = {
        {.option = "device",
         .metavar = "D",
         .help = "what to check: all, " COMMAND_SELECTORS,
         TALLY_TEXT_AT(arguments, device.selector)},
        {.option = "route",
         .metavar = "R",
         .help =
             "who does matrix products on OpenCL, tally's own kernels or CLBlast; auto is both, one after the other",
         TALLY_CHOICE_AT(arguments, device.route, command_routes)},
        {.option = "op",
         .metavar = "NAME",
         .help = operations,
         .fallback = "",
         TALLY_TEXT_AT(arguments, options.operation)},
        {.option = "seed",
         .metavar = "N",
         .help = "of all values and shapes; a case is the same wherever seed and number are",
         TALLY_WHOLE_AT(arguments, options.seed, 0, UINT64_MAX)},
        {.option = "steps",
         .metavar = "N",
         .help = "steps of each training run",
         TALLY_SIZE_AT(arguments, options.steps, 1, MAX_STEPS)},
        {.option = "exhaustive",
         .help = "exp, log, sigmoid and tanh of every float there is, which takes minutes",
         TALLY_FLAG_AT(arguments, options.exhaustive)},
        OPTION_JSON(arguments, json),
        {.option = "verbose",
         .help = "add the worst cases in words, and say on stderr what was opened",
         TALLY_FLAG_AT(arguments, device.verbose)},
        {.option = NULL},
    };
    int operands;
    int parsed = options_parse(options, &a, &help, argc, argv, &operands);
    if (parsed != TALLY_OK)
        return parsed < 0 ? TALLY_OK : parsed;
    if (operands > 0)
        return command_misused(help.command, "unexpected argument '%s': the command takes only options", argv[0]);
    if (a.options.operation != NULL && check_name(a.options.operation) != TALLY_OK)
        return TALLY_USAGE;
    a.device.quiet = a.json;
    return run_parity(&a);
}
