#include <errno.h>
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

enum { MAX_HIDDEN = 4096 };

typedef struct arguments {
    recipe recipe;
    uint64_t hidden;
    command_device device;
    const char *out;
    bool json, quiet;
} arguments;

static const command_help help = {
    .command = "train",
    .usage = "tally train count [OPTION...]",
    .about = "Trains an LSTM to count the ones in strings of bits. Of all 2^length strings,\n"
             "shuffled by the seed, the first ones are trained on; all others are tested at\n"
             "the end and never trained on. The same options give the same weights, whatever\n"
             "the number of threads.\n"
             "\n"
             "The model is kept only with --out. Ctrl-C stops after the step that is on, and\n"
             "the model of the last whole epoch is saved; a second Ctrl-C ends at once. The\n"
             "same is saved when a NaN or an infinity stops training.\n"
             "\n"
             "The JSON object has version, task, length, train_size, draw, seed (a string: it\n"
             "may need 64 bits), epochs (done), kept_epoch, steps, batch, hidden,\n"
             "learning_rate, beta1, beta2, epsilon, shuffle, keep, device, selector, backend,\n"
             "route, threads, fallbacks (operations the C path did for the device),\n"
             "train_seconds, ms_per_step, sequences_per_second, loss (cross-entropy a\n"
             "string, mean over the kept epoch), mistakes, tested, error (mistakes / tested;\n"
             "null if nothing was tested), test_seconds, mistakes_by_count, tested_by_count\n"
             "(arrays by count, or null), weights_sha256, out (where the model is, or null),\n"
             "stopped (why before its time, or null) and example.",
    .examples = "  tally train count --out count.safetensors\n"
                "  tally train count --draw even --keep best --seed 3 --json\n"
                "  tally train count --length 12 --epochs 500 --device cpu --threads 1",
};

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
    const tally_dataset *strings, *test_strings;
    progress progress;
    report report;
    int result;     /* the exit code */
    char why[1024]; /* for report.stopped */
    /* For the report. */
    char digest[65], example[RECIPE_MAX_LENGTH + 1];
    float probabilities[RECIPE_MAX_COUNTS];
    size_t tested_of_class[RECIPE_MAX_COUNTS], mistakes_of_class[RECIPE_MAX_COUNTS];
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
        r->known[i] = true;
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

