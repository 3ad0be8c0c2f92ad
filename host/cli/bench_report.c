#include "bench_report.h"

#include <stdio.h>
#include <string.h>

#include "format.h"
#include "report.h"

enum { WIDTH = 100 };

const char *const bench_formats[] = {[BENCH_TABLE] = "table", [BENCH_CSV] = "csv", [BENCH_JSON] = "json", NULL};

static double gflops(const bench_line *line) {
    return workload_flops(&line->workload) / line->ms_per_step * 1e-6;
}

static double share(const bench_line *line) {
    return line->peak > 0 ? 1e9 * gflops(line) / line->peak : 0;
}

static double sequences(const bench_line *line) {
    return 1e3 * (double)line->workload.batch / line->ms_per_step;
}

/* Formats a number with about four digits. */
static formatted number_cell(double number) {
    if (number >= 1000)
        return format_whole((uint64_t)(number + 0.5));
    formatted f;
    const char *format = number < 10 ? "%.3f" : number < 100 ? "%.2f" : "%.1f";
    snprintf(f.text, sizeof f.text, format, number);
    return f;
}

static formatted share_cell(double part) {
    formatted f;
    snprintf(f.text, sizeof f.text, "%.1f %%", 100 * part);
    return f;
}

static bool is_new_device(const bench_report *r, size_t i) {
    for (size_t j = 0; j < i; j++)
        if (strcmp(r->lines[j].device.selector, r->lines[i].device.selector) == 0)
            return false;
    return true;
}

/* A sweep shows the time per unit of work. */
static void print_row(const bench_report *r) {
    if (r->count == 1)
        printf("%-12s  %-6s  %-7s  %7s  %6s  %7s  %6s  %6s  %7s  %9s%s\n", r->sweep ? "sweep" : "workload", "device",
               "route", "ms/step", "spread", "GFLOP/s", "peak", "MiB", "first s", r->sweep ? "ms/GFLOP" : "seq/s",
               r->old != NULL ? "  old/new" : "");
    const bench_line *line = &r->lines[r->count - 1];
    printf("%-12s  %-6s  %-7s  %7s  %6s  %7s  %6s  %6.1f  %7.3f  %9s", line->workload.name, line->device.selector,
           command_routes[line->route], number_cell(line->ms_per_step).text, share_cell(line->spread).text,
           number_cell(gflops(line)).text, share_cell(share(line)).text, line->memory_mib, line->first_step_seconds,
           r->sweep ? number_cell(1e3 / gflops(line)).text : format_whole((uint64_t)sequences(line)).text);
    if (r->old != NULL) {
        double old = bench_compare_speed(r->old, line);
        printf("  %7s", old > 0 ? number_cell(old / line->ms_per_step).text : "-");
    }
    putchar('\n');
}

static void print_devices(const bench_report *r) {
    for (size_t i = 0; i < r->count; i++) {
        const bench_line *line = &r->lines[i];
        if (!is_new_device(r, i))
            continue;
        char text[640];
        int used = snprintf(text, sizeof text, "%s (%s), %s, %s, peak %.0f GFLOP/s", line->device.selector,
                            line->device.backend, line->device.name, line->device.platform, 1e-9 * line->peak);
        if (used > 0 && strcmp(line->device.backend, "cpu") == 0)
            used += snprintf(text + used, sizeof text - (size_t)used, ", threads: %u", line->threads);
        if (used > 0 && line->inexact[0] != '\0')
            snprintf(text + used, sizeof text - (size_t)used, "; within tolerance: %s", line->inexact);
        printf("Device     ");
        format_print_wrapped(text, (int)strlen("Device     "), WIDTH);
    }
}

/* The first line before line i that must have the same weights; NULL if there is none. */
static const bench_line *first_weights(const bench_report *r, size_t i) {
    const bench_line *line = &r->lines[i];
    for (size_t j = 0; j < i && bench_is_exact(line); j++)
        if (strcmp(r->lines[j].workload.name, line->workload.name) == 0 && bench_is_exact(&r->lines[j]))
            return &r->lines[j];
    return NULL;
}

static bool same_weights(const bench_line *a, const bench_line *b) {
    return strcmp(a->digest, b->digest) == 0 && a->mistakes == b->mistakes;
}

bool bench_report_differs(const bench_report *r) {
    for (size_t i = 0; i < r->count; i++) {
        const bench_line *line = &r->lines[i], *first = first_weights(r, i);
        if ((first != NULL && !same_weights(first, line)) || bench_compare_digests(r->old, line) == BENCH_DIFFERENT)
            return true;
    }
    return false;
}

/* Prints each workload's digest, as measured on its first exact line. */
static void print_digests(const bench_report *r) {
    char text[WORKLOADS * 48] = "";
    size_t used = 0, compared = 0;
    for (size_t i = 0; i < r->count && used < sizeof text; i++) {
        const bench_line *line = &r->lines[i], *first = first_weights(r, i);
        compared += first != NULL;
        if (first == NULL && bench_is_exact(line))
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %.8s", used > 0 ? ", " : "",
                                     line->workload.name, line->digest);
    }
    if (used == 0)
        return;
    printf("Weights    ");
    format_print_wrapped(text, (int)strlen("Weights    "), WIDTH);
    if (compared > 0 && !bench_report_differs(r))
        printf("           the same wherever arithmetic is exact\n");
}

