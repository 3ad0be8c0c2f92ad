/* progress.h: how far training and testing are, on stderr: a bar on a terminal, else a plain line now and then. */
#ifndef TALLY_CLI_PROGRESS_H
#define TALLY_CLI_PROGRESS_H

#include <tally/parity.h>
#include <tally/tally.h>

#include "task.h"

typedef enum progress_kind { PROGRESS_NONE, PROGRESS_LINES, PROGRESS_BAR } progress_kind;

typedef struct progress {
    progress_kind kind;
    /* Of training: what a sample of the test strings is run through. */
    const tally_model *model;
    const tally_dataset *test;
    const char *name;        /* of what is trained, where it is one of several, or NULL */
    const task_words *words; /* of training and testing: what sequences are called */
    size_t epochs, train_size, batch;
    size_t first_step;    /* steps done before this run */
    size_t tests;         /* sequences to test */
    const char *device;   /* whose parity is checked: its selector */
    const char *route;    /* and its route */
    size_t checks;        /* that there are */
    const char *workload; /* that is measured on device */
    size_t measurements;  /* that there will be */
    size_t runs;          /* of each */
    double started;       /* by the clock */
    double drawn;         /* when the bar was */
    double sampling;      /* seconds that samples took */
    size_t sampled_epoch; /* 0: no sample yet */
    double error;         /* of the last sample; NaN: none */
    double loss;          /* a string, of this epoch so far */
    size_t tenths;        /* of the epochs said in lines */
} progress;

/* quiet: nothing at all. */
void progress_start(progress *p, bool quiet);

/* From here on it is the training of a model; done: what was done of it before. */
void progress_train(progress *p, const task_words *words, const tally_model *model, const tally_dataset *train,
                    const tally_dataset *test, const tally_train_options *options, const tally_train_result *done);
void progress_train_step(progress *p, const tally_progress *now);

/* From here on it is a test of so many sequences. */
void progress_test(progress *p, const task_words *words, size_t sequences);
void progress_test_step(progress *p, const tally_progress *now);

/* From here on it is so many parity checks of a device on a route. */
void progress_parity(progress *p, const char *device, const char *route, size_t checks);
/* done: of the checks, without this one unless it is over. */
void progress_parity_step(progress *p, size_t done, const tally_parity_line *line);

/* From here on it is one of so many measurements of so many runs each. */
void progress_bench(progress *p, const char *workload, const char *device, size_t measurements, size_t runs);
/* measured: whole measurements done; runs: of the one that is on. */
void progress_bench_step(progress *p, size_t measured, size_t runs);

/* Ends the bar's line, if there is one, so that other text can follow. */
void progress_end(void);

#endif
