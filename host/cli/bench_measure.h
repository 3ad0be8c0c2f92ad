/* bench_measure.h: one workload timed on one device. */
#ifndef TALLY_CLI_BENCH_MEASURE_H
#define TALLY_CLI_BENCH_MEASURE_H

#include "command.h"
#include "workloads.h"

enum { BENCH_MAX_REPEAT = 1000 };

typedef struct bench_line {
    workload workload;
    tally_device_info device;
    tally_route route;
    char inexact[256]; /* what tally_device_inexact says */
    unsigned threads;
    uint64_t fallbacks;
    size_t repeat, steps_a_run;
    double ms_per_step; /* the median of the runs */
    double spread;      /* (largest - smallest) / median */
    double peak;        /* operations a second, measured beside it */
    double memory_mib;  /* most of the process's since it began with this workload */
    double first_step_seconds;
    char digest[65];
    size_t mistakes; /* of score */
} bench_line;

/* Called now and then with the number of runs that are done; false stops. */
typedef struct bench_watch {
    bool (*go_on)(void *context, size_t runs);
    void *context;
} bench_watch;

/* TALLY_OK; TALLY_STOPPED, of which nothing is said; or what went wrong, said on stderr. */
int bench_measure(const workload *w, const command_device *wanted, size_t repeat, const bench_watch *watch,
                  bench_line *line);

#endif
