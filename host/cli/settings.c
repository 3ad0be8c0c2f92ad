#include "settings.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "tasks.h"
#include "train_run.h"

const char *const settings_tasks[RECIPE_TASKS + 1] = {
    [RECIPE_COUNT] = "count", [RECIPE_MNIST] = "mnist", [RECIPE_NPY] = "npy"};
static const char *const draws[] = {
    [TALLY_DRAW_RANDOM] = "random", [TALLY_DRAW_EVEN] = "even", [TALLY_DRAW_RUNS] = "runs", NULL};
static const char *const normalizes[] = {[RECIPE_STANDARD] = "standard", [RECIPE_NONE] = "none", NULL};

_Static_assert(offsetof(train_arguments, recipe) == 0, "rows of a recipe are rows of the arguments, too");

#define LENGTH "20"
#define FILE_OPTION(groups_, option_, member, help_)                                                                   \
    {                                                                                                                  \
        .groups = (groups_), .option = (option_), .metavar = "FILE", .help = help_, .fallback = "",                    \
        .may_change = true, TALLY_TEXT_AT(train_arguments, member)                                                     \
    }

/* The training data. */
static const tally_setting data[] = {
    {.name = "task", .groups = SETTING_DATA, TALLY_CHOICE_AT(recipe, task, settings_tasks)},
    {.groups = SETTING_COUNT,
     .option = "preset",
     .metavar = "NAME",
     .help = "defaults of the other options: the guide's, or those of a recipe that makes no mistake on any string",
     .initial = "guide",
     TALLY_CHOICE_AT(train_arguments, preset, task_presets)},
    {.name = "length",
     .groups = SETTING_COUNT | SETTING_DATA,
     .initial = LENGTH,
     TALLY_WHOLE_AT(recipe, length, 1, RECIPE_MAX_LENGTH)},
    {.name = "shortest",
     .groups = SETTING_COUNT | SETTING_DATA,
     .initial = LENGTH,
     TALLY_WHOLE_AT(recipe, shortest, 1, RECIPE_MAX_LENGTH)},
    {.groups = SETTING_COUNT,
     .option = "length",
     .metavar = "N",
     .help = "bits a string; with 5..20, strings of each of these lengths",
     .initial = LENGTH,
     TALLY_SPAN_AT(recipe, shortest, length, 1, RECIPE_MAX_LENGTH)},
    {.name = "train_size",
     .groups = SETTING_COUNT | SETTING_DATA,
     .option = "train-size",
     .metavar = "N",
     .help = "strings to train on, at most as many as there are",
     .fallback = "10000, or half of all strings if that is less",
     TALLY_WHOLE_AT(recipe, train_size, 1, (2u << RECIPE_MAX_LENGTH) - 2)},
    {.name = "train_size", .groups = SETTING_FILES | SETTING_DATA, TALLY_WHOLE_AT(recipe, train_size, 1, UINT32_MAX)},
    {.name = "draw",
     .groups = SETTING_COUNT,
     .option = "draw",
     .metavar = "HOW",
     .help = "how training strings are taken from the shuffled ones: the first ones, evenly over the counts, or evenly "
             "over each count and number of runs of equal bits",
     .initial = "random",
     TALLY_CHOICE_AT(recipe, draw, draws)},
    {.groups = SETTING_MNIST,
     .option = "data",
     .metavar = "DIR",
     .help = "the folder with the four files",
     .fallback = "",
     .may_change = true,
     TALLY_TEXT_AT(train_arguments, files.folder)},
    FILE_OPTION(SETTING_NPY, "x", files.x, "sequences to train on, [sequences, time steps, inputs]"),
    FILE_OPTION(SETTING_NPY, "y", files.y, "their labels, [sequences], from 0 on"),
    FILE_OPTION(SETTING_NPY, "lengths", files.lengths, "how many steps each has, [sequences], if not all"),
    FILE_OPTION(SETTING_NPY, "test-x", files.test_x, "sequences to test at the end"),
    FILE_OPTION(SETTING_NPY, "test-y", files.test_y, "their labels"),
    FILE_OPTION(SETTING_NPY, "test-lengths", files.test_lengths, "how many steps each has, if not all"),
    {.name = "hold_out",
     .groups = SETTING_NPY,
     .option = "hold-out",
     .metavar = "SHARE",
     .help = "without --test-x: the share of the sequences that is tested and not trained on, chosen at random by the "
             "seed",
     .fallback = SETTINGS_HOLD_OUT,
     TALLY_FRACTION_AT(recipe, hold_out)},
    {.name = "time_steps", .groups = SETTING_FILES | SETTING_DATA, TALLY_WHOLE_AT(recipe, time_steps, 1, INT32_MAX)},
    {.name = "inputs", .groups = SETTING_FILES | SETTING_DATA, TALLY_SIZE_AT(recipe, model.inputs, 1, INT64_MAX)},
    {.name = "classes",
     .groups = SETTING_FILES | SETTING_DATA,
     TALLY_SIZE_AT(recipe, model.classes, 2, TALLY_MAX_CLASSES)},
    {.name = "normalize",
     .groups = SETTING_FILES,
     .option = "normalize",
     .metavar = "HOW",
     .help = "standard takes the mean of all training values from each value and divides by their standard deviation; "
             "none takes values as they are",
     .initial = "standard",
     TALLY_CHOICE_AT(recipe, normalize, normalizes)},
    {.name = "mean",
     .groups = SETTING_FILES,
     .initial = "0",
     TALLY_REAL_AT(recipe, mean, -(double)FLT_MAX, (double)FLT_MAX)},
    {.name = "deviation",
     .groups = SETTING_FILES,
     .initial = "1",
     TALLY_REAL_AT(recipe, deviation, (double)FLT_MIN, (double)FLT_MAX)},
    {.groups = SETTING_FILES,
     .option = "no-shuffle",
     .help = "train in the order of the files, in each epoch",
     .off = true,
     TALLY_FLAG_AT(recipe, train.shuffle)},
};

