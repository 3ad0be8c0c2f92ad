/* train_run.h: trains, saves, tests and reports one model according to the arguments of tally train. */
#ifndef TALLY_CLI_TRAIN_RUN_H
#define TALLY_CLI_TRAIN_RUN_H

#include "command.h"
#include "compare.h"
#include "recipe.h"
#include "task.h"

/* settings.c has a row for each member that an option sets. */
typedef struct train_arguments {
    recipe recipe; /* must be first: rows of the recipe also apply to this struct */
    const task *task;
    unsigned preset;
    task_files files;
    command_device device;
    const char *out;
    uint64_t save_every; /* epochs between saves; 0: save only at the end */
    bool weights_only;
    const char *resume_from; /* file to resume, or NULL */
    const char *log;         /* path, or NULL */
    compare compare;
    struct compare *among; /* the comparison that this run is part of, or NULL */
    bool json;
} train_arguments;

/* Opens the device and trains. Returns the exit code; errors are reported on stderr. */
int train_run(train_arguments *a, const task_data *data);

#endif
