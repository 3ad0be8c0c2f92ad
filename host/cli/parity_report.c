#include "parity_report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "format.h"
#include "report.h"

enum { WIDTH = 120 };

typedef struct text {
    char text[2048];
} text;

static const char *const verdict_names[] = {
    [TALLY_PARITY_EXACT] = "exact", [TALLY_PARITY_WITHIN_BOUND] = "within bound", [TALLY_PARITY_BROKEN] = "broken"};

static const char *verdict_cell(tally_parity_verdict verdict) {
    return verdict == TALLY_PARITY_BROKEN ? "BROKEN" : verdict_names[verdict];
}

static formatted ulp_cell(double ulp) {
    if (ulp >= 100 && ulp < 1e6)
        return format_whole((uint64_t)(ulp + 0.5));
    formatted f;
    const char *format = ulp == 0 ? "%.0f" : ulp < 0.01 ? "<0.01" : ulp < 100 ? "%.2f" : "%.1e";
    snprintf(f.text, sizeof f.text, format, ulp);
    return f;
}

static formatted share_cell(double share) {
    formatted f;
    double percent = 100 * share;
    const char *format = percent == 0 ? "0 %%" : percent < 0.1 ? "<0.1 %%" : percent < 1e5 ? "%.1f %%" : "%.1e %%";
    snprintf(f.text, sizeof f.text, format, percent);
    return f;
}

/* The --op value for the failed case, which the failure's text begins with, or else for the worst case. Training
 * runs have no single case, since theirs are steps. */
static text case_name(const tally_parity_line *line) {
    text name;
    size_t length = strlen(line->operation);
    bool failed = strncmp(line->failure, line->operation, length) == 0 && line->failure[length] == '/';
    size_t number = failed ? (size_t)strtoull(line->failure + length + 1, NULL, 10) : line->worst_case;
    if (strcmp(line->operation, "training") == 0 || line->cases == 0)
        snprintf(name.text, sizeof name.text, "%s", line->operation);
    else
        snprintf(name.text, sizeof name.text, "%s/%zu", line->operation, number);
    return name;
}

__attribute__((format(printf, 2, 3))) static void add(text *t, const char *format, ...) {
    size_t used = strlen(t->text);
    va_list args;
    va_start(args, format);
    vsnprintf(t->text + used, sizeof t->text - used, format, args);
    va_end(args);
}

/* The command that runs the named case or check again, or every check if there is no name. */
static text repeat_command(const parity_report *r, const parity_run *run, const char *name) {
    text command = {""};
    tally_parity_options usual = tally_parity_defaults();
    add(&command, "tally parity --device %s --route %s", run->device.selector, command_routes[run->route]);
    if (name != NULL)
        add(&command, " --op %s", name);
    add(&command, " --seed %llu", (unsigned long long)r->options.seed);
    if (r->options.steps != usual.steps)
        add(&command, " --steps %zu", r->options.steps);
    return command;
}

static text repeat_case(const parity_report *r, const parity_run *run, const tally_parity_line *line) {
    return repeat_command(r, run, case_name(line).text);
}

/* The command for a run that ended with an error: the case that the error's text begins with, or else the check. */
static text repeat_error(const parity_report *r, const parity_run *run) {
    if (run->operation == NULL)
        return repeat_command(r, run, r->options.operation);
    text name = {""};
    size_t length = strlen(run->operation);
    bool of_case = strncmp(run->error, run->operation, length) == 0 && run->error[length] == '/';
    add(&name, "%.*s", of_case ? (int)strcspn(run->error, ",") : (int)length, of_case ? run->error : run->operation);
    return repeat_command(r, run, name.text);
}

/* Whether the device was opened and then failed. */
static bool has_failed(const parity_run *run) {
    return run->opened && run->error[0] != '\0';
}

typedef struct totals {
    size_t broken, cases, left_out, fallbacks;
} totals;

static totals totals_of(const parity_run *run) {
    totals t = {0};
    for (size_t i = 0; i < run->count; i++) {
        t.broken += run->lines[i].verdict == TALLY_PARITY_BROKEN;
        t.cases += run->lines[i].cases;
        t.left_out += run->lines[i].left_out;
        t.fallbacks += run->lines[i].fallbacks;
    }
    return t;
}

/* "1 case", "1,200 cases" */
static text counted(size_t count, const char *one) {
    text t;
    snprintf(t.text, sizeof t.text, "%s %s%s", format_whole(count).text, one, count == 1 ? "" : "s");
    return t;
}