/* Prints the weights that differ but should not, and the outcome of the comparison with the earlier run. */
static void print_comparison(const bench_report *r) {
    size_t equal = 0;
    for (size_t i = 0; i < r->count; i++) {
        const bench_line *line = &r->lines[i], *first = first_weights(r, i);
        bench_digests old = bench_compare_digests(r->old, line);
        equal += old == BENCH_EQUAL;
        if (first != NULL && !same_weights(first, line))
            printf("DIFFERENT  %s: weights %.8s on %s, %.8s on %s; mistakes %zu and %zu\n", line->workload.name,
                   first->digest, first->device.selector, line->digest, line->device.selector, first->mistakes,
                   line->mistakes);
        if (old == BENCH_DIFFERENT)
            printf("DIFFERENT  %s on %s: weights %.8s, or mistakes, are not those of the earlier run\n",
                   line->workload.name, line->device.selector, line->digest);
    }
    if (r->old != NULL)
        printf("Compared   weights are those of the earlier run in %zu of %zu measurements\n", equal, r->count);
}

static json_t *text_or_null(const char *text) {
    return text != NULL ? json_string(text) : json_null();
}

static bool add_comparison(const bench_report *r, const bench_line *line, json_t *object) {
    static const char *const names[] = {
        [BENCH_NOT_COMPARED] = NULL, [BENCH_EQUAL] = "equal", [BENCH_DIFFERENT] = "different"};
    double old = bench_compare_speed(r->old, line);
    return json_object_set_new(object, "old_ms_per_step", old > 0 ? json_real(old) : json_null()) == 0 &&
           json_object_set_new(object, "old_over_new", old > 0 ? json_real(old / line->ms_per_step) : json_null()) ==
               0 &&
           json_object_set_new(object, "weights_as_old", text_or_null(names[bench_compare_digests(r->old, line)])) == 0;
}

static json_t *line_json(const bench_report *r, const bench_line *line) {
    const workload *w = &line->workload;
    json_t *object = json_pack(
        "{s:s, s:s, s:o, s:s, s:s, s:o, s:s, s:s, s:i, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}", "version",
        tally_version(), "workload", w->name, "device", value_json_text(line->device.name), "selector",
        line->device.selector, "backend", line->device.backend, "platform", value_json_text(line->device.platform),
        "route", command_routes[line->route], "arithmetic", line->inexact[0] != '\0' ? line->inexact : "exact",
        "threads", (int)line->threads, "cell", tally_cell_name(w->cell), "layers", (json_int_t)w->layers, "hidden",
        (json_int_t)w->hidden, "inputs", (json_int_t)w->inputs, "shortest", (json_int_t)w->shortest, "steps",
        (json_int_t)w->steps, "classes", (json_int_t)w->classes, "batch", (json_int_t)w->batch, "dropout", w->dropout);
    json_t *measured = json_pack(
        "{s:I, s:I, s:f, s:f, s:f, s:o, s:o, s:f, s:f, s:f, s:I, s:I, s:s, s:o}", "repeat", (json_int_t)line->repeat,
        "steps_a_run", (json_int_t)line->steps_a_run, "ms_per_step", line->ms_per_step, "spread", line->spread,
        "gflops", gflops(line), "peak_gflops", value_json_real(1e-9 * line->peak), "share",
        value_json_real(share(line)), "memory_mib", line->memory_mib, "first_step_seconds", line->first_step_seconds,
        "sequences_per_second", sequences(line), "fallbacks", (json_int_t)line->fallbacks, "weights_after_steps",
        (json_int_t)w->digest, "weights_sha256", line->digest, "mistakes",
        w->kind == WORKLOAD_SCORE ? json_integer((json_int_t)line->mistakes) : json_null());
    bool built = object != NULL && measured != NULL && json_object_update(object, measured) == 0 &&
                 (r->old == NULL || add_comparison(r, line, object));
    json_decref(measured);
    if (built)
        return object;
    json_decref(object);
    return NULL;
}

/* Texts are quoted and their quotes doubled (RFC 4180). */
static void print_csv_field(const json_t *field) {
    if (json_is_string(field)) {
        putchar('"');
        for (const char *c = json_string_value(field); *c != '\0'; c++) {
            if (*c == '"')
                putchar('"');
            putchar(*c);
        }
        putchar('"');
    } else if (!json_is_null(field)) {
        json_dumpf(field, stdout, JSON_ENCODE_ANY);
    }
}

static int print_csv(const bench_report *r) {
    json_t *object = line_json(r, &r->lines[r->count - 1]), *field;
    if (object == NULL)
        return command_fail(TALLY_MEMORY, "no memory left for a line");
    const char *key, *separator = "";
    if (r->count == 1) {
        json_object_foreach(object, key, field) {
            printf("%s%s", separator, key);
            separator = ",";
        }
        putchar('\n');
    }
    separator = "";
    json_object_foreach(object, key, field) {
        printf("%s", separator);
        print_csv_field(field);
        separator = ",";
    }
    putchar('\n');
    json_decref(object);
    return TALLY_OK;
}

int bench_report_line(const bench_report *r) {
    if (r->format == BENCH_JSON)
        return TALLY_OK;
    int result = TALLY_OK;
    if (r->format == BENCH_CSV)
        result = print_csv(r);
    else
        print_row(r);
    return result != TALLY_OK ? result : command_flush();
}

static int print_json(const bench_report *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->count; i++)
        if (json_array_append_new(list, line_json(r, &r->lines[i])) != 0) {
            json_decref(list);
            return report_dump_json(NULL);
        }
    return report_dump_json(list);
}

int bench_report_end(const bench_report *r) {
    if (r->format == BENCH_JSON)
        return print_json(r);
    if (r->format == BENCH_TABLE && r->count > 0) {
        putchar('\n');
        print_devices(r);
        if (!r->sweep)
            print_digests(r);
        print_comparison(r);
    }
    return TALLY_OK;
}
