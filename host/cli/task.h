/* task.h: the tasks: what models are trained to do, and on which data. */
#ifndef TALLY_CLI_TASK_H
#define TALLY_CLI_TASK_H

#include <tally/tally.h>

#include "options.h"
#include "recipe.h"

/* What the task calls a sequence and its time steps: a, string, strings, bits. */
typedef struct task_words {
    const char *article, *one, *many, *steps;
} task_words;

/* Paths of data files, as given by options; NULL: not given. */
typedef struct task_files {
    const char *folder; /* of the MNIST files */
    const char *x, *y, *lengths;
    const char *test_x, *test_y, *test_lengths;
} task_files;

typedef struct task_data {
    /* borrowed from the members below; train is NULL if only a test set was opened */
    const tally_dataset *train, *test;
    tally_count *strings;
    tally_sequences *sequences, *test_sequences;
} task_data;

typedef struct task {
    recipe_task number; /* also the index of its name in settings_tasks */
    task_words words;
    const setting_default *defaults;
    command_help help;
    /* Indexed like task_presets; NULL: no presets. */
    const setting_default *const *presets;
    /* Completes the recipe with values that follow from several options, or returns TALLY_USAGE, reported on stderr. */
    int (*check)(recipe *r, const task_files *files);
    /* Opens the training and test data and completes the recipe with their sizes. Errors are reported on stderr;
     * close data in any case. */
    int (*open)(recipe *r, const task_files *files, task_data *data);
    /* Opens the test data for the model loaded from path, which has this recipe. */
    int (*open_test)(const recipe *r, const char *model, const task_files *files, task_data *data);
} task;

const task *task_get(recipe_task number);
/* The task with this name, or NULL. */
const task *task_find(const char *name);

void task_close(task_data *data);

#endif
