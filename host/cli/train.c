#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "compare.h"
#include "epoch_log.h"
#include "options.h"
#include "progress.h"
#include "report.h"
#include "resume.h"
#include "schedule.h"
#include "shape.h"
#include "stop.h"
#include "task.h"

typedef struct arguments {
    const task *task;
    task_choice choice;
    recipe recipe;
    shape shape;
    command_device device;
    const char *out;
    schedule schedule;
    resume resume; /* of schedule.resume */
    compare compare;
    compare *among; /* the comparison that this is a run of, or NULL */
    bool json, quiet;
} arguments;

/* Fails now rather than when training is over: the file will be renamed into place, so its folder must take it. */
static int check_out(const char *path) {
    struct stat at;
    if (*path == '\0')
        return command_fail(TALLY_IO, "--out: the file's name is empty");
    bool there = stat(path, &at) == 0;
    if (!there && errno != ENOENT && errno != ENOTDIR) /* of its folder more is said below */
        return command_fail(TALLY_IO, "--out %s: %s", path, strerror(errno));
    if (there && !S_ISREG(at.st_mode))
        return command_fail(TALLY_IO, "--out %s: %s", path,
                            S_ISDIR(at.st_mode) ? "it is a directory" : "it is there and is not a regular file");
    if (there && access(path, W_OK) != 0)
        return command_fail(TALLY_IO, "--out %s: %s", path, strerror(errno));
    const char *slash = strrchr(path, '/');
    if (slash != NULL && slash[1] == '\0')
        return command_fail(TALLY_IO, "--out %s: it names a directory", path);
    size_t length = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);
    char *folder = strndup(slash == NULL ? "." : path, length);
    if (folder == NULL)
        return command_fail(TALLY_MEMORY, "no memory left for the name of a folder");
    int result = TALLY_OK;
    if (stat(folder, &at) != 0)
        result = command_fail(TALLY_IO, "--out %s: its folder %s: %s", path, folder, strerror(errno));
    else if (!S_ISDIR(at.st_mode))
        result = command_fail(TALLY_IO, "--out %s: %s is not a directory", path, folder);
    else if (access(folder, W_OK | X_OK) != 0)
        result = command_fail(TALLY_IO, "--out %s: its folder %s: %s", path, folder, strerror(errno));
    free(folder);
    return result;
}

static bool watch_test(void *context, const tally_progress *now) {
    progress_test_step(context, now);
    return stop_signal() == 0;
}

typedef struct training {
    const arguments *arguments;
    recipe *recipe;
    tally_model *model;
    const task_data *data;
    const tally_dataset *train, *valid; /* parts of what is to be trained on; valid is NULL if none is held out */
    tally_training *run;
    epoch_log log;
    progress progress;
    report report;
    int result;     /* the exit code */
    char why[1024]; /* for report.stopped */
    /* For the report. */
    char digest[65], example[RECIPE_MAX_LENGTH + 1];
    float probabilities[RECIPE_MAX_COUNTS];
    size_t *tested_of_class, *mistakes_of_class;
} training;

/* What status, of training or of the test, means for the outcome. */
static void conclude(training *t, tally_status status) {
    if (status == TALLY_OK)
        return;
    if (status == TALLY_STOPPED) {
        t->report.stopped = "interrupted";
        t->result = 128 + stop_signal();
        return;
    }
    t->result = command_fail_library(status);
    snprintf(t->why, sizeof t->why, "%s", tally_error_text());
    t->report.stopped = t->why;
}

static tally_status note_training(training *t) {
    recipe *r = t->recipe;
    const tally_train_result result = tally_training_result(t->run);
    const tally_device *device = tally_model_device(t->model);
    const tally_device_info *info = tally_device_get_info(device);
    r->version = tally_version();
    r->epochs = result.epochs;
    r->kept_epoch = result.kept_epoch;
    r->steps = result.steps;
    r->device = info->name;
    r->backend = info->backend;
    r->route = (int)tally_device_route(device);
    r->threads = tally_device_workers(device);
    r->train_seconds = result.seconds;
    r->loss = result.loss / (double)t->train->size;
    r->valid_size = t->valid != NULL ? t->valid->size : 0;
    r->valid_loss = result.valid_loss / (double)r->valid_size;
    r->valid_mistakes = result.valid_mistakes;
    r->digest = t->digest;
    for (int i = 0; i < RECIPE_FIELDS; i++)
        if (i != RECIPE_HOLD_OUT)
            r->known[i] = recipe_has(r, (recipe_field)i);
    r->known[RECIPE_KEPT_EPOCH] = r->known[RECIPE_LOSS] = result.kept_epoch > 0;
    r->known[RECIPE_VALID_LOSS] = r->known[RECIPE_VALID_MISTAKES] = isfinite(r->valid_loss);
    return tally_training_digest(t->run, t->digest);
}

