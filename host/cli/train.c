#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "paths.h"
#include "train_run.h"

/* A device for each, as for a run alone: what it counts is that run's. */
static int train_each(train_arguments *a, const task_data *data) {
    compare *c = &a->compare;
    int result = compare_open(c, a->recipe.valid > 0, a->json);
    for (size_t i = 0; i < c->count && result == TALLY_OK; i++) {
        train_arguments one = *a;
        one.among = c;
        one.shape.cell = (int)c->cells[i];
        c->cell = tally_cell_name(c->cells[i]);
        result = train_run(&one, data);
    }
    return compare_close(c, result);
}

enum {
    MAX_COMMON = 32,
    MAX_OPTIONS = RECIPE_TASKS * TASK_MAX_OPTIONS + MAX_COMMON + SHAPE_OPTIONS + SCHEDULE_OPTIONS + COMPARE_OPTIONS + 1
};
_Static_assert((int)MAX_OPTIONS <= (int)RESUME_MAX_OPTIONS, "a table of values has room for all options");

/* Options that all tasks have; how many. */
static size_t common_options(train_arguments *a, const value v[RECIPE_FIELDS], option *options) {
    const option common[] = {
        {.name = "epochs",
         .argument = "N",
         .value = v[RECIPE_EPOCHS_WANTED],
         .help = "passes over what is trained on, with --resume counted from the very beginning"},
        {.name = "batch", .argument = "N", .value = v[RECIPE_BATCH], .help = "sequences a training step"},
        {.name = "lr", .argument = "X", .value = v[RECIPE_RATE], .help = "learning rate of Adam"},
        {.name = "beta1", .argument = "X", .value = v[RECIPE_BETA1], .help = "Adam's decay of the gradient's mean"},
        {.name = "beta2", .argument = "X", .value = v[RECIPE_BETA2], .help = "Adam's decay of the gradient's square"},
        {.name = "epsilon", .argument = "X", .value = v[RECIPE_EPSILON], .help = "what Adam adds to the divisor"},
        {.name = "dropout",
         .argument = "SHARE",
         .value = v[RECIPE_DROPOUT],
         .help = "share of what a layer hands to the next that is left out in training"},
        {.name = "seed",
         .argument = "N",
         .value = v[RECIPE_SEED],
         .help = "of all that is random: which sequences are trained on where that is drawn, the first weights and the "
                 "shuffling; a seed means the same everywhere"},
        {.name = "shuffle", .value = v[RECIPE_SHUFFLE], .help = "a new order of what is trained on in each epoch"},
        {.name = "keep",
         .argument = "WHICH",
         .value = v[RECIPE_KEEP],
         .help =
             "weights of the last epoch, or of the best one: the fewest mistakes, and of as many the lowest loss, on "
             "what --valid holds out, else the lowest training loss"},
        OPTION_DEVICE(a->device.selector),
        OPTION_ROUTE(a->device.route),
        OPTION_THREADS(a->device.threads),
        {.name = "out",
         .argument = "FILE",
         .value = value_text(&a->out),
         .help = "save the model here, in safetensors form, for eval, predict, PyTorch and --resume",
         .fallback = "with --resume that file"},
        OPTION_JSON(a->json),
        OPTION_VERBOSE(a->device.verbose),
        OPTION_QUIET(a->quiet),
    };
    _Static_assert(sizeof common <= MAX_COMMON * sizeof *common, "a table of options has room for them");
    memcpy(options, common, sizeof common);
    return sizeof common / sizeof *common;
}

/* Of one task, or with NULL, of all; targets get a task's defaults, or those of count. */
static void make_options(train_arguments *a, const task *chosen, option options[MAX_OPTIONS]) {
    const task *defaults = chosen != NULL ? chosen : task_get(RECIPE_COUNT);
    *a = (train_arguments){.task = defaults,
                           .recipe = recipe_defaults(defaults->number),
                           .shape = {.hidden = defaults->hidden, .layers = 1},
                           .device = {.selector = "auto"}};
    a->choice = (task_choice){.recipe = &a->recipe, .hold_out = NAN};
    value v[RECIPE_FIELDS];
    recipe_values(&a->recipe, v);
    size_t count = 0;
    for (int i = 0; i < RECIPE_TASKS; i++)
        if (chosen == NULL || chosen == task_get(i))
            count += task_get(i)->options(&a->choice, v, options + count);
    count += shape_options(&a->shape, options + count);
    count += common_options(a, v, options + count);
    count += schedule_options(&a->schedule, v, options + count);
    count += compare_options(&a->compare, options + count);
    options[count] = (option){.name = NULL};
}

static int unknown_task(const char *name) {
    const char *command = task_get(RECIPE_COUNT)->help.command;
    return name == NULL ? command_misused(command, "which task? There is count, mnist and npy")
                        : command_misused(command, "unknown task '%s'; there is count, mnist and npy", name);
}

/* The task that the command line names, or that of the file to go on from; NULL, said on stderr, if it is none. */
static int choose_task(train_arguments *a, const option *options, int argc, char **argv, const task **chosen) {
    const char *named = options_first_operand(options, argc, argv);
    const char *from = options_value(options, argc, argv, "resume");
    bool help = options_ask_help(argc, argv);
    *chosen = named != NULL ? task_find(named) : NULL;
    if (named != NULL && *chosen == NULL && !help)
        return unknown_task(named);
    int checked = help ? TALLY_OK : compare_check(options, argc, argv, a->task->help.command);
    if (checked != TALLY_OK)
        return checked;
    if (from != NULL && !help) {
        int result = resume_read(&a->resume, from);
        if (result != TALLY_OK)
            return result;
        const task *theirs = task_get(a->resume.recipe.task);
        if (*chosen != NULL && *chosen != theirs)
            return command_misused(theirs->help.command, "the run in %s is of the task %s, not %s", from, theirs->name,
                                   named);
        *chosen = theirs;
    }
    return TALLY_OK;
}

