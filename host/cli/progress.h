/* progress.h: shows the progress of training and testing on stderr: a bar on a terminal, otherwise a line from time
 * to time. */
#ifndef TALLY_CLI_PROGRESS_H
#define TALLY_CLI_PROGRESS_H

#include <tally/parity.h>
#include <tally/tally.h>

#include "task.h"

typedef enum progress_kind { PROGRESS_NONE, PROGRESS_LINES, PROGRESS_BAR } progress_kind;

typedef struct progress {
    progress_kind kind;
    /* Training: a sample of the test set is run through the model. */
    const tally_model *model;
    const tally_dataset *test;
    const char *name;        /* of the run if it is one of several, or NULL */
    const task_words *words; /* what the task calls its sequences */
    size_t epochs, train_size, batch;
    size_t first_step;    /* steps done before this run */
    size_t tests;         /* number of sequences to test */
    const char *device;   /* selector of the device under test */
    const char *route;    /* the route under test */
    size_t checks;        /* number of checks */
    const char *workload; /* name of the workload being measured on device */
    size_t measurements;  /* number of measurements */
    size_t runs;          /* runs per measurement */
    double started;       /* start time */
    double drawn;         /* when the bar was last drawn */
    double sampling;      /* seconds spent on samples */
    size_t sampled_epoch; /* 0: no sample yet */
    double error;         /* error rate of the last sample; NaN: none */
    double loss;          /* mean per sequence in this epoch so far */
    size_t tenths;        /* tenths of the epochs already reported as lines */
} progress;

/* quiet: show nothing. */
void progress_start(progress *p, bool quiet);

/* Begins showing the training of a model. done: the part of it done before. */
void progress_train(progress *p, const task_words *words, const tally_model *model, const tally_dataset *train,
                    const tally_dataset *test, const tally_train_options *options, const tally_train_result *done);
void progress_train_step(progress *p, const tally_progress *now);

/* Begins showing a test of this many sequences. */
void progress_test(progress *p, const task_words *words, size_t sequences);
void progress_test_step(progress *p, const tally_progress *now);

/* Begins showing this many parity checks of a device on a route. */
void progress_parity(progress *p, const char *device, const char *route, size_t checks);
/* done: completed checks, including this one if it is complete. */
void progress_parity_step(progress *p, size_t done, const tally_parity_line *line);

/* Begins showing one of this many measurements of this many runs each. */
void progress_bench(progress *p, const char *workload, const char *device, size_t measurements, size_t runs);
/* measured: completed measurements; runs: completed runs of the current one. */
void progress_bench_step(progress *p, size_t measured, size_t runs);

/* Ends the bar's line, if there is one, so that other text can follow. */
void progress_end(void);

#endif
