/* settings.h: the table of all settings and results of a training run, one row each. The command line, help, JSON
 * objects, notes in model files, info and --resume are derived from it. A row's value is a member of a recipe or, if
 * the row has no name, of the arguments of tally train, which begin with a recipe. */
#ifndef TALLY_CLI_SETTINGS_H
#define TALLY_CLI_SETTINGS_H

#include <tally/tally.h>

enum { SETTINGS_MOST = 96 };

typedef enum recipe_task { RECIPE_COUNT, RECIPE_MNIST, RECIPE_NPY, RECIPE_TASKS } recipe_task;

/* tally_setting.groups */
enum {
    /* The tasks that have the setting; all tasks if none of these is set. */
    SETTING_COUNT = 1 << RECIPE_COUNT,
    SETTING_MNIST = 1 << RECIPE_MNIST,
    SETTING_NPY = 1 << RECIPE_NPY,
    SETTING_FILES = SETTING_MNIST | SETTING_NPY,
    SETTING_TASKS = SETTING_COUNT | SETTING_FILES,
    SETTING_DATA = 8,   /* describes the data; info prints it separately */
    SETTING_MODEL = 16, /* a property of the model, which its file has without a note */
    SETTING_RESULT = 32 /* a result of training, not an option */
};

/* In the order of help texts. A row without name and option ends the table. */
const tally_setting *settings_all(size_t *count);

bool settings_has_task(const tally_setting *setting, recipe_task of);

/* Collects the rows of a task that have an option, or those of all tasks for RECIPE_TASKS. A row without one ends
 * the table. */
void settings_options(recipe_task of, tally_setting options[SETTINGS_MOST]);

/* A setting's name in JSON: its name without "tally.". */
const char *settings_key(const tally_setting *setting);

/* The row with this name, which must exist. */
const tally_setting *settings_find(const char *name);

/* Overrides the default of a row: its name and a text. A name of NULL ends the list. */
typedef struct setting_default {
    const char *name, *text;
} setting_default;

/* The names of the tasks. */
extern const char *const settings_tasks[RECIPE_TASKS + 1];

/* The share held out if there is neither a test set nor --hold-out. */
#define SETTINGS_HOLD_OUT "0.1"

#endif