/* A device that did not complete its checks has a verdict only if it is already broken. */
static bool has_verdict(const parity_run *run) {
    return !run->stopped || run->verdict == TALLY_PARITY_BROKEN;
}

/* in_full: include the text of a device error. */
static text verdict_of(const parity_report *r, const parity_run *run, bool in_full) {
    totals t = totals_of(run);
    text v = {""};
    bool clblast = run->route == TALLY_ROUTE_CLBLAST;
    if (!has_verdict(run))
        add(&v, "none");
    else if (run->verdict == TALLY_PARITY_BROKEN)
        add(&v, "BROKEN: ");
    else if (run->verdict == TALLY_PARITY_EXACT)
        add(&v, "exact: the C path's bits in %s",
            r->options.operation != NULL ? r->options.operation : "every operation");
    else if (run->inexact[0] == '\0')
        add(&v, "within bounds%s", clblast ? " (CLBlast)" : "");
    else
        add(&v, "within tolerance%s: %s", clblast ? " (CLBlast)" : "", run->inexact);
    if (t.broken > 0)
        add(&v, "%zu of %s", t.broken, counted(run->count, "operation").text);
    if (run->error[0] != '\0') {
        add(&v, "%s", t.broken > 0 ? "; " : "");
        if (run->opened && run->operation == NULL)
            add(&v, "it failed before the first operation");
        else if (run->opened)
            add(&v, "it failed in %s", run->operation);
        else
            add(&v, "it cannot be opened");
        if (in_full)
            add(&v, ": %s", run->error);
    }
    if (run->stopped)
        add(&v, "; stopped after %s", counted(run->count, "operation").text);
    if (t.left_out > 0)
        add(&v, "; %s left out", counted(t.left_out, "case").text);
    if (t.fallbacks > 0)
        add(&v, "; %s done by the C path", counted(t.fallbacks, "operation").text);
    return v;
}

static void print_table(const parity_report *r, const parity_run *run) {
    int width = (int)strlen("operation");
    for (size_t i = 0; i < run->count; i++)
        if ((int)strlen(run->lines[i].operation) > width)
            width = (int)strlen(run->lines[i].operation);
    printf("\n%-*s  verdict        cases  worst ULP   of bound  repeat with\n", width, "operation");
    for (size_t i = 0; i < run->count; i++) {
        const tally_parity_line *line = &run->lines[i];
        printf("%-*s  %-12s %7s  %9s  %9s  --op %s\n", width, line->operation, verdict_cell(line->verdict),
               format_whole(line->cases).text, ulp_cell(line->worst_ulp).text, share_cell(line->worst_share).text,
               case_name(line).text);
        if (!r->verbose)
            continue;
        /* otherwise the failed case is described below the table */
        if (line->failure[0] == '\0' && line->worst[0] != '\0')
            printf("%*s  %s\n", width, "", line->worst);
        if (line->left_out > 0)
            printf("%*s  left out, too large for a device this slow: %s\n", width, "",
                   format_whole(line->left_out).text);
        if (line->fallbacks > 0)
            printf("%*s  executed by the C path for the device: %s\n", width, "", format_whole(line->fallbacks).text);
    }
}

/* Prints each note once, although several consecutive lines may have it. */
static void print_notes(const parity_run *run) {
    bool any = false;
    for (size_t i = 0, end; i < run->count; i = end) {
        const tally_parity_line *line = &run->lines[i];
        for (end = i + 1; end < run->count && strcmp(run->lines[end].note, line->note) == 0;)
            end++;
        if (line->note[0] == '\0')
            continue;
        const char *to = end > i + 1 ? " to " : "", *last = end > i + 1 ? run->lines[end - 1].operation : "";
        int indent = printf("%s%s%s%s: ", any ? "" : "\n", line->operation, to, last) - !any;
        format_print_wrapped(line->note, indent, WIDTH);
        any = true;
    }
}

static void print_failures(const parity_report *r, const parity_run *run) {
    for (size_t i = 0; i < run->count; i++) {
        const tally_parity_line *line = &run->lines[i];
        if (line->verdict != TALLY_PARITY_BROKEN)
            continue;
        int indent = printf("\nBROKEN  ") - 1;
        format_print_wrapped(line->failure, indent, WIDTH);
        printf("%*s%s\n", indent, "", repeat_case(r, run, line).text);
    }
}

