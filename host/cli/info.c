#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "command.h"
#include "format.h"
#include "options.h"
#include "report.h"
#include "task.h"

static const command_help help = {
    .command = "info",
    .usage = "tally info FILE [--json]",
    .about = "Says what the model in FILE is: its cell, layers and sizes, each parameter, and\n"
             "what its notes tell of its training, which of a model of PyTorch is nothing.\n"
             "Nothing is run.\n"
             "\n"
             "The JSON object has what training noted, under the same keys as there ('tally\n"
             "train TASK --help'), or null; cell, layers, hidden, inputs, classes,\n"
             "parameter_count (elements), parameters (an array of objects with name, shape\n"
             "and elements), file, file_bytes, weights_bytes, weights_sha256 and resumable\n"
             "(whether 'tally train --resume' can go on with it, after epochs epochs).",
    .examples = "  tally info count.safetensors\n"
                "  tally info count.safetensors --json",
};

typedef struct info {
    const char *file;
    const tally_model *model;
    recipe *recipe;
    uint64_t file_bytes, elements;
    bool resumable;
    char why_not[512]; /* "no: " and the reason */
    char digest[65];
} info;

/* "[96, 24]" */
static void format_shape(const tally_parameter *p, char text[48]) {
    if (p->ndim == 1)
        snprintf(text, 48, "[%zu]", p->shape[0]);
    else
        snprintf(text, 48, "[%zu, %zu]", p->shape[0], p->shape[1]);
}

static void print_model(const info *i) {
    const tally_model_config *c = tally_model_get_config(i->model);
    printf("Model        cell %s, %zu layer%s of %zu hidden, %zu input%s a step, %zu classes\n",
           tally_cell_name(c->cell), c->layers, c->layers == 1 ? "" : "s", c->hidden, c->inputs,
           c->inputs == 1 ? "" : "s", c->classes);
    printf("Parameters   %s in %zu tensors, %s bytes\n", format_whole(i->elements).text,
           tally_model_parameters(i->model), format_whole(i->elements * sizeof(float)).text);
    printf("Model file   %s, %s bytes\n", i->file, format_whole(i->file_bytes).text);
}

static void print_task(const recipe *r) {
    const task *t = task_get(r->task);
    printf("Task         %s", settings_tasks[r->task]);
    if (r->task != RECIPE_COUNT)
        printf(": %s of %llu %s of %zu inputs", t->words.many, (unsigned long long)r->time_steps, t->words.steps,
               r->model.inputs);
    else if (RECIPE_KNOWS(r, length))
        printf(": %s of %s %s", t->words.many, recipe_lengths(r).text, t->words.steps);
    putchar('\n');
}

/* Prints the options used, named like the notes but with spaces. */
static void print_options(const recipe *r) {
    size_t count, used = 0;
    const tally_setting *all = settings_all(&count);
    char text[SETTINGS_MOST * 64] = "";
    for (size_t i = 0; i < count; i++) {
        char shown[TALLY_SETTING_TEXT_SIZE];
        if (r->known[i] && (all[i].groups & (SETTING_DATA | SETTING_MODEL | SETTING_RESULT)) == 0)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %s", used > 0 ? ", " : "", all[i].name,
                                     tally_setting_format(&all[i], r, shown));
    }
    for (char *c = text; *c != '\0'; c++)
        if (*c == '_')
            *c = ' ';
    if (used == 0)
        return;
    printf("Options      ");
    format_print_wrapped(text, 13, 79);
}

static void print_device(const recipe *r) {
    if (!RECIPE_KNOWS(r, device))
        return;
    printf("Trained on   %s", format_printable(r->device).text);
    if (RECIPE_KNOWS(r, backend))
        printf(" (%s)", format_printable(r->backend).text);
    if (RECIPE_KNOWS(r, route))
        printf(", route: %s", command_routes[r->route]);
    if (RECIPE_KNOWS(r, threads))
        printf(", threads: %llu", (unsigned long long)r->threads);
    if (RECIPE_KNOWS(r, version))
        printf(", by tally %s", format_printable(r->version).text);
    putchar('\n');
}

static void print_resumable(const info *i) {
    const recipe *r = i->recipe;
    if (!i->resumable) {
        printf("Resumable    ");
        format_print_wrapped(i->why_not, 13, 79);
        return;
    }
    printf("Resumable    yes");
    if (RECIPE_KNOWS(r, epochs) && RECIPE_KNOWS(r, train.epochs))
        printf(", after epoch %s of %s", format_whole(r->epochs).text, format_whole(r->train.epochs).text);
    if (RECIPE_KNOWS(r, steps))
        printf(", %s step%s", format_whole(r->steps).text, r->steps == 1 ? "" : "s");
    putchar('\n');
}

