#include "bench_measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MODEL_SEED = 1 };
static const double WARM_SECONDS = 0.2, RUN_SECONDS = 0.5;

typedef struct stopwatch {
    const workload *workload;
    const bench_watch *watch;
    bench_line *line;
    tally_model *model;
    double opened;                 /* when opening the device began */
    double first;                  /* training seconds until the end of the first step */
    double begun;                  /* training seconds before this run */
    size_t steps_before;           /* training steps before this run */
    double runs[BENCH_MAX_REPEAT]; /* ms per step */
    size_t done;
    tally_status status; /* of the observer's own calls */
} stopwatch;

/* The number of steps in a run of RUN_SECONDS. */
static size_t steps_per_run(double seconds_a_step) {
    double steps = RUN_SECONDS / seconds_a_step;
    return steps >= 1e9 ? 1000000000 : steps >= 1 ? (size_t)steps : 1;
}

/* Called between training steps; progress->seconds does not include the time spent here. */
static bool watch_step(void *context, const tally_progress *now) {
    stopwatch *s = context;
    bench_line *line = s->line;
    if (now->step == 1) {
        line->first_step_seconds = command_seconds() - s->opened;
        s->first = now->seconds;
    }
    if (now->step == s->workload->digest) {
        s->status = tally_model_digest(s->model, line->digest);
        if (s->status != TALLY_OK)
            return false;
    }
    bool training = s->workload->kind != WORKLOAD_SCORE;
    if (training && line->steps_a_run == 0) {
        double seconds = now->seconds - s->first;
        if (now->step >= s->workload->digest && seconds >= WARM_SECONDS) {
            line->steps_a_run = steps_per_run(seconds / (double)(now->step - 1));
            s->begun = now->seconds;
            s->steps_before = now->step;
        }
    } else if (training && now->step - s->steps_before == line->steps_a_run) {
        s->runs[s->done++] = 1e3 * (now->seconds - s->begun) / (double)line->steps_a_run;
        s->begun = now->seconds;
        s->steps_before = now->step;
    }
    return s->watch->go_on(s->watch->context, s->done) && s->done < line->repeat;
}

/* Trains the model. Training workloads are timed on the way; score only needs the weights. */
static tally_status train_workload(stopwatch *s, const tally_dataset *data) {
    tally_train_options options = tally_train_defaults();
    options.batch = workload_train_batch(s->workload);
    options.dropout = s->workload->dropout;
    bool training = s->workload->kind != WORKLOAD_SCORE;
    if (!training) /* whole epochs, because only their weights are kept */
        options.epochs = s->workload->digest * options.batch / data->size;
    else
        options.epochs = SIZE_MAX;
    const tally_observer observer = {.step = watch_step, .context = s};
    tally_status status = tally_train(s->model, data, &options, &observer, NULL);
    if (status == TALLY_STOPPED && s->status != TALLY_OK)
        return s->status;
    return status == TALLY_STOPPED && training && s->done == s->line->repeat ? TALLY_OK : status;
}

static bool watch_test(void *context, const tally_progress *now) {
    const stopwatch *s = context;
    (void)now;
    return s->watch->go_on(s->watch->context, s->done);
}

/* Tests once to warm up and to count mistakes, then for the timed runs. */
static tally_status test_workload(stopwatch *s, const tally_dataset *data, double opening) {
    const tally_observer observer = {.step = watch_test, .context = s};
    double start = command_seconds();
    tally_test_result result = {.tested = 0};
    tally_status status = tally_test(s->model, data, 0, data->size, &observer, &result);
    s->line->first_step_seconds = opening + command_seconds() - start;
    s->line->mistakes = result.mistakes;
    s->line->steps_a_run = steps_per_run(result.seconds);
    while (status == TALLY_OK && s->done < s->line->repeat) {
        double seconds = 0;
        for (size_t i = 0; i < s->line->steps_a_run && status == TALLY_OK; i++) {
            status = tally_test(s->model, data, 0, data->size, &observer, &result);
            seconds += result.seconds;
        }
        s->runs[s->done++] = 1e3 * seconds / (double)s->line->steps_a_run;
    }
    return status;
}

static int compare_doubles(const void *a, const void *b) {
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void summarise_runs(stopwatch *s) {
    size_t count = s->line->repeat;
    qsort(s->runs, count, sizeof *s->runs, compare_doubles);
    double median = (s->runs[(count - 1) / 2] + s->runs[count / 2]) / 2;
    s->line->ms_per_step = median;
    s->line->spread = (s->runs[count - 1] - s->runs[0]) / median;
}

static tally_status measure_workload(stopwatch *s, tally_device *device, const workload_data *data) {
    const tally_model_config config = workload_model(s->workload);
    tally_status status = tally_model_new(device, &config, &s->model);
    if (status == TALLY_OK)
        status = tally_model_init(s->model, MODEL_SEED);
    double opening = command_seconds() - s->opened;
    if (status == TALLY_OK)
        status = train_workload(s, data->train);
    if (status == TALLY_OK && data->test != NULL)
        status = test_workload(s, data->test, opening);
    if (status == TALLY_OK)
        summarise_runs(s);
    tally_model_free(s->model);
    return status == TALLY_OK ? tally_device_peak(device, &s->line->peak) : status;
}

/* Resets the peak memory usage in /proc/self/status (Linux, command "5"). */
static void reset_peak_memory(void) {
    FILE *file = fopen("/proc/self/clear_refs", "we");
    if (file == NULL)
        return;
    fputs("5", file);
    fclose(file);
}

/* The process's peak memory in MiB. If /proc is not mounted, getrusage also counts what was used before the reset,
 * and by the parent process before exec. */
static double peak_memory_mib(void) {
    char line[128];
    unsigned long kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file != NULL && kib == 0 && fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "VmHWM: %lu", &kib) != 1)
            kib = 0;
    if (file != NULL)
        fclose(file);
    struct rusage usage;
    if (kib == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        return (double)usage.ru_maxrss / 1024;
    return (double)kib / 1024;
}

static void describe_device(bench_line *line, const tally_device *device) {
    line->device = *tally_device_get_info(device);
    line->route = tally_device_route(device);
    line->threads = tally_device_workers(device);
    snprintf(line->inexact, sizeof line->inexact, "%s", tally_device_inexact(device));
}

int bench_measure(const workload *w, const command_device *wanted, size_t repeat, const bench_watch *watch,
                  bench_line *line) {
    *line = (bench_line){.workload = *w, .repeat = repeat};
    stopwatch *s = calloc(1, sizeof *s);
    if (s == NULL)
        return command_fail(TALLY_MEMORY, "no memory left for the times");
    reset_peak_memory();
    workload_data data;
    int result = workload_data_new(w, &data);
    if (result != TALLY_OK) {
        free(s);
        return result;
    }
    *s = (stopwatch){.workload = w, .watch = watch, .line = line, .opened = command_seconds()};
    tally_device *device;
    result = command_open_device(wanted, &device);
    if (result == TALLY_OK) {
        describe_device(line, device);
        tally_status status = measure_workload(s, device, &data);
        if (status == TALLY_STOPPED)
            result = TALLY_STOPPED;
        else if (status != TALLY_OK)
            result = command_fail((int)status, "%s on %s: %s", w->name, line->device.selector, tally_error_text());
        line->fallbacks = tally_device_fallbacks(device, NULL, 0);
        if (wanted->verbose)
            command_describe_fallbacks(device);
        tally_device_close(device);
    }
    line->memory_mib = peak_memory_mib();
    workload_data_free(&data);
    free(s);
    return result;
}
