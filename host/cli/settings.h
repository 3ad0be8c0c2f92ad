/* settings.h: every setting of a run of training, and everything that is noted of it: one row each. The command line,
 * help, the JSON objects, the notes in a model's file, info and --resume are made from them. What a row sets is a
 * member of a recipe, or, if it has no name, of the arguments of tally train, which begin with a recipe. */
#ifndef TALLY_CLI_SETTINGS_H
#define TALLY_CLI_SETTINGS_H

#include <tally/tally.h>

enum { SETTINGS_MOST = 96 };

typedef enum recipe_task { RECIPE_COUNT, RECIPE_MNIST, RECIPE_NPY, RECIPE_TASKS } recipe_task;

/* tally_setting.groups */
enum {
    /* The tasks that have it; none of these: all. */
    SETTING_COUNT = 1 << RECIPE_COUNT,
    SETTING_MNIST = 1 << RECIPE_MNIST,
    SETTING_NPY = 1 << RECIPE_NPY,
    SETTING_FILES = SETTING_MNIST | SETTING_NPY,
    SETTING_TASKS = SETTING_COUNT | SETTING_FILES,
    SETTING_DATA = 8,   /* of the data: info tells it in words */
    SETTING_MODEL = 16, /* of the model, whose file has it without a note */
    SETTING_RESULT = 32 /* nobody sets it: training comes to it */
};

/* In the order of help. A row without name and option is behind the last. */
const tally_setting *settings_all(size_t *count);

bool settings_has_task(const tally_setting *setting, recipe_task of);

/* The rows that have an option, of a task, or of all for RECIPE_TASKS; one without is behind the last. */
void settings_options(recipe_task of, tally_setting options[SETTINGS_MOST]);

/* A noted setting's name in JSON, which is that in notes without "tally.". */
const char *settings_key(const tally_setting *setting);

/* The row of a name, which is right. */
const tally_setting *settings_find(const char *name);

/* A setting's default where it is not the row's: its name, and a text. A list ends with a name of NULL. */
typedef struct setting_default {
    const char *name, *text;
} setting_default;

/* The names of tasks. */
extern const char *const settings_tasks[RECIPE_TASKS + 1];

/* The share that is held out where there is neither a test set nor --hold-out. */
#define SETTINGS_HOLD_OUT "0.1"

#endif
