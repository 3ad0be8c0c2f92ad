/* tasks.h: the list of tasks, and code shared by those that read files. */
#ifndef TALLY_CLI_TASKS_H
#define TALLY_CLI_TASKS_H

#include "task.h"

extern const task task_count, task_mnist, task_npy;

/* The values of --preset. */
extern const char *const task_presets[];

/* Errors are reported on stderr. Each returns TALLY_OK or the exit code. */

/* Opens the images of a part of MNIST, "train" or "t10k", with their labels or, if labels is false, without. *images
 * is the path of the images; the caller frees it, also after a failure. */
int task_open_mnist(const char *folder, const char *part, tally_sequences **sequences, char **images);

/* Completes the recipe with the sizes of the training sequences and, if they are to be normalized, measures and
 * normalizes them. */
int task_describe(recipe *r, tally_sequences *sequences);

/* Prepares sequences from path for the recipe: checks that their shape and labels match it and normalizes them
 * accordingly. whose describes the origin of the recipe's shape in errors, such as "the model takes". */
int task_adopt(const recipe *r, const char *whose, const char *path, tally_sequences *sequences);

/* Opens test data for a model of mnist or npy. */
int task_open_test_files(const recipe *r, const char *model, const task_files *files, task_data *data);

/* Help text common to both. */
#define TASK_FILES_HELP                                                                                                \
    "The model is kept only with --out, together with what was done to the values.\n"                                  \
    "Ctrl-C stops after the step that is on, and the model of the last whole epoch\n"                                  \
    "is saved; a second Ctrl-C ends at once. The same is saved when a NaN or an\n"                                     \
    "infinity stops training. --resume FILE goes on with a run; what it needs,\n"                                      \
    "--log and --compare are explained by 'tally train count --help'."

/* Ends each task's help: the fields of the JSON object. arguments are those of tally train. */
void task_print_fields(const void *arguments);

/* Defaults of both tasks. */
extern const setting_default task_files_defaults[];

#endif
