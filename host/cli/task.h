/* task.h: what models are trained for, and on what data. */
#ifndef TALLY_CLI_TASK_H
#define TALLY_CLI_TASK_H

#include <tally/tally.h>

#include "options.h"
#include "recipe.h"

/* How its sequences and their steps are called: a, string, strings, bits. */
typedef struct task_words {
    const char *article, *one, *many, *steps;
} task_words;

/* Where data are, as options say; NULL: not given. */
typedef struct task_files {
    const char *folder; /* with the files of MNIST */
    const char *x, *y, *lengths;
    const char *test_x, *test_y, *test_lengths;
} task_files;

typedef struct task_data {
    const tally_dataset *train, *test; /* of what follows; train is NULL where only a test was opened */
    tally_count *strings;
    tally_sequences *sequences, *test_sequences;
} task_data;

typedef struct task {
    recipe_task number; /* its name is in settings_tasks */
    task_words words;
    const setting_default *defaults;
    command_help help;
    /* By the numbers of task_presets; NULL: it has none. */
    const setting_default *const *presets;
    /* What no option says by itself: completes the recipe, or is TALLY_USAGE, said on stderr. */
    int (*check)(recipe *r, const task_files *files);
    /* Opens data to train on and to test, and completes the recipe with what they are. Errors are said on stderr; data is to be
     * closed in any case. */
    int (*open)(recipe *r, const task_files *files, task_data *data);
    /* Opens data to test a model with such a recipe, loaded from a path. */
    int (*open_test)(const recipe *r, const char *model, const task_files *files, task_data *data);
} task;

const task *task_get(recipe_task number);
/* By its name; NULL if there is none such. */
const task *task_find(const char *name);

void task_close(task_data *data);

#endif