/* With the run's state unless that is not wanted, or cannot be saved. */
static tally_status save_file(training *t, bool *weights_only) {
    const char *path = t->arguments->out;
    tally_status status = recipe_store(t->recipe, t->model);
    if (status == TALLY_OK)
        status = tally_training_save(t->run, path, *weights_only);
    if (status != TALLY_NUMBERS || *weights_only)
        return status;
    progress_end();
    fprintf(stderr, "%s: without the state of training\n", tally_error_text());
    *weights_only = true;
    return tally_training_save(t->run, path, true);
}

/* faulty: numbers that are not finite have ended the run. */
static void save(training *t, bool faulty) {
    const char *path = t->arguments->out;
    bool weights_only = t->arguments->schedule.weights_only || faulty;
    if (path == NULL)
        return;
    if (t->recipe->kept_epoch == 0 && weights_only) {
        fprintf(stderr, "no model saved: not one epoch was whole\n");
        return;
    }
    tally_status status = save_file(t, &weights_only);
    if (status != TALLY_OK) {
        int failed = command_fail_library(status);
        if (t->result == TALLY_OK)
            t->result = failed;
        return;
    }
    t->report.file = path;
    if (t->report.stopped == NULL)
        return;
    if (t->recipe->kept_epoch == 0)
        fprintf(stderr, "not one epoch was whole: the first weights are in %s", path);
    else
        fprintf(stderr, "the model of epoch %llu is in %s", (unsigned long long)t->recipe->kept_epoch, path);
    fprintf(stderr, weights_only ? "\n" : "; 'tally train --resume' goes on from it\n");
}

/* A file that cannot be written does not end training: the next one may be, and only what is in memory can still be saved. */
static void save_meanwhile(training *t) {
    bool weights_only = t->arguments->schedule.weights_only;
    tally_status status = note_training(t);
    if (status == TALLY_OK)
        status = save_file(t, &weights_only);
    if (status != TALLY_OK)
        command_fail_library(status);
}

static bool watch_training(void *context, const tally_progress *now) {
    training *t = context;
    uint64_t every = t->arguments->schedule.save_every;
    progress_train_step(&t->progress, now);
    if (now->epoch_done)
        epoch_log_write(&t->log, now);
    if (now->epoch_done && t->arguments->among != NULL)
        compare_epoch(t->arguments->among, now, t->train, t->valid);
    if (now->epoch_done && every > 0 && now->epoch % every == 0)
        save_meanwhile(t);
    return stop_signal() == 0;
}

/* Of count: the first test string through the model, for people to see. */
static tally_status predict_example(training *t) {
    const tally_dataset *strings = t->data->test;
    if (t->recipe->task != RECIPE_COUNT || strings->size == 0)
        return TALLY_OK;
    float x[RECIPE_MAX_LENGTH];
    size_t first = 0, steps = strings->steps;
    int32_t length = (int32_t)steps;
    tally_status status = strings->read(strings, &first, 1, x, NULL);
    if (status == TALLY_OK && strings->lengths != NULL)
        status = strings->lengths(strings, &first, 1, &length);
    steps = (size_t)length;
    if (status == TALLY_OK)
        status = tally_predict(t->model, x, 1, steps, NULL, t->probabilities);
    if (status != TALLY_OK)
        return status;
    for (size_t i = 0; i < steps; i++)
        t->example[i] = x[i] != 0 ? '1' : '0';
    t->report.example = t->example;
    t->report.probabilities = t->probabilities;
    return TALLY_OK;
}

