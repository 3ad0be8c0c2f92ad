/* task.h: what models are trained for, and on what data. */
#ifndef TALLY_CLI_TASK_H
#define TALLY_CLI_TASK_H

#include <tally/tally.h>

#include "options.h"
#include "recipe.h"

enum { TASK_MAX_OPTIONS = 12 };

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

/* What the options set that not all tasks have, where it is not the recipe. */
typedef struct task_choice {
    recipe *recipe;
    task_files files;
    uint64_t train_size; /* 0: not given */
    double hold_out;     /* NaN: not given */
    int preset;          /* of count */
} task_choice;

typedef struct task_data {
    const tally_dataset *train, *test; /* of what follows; train is NULL where only a test was opened */
    tally_count *strings;
    tally_sequences *sequences, *test_sequences;
} task_data;

typedef struct task {
    recipe_task number;
    const char *name;
    task_words words;
    uint64_t hidden; /* units, unless --hidden says so */
    command_help help;
    /* Sets the recipe to that of --preset, where there is such; NULL: it has none. */
    void (*preset)(recipe *r, const char *name);
    /* Its own options, at most TASK_MAX_OPTIONS, with the recipe's values; how many. */
    size_t (*options)(task_choice *choice, const value values[RECIPE_FIELDS], option *options);
    /* What no option says by itself: completes the recipe, or is TALLY_USAGE, said on stderr. */
    int (*check)(task_choice *choice);
    /* Opens data to train on and to test, and completes the recipe with what they are. Errors are said on stderr; data is to be
     * closed in any case. */
    int (*open)(const task_choice *choice, task_data *data);
    /* Opens data to test a model with such a recipe, loaded from a path. */
    int (*open_test)(const recipe *r, const char *model, const task_files *files, task_data *data);
} task;

/* By its number, a recipe_task. */
const task *task_get(int number);
/* By its name; NULL if there is none such. */
const task *task_find(const char *name);

void task_close(task_data *data);

#endif
