#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "paths.h"
#include "resume.h"
#include "tasks.h"
#include "train_run.h"

/* Trains each cell on a newly opened device, so that the device's counters are those of one run. */
static int train_each_cell(train_arguments *a, const task_data *data) {
    compare *c = &a->compare;
    int result = compare_open(c, a->recipe.valid > 0, a->json);
    for (size_t i = 0; i < c->count && result == TALLY_OK; i++) {
        train_arguments one = *a;
        one.among = c;
        one.recipe.model.cell = c->cells[i];
        c->cell = tally_cell_name(c->cells[i]);
        result = train_run(&one, data);
    }
    return compare_close(c, result);
}

/* Sets the defaults of a task. */
static void set_defaults(train_arguments *a, recipe_task chosen) {
    tally_setting options[SETTINGS_MOST];
    *a = (train_arguments){.task = task_get(chosen)};
    settings_options(RECIPE_TASKS, options);
    options_reset(options, a);
    recipe_reset(&a->recipe, chosen);
}

static int refuse_task(const char *name) {
    const char *command = task_get(RECIPE_COUNT)->help.command;
    return name == NULL ? command_misused(command, "which task? The tasks are count, mnist and npy")
                        : command_misused(command, "unknown task '%s'; the tasks are count, mnist and npy", name);
}

/* Sets the task named on the command line, or that of the file to resume. NULL if there is none and help is
 * requested. */
static int choose_task(recipe *resumed, const tally_setting *options, int argc, char **argv, const task **chosen) {
    const char *named = options_first_operand(options, argc, argv);
    const char *from = options_value(options, argc, argv, "resume");
    bool help = options_ask_help(argc, argv);
    *chosen = named != NULL ? task_find(named) : NULL;
    if (named != NULL && *chosen == NULL && !help)
        return refuse_task(named);
    int checked = help ? TALLY_OK : compare_check(options, argc, argv, task_get(RECIPE_COUNT)->help.command);
    if (checked != TALLY_OK)
        return checked;
    if (from != NULL && !help) {
        int result = resume_read(resumed, from);
        if (result != TALLY_OK)
            return result;
        const task *theirs = task_get(resumed->task);
        if (*chosen != NULL && *chosen != theirs)
            return command_misused(theirs->help.command, "the run in %s is of the task %s, not %s", from,
                                   settings_tasks[theirs->number], named);
        *chosen = theirs;
    }
    return TALLY_OK;
}

/* Parses the command line with the resumed run's settings as defaults. */
static int parse_resumed(train_arguments *a, const recipe *resumed, const tally_setting *options, int argc, char **argv,
                         int *operands) {
    const char *command = a->task->help.command;
    a->recipe = *resumed;
    a->device.route = resumed->route;
    const train_arguments before = *a;
    int result = options_parse(options, a, &a->task->help, argc, argv, operands);
    if (a->device.route == TALLY_ROUTE_AUTO)
        a->device.route = resumed->route;
    if (a->out == NULL)
        a->out = a->resume_from;
    if (result == TALLY_OK)
        result = resume_check_options(&before, a, options);
    if (result == TALLY_OK && a->recipe.train.epochs < resumed->epochs)
        result = command_misused(command, "option --epochs: %zu, but the run in %s has done %llu",
                                 a->recipe.train.epochs, a->resume_from, (unsigned long long)resumed->epochs);
    return result;
}

/* resumed receives the recipe that --resume reads, if it is given. */
static int parse_arguments(train_arguments *a, recipe *resumed, int argc, char **argv, int *operands) {
    const task *chosen;
    tally_setting options[SETTINGS_MOST];
    settings_options(RECIPE_TASKS, options);
    int result = choose_task(resumed, options, argc, argv, &chosen);
    if (result != TALLY_OK)
        return result;
    set_defaults(a, chosen != NULL ? chosen->number : RECIPE_COUNT);
    if (chosen == NULL && !options_ask_help(argc, argv)) {
        /* Parse the options of all tasks first, so that a wrong option is reported before the missing task. */
        result = options_parse(options, a, &a->task->help, argc, argv, operands);
        return result == TALLY_OK ? refuse_task(NULL) : result;
    }
    const char *preset = options_value(options, argc, argv, "preset");
    const char *from = options_ask_help(argc, argv) ? NULL : options_value(options, argc, argv, "resume");
    settings_options(a->task->number, options);
    if (from != NULL && preset != NULL)
        return command_misused(a->task->help.command, "option --preset: the run in %s has a recipe", from);
    if (from != NULL)
        return parse_resumed(a, resumed, options, argc, argv, operands);
    /* Some defaults depend on the optimizer. An unknown optimizer is refused when the options are parsed. */
    const char *optimizer = options_value(options, argc, argv, "optimizer");
    if (optimizer != NULL && tally_setting_parse(settings_find("optimizer"), &a->recipe, optimizer))
        a->recipe.train.optimizer = tally_optimizer_defaults(a->recipe.train.optimizer.kind);
    for (size_t i = 0; preset != NULL && a->task->presets != NULL && task_presets[i] != NULL; i++)
        if (strcmp(preset, task_presets[i]) == 0)
            recipe_set_defaults(&a->recipe, a->task->presets[i]);
    return options_parse(options, a, &a->task->help, argc, argv, operands);
}

