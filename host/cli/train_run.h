/* train_run.h: one network that is trained, saved, tested and reported, as the arguments of tally train say. */
#ifndef TALLY_CLI_TRAIN_RUN_H
#define TALLY_CLI_TRAIN_RUN_H

#include "command.h"
#include "compare.h"
#include "resume.h"
#include "schedule.h"
#include "shape.h"
#include "task.h"

typedef struct train_arguments {
    const task *task;
    task_choice choice;
    recipe recipe;
    shape shape;
    command_device device;
    const char *out;
    schedule schedule;
    resume resume; /* of schedule.resume */
    compare compare;
    compare *among; /* the comparison that this is a run of, or NULL */
    bool json, quiet;
} train_arguments;

/* Opens the device for it. The exit code; what is wrong is said on stderr. */
int train_run(train_arguments *a, const task_data *data);

#endif