static tally_status test(training *t) {
    t->report.test.tested_of_class = t->tested_of_class;
    t->report.test.mistakes_of_class = t->mistakes_of_class;
    progress_test(&t->progress, &t->arguments->task->words, t->data->test->size);
    tally_observer observer = {.step = watch_test, .context = &t->progress};
    tally_status status = tally_test(t->model, t->data->test, 0, t->data->test->size, &observer, &t->report.test);
    progress_end();
    t->report.tested = status == TALLY_OK;
    return status == TALLY_OK ? predict_example(t) : status;
}

static tally_status start_run(training *t) {
    const recipe *r = t->recipe;
    const tally_train_options options = {
        .epochs = (size_t)r->epochs_wanted,
        .batch = (size_t)r->batch,
        .adam = {.rate = r->rate, .beta1 = r->beta1, .beta2 = r->beta2, .epsilon = r->epsilon},
        .shuffle = r->shuffle,
        .seed = r->seed,
        .keep = (tally_keep)r->keep,
        .patience = (size_t)r->patience,
        .decay = (tally_decay)r->decay,
        .clip = r->clip,
        .dropout = r->dropout,
    };
    const char *from = t->arguments->schedule.resume;
    return from != NULL ? tally_training_resume(t->model, t->train, t->valid, &options, from, &t->run)
                        : tally_training_new(t->model, t->train, t->valid, &options, &t->run);
}

static int train(training *t) {
    tally_status status = start_run(t);
    if (status != TALLY_OK)
        return command_fail_library(status);
    stop_catch();
    tally_train_result before = tally_training_result(t->run);
    progress_start(&t->progress, t->arguments->quiet);
    if (t->arguments->among != NULL)
        t->progress.name = t->arguments->among->cell;
    progress_train(&t->progress, &t->arguments->task->words, t->model, t->train, t->data->test,
                   tally_training_options(t->run), &before);
    tally_observer observer = {.step = watch_training, .context = t};
    status = tally_training_run(t->run, &observer);
    progress_end();
    conclude(t, status);
    if (status != TALLY_OK && status != TALLY_STOPPED && status != TALLY_NUMBERS)
        return t->result;

    bool faulty = status == TALLY_NUMBERS;
    status = note_training(t);
    if (status != TALLY_OK)
        return command_fail_library(status);
    save(t, faulty); /* before the test, so that nothing there can lose it */
    if (t->report.stopped == NULL)
        conclude(t, test(t));
    if (t->arguments->device.verbose)
        command_describe_fallbacks(tally_model_device(t->model));
    int printed = t->arguments->among != NULL ? compare_add(t->arguments->among, &t->report)
                  : t->arguments->json        ? report_print_json(&t->report)
                                              : report_print(&t->report);
    return t->result != TALLY_OK ? t->result : printed;
}

static tally_status make_model(training *t, tally_device *device) {
    const arguments *a = t->arguments;
    if (a->schedule.resume != NULL)
        return tally_model_load(device, a->schedule.resume, &t->model);
    tally_model_config config = {.inputs = t->data->train->inputs,
                                 .hidden = (size_t)a->shape.hidden,
                                 .classes = t->data->train->classes,
                                 .layers = (size_t)a->shape.layers,
                                 .cell = (tally_cell)a->shape.cell};
    tally_status status = tally_model_new(device, &config, &t->model);
    return status == TALLY_OK ? tally_model_init(t->model, a->recipe.seed) : status;
}