static int check_paths(const train_arguments *a) {
    const task_files *f = &a->files;
    /* --out may overwrite the model being resumed, but --log may not. */
    const path_option resumed[] = {{"resume", a->resume_from, false}, {"log", a->log, true}};
    const path_option all[] = {
        {"out", a->out, true},        {"log", a->log, true},        {"curves", a->compare.curves, true},
        {"x", f->x, false},           {"y", f->y, false},           {"lengths", f->lengths, false},
        {"test-x", f->test_x, false}, {"test-y", f->test_y, false}, {"test-lengths", f->test_lengths, false}};
    int result = paths_check_apart(resumed, sizeof resumed / sizeof *resumed, a->task->help.command);
    if (result == TALLY_OK)
        result = paths_check_apart(all, sizeof all / sizeof *all, a->task->help.command);
    return result == TALLY_OK && a->out != NULL ? paths_check_out(a->out) : result;
}

static bool is_optimizer_setting(const tally_setting *s) {
    for (int kind = 0; kind < TALLY_OPTIMIZERS; kind++)
        if (tally_optimizer_takes((tally_optimizer)kind, s->name))
            return true;
    return false;
}

/* Refuses settings that the optimizer does not have. */
static int check_optimizer(const train_arguments *a) {
    const tally_train_options *now = &a->recipe.train;
    const tally_optimizer kind = now->optimizer.kind;
    const tally_train_options without = {.optimizer = tally_optimizer_defaults(kind)};
    size_t count;
    const tally_setting *settings = tally_train_settings(&count);
    for (size_t i = 0; i < count; i++) {
        const tally_setting *s = &settings[i];
        char is[TALLY_SETTING_TEXT_SIZE], other[TALLY_SETTING_TEXT_SIZE];
        if (is_optimizer_setting(s) && !tally_optimizer_takes(kind, s->name) &&
            strcmp(tally_setting_format(s, now, is), tally_setting_format(s, &without, other)) != 0)
            return command_misused(a->task->help.command, "option --%s: the optimizer %s has no such setting",
                                   s->option, tally_optimizer_name(kind));
    }
    return tally_optimizer_check(&now->optimizer) == TALLY_OK
               ? TALLY_OK
               : command_misused(a->task->help.command, "option --optimizer: %s", tally_error_text());
}

int command_train(int argc, char **argv) {
    train_arguments a;
    recipe resumed;
    int operands;
    int parsed = parse_arguments(&a, &resumed, argc, argv, &operands);
    if (parsed != TALLY_OK)
        return parsed < 0 ? TALLY_OK : parsed;
    if (operands > 1)
        return command_misused(a.task->help.command, "unexpected argument '%s' after the task", argv[1]);
    const char *saves = a.save_every > 0 ? "save-every" : a.weights_only ? "weights-only" : NULL;
    if (saves != NULL && a.out == NULL)
        return command_misused(a.task->help.command, "option --%s: %s", saves,
                               a.compare.list != NULL ? "cannot be combined with --compare: no model is saved"
                                                      : "it needs --out FILE");
    if (a.recipe.train.dropout > 0 && a.recipe.model.layers == 1)
        return command_misused(a.task->help.command,
                               "option --dropout: it applies between layers, but there is only one");
    int checked = check_optimizer(&a);
    if (checked != TALLY_OK)
        return checked;
    checked = a.compare.list != NULL ? compare_parse(&a.compare, a.task->help.command) : TALLY_OK;
    if (checked == TALLY_OK)
        checked = a.task->check(&a.recipe, &a.files);
    if (checked != TALLY_OK)
        return checked;
    checked = check_paths(&a);
    if (checked != TALLY_OK)
        return checked;
    task_data data = {.train = NULL};
    int result = a.task->open(&a.recipe, &a.files, &data);
    if (result == TALLY_OK && a.resume_from != NULL)
        result = resume_check_data(&resumed, &a.recipe, a.resume_from);
    if (result == TALLY_OK)
        result = a.compare.list != NULL ? train_each_cell(&a, &data) : train_run(&a, &data);
    task_close(&data);
    return result;
}
