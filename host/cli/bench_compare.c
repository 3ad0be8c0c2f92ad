#include "bench_compare.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static bool is_text(const json_t *entry, const char *key, const char *text) {
    const char *found = json_string_value(json_object_get(entry, key));
    return found != NULL && strcmp(found, text) == 0;
}

static bool is_number(const json_t *entry, const char *key, size_t number) {
    return json_integer_value(json_object_get(entry, key)) == (json_int_t)number;
}

/* What is wrong with a measurement, or NULL. */
static const char *find_fault(const json_t *entry) {
    static const char *const texts[] = {"version", "workload", "device",     "selector",
                                        "backend", "route",    "arithmetic", "weights_sha256"};
    static const char *const numbers[] = {"layers", "hidden", "inputs", "steps", "classes", "batch"};
    if (!json_is_object(entry))
        return "is not an object";
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (!json_is_string(json_object_get(entry, texts[i])))
            return texts[i];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!json_is_integer(json_object_get(entry, numbers[i])))
            return numbers[i];
    return json_number_value(json_object_get(entry, "ms_per_step")) > 0 ? NULL : "ms_per_step";
}

static int check_measurements(const char *path, const json_t *old) {
    if (!json_is_array(old))
        return command_fail(TALLY_DATA,
                            "--compare %s: it is not a list of measurements as written by 'tally bench --format json'"
                            "writes",
                            path);
    for (size_t i = 0; i < json_array_size(old); i++) {
        const json_t *entry = json_array_get(old, i);
        const char *fault = find_fault(entry);
        if (fault != NULL && !json_is_object(entry))
            return command_fail(TALLY_DATA, "--compare %s: measurement %zu %s", path, i + 1, fault);
        if (fault != NULL)
            return command_fail(TALLY_DATA, "--compare %s: measurement %zu has a missing or invalid %s", path, i + 1,
                                fault);
    }
    return TALLY_OK;
}

int bench_compare_load(const char *path, json_t **old) {
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return command_fail(TALLY_IO, "--compare %s: %s", path, strerror(errno));
    json_error_t error;
    errno = 0;
    *old = json_loadf(file, 0, &error);
    int reading = ferror(file) ? errno : 0;
    fclose(file);
    int result;
    if (reading != 0)
        result = command_fail(TALLY_IO, "--compare %s: %s", path, strerror(reading));
    else if (*old == NULL)
        result = command_fail(TALLY_DATA, "--compare %s: line %d is not JSON: %s", path, error.line, error.text);
    else
        result = check_measurements(path, *old);
    if (result != TALLY_OK) {
        json_decref(*old);
        *old = NULL;
    }
    return result;
}

/* Versions that supported only the LSTM, sequences of one length and no dropout did not write these three fields. */
static bool same_variant(const json_t *entry, const workload *w) {
    const json_t *cell = json_object_get(entry, "cell"), *dropout = json_object_get(entry, "dropout");
    const json_t *shortest = json_object_get(entry, "shortest");
    return (cell != NULL ? is_text(entry, "cell", tally_cell_name(w->cell)) : w->cell == TALLY_LSTM) &&
           (dropout != NULL ? json_number_value(dropout) : 0) == w->dropout &&
           (shortest != NULL ? is_number(entry, "shortest", w->shortest) : w->shortest == w->steps);
}

static bool same_workload(const json_t *entry, const workload *w) {
    return is_text(entry, "workload", w->name) && is_number(entry, "layers", w->layers) &&
           is_number(entry, "hidden", w->hidden) && is_number(entry, "inputs", w->inputs) &&
           is_number(entry, "steps", w->steps) && is_number(entry, "classes", w->classes) &&
           is_number(entry, "batch", w->batch) && same_variant(entry, w);
}

double bench_compare_speed(const json_t *old, const bench_line *line) {
    double ms = 0;
    for (size_t i = 0; i < json_array_size(old); i++) {
        const json_t *entry = json_array_get(old, i);
        if (!same_workload(entry, &line->workload) || !is_text(entry, "device", line->device.name) ||
            !is_text(entry, "backend", line->device.backend) || !is_text(entry, "route", command_routes[line->route]))
            continue;
        /* Several devices may have the same name, and their order in the list may have changed. */
        bool same_place = is_text(entry, "selector", line->device.selector);
        if (ms == 0 || same_place)
            ms = json_number_value(json_object_get(entry, "ms_per_step"));
        if (same_place)
            break;
    }
    return ms;
}

bool bench_is_exact(const bench_line *line) {
    return line->route == TALLY_ROUTE_EXACT && line->inexact[0] == '\0';
}

bench_digests bench_compare_digests(const json_t *old, const bench_line *line) {
    bench_digests found = BENCH_NOT_COMPARED;
    for (size_t i = 0; i < json_array_size(old) && bench_is_exact(line); i++) {
        const json_t *entry = json_array_get(old, i);
        if (!same_workload(entry, &line->workload) || !is_text(entry, "version", tally_version()) ||
            !is_text(entry, "route", command_routes[TALLY_ROUTE_EXACT]) || !is_text(entry, "arithmetic", "exact"))
            continue;
        const json_t *mistakes = json_object_get(entry, "mistakes");
        if (!is_text(entry, "weights_sha256", line->digest) ||
            (json_is_integer(mistakes) && json_integer_value(mistakes) != (json_int_t)line->mistakes))
            return BENCH_DIFFERENT;
        found = BENCH_EQUAL;
    }
    return found;
}