/* Options of a run in addition to tally_train_settings. */
static const tally_setting run[] = {
    {.name = "valid",
     .option = "valid",
     .metavar = "SHARE",
     .help = "share of what is to be trained on that is held out, chosen at random by the seed, and tested after each "
             "epoch instead",
     .initial = "0",
     TALLY_FRACTION_AT(recipe, valid)},
    OPTION_DEVICE(train_arguments, device.selector),
    OPTION_ROUTE(train_arguments, device.route),
    OPTION_THREADS(train_arguments, device.threads),
    {.option = "out",
     .metavar = "FILE",
     .help = "save the model here, in safetensors form, for eval, predict, PyTorch and --resume",
     .fallback = "with --resume that file",
     .may_change = true,
     TALLY_TEXT_AT(train_arguments, out)},
    {.option = "save-every",
     .metavar = "N",
     .help = "save to --out after each N epochs, too, 0 for only at the end",
     .initial = "0",
     .may_change = true,
     TALLY_WHOLE_AT(train_arguments, save_every, 0, TALLY_MAX_EPOCHS)},
    FILE_OPTION(0, "resume", resume_from,
                "go on with the run that was saved in FILE, to the same weights as if it had not been stopped"),
    {.option = "weights-only",
     .help = "save without what --resume needs, in a third of the space",
     .may_change = true,
     TALLY_FLAG_AT(train_arguments, weights_only)},
    FILE_OPTION(0, "log", log, "write a line of JSON for each epoch here, behind what is there with --resume"),
    {.option = "compare",
     .metavar = "CELLS",
     .help = "train each of these, as in lstm,gru,rnn, from the same seed with the same options, and print a table",
     .fallback = "",
     .may_change = true,
     TALLY_TEXT_AT(train_arguments, compare.list)},
    FILE_OPTION(0, "curves", compare.curves, "with --compare: write each epoch of each cell here, as CSV"),
    OPTION_JSON(train_arguments, json),
    OPTION_VERBOSE(train_arguments, device.verbose),
    OPTION_QUIET(train_arguments, device.quiet),
};