void parity_report_run(const parity_report *r, const parity_run *run) {
    if (run != r->runs)
        putchar('\n');
    printf("Device       %s (%s), %s, route: %s\n", run->device.selector, run->device.backend, run->device.name,
           command_routes[run->route]);
    if (run->opened)
        printf("Arithmetic   %s%s\n", run->inexact[0] != '\0' ? "within tolerance: " : "exact", run->inexact);
    if (run->opened)
        printf("Checked      %s in %.1f s, seed %llu\n", counted(totals_of(run).cases, "case").text, run->seconds,
               (unsigned long long)r->options.seed);
    if (run->count > 0)
        print_table(r, run);
    print_notes(run);
    print_failures(r, run);
    int indent = printf("\nVerdict      ") - 1;
    format_print_wrapped(verdict_of(r, run, true).text, indent, WIDTH);
    if (has_failed(run))
        printf("%*s%s\n", indent, "", repeat_error(r, run).text);
}

void parity_report_summary(const parity_report *r) {
    int width = (int)strlen("device");
    for (size_t i = 0; i < r->count; i++)
        if ((int)strlen(r->runs[i].device.selector) > width)
            width = (int)strlen(r->runs[i].device.selector);
    printf("\n%-*s  route    verdict\n", width, "device");
    for (size_t i = 0; i < r->count; i++) {
        int indent = printf("%-*s  %-7s  ", width, r->runs[i].device.selector, command_routes[r->runs[i].route]);
        format_print_wrapped(verdict_of(r, &r->runs[i], false).text, indent, WIDTH);
    }
}

static json_t *text_or_null(const char *string) {
    return string[0] != '\0' ? value_json_text(string) : json_null();
}

static json_t *line_json(const parity_report *r, const parity_run *run, const tally_parity_line *line) {
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:o, s:o, s:I, s:o, s:o, s:o, s:s}", "operation", line->operation,
                     "verdict", verdict_names[line->verdict], "cases", (json_int_t)line->cases, "left_out",
                     (json_int_t)line->left_out, "fallbacks", (json_int_t)line->fallbacks, "worst_ulp",
                     value_json_real(line->worst_ulp), "worst_share", value_json_real(line->worst_share), "worst_case",
                     (json_int_t)line->worst_case, "worst", text_or_null(line->worst), "failure",
                     text_or_null(line->failure), "note", text_or_null(line->note), "repeat",
                     repeat_case(r, run, line).text);
}

static json_t *run_json(const parity_report *r, const parity_run *run) {
    json_t *checks = json_array();
    for (size_t i = 0; i < run->count; i++)
        if (json_array_append_new(checks, line_json(r, run, &run->lines[i])) != 0) {
            json_decref(checks);
            return NULL;
        }
    const char *error = run->stopped && run->error[0] == '\0' ? "interrupted" : run->error;
    const char *arithmetic = !run->opened ? "" : run->inexact[0] == '\0' ? "exact" : run->inexact;
    return json_pack("{s:s, s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:f, s:o}", "selector", run->device.selector, "device",
                     value_json_text(run->device.name), "backend", run->device.backend, "route",
                     command_routes[run->route], "arithmetic", text_or_null(arithmetic), "verdict",
                     text_or_null(has_verdict(run) ? verdict_names[run->verdict] : ""), "error", text_or_null(error),
                     "repeat", text_or_null(has_failed(run) ? repeat_error(r, run).text : ""), "seconds", run->seconds,
                     "checks", checks);
}

int parity_report_json(const parity_report *r) {
    tally_parity_verdict worst = TALLY_PARITY_EXACT;
    bool known = !r->stopped;
    json_t *devices = json_array();
    for (size_t i = 0; i < r->count; i++) {
        const parity_run *run = &r->runs[i];
        known = known && has_verdict(run);
        worst = run->verdict > worst ? run->verdict : worst;
        if (json_array_append_new(devices, run_json(r, run)) != 0) {
            json_decref(devices);
            return report_dump_json(NULL);
        }
    }
    uint64_t seed = r->options.seed;
    const tally_setting seed_setting = {.type = TALLY_SETTING_WHOLE, .most = UINT64_MAX};
    known = known || worst == TALLY_PARITY_BROKEN;
    return report_dump_json(json_pack("{s:s, s:o, s:I, s:o, s:o}", "version", tally_version(), "seed",
                                      value_json(&seed_setting, &seed), "steps", (json_int_t)r->options.steps,
                                      "devices", devices, "verdict", text_or_null(known ? verdict_names[worst] : "")));
}
