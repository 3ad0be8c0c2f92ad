#include "command.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "format.h"
#include "progress.h"

int command_fail(int status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    progress_end();
    fputs("tally: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return status;
}

int command_fail_library(tally_status status) {
    return command_fail((int)status, "%s", tally_error_text());
}

int command_fail_option(tally_status status, const char *name) {
    return command_fail((int)status, "option --%s: %s", name, tally_error_text());
}

int command_misused(const char *command, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stderr, "tally%s%s: ", command != NULL ? " " : "", command != NULL ? command : "");
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nTry: tally %s%s--help\n", command != NULL ? command : "", command != NULL ? " " : "");
    return TALLY_USAGE;
}

double command_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int command_flush(void) {
    static bool said;
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return TALLY_OK;
    /* A closed pipe is not reported. An earlier failed write may have left no errno. */
    if (!said && errno != EPIPE)
        command_fail(TALLY_IO, "standard output: %s", errno != 0 ? strerror(errno) : "writing failed");
    said = true;
    return TALLY_IO;
}

const char *const command_routes[] = {
    [TALLY_ROUTE_AUTO] = "auto", [TALLY_ROUTE_EXACT] = "exact", [TALLY_ROUTE_CLBLAST] = "clblast", NULL};

void command_notice(void *context, const char *text) {
    (void)context;
    fprintf(stderr, "%s\n", text);
}

int command_open_device(const command_device *wanted, tally_device **device) {
    tally_device_options options = {
        .threads = (unsigned)wanted->threads, .route = wanted->route, .notice = wanted->quiet ? NULL : command_notice};
    tally_status status = tally_device_open(wanted->selector, &options, device);
    if (status != TALLY_OK)
        return command_fail_library(status);
    if (wanted->verbose) {
        const tally_device_info *info = tally_device_get_info(*device);
        const char *inexact = tally_device_inexact(*device), *reason = tally_device_route_reason(*device);
        fprintf(stderr, "device %s (%s): %s, platform %s%s%s\n", info->selector, info->backend, info->name,
                info->platform, info->driver[0] != '\0' ? ", driver " : "", info->driver);
        fprintf(stderr, "route %s%s%s%s, arithmetic %s%s\n", command_routes[tally_device_route(*device)],
                reason[0] != '\0' ? " (" : "", reason, reason[0] != '\0' ? ")" : "",
                inexact[0] != '\0' ? "within tolerance: " : "exact", inexact);
        fprintf(stderr, "threads %u, chunks of %zu sequences\n", tally_device_workers(*device),
                tally_device_chunk_columns(*device));
    }
    return TALLY_OK;
}

int command_open_model(const char *path, const command_device *wanted, tally_device **device, tally_model **model) {
    int result = command_open_device(wanted, device);
    if (result != TALLY_OK)
        return result;
    tally_status status = tally_model_load(*device, path, model);
    if (status == TALLY_OK)
        return TALLY_OK;
    result = command_fail_library(status);
    tally_device_close(*device);
    return result;
}

void command_close_device(tally_device *device) {
    command_flush();
    tally_device_close(device);
}

void command_describe_fallbacks(const tally_device *device) {
    char names[512];
    uint64_t count = tally_device_fallbacks(device, names, sizeof names);
    fprintf(stderr, "operations that fell back to the C path: %s%s%s\n", format_whole(count).text,
            count > 0 ? ": " : "", names);
}
