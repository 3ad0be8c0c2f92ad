/* train_run.h: one network that is trained, saved, tested and reported, as the arguments of tally train say. */
#ifndef TALLY_CLI_TRAIN_RUN_H
#define TALLY_CLI_TRAIN_RUN_H

#include "command.h"
#include "compare.h"
#include "recipe.h"
#include "task.h"

/* settings.c has a row for each member that an option sets. */
typedef struct train_arguments {
    recipe recipe; /* the first, for rows of its are over this, too */
    const task *task;
    unsigned preset;
    task_files files;
    command_device device;
    const char *out;
    uint64_t save_every; /* epochs; 0: at the end only */
    bool weights_only;
    const char *resume_from; /* the file to go on from, or NULL */
    const char *log;         /* or NULL */
    compare compare;
    struct compare *among; /* the comparison that this is a run of, or NULL */
    bool json;
} train_arguments;

/* Opens the device for it. The exit code; what is wrong is said on stderr. */
int train_run(train_arguments *a, const task_data *data);

#endif