static void print_parameters(const info *i) {
    printf("\n%-24s %-16s %12s\n", "parameter", "shape", "elements");
    for (size_t n = 0; n < tally_model_parameters(i->model); n++) {
        const tally_parameter p = tally_model_parameter(i->model, n);
        char sizes[48];
        format_shape(&p, sizes);
        printf("%-24s %-16s %12s\n", p.name, sizes, format_whole(p.elements).text);
    }
}

static int print_info(const info *i) {
    print_model(i);
    if (!RECIPE_KNOWS(i->recipe, task)) {
        printf("Training     unknown: the file has no notes from tally train\n");
    } else {
        print_task(i->recipe);
        report_print_training(&(report){.recipe = i->recipe, .model = i->model});
        print_options(i->recipe);
        print_device(i->recipe);
    }
    print_resumable(i);
    printf("Weights      SHA-256 %s\n", i->digest);
    print_parameters(i);
    return TALLY_OK;
}

/* NULL if out of memory. */
static json_t *parameters_json(const tally_model *model) {
    json_t *array = json_array();
    for (size_t n = 0; n < tally_model_parameters(model); n++) {
        const tally_parameter p = tally_model_parameter(model, n);
        json_t *sizes = p.ndim == 1 ? json_pack("[I]", (json_int_t)p.shape[0])
                                    : json_pack("[I, I]", (json_int_t)p.shape[0], (json_int_t)p.shape[1]);
        if (json_array_append_new(array, json_pack("{s:s, s:o, s:I}", "name", p.name, "shape", sizes, "elements",
                                                   (json_int_t)p.elements)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static int print_info_json(const info *i) {
    const tally_model_config *c = tally_model_get_config(i->model);
    json_t *object = json_object();
    bool built =
        object != NULL && recipe_json(i->recipe, object) &&
        json_object_set_new(object, "inputs", json_integer((json_int_t)c->inputs)) == 0 &&
        json_object_set_new(object, "classes", json_integer((json_int_t)c->classes)) == 0 &&
        json_object_set_new(object, "parameter_count", json_integer((json_int_t)i->elements)) == 0 &&
        json_object_set_new(object, "parameters", parameters_json(i->model)) == 0 &&
        json_object_set_new(object, "file", value_json_text(i->file)) == 0 &&
        json_object_set_new(object, "file_bytes", json_integer((json_int_t)i->file_bytes)) == 0 &&
        json_object_set_new(object, "weights_bytes", json_integer((json_int_t)(i->elements * sizeof(float)))) == 0 &&
        json_object_set_new(object, "weights_sha256", json_string(i->digest)) == 0 &&
        json_object_set_new(object, "resumable", json_boolean(i->resumable)) == 0;
    if (!built) {
        json_decref(object);
        object = NULL;
    }
    return report_dump_json(object);
}

static int describe_model(const tally_model *model, const char *file, bool json) {
    recipe r;
    struct stat at;
    int result = recipe_load(&r, model, file, RECIPE_NPY);
    if (result != TALLY_OK)
        return result;
    if (stat(file, &at) != 0)
        return command_fail(TALLY_IO, "cannot read %s: %s", file, strerror(errno));
    info i = {.file = file,
              .model = model,
              .recipe = &r,
              .file_bytes = (uint64_t)at.st_size,
              .elements = report_elements(model),
              .resumable = tally_model_resumable(model) == TALLY_OK};
    snprintf(i.why_not, sizeof i.why_not, "no: %s",
             tally_model_note(model, TALLY_TRAINING_NOTE) == NULL ? "it has no training state" : tally_error_text());
    tally_status status = tally_model_digest(model, i.digest);
    if (status != TALLY_OK)
        return command_fail_library(status);
    return json ? print_info_json(&i) : print_info(&i);
}

int command_info(int argc, char **argv) {
    struct arguments {
        bool json;
    } a = {false};
    const tally_setting options[] = {OPTION_JSON(struct arguments, json), {.option = NULL}};
    int operands;
    int parsed = options_parse(options, &a, &help, argc, argv, &operands);
    if (parsed != TALLY_OK)
        return parsed < 0 ? TALLY_OK : parsed;
    if (operands != 1)
        return command_misused(help.command, operands == 0 ? "no FILE given" : "one FILE at a time");
    const command_device wanted = {.selector = "cpu", .threads = 1, .quiet = true};
    tally_device *device;
    tally_model *model;
    int result = command_open_model(argv[0], &wanted, &device, &model);
    if (result != TALLY_OK)
        return result;
    result = describe_model(model, argv[0], a.json);
    tally_model_free(model);
    command_close_device(device);
    return result;
}
