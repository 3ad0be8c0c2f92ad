#include "command.h"
#include "options.h"
#include "progress.h"
#include "report.h"

typedef struct arguments {
    const char *file;
    command_device device;
    bool json, quiet;
} arguments;

static const command_help help = {
    .command = "eval",
    .usage = "tally eval FILE [OPTION...]",
    .about = "Tests the model in FILE on every string that it was not trained on (the notes\n"
             "in the file tell which), and shows the mistakes by count. FILE is one that\n"
             "'tally train --out' wrote.\n"
             "\n"
             "The JSON object has what training noted, under the same keys as there, or null.\n"
             "Of this test are device, selector, backend, route, threads, fallbacks,\n"
             "mistakes, tested, error (mistakes / tested; null if no string is left),\n"
             "test_seconds, mistakes_by_count, tested_by_count and weights_sha256;\n"
             "trained_device, trained_backend and trained_route are those of training.",
    .examples = "  tally eval count.safetensors\n"
                "  tally eval count.safetensors --device opencl --json",
};

static bool watch(void *context, const tally_progress *now) {
    progress_test_step(context, now);
    return true;
}

static int test(const arguments *a, const tally_model *model, recipe *r, const tally_dataset *strings) {
    char digest[65];
    tally_status status = tally_model_digest(model, digest);
    if (status != TALLY_OK)
        return command_fail_library(status);
    size_t by_count[2][RECIPE_MAX_COUNTS];
    report outcome = {.recipe = r, .model = model, .digest = digest, .file = a->file, .tested = true};
    outcome.test.tested_of_class = by_count[0];
    outcome.test.mistakes_of_class = by_count[1];
    progress shown;
    progress_start(&shown, a->quiet);
    progress_test(&shown, strings->size);
    tally_observer observer = {.step = watch, .context = &shown};
    status = tally_test(model, strings, 0, strings->size, &observer, &outcome.test);
    progress_end(&shown);
    if (status != TALLY_OK)
        return command_fail_library(status);
    if (a->device.verbose)
        command_describe_fallbacks(tally_model_device(model));
    return a->json ? report_print_json(&outcome) : report_print(&outcome);
}

static int eval_model(const arguments *a, const tally_model *model) {
    recipe r;
    int result = recipe_load(&r, model, a->file);
    if (result == TALLY_OK)
        result = recipe_need_strings(&r, a->file);
    if (result != TALLY_OK)
        return result;
    tally_count_options options = recipe_strings(&r);
    tally_count *strings;
    tally_status status = tally_count_new(&options, &strings);
    if (status != TALLY_OK)
        return command_fail_library(status);
    result = test(a, model, &r, tally_count_test(strings));
    tally_count_free(strings);
    return result;
}

int command_eval(int argc, char **argv) {
    arguments a = {.device = {.selector = "auto"}};
    const option options[] = {
        OPTION_DEVICE(a.device.selector),
        OPTION_ROUTE(a.device.route),
        OPTION_THREADS(a.device.threads),
        OPTION_JSON(a.json),
        OPTION_VERBOSE(a.device.verbose),
        OPTION_QUIET(a.quiet),
        {.name = NULL},
    };
    int operands;
    int parsed = options_parse(options, &help, argc, argv, &operands);
    if (parsed != TALLY_OK)
        return parsed < 0 ? TALLY_OK : parsed;
    if (operands != 1)
        return command_misused(help.command, operands == 0 ? "which FILE?" : "one FILE at a time");
    a.file = argv[0];
    a.device.quiet = a.quiet;

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