/* What the file says stands for what the command line does not say. */
static void adopt(train_arguments *a) {
    const recipe *r = &a->resume.recipe;
    a->recipe = *r;
    a->shape = a->resume.shape;
    a->choice.train_size = r->train_size;
    a->choice.hold_out = r->known[RECIPE_HOLD_OUT] ? r->hold_out : NAN;
    a->device.route = r->route;
}

static int parse(train_arguments *a, option options[MAX_OPTIONS], int argc, char **argv, int *operands) {
    const task *chosen;
    make_options(a, NULL, options);
    int result = choose_task(a, options, argc, argv, &chosen);
    if (result != TALLY_OK)
        return result;
    if (chosen == NULL && !options_ask_help(argc, argv)) {
        /* An option of any task, so that it is the task that is asked for. */
        result = options_parse(options, &a->task->help, argc, argv, operands);
        return result == TALLY_OK ? unknown_task(NULL) : result;
    }
    const resume from = a->resume;
    const char *preset = options_value(options, argc, argv, "preset");
    make_options(a, chosen != NULL ? chosen : task_get(RECIPE_COUNT), options);
    if (preset != NULL && from.path != NULL)
        return command_misused(a->task->help.command, "option --preset: the run in %s has a recipe", from.path);
    /* A name that is none is refused when options are parsed. */
    if (preset != NULL && a->task->preset != NULL)
        a->task->preset(&a->recipe, preset);
    if (from.path == NULL)
        return options_parse(options, &a->task->help, argc, argv, operands);
    resume_values values;
    a->resume = from;
    adopt(a);
    resume_remember(&values, options);
    result = options_parse(options, &a->task->help, argc, argv, operands);
    if (a->device.route == TALLY_ROUTE_AUTO)
        a->device.route = from.recipe.route;
    if (a->out == NULL)
        a->out = from.path;
    if (result == TALLY_OK)
        result = resume_check_options(&a->resume, &values, options, a->task->help.command);
    if (result == TALLY_OK && a->recipe.epochs_wanted < from.recipe.epochs)
        result = command_misused(a->task->help.command, "option --epochs: %llu, but the run in %s has done %llu",
                                 (unsigned long long)a->recipe.epochs_wanted, from.path,
                                 (unsigned long long)from.recipe.epochs);
    return result;
}

static int check_paths(const train_arguments *a) {
    const task_files *f = &a->choice.files;
    /* The model to go on from may be written over, but by a model. */
    const path_option resumed[] = {{"resume", a->schedule.resume, false}, {"log", a->schedule.log, true}};
    const path_option all[] = {{"out", a->out, true},
                               {"log", a->schedule.log, true},
                               {"curves", a->compare.curves, true},
                               {"x", f->x, false},
                               {"y", f->y, false},
                               {"lengths", f->lengths, false},
                               {"test-x", f->test_x, false},
                               {"test-y", f->test_y, false},
                               {"test-lengths", f->test_lengths, false}};
    int result = paths_check_apart(resumed, sizeof resumed / sizeof *resumed, a->task->help.command);
    if (result == TALLY_OK)
        result = paths_check_apart(all, sizeof all / sizeof *all, a->task->help.command);
    return result == TALLY_OK && a->out != NULL ? paths_check_out(a->out) : result;
}

int command_train(int argc, char **argv) {
    train_arguments a;
    option options[MAX_OPTIONS];
    int operands;
    int parsed = parse(&a, options, argc, argv, &operands);
    if (parsed != TALLY_OK)
        return parsed < 0 ? TALLY_OK : parsed;
    if (operands > 1)
        return command_misused(a.task->help.command, "'%s' is too much behind the task", argv[1]);
    const char *saves = a.schedule.save_every > 0 ? "save-every" : a.schedule.weights_only ? "weights-only" : NULL;
    if (saves != NULL && a.out == NULL)
        return command_misused(a.task->help.command, "option --%s: %s", saves,
                               a.compare.list != NULL ? "not together with --compare: no model is saved"
                                                      : "where to? Give --out FILE");
    if (a.recipe.dropout > 0 && a.shape.layers == 1)
        return command_misused(a.task->help.command, "option --dropout: it is between layers, and there is one");
    int checked = a.compare.list != NULL ? compare_parse(&a.compare, a.task->help.command) : TALLY_OK;
    if (checked == TALLY_OK)
        checked = a.task->check(&a.choice);
    if (checked != TALLY_OK)
        return checked;
    checked = check_paths(&a);
    if (checked != TALLY_OK)
        return checked;
    a.device.quiet = a.quiet;
    task_data data = {.train = NULL};
    int result = a.task->open(&a.choice, &data);
    if (result == TALLY_OK && a.schedule.resume != NULL)
        result = resume_check_data(&a.resume, &a.recipe);
    if (result == TALLY_OK)
        result = a.compare.list != NULL ? train_each(&a, &data) : train_run(&a, &data);
    task_close(&data);
    return result;
}