/* The first test string through the model, for people to see. */
static tally_status predict_example(training *t) {
    float x[RECIPE_MAX_LENGTH];
    size_t first = 0, steps = t->test_strings->steps;
    tally_status status = t->test_strings->read(t->test_strings, &first, 1, x, NULL);
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
    progress_test(&t->progress, t->test_strings->size);
    tally_observer observer = {.step = watch_test, .context = &t->progress};
    tally_status status = tally_test(t->model, t->test_strings, 0, t->test_strings->size, &observer, &t->report.test);
    progress_end(&t->progress);
    t->report.tested = status == TALLY_OK;
    return status == TALLY_OK && t->test_strings->size > 0 ? predict_example(t) : status;
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
    progress_train(&t->progress, t->model, t->strings, t->test_strings, &options);
    tally_train_result result;
    tally_observer observer = {.step = watch_training, .context = &t->progress};
    tally_status status = tally_train(t->model, t->strings, &options, &observer, &result);
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

static int train_on(arguments *a, tally_device *device) {
    tally_count_options strings_options = recipe_strings(&a->recipe);
    tally_model_config config = {
        .inputs = 1, .hidden = (size_t)a->hidden, .classes = (size_t)a->recipe.length + 1, .layers = 1};
    tally_count *strings = NULL;
    tally_model *model = NULL;
    tally_status status = tally_count_new(&strings_options, &strings);
    if (status == TALLY_OK)
        status = tally_model_new(device, &config, &model);
    if (status == TALLY_OK)
        status = tally_model_init(model, a->recipe.seed);
    int result;
    if (status != TALLY_OK) {
        result = command_fail_library(status);
    } else {
        training t = {.arguments = a,
                      .recipe = &a->recipe,
                      .model = model,
                      .strings = tally_count_train(strings),
                      .test_strings = tally_count_test(strings)};
        t.report = (report){.recipe = t.recipe, .model = model, .trained = true, .digest = t.digest};
        result = train(&t);
    }
    tally_model_free(model);
    tally_count_free(strings);
    return result;
}

/* The guide's number, but of short strings half, so that some are left to test. */
static uint64_t default_train_size(uint64_t length) {
    uint64_t half = (uint64_t)1 << (length - 1), usual = tally_count_defaults().train_size;
    return half < usual ? half : usual;
}

int command_train(int argc, char **argv) {
    arguments a = {.recipe = recipe_defaults(), .hidden = 24, .device = {.selector = "auto"}};
    value v[RECIPE_FIELDS];
    recipe_values(&a.recipe, v);
    uint64_t train_size = 0;
    v[RECIPE_TRAIN_SIZE].whole = &train_size;
    const option options[] = {
        OPTION_DEVICE(a.device.selector),
        OPTION_ROUTE(a.device.route),
        {.name = "epochs", .argument = "N", .value = v[RECIPE_EPOCHS], .help = "passes over the training strings"},
        {.name = "batch", .argument = "N", .value = v[RECIPE_BATCH], .help = "strings a training step"},
        {.name = "hidden",
         .argument = "N",
         .value = value_whole(&a.hidden, 1, MAX_HIDDEN),
         .help = "units of the LSTM"},
        {.name = "length", .argument = "N", .value = v[RECIPE_LENGTH], .help = "bits a string"},
        {.name = "train-size",
         .argument = "N",
         .value = v[RECIPE_TRAIN_SIZE],
         .help = "strings to train on, at most the 2^length there are",
         .fallback = "10000, or half of all strings if that is less"},
        {.name = "lr", .argument = "X", .value = v[RECIPE_RATE], .help = "learning rate of Adam"},
        {.name = "beta1", .argument = "X", .value = v[RECIPE_BETA1], .help = "Adam's decay of the gradient's mean"},
        {.name = "beta2", .argument = "X", .value = v[RECIPE_BETA2], .help = "Adam's decay of the gradient's square"},
        {.name = "epsilon", .argument = "X", .value = v[RECIPE_EPSILON], .help = "what Adam adds to the divisor"},
        {.name = "seed",
         .argument = "N",
         .value = v[RECIPE_SEED],
         .help = "of the strings' order, the first weights and --shuffle; a seed means the same everywhere"},
        {.name = "draw",
         .argument = "HOW",
         .value = v[RECIPE_DRAW],
         .help = "how training strings are taken from the shuffled ones, the first ones or evenly over the counts"},
        {.name = "shuffle", .value = v[RECIPE_SHUFFLE], .help = "a new order of the training strings each epoch"},
        {.name = "keep",
         .argument = "WHICH",
         .value = v[RECIPE_KEEP],
         .help = "weights of the last epoch, or of the one with the lowest training loss"},
        OPTION_THREADS(a.device.threads),
        {.name = "out",
         .argument = "FILE",
         .value = value_text(&a.out),
         .help = "save the model here, in safetensors form, for eval, predict and PyTorch",
         .fallback = ""},
        OPTION_JSON(a.json),
        OPTION_VERBOSE(a.device.verbose),
        OPTION_QUIET(a.quiet),
        {.name = NULL},
    };
    int operands;
    int parsed = options_parse(options, &help, argc, argv, &operands);
    if (parsed != TALLY_OK)
        return parsed < 0 ? TALLY_OK : parsed;
    if (operands == 0)
        return command_misused(help.command, "which task? There is count");
    if (strcmp(argv[0], "count") != 0)
        return command_misused(help.command, "unknown task '%s'; there is count", argv[0]);
    if (operands > 1)
        return command_misused(help.command, "'%s' is too much behind the task", argv[1]);
    uint64_t length = a.recipe.length;
    if (train_size > (uint64_t)1 << length)
        return command_misused(help.command, "option --train-size: %llu is more than the %llu strings of %llu bits",
                               (unsigned long long)train_size, 1ull << length, (unsigned long long)length);
    a.recipe.train_size = train_size > 0 ? train_size : default_train_size(length);
    if (a.out != NULL && check_out(a.out) != TALLY_OK)
        return TALLY_IO;

    tally_device *device;
    a.device.quiet = a.quiet;
    int result = command_open_device(&a.device, &device);
    if (result != TALLY_OK)
        return result;
    result = train_on(&a, device);
    command_close_device(device);
    return result;
}
