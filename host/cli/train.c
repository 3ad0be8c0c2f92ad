#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "options.h"
#include "progress.h"
#include "report.h"
#include "stop.h"
#include "task.h"

enum { MAX_HIDDEN = 4096 };

typedef struct arguments {
    const task *task;
    task_choice choice;
    recipe recipe;
    uint64_t hidden;
    command_device device;
    const char *out;
    bool json, quiet;
} arguments;

/* Fails now rather than when training is over: the file will be renamed into place, so its folder must take it. */
static int check_out(const char *path) {
    struct stat at;
    if (*path == '\0')
        return command_fail(TALLY_IO, "--out: the file's name is empty");
    if (stat(path, &at) == 0 && !S_ISREG(at.st_mode))
        return command_fail(TALLY_IO, "--out %s: %s", path,
                            S_ISDIR(at.st_mode) ? "it is a directory" : "it is there and is not a regular file");
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

static bool watch_training(void *context, const tally_progress *now) {
    progress_train_step(context, now);
    return stop_signal() == 0;
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

static void note_training(training *t, const tally_train_result *result) {
    recipe *r = t->recipe;
    const tally_device *device = tally_model_device(t->model);
    const tally_device_info *info = tally_device_get_info(device);
    r->version = tally_version();
    r->epochs = result->epochs;
    r->kept_epoch = result->kept_epoch;
    r->steps = result->steps;
    r->device = info->name;
    r->backend = info->backend;
    r->route = (int)tally_device_route(device);
    r->threads = tally_device_workers(device);
    r->train_seconds = result->seconds;
    r->loss = result->loss / (double)r->train_size;
    r->digest = t->digest;
    for (int i = 0; i < RECIPE_FIELDS; i++)
        if (i != RECIPE_HOLD_OUT)
            r->known[i] = recipe_has(r, (recipe_field)i);
    r->known[RECIPE_KEPT_EPOCH] = r->known[RECIPE_LOSS] = result->kept_epoch > 0;
}

static void save(training *t) {
    const char *path = t->arguments->out;
    if (path == NULL)
        return;
    if (t->recipe->kept_epoch == 0) {
        fprintf(stderr, "no model saved: not one epoch was whole\n");
        return;
    }
    tally_status status = recipe_store(t->recipe, t->model);
    if (status == TALLY_OK)
        status = tally_model_save(t->model, path);
    if (status != TALLY_OK) {
        int failed = command_fail_library(status);
        if (t->result == TALLY_OK)
            t->result = failed;
        return;
    }
    t->report.file = path;
    if (t->report.stopped != NULL)
        fprintf(stderr, "the model of epoch %llu is in %s\n", (unsigned long long)t->recipe->kept_epoch, path);
}

/* Of count: the first test string through the model, for people to see. */
static tally_status predict_example(training *t) {
    const tally_dataset *strings = t->data->test;
    if (t->recipe->task != RECIPE_COUNT || strings->size == 0)
        return TALLY_OK;
    float x[RECIPE_MAX_LENGTH];
    size_t first = 0, steps = strings->steps;
    tally_status status = strings->read(strings, &first, 1, x, NULL);
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
    progress_end(&t->progress);
    t->report.tested = status == TALLY_OK;
    return status == TALLY_OK ? predict_example(t) : status;
}

static int train(training *t) {
    const recipe *r = t->recipe;
    tally_train_options options = {
        .epochs = (size_t)r->epochs,
        .batch = (size_t)r->batch,
        .adam = {.rate = r->rate, .beta1 = r->beta1, .beta2 = r->beta2, .epsilon = r->epsilon},
        .shuffle = r->shuffle,
        .seed = r->seed,
        .keep = (tally_keep)r->keep,
    };
    stop_catch();
    progress_start(&t->progress, t->arguments->quiet);
    progress_train(&t->progress, &t->arguments->task->words, t->model, t->data->train, t->data->test, &options);
    tally_train_result result;
    tally_observer observer = {.step = watch_training, .context = &t->progress};
    tally_status status = tally_train(t->model, t->data->train, &options, &observer, &result);
    progress_end(&t->progress);
    conclude(t, status);
    if (status != TALLY_OK && status != TALLY_STOPPED && status != TALLY_NUMBERS)
        return t->result;

    status = tally_model_digest(t->model, t->digest);
    if (status != TALLY_OK)
        return command_fail_library(status);
    note_training(t, &result);
    save(t); /* before the test, so that nothing there can lose it */
    if (t->report.stopped == NULL)
        conclude(t, test(t));
    if (t->arguments->device.verbose)
        command_describe_fallbacks(tally_model_device(t->model));
    int printed = t->arguments->json ? report_print_json(&t->report) : report_print(&t->report);
    return t->result != TALLY_OK ? t->result : printed;
}

static int train_on(arguments *a, const task_data *data, tally_device *device) {
    tally_model_config config = {
        .inputs = data->train->inputs, .hidden = (size_t)a->hidden, .classes = data->train->classes, .layers = 1};
    training t = {.arguments = a, .recipe = &a->recipe, .data = data};
    t.tested_of_class = calloc(config.classes, sizeof *t.tested_of_class);
    t.mistakes_of_class = calloc(config.classes, sizeof *t.mistakes_of_class);
    tally_status status = tally_model_new(device, &config, &t.model);
    if (status == TALLY_OK)
        status = tally_model_init(t.model, a->recipe.seed);
    t.report = (report){.recipe = t.recipe, .model = t.model, .trained = true, .digest = t.digest};
    int result;
    if (status != TALLY_OK)
        result = command_fail_library(status);
    else if (t.tested_of_class == NULL || t.mistakes_of_class == NULL)
        result = command_fail(TALLY_MEMORY, "no memory left for %zu classes", config.classes);
    else
        result = train(&t);
    tally_model_free(t.model);
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

enum { MAX_COMMON = 32, MAX_OPTIONS = RECIPE_TASKS * TASK_MAX_OPTIONS + MAX_COMMON + 1 };

/* Options that all tasks have; how many. */
static size_t common_options(arguments *a, const value v[RECIPE_FIELDS], option *options) {
    const option common[] = {
        {.name = "hidden",
         .argument = "N",
         .value = value_whole(&a->hidden, 1, MAX_HIDDEN),
         .help = "units of the LSTM"},
        {.name = "epochs", .argument = "N", .value = v[RECIPE_EPOCHS], .help = "passes over what is trained on"},
        {.name = "batch", .argument = "N", .value = v[RECIPE_BATCH], .help = "sequences a training step"},
        {.name = "lr", .argument = "X", .value = v[RECIPE_RATE], .help = "learning rate of Adam"},
        {.name = "beta1", .argument = "X", .value = v[RECIPE_BETA1], .help = "Adam's decay of the gradient's mean"},
        {.name = "beta2", .argument = "X", .value = v[RECIPE_BETA2], .help = "Adam's decay of the gradient's square"},
        {.name = "epsilon", .argument = "X", .value = v[RECIPE_EPSILON], .help = "what Adam adds to the divisor"},
        {.name = "seed",
         .argument = "N",
         .value = v[RECIPE_SEED],
         .help = "of all that is random: which sequences are trained on where that is drawn, the first weights and the "
                 "shuffling; a seed means the same everywhere"},
        {.name = "shuffle", .value = v[RECIPE_SHUFFLE], .help = "a new order of what is trained on in each epoch"},
        {.name = "keep",
         .argument = "WHICH",
         .value = v[RECIPE_KEEP],
         .help = "weights of the last epoch, or of the one with the lowest training loss"},
        OPTION_DEVICE(a->device.selector),
        OPTION_ROUTE(a->device.route),
        OPTION_THREADS(a->device.threads),
        {.name = "out",
         .argument = "FILE",
         .value = value_text(&a->out),
         .help = "save the model here, in safetensors form, for eval, predict and PyTorch",
         .fallback = ""},
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
                     .hidden = defaults->hidden,
                     .device = {.selector = "auto"}};
    a->choice = (task_choice){.recipe = &a->recipe, .hold_out = NAN};
    value v[RECIPE_FIELDS];
    recipe_values(&a->recipe, v);
    size_t count = 0;
    for (int i = 0; i < RECIPE_TASKS; i++)
        if (chosen == NULL || chosen == task_get(i))
            count += task_get(i)->options(&a->choice, v, options + count);
    count += common_options(a, v, options + count);
    options[count] = (option){.name = NULL};
}

static int unknown_task(const char *name) {
    const char *command = task_get(RECIPE_COUNT)->help.command;
    return name == NULL ? command_misused(command, "which task? There is count, mnist and npy")
                        : command_misused(command, "unknown task '%s'; there is count, mnist and npy", name);
}

int command_train(int argc, char **argv) {
    arguments a;
    option options[MAX_OPTIONS];
    make_options(&a, NULL, options);
    const char *named = options_first_operand(options, argc, argv);
    const task *chosen = named != NULL ? task_find(named) : NULL;
    if (named != NULL && chosen == NULL && !options_ask_help(argc, argv))
        return unknown_task(named);
    make_options(&a, chosen != NULL ? chosen : task_get(RECIPE_COUNT), options);
    int operands;
    int parsed = options_parse(options, &a.task->help, argc, argv, &operands);
    if (parsed != TALLY_OK)
        return parsed < 0 ? TALLY_OK : parsed;
    if (operands == 0)
        return unknown_task(NULL);
    if (operands > 1)
        return command_misused(a.task->help.command, "'%s' is too much behind the task", argv[1]);
    int checked = a.task->check(&a.choice);
    if (checked != TALLY_OK)
        return checked;
    if (a.out != NULL && check_out(a.out) != TALLY_OK)
        return TALLY_IO;
    a.device.quiet = a.quiet;
    task_data data = {.train = NULL};
    int result = a.task->open(&a.choice, &data);
    if (result == TALLY_OK)
        result = train_with(&a, &data);
    task_close(&data);
    return result;
}
