#include "train_run.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "epoch_log.h"
#include "progress.h"
#include "report.h"
#include "stop.h"

static bool watch_test(void *context, const tally_progress *now) {
    progress_test_step(context, now);
    return stop_signal() == 0;
}

typedef struct training {
    const train_arguments *arguments;
    recipe *recipe;
    tally_model *model;
    const task_data *data;
    const tally_dataset *train, *valid; /* parts of the training data; valid is NULL if there is no validation set */
    tally_training *run;
    epoch_log log;
    progress progress;
    report report;
    int result;     /* the exit code */
    char why[1024]; /* storage for report.stopped */
    /* Storage for the report. */
    char digest[65], example[RECIPE_MAX_LENGTH + 1];
    float probabilities[RECIPE_MAX_COUNTS];
    size_t *tested_of_class, *mistakes_of_class;
} training;

/* Records the outcome of training or testing. */
static void record_outcome(training *t, tally_status status) {
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
    r->route = tally_device_route(device);
    r->threads = tally_device_workers(device);
    r->train_seconds = result.seconds;
    r->loss = result.loss / (double)t->train->size;
    r->valid_size = t->valid != NULL ? t->valid->size : 0;
    r->valid_loss = result.valid_loss / (double)r->valid_size;
    r->valid_mistakes = result.valid_mistakes;
    r->digest = t->digest;
    recipe_know_all(r);
    RECIPE_SET_KNOWN(r, hold_out, !isnan(r->hold_out));
    RECIPE_SET_KNOWN(r, kept_epoch, result.kept_epoch > 0);
    RECIPE_SET_KNOWN(r, loss, result.kept_epoch > 0);
    RECIPE_SET_KNOWN(r, valid_loss, isfinite(r->valid_loss));
    RECIPE_SET_KNOWN(r, valid_mistakes, isfinite(r->valid_loss));
    return tally_training_digest(t->run, t->digest);
}

/* Saves the file with the run's state unless that is not requested or contains numbers that are not finite. */
static tally_status save_file(training *t, bool *weights_only) {
    const char *path = t->arguments->out;
    tally_status status = recipe_store(t->recipe, t->model);
    if (status == TALLY_OK)
        status = tally_training_save(t->run, path, *weights_only);
    if (status != TALLY_NUMBERS || *weights_only)
        return status;
    progress_end();
    fprintf(stderr, "%s: saved without the training state\n", tally_error_text());
    *weights_only = true;
    return tally_training_save(t->run, path, true);
}

/* faulty: training ended because of numbers that are not finite. */
static void save_model(training *t, bool faulty) {
    const char *path = t->arguments->out;
    bool weights_only = t->arguments->weights_only || faulty;
    if (path == NULL)
        return;
    if (t->recipe->kept_epoch == 0 && weights_only) {
        fprintf(stderr, "no model saved: no epoch was completed\n");
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
        fprintf(stderr, "no epoch was completed: the initial weights are in %s", path);
    else
        fprintf(stderr, "the model of epoch %llu is in %s", (unsigned long long)t->recipe->kept_epoch, path);
    fprintf(stderr, weights_only ? "\n" : "; 'tally train --resume' continues from it\n");
}

/* Saves the model during training. A failure does not end training: a later save may succeed, and until then the
 * model exists only in memory. */
static void save_between_epochs(training *t) {
    bool weights_only = t->arguments->weights_only;
    tally_status status = note_training(t);
    if (status == TALLY_OK)
        status = save_file(t, &weights_only);
    if (status != TALLY_OK)
        command_fail_library(status);
}

static bool watch_training(void *context, const tally_progress *now) {
    training *t = context;
    uint64_t every = t->arguments->save_every;
    progress_train_step(&t->progress, now);
    if (now->epoch_done)
        epoch_log_write(&t->log, now);
    if (now->epoch_done && t->arguments->among != NULL)
        compare_epoch(t->arguments->among, now, t->train, t->valid);
    if (now->epoch_done && every > 0 && now->epoch % every == 0)
        save_between_epochs(t);
    return stop_signal() == 0;
}

/* Task count: runs the first test string through the model as an example for the report. */
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

static tally_status test_model(training *t) {
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
    const tally_train_options *options = &t->recipe->train;
    const char *from = t->arguments->resume_from;
    return from != NULL ? tally_training_resume(t->model, t->train, t->valid, options, from, &t->run)
                        : tally_training_new(t->model, t->train, t->valid, options, &t->run);
}

static int train_model(training *t) {
    tally_status status = start_run(t);
    if (status != TALLY_OK)
        return command_fail_library(status);
    stop_catch();
    /* training goes on if the reader of its progress exits; command_flush() reports lost output */
    signal(SIGPIPE, SIG_IGN);
    tally_train_result before = tally_training_result(t->run);
    progress_start(&t->progress, t->arguments->device.quiet);
    if (t->arguments->among != NULL)
        t->progress.name = t->arguments->among->cell;
    progress_train(&t->progress, &t->arguments->task->words, t->model, t->train, t->data->test,
                   tally_training_options(t->run), &before);
    tally_observer observer = {.step = watch_training, .context = t};
    status = tally_training_run(t->run, &observer);
    progress_end();
    record_outcome(t, status);
    if (status != TALLY_OK && status != TALLY_STOPPED && status != TALLY_NUMBERS)
        return t->result;

    bool faulty = status == TALLY_NUMBERS;
    status = note_training(t);
    if (status != TALLY_OK)
        return command_fail_library(status);
    save_model(t, faulty); /* before the test, so that a failure there does not lose the model */
    if (t->report.stopped == NULL)
        record_outcome(t, test_model(t));
    if (t->arguments->device.verbose)
        command_describe_fallbacks(tally_model_device(t->model));
    int printed = t->arguments->among != NULL ? compare_add(t->arguments->among, &t->report)
                  : t->arguments->json        ? report_print_json(&t->report)
                                              : report_print(&t->report);
    return t->result != TALLY_OK ? t->result : printed;
}

static tally_status make_model(training *t, tally_device *device) {
    const train_arguments *a = t->arguments;
    if (a->resume_from != NULL)
        return tally_model_load(device, a->resume_from, &t->model);
    tally_model_config config = a->recipe.model;
    config.inputs = t->data->train->inputs;
    config.classes = t->data->train->classes;
    tally_status status = tally_model_new(device, &config, &t->model);
    return status == TALLY_OK ? tally_model_init(t->model, a->recipe.train.seed) : status;
}

static int train_on(train_arguments *a, const task_data *data, tally_device *device) {
    size_t classes = data->train->classes;
    training t = {.arguments = a, .recipe = &a->recipe, .data = data, .train = data->train};
    tally_split *split = NULL;
    t.tested_of_class = calloc(classes, sizeof *t.tested_of_class);
    t.mistakes_of_class = calloc(classes, sizeof *t.mistakes_of_class);
    tally_status status = make_model(&t, device);
    int result = status == TALLY_OK ? TALLY_OK : command_fail_library(status);
    if (result == TALLY_OK && a->recipe.valid > 0) {
        status = tally_split_new(data->train, a->recipe.valid, a->recipe.train.seed, &split);
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
        result = epoch_log_open(&t.log, a->log, a->resume_from != NULL);
    if (result == TALLY_OK) {
        t.log.trained = t.train->size;
        t.log.valid = t.valid != NULL ? t.valid->size : 0;
        result = train_model(&t);
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

int train_run(train_arguments *a, const task_data *data) {
    tally_device *device;
    int result = command_open_device(&a->device, &device);
    if (result != TALLY_OK)
        return result;
    result = train_on(a, data, device);
    command_close_device(device);
    return result;
}
