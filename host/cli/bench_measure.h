/* bench_measure.h: times one workload on one device. */
#ifndef TALLY_CLI_BENCH_MEASURE_H
#define TALLY_CLI_BENCH_MEASURE_H

#include "command.h"
#include "workloads.h"

enum { BENCH_MAX_REPEAT = 1000 };

typedef struct bench_line {
    workload workload;
    tally_device_info device;
    tally_route route;
    char inexact[256]; /* tally_device_inexact() */
    unsigned threads;
    uint64_t fallbacks;
    size_t repeat, steps_a_run;
    double ms_per_step; /* the median of the runs */
    double spread;      /* (largest - smallest) / median */
    double peak;        /* measured peak of the device, in operations per second */
    double memory_mib;  /* peak memory of the process since this workload began */
    double first_step_seconds;
    char digest[65];
    size_t mistakes; /* score only */
} bench_line;

/* Called from time to time with the number of completed runs; returning false stops the measurement. */
typedef struct bench_watch {
    bool (*go_on)(void *context, size_t runs);
    void *context;
} bench_watch;

/* Returns TALLY_OK; TALLY_STOPPED, not reported; or an error's status, reported on stderr. */
int bench_measure(const workload *w, const command_device *wanted, size_t repeat, const bench_watch *watch,
                  bench_line *line);

#endif
