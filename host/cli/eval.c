#include <stdlib.h>

#include "command.h"
#include "options.h"
#include "progress.h"
#include "report.h"
#include "task.h"

typedef struct arguments {
    const char *file;
    task_files files;
    command_device device;
    bool json;
} arguments;

static const command_help help = {
    .command = "eval",
    .usage = "tally eval FILE [OPTION...]",
    .about = "Tests the model in FILE, which is one that 'tally train --out' wrote, and shows\n"
             "the mistakes by class. One of count is tested on every string that it was not\n"
             "trained on (the notes in the file tell which), one of mnist or npy on the data\n"
             "that options name, all of them, normalized as its notes say.\n"
             "\n"
             "The JSON object has what training noted, under the same keys as there, or null,\n"
             "and the model's cell, layers and hidden. Of this test are device, selector,\n"
             "backend, route, threads, fallbacks, mistakes, tested, error (mistakes / tested;\n"
             "null if no string is left), test_seconds, mistakes_by_count and tested_by_count\n"
             "(by_class if it is not of count) and weights_sha256;\n"
             "trained_device, trained_backend and trained_route are those of training.",
    .examples = "  tally eval count.safetensors\n"
                "  tally eval count.safetensors --device opencl --json\n"
                "  tally eval mnist.safetensors --data mnist\n"
                "  tally eval own.safetensors --x test_x.npy --y test_y.npy",
};

static bool watch_test(void *context, const tally_progress *now) {
    progress_test_step(context, now);
    return true;
}

/* by_class has two elements per class. */
static int test_and_report(const arguments *a, const tally_model *model, recipe *r, const tally_dataset *data,
                           size_t *by_class) {
    char digest[65];
    tally_status status = tally_model_digest(model, digest);
    if (status != TALLY_OK)
        return command_fail_library(status);
    report outcome = {.recipe = r, .model = model, .digest = digest, .file = a->file, .tested = true};
    outcome.test.tested_of_class = by_class;
    outcome.test.mistakes_of_class = by_class + data->classes;
    progress shown;
    progress_start(&shown, a->device.quiet);
    progress_test(&shown, &task_get(r->task)->words, data->size);
    tally_observer observer = {.step = watch_test, .context = &shown};
    status = tally_test(model, data, 0, data->size, &observer, &outcome.test);
    progress_end();
    if (status != TALLY_OK)
        return command_fail_library(status);
    if (a->device.verbose)
        command_describe_fallbacks(tally_model_device(model));
    return a->json ? report_print_json(&outcome) : report_print(&outcome);
}

static int test_model(const arguments *a, const tally_model *model, recipe *r, const tally_dataset *data) {
    size_t *by_class = calloc(data->classes, 2 * sizeof *by_class);
    if (by_class == NULL)
        return command_fail(TALLY_MEMORY, "no memory left for %zu classes", data->classes);
    int result = test_and_report(a, model, r, data, by_class);
    free(by_class);
    return result;
}

static int eval_model(const arguments *a, const tally_model *model) {
    recipe r;
    bool files = a->files.folder != NULL || a->files.x != NULL || a->files.y != NULL;
    int result = recipe_load(&r, model, a->file, files ? RECIPE_NPY : RECIPE_COUNT);
    if (result != TALLY_OK)
        return result;
    task_data data = {.train = NULL};
    result = task_get(r.task)->open_test(&r, a->file, &a->files, &data);
    if (result == TALLY_OK)
        result = test_model(a, model, &r, data.test);
    task_close(&data);
    return result;
}

int command_eval(int argc, char **argv) {
    static const tally_setting options[] = {
        {.option = "data",
         .metavar = "DIR",
         .help = "of a model of mnist or npy: test it on the t10k files in this folder",
         .fallback = "",
         TALLY_TEXT_AT(arguments, files.folder)},
        {.option = "x",
         .metavar = "FILE",
         .help = "or on these sequences, as of 'tally train npy'",
         .fallback = "",
         TALLY_TEXT_AT(arguments, files.x)},
        {.option = "y", .metavar = "FILE", .help = "their labels", .fallback = "", TALLY_TEXT_AT(arguments, files.y)},
        {.option = "lengths",
         .metavar = "FILE",
         .help = "how many steps each has, if not all",
         .fallback = "",
         TALLY_TEXT_AT(arguments, files.lengths)},
        OPTION_DEVICE(arguments, device.selector),
        OPTION_ROUTE(arguments, device.route),
        OPTION_THREADS(arguments, device.threads),
        OPTION_JSON(arguments, json),
        OPTION_VERBOSE(arguments, device.verbose),
        OPTION_QUIET(arguments, device.quiet),
        {.option = NULL},
    };
    arguments a = {.file = NULL};
    options_reset(options, &a);
    int operands;
    int parsed = options_parse(options, &a, &help, argc, argv, &operands);
    if (parsed != TALLY_OK)
        return parsed < 0 ? TALLY_OK : parsed;
    if (operands != 1)
        return command_misused(help.command, operands == 0 ? "no FILE given" : "one FILE at a time");
    a.file = argv[0];

    tally_device *device;
    tally_model *model;
    int result = command_open_model(a.file, &a.device, &device, &model);
    if (result != TALLY_OK)
        return result;
    result = eval_model(&a, model);
    tally_model_free(model);
    command_close_device(device);
    return result;
}
