/* tasks.h: the tasks, and what those with data from files share. */
#ifndef TALLY_CLI_TASKS_H
#define TALLY_CLI_TASKS_H

#include "task.h"

extern const task task_count, task_mnist, task_npy;

/* The names of what --preset takes. */
extern const char *const task_presets[];

/* Each says on stderr what is wrong and returns the exit code, or TALLY_OK. */

/* Opens the images and labels, or, with labels false, the images alone, of a part of MNIST: "train" or "t10k". *images is
 * their path, which the caller frees, also after a failure. */
int task_open_mnist(const char *folder, const char *part, tally_sequences **sequences, char **images);

/* Puts into the recipe what sequences to train on are, measures them if they are to be normalized, and normalizes them. */
int task_describe(recipe *r, tally_sequences *sequences);

/* Sequences from path are made those that the recipe speaks of: their shape must be the one it knows, and their labels its
 * classes; they are normalized as it says. whose: who has the recipe's shape, "the model takes". */
int task_adopt(const recipe *r, const char *whose, const char *path, tally_sequences *sequences);

/* Data to test a model of mnist or npy. */
int task_open_test_files(const recipe *r, const char *model, const task_files *files, task_data *data);

/* What their help says alike. */
#define TASK_FILES_HELP                                                                                                \
    "The model is kept only with --out, together with what was done to the values.\n"                                  \
    "Ctrl-C stops after the step that is on, and the model of the last whole epoch\n"                                  \
    "is saved; a second Ctrl-C ends at once. The same is saved when a NaN or an\n"                                     \
    "infinity stops training. --resume FILE goes on with a run; what it needs,\n"                                      \
    "--log and --compare are explained by 'tally train count --help'."

/* The end of each task's help: what is in the JSON object of these arguments of tally train. */
void task_print_fields(const void *arguments);

/* Defaults of both. */
extern const setting_default task_files_defaults[];

#endif