static const tally_setting results[] = {
    {.name = "tally.version", TALLY_TEXT_AT(recipe, version)},
    {.name = "epochs", TALLY_WHOLE_AT(recipe, epochs, 0, TALLY_MAX_EPOCHS)},
    {.name = "kept_epoch", TALLY_WHOLE_AT(recipe, kept_epoch, 1, TALLY_MAX_EPOCHS)},
    {.name = "steps", TALLY_WHOLE_AT(recipe, steps, 1, INT64_MAX)},
    {.name = "valid_size", TALLY_WHOLE_AT(recipe, valid_size, 0, UINT32_MAX)},
    {.name = "valid_loss", TALLY_REAL_AT(recipe, valid_loss, 0, DBL_MAX)},
    {.name = "valid_mistakes", TALLY_WHOLE_AT(recipe, valid_mistakes, 0, UINT32_MAX)},
    {.name = "device", TALLY_TEXT_AT(recipe, device)},
    {.name = "backend", TALLY_TEXT_AT(recipe, backend)},
    {.name = "route", TALLY_CHOICE_AT(recipe, route, command_routes)},
    {.name = "threads", TALLY_WHOLE_AT(recipe, threads, 1, COMMAND_MAX_THREADS)},
    {.name = "train_seconds", TALLY_REAL_AT(recipe, train_seconds, 0, DBL_MAX)},
    {.name = "loss", TALLY_REAL_AT(recipe, loss, 0, DBL_MAX)},
    {.name = "weights_sha256", TALLY_TEXT_AT(recipe, digest)},
};

/* Appends rows for a struct at an offset within the recipe. */
static size_t append_rows(tally_setting *all, size_t count, const tally_setting *rows, size_t more, size_t offset,
                          unsigned groups) {
    for (size_t i = 0; i < more && count + 1 < SETTINGS_MOST; i++) {
        all[count] = rows[i];
        all[count].offset += offset;
        all[count++].groups |= groups;
    }
    return count;
}

/* Describes the default of a setting that depends on the optimizer: the first optimizer's that has it, and others
 * where they differ. */
static void describe_default(tally_setting *s, char *text, size_t size) {
    char first[TALLY_SETTING_TEXT_SIZE] = "", other[TALLY_SETTING_TEXT_SIZE];
    size_t used = 0;
    for (int kind = 0; kind < TALLY_OPTIMIZERS && s->metavar != NULL; kind++) {
        const recipe r = {.train.optimizer = tally_optimizer_defaults((tally_optimizer)kind)};
        if (!tally_optimizer_takes((tally_optimizer)kind, s->name) || s->type != TALLY_SETTING_REAL)
            continue;
        const char *shown = tally_setting_format(s, &r, used == 0 ? first : other);
        if (used == 0)
            used = (size_t)snprintf(text, size, "%s", shown);
        else if (strcmp(shown, first) != 0 && used < size)
            used += (size_t)snprintf(text + used, size - used, ", %s %s", tally_optimizer_name((tally_optimizer)kind),
                                     shown);
    }
    if (used > 0)
        s->fallback = text;
}

#define COUNT(rows) (sizeof(rows) / sizeof *(rows))

const tally_setting *settings_all(size_t *count) {
    static tally_setting all[SETTINGS_MOST];
    static char defaults[SETTINGS_MOST][128];
    static size_t used;
    if (used == 0) {
        size_t more;
        used = append_rows(all, used, data, COUNT(data), 0, 0);
        const tally_setting *rows = tally_model_settings(&more);
        used = append_rows(all, used, rows, more, offsetof(recipe, model), SETTING_MODEL);
        rows = tally_train_settings(&more);
        used = append_rows(all, used, rows, more, offsetof(recipe, train), 0);
        for (size_t i = 0; i < more; i++)
            describe_default(&all[used - more + i], defaults[i], sizeof defaults[i]);
        used = append_rows(all, used, run, COUNT(run), 0, 0);
        used = append_rows(all, used, results, COUNT(results), 0, SETTING_RESULT);
    }
    *count = used;
    return all;
}

bool settings_has_task(const tally_setting *s, recipe_task of) {
    return of == RECIPE_TASKS || (s->groups & SETTING_TASKS) == 0 || (s->groups & 1u << of) != 0;
}

void settings_options(recipe_task of, tally_setting options[SETTINGS_MOST]) {
    size_t count, used = 0;
    const tally_setting *all = settings_all(&count);
    for (size_t i = 0; i < count; i++)
        if (all[i].option != NULL && settings_has_task(&all[i], of))
            options[used++] = all[i];
    options[used] = (tally_setting){.option = NULL};
}

const char *settings_key(const tally_setting *s) {
    static const char own[] = "tally.";
    return s->name + (strncmp(s->name, own, strlen(own)) == 0 ? strlen(own) : 0);
}

const tally_setting *settings_find(const char *name) {
    size_t count, i = 0;
    const tally_setting *all = settings_all(&count);
    while (all[i].name == NULL || strcmp(all[i].name, name) != 0)
        i++;
    return &all[i];
}