static int train_on(arguments *a, const task_data *data, tally_device *device) {
    size_t classes = data->train->classes;
    training t = {.arguments = a, .recipe = &a->recipe, .data = data, .train = data->train};
    tally_split *split = NULL;
    t.tested_of_class = calloc(classes, sizeof *t.tested_of_class);
    t.mistakes_of_class = calloc(classes, sizeof *t.mistakes_of_class);
    tally_status status = make_model(&t, device);
    int result = status == TALLY_OK ? TALLY_OK : command_fail_library(status);
    if (result == TALLY_OK && a->recipe.valid > 0) {
        status = tally_split_new(data->train, a->recipe.valid, a->recipe.seed, &split);
        result = status == TALLY_OK ? TALLY_OK : command_fail_option(status, "valid");
    }
    if (split != NULL) {
        t.train = tally_split_train(split);
        t.valid = tally_split_valid(split);
    }
    t.report = (report){.recipe = t.recipe, .model = t.model, .trained = true, .digest = t.digest};
    if (result == TALLY_OK && (t.tested_of_class == NULL || t.mistakes_of_class == NULL))
        result = command_fail(TALLY_MEMORY, "no memory left for %zu classes", classes);
    if (result == TALLY_OK)
        result = epoch_log_open(&t.log, a->schedule.log, a->schedule.resume != NULL);
    if (result == TALLY_OK) {
        t.log.trained = t.train->size;
        t.log.valid = t.valid != NULL ? t.valid->size : 0;
        result = train(&t);
        int closed = epoch_log_close(&t.log);
        result = result != TALLY_OK ? result : closed;
    }
    tally_training_free(t.run);
    tally_model_free(t.model);
    tally_split_free(split);
    free(t.tested_of_class);
    free(t.mistakes_of_class);
    return result;
}

static int train_with(arguments *a, const task_data *data) {
    tally_device *device;
    int result = command_open_device(&a->device, &device);
    if (result != TALLY_OK)
        return result;
    result = train_on(a, data, device);
    command_close_device(device);
    return result;
}

/* A device for each, as for a run alone: what it counts is that run's. */
static int train_each(arguments *a, const task_data *data) {
    compare *c = &a->compare;
    int result = compare_open(c, a->recipe.valid > 0, a->json);
    for (size_t i = 0; i < c->count && result == TALLY_OK; i++) {
        arguments one = *a;
        one.among = c;
        one.shape.cell = (int)c->cells[i];
        c->cell = tally_cell_name(c->cells[i]);
        result = train_with(&one, data);
    }
    return compare_close(c, result);
}

enum {
    MAX_COMMON = 32,
    MAX_OPTIONS = RECIPE_TASKS * TASK_MAX_OPTIONS + MAX_COMMON + SHAPE_OPTIONS + SCHEDULE_OPTIONS + COMPARE_OPTIONS + 1
};
_Static_assert((int)MAX_OPTIONS <= (int)RESUME_MAX_OPTIONS, "a table of values has room for all options");

/* Options that all tasks have; how many. */
static size_t common_options(arguments *a, const value v[RECIPE_FIELDS], option *options) {
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
static void make_options(arguments *a, const task *chosen, option options[MAX_OPTIONS]) {
    const task *defaults = chosen != NULL ? chosen : task_get(RECIPE_COUNT);
    *a = (arguments){.task = defaults,
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
static int choose_task(arguments *a, const option *options, int argc, char **argv, const task **chosen) {
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
static void adopt(arguments *a) {
    const recipe *r = &a->resume.recipe;
    a->recipe = *r;
    a->shape = a->resume.shape;
    a->choice.train_size = r->train_size;
    a->choice.hold_out = r->known[RECIPE_HOLD_OUT] ? r->hold_out : NAN;
    a->device.route = r->route;
}

static int parse(arguments *a, option options[MAX_OPTIONS], int argc, char **argv, int *operands) {
    const task *chosen;
    make_options(a, NULL, options);
    int result = choose_task(a, options, argc, argv, &chosen);
    if (result != TALLY_OK)
        return result;
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

int command_train(int argc, char **argv) {
    arguments a;
    option options[MAX_OPTIONS];
    int operands;
    int parsed = parse(&a, options, argc, argv, &operands);
    if (parsed != TALLY_OK)
        return parsed < 0 ? TALLY_OK : parsed;
    if (operands == 0 && a.schedule.resume == NULL)
        return unknown_task(NULL);
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
    if (a.out != NULL && check_out(a.out) != TALLY_OK)
        return TALLY_IO;
    a.device.quiet = a.quiet;
    task_data data = {.train = NULL};
    int result = a.task->open(&a.choice, &data);
    if (result == TALLY_OK && a.schedule.resume != NULL)
        result = resume_check_data(&a.resume, &a.recipe);
    if (result == TALLY_OK)
        result = a.compare.list != NULL ? train_each(&a, &data) : train_with(&a, &data);
    task_close(&data);
    return result;
}
