#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "lines.h"
#include "options.h"
#include "predict_file.h"
#include "report.h"
#include "task.h"

static const command_help help = {
    .command = "predict",
    .usage = "tally predict FILE [STRING...|-] [OPTION...]\n"
             "       tally predict FILE --idx IMAGES|--npy X.npy [OPTION...]",
    .about = "Counts the ones in strings of 0 and 1 with the model in FILE: prints each\n"
             "string, its count, and the probability that the model gives it. Strings are\n"
             "arguments, or, with - or none, lines on stdin. A string must be as long as\n"
             "those the model was trained on; a model of several lengths takes strings of all\n"
             "of them. A wrong one ends the command, after the answers before it if it came\n"
             "from stdin.\n"
             "\n"
             "A model of mnist or npy classifies the sequences of a file, normalized as its\n"
             "notes say: prints the number of each sequence in the file, from 0 on, its class,\n"
             "and the probability that the model gives it.\n"
             "\n"
             "The JSON object has task and predictions: an array of objects with string and\n"
             "count, or number and class, with probability, and with --probabilities all of\n"
             "them as probabilities.",
    .examples = "  tally predict count.safetensors 01100110011001100110\n"
                "  tally predict count.safetensors --probabilities 01100110011001100110\n"
                "  generate-strings | tally predict count.safetensors - > counts\n"
                "  tally predict mnist.safetensors --idx t10k-images-idx3-ubyte.gz",
};

enum { BATCH = 1000, MAX_VALUES = 1 << 20 };

typedef struct predictor {
    const tally_model *model;
    size_t shortest, length; /* lengths of the model's strings; length 0: the model does not say, any length */
    size_t classes;          /* the number of possible counts */
    bool all_probabilities;
    json_t *json; /* predictions so far; NULL for text output */
    /* The current batch: count strings of the same length, steps. */
    size_t steps, count, capacity;
    char *texts;          /* [capacity][steps] */
    float *x;             /* [capacity][steps] */
    float *probabilities; /* [capacity][classes] */
} predictor;

static void free_batch(predictor *p) {
    free(p->texts);
    free(p->x);
    free(p->probabilities);
    p->texts = NULL;
    p->x = p->probabilities = NULL;
    p->capacity = 0;
}

static int allocate_batch(predictor *p, size_t steps) {
    free_batch(p);
    p->steps = steps;
    p->capacity = MAX_VALUES / steps < BATCH ? MAX_VALUES / steps + 1 : BATCH;
    p->texts = calloc(p->capacity, steps);
    p->x = calloc(p->capacity, steps * sizeof *p->x);
    p->probabilities = calloc(p->capacity, p->classes * sizeof *p->probabilities);
    if (p->texts == NULL || p->x == NULL || p->probabilities == NULL)
        return command_fail(TALLY_MEMORY, "no memory left for %zu strings of %zu bits", p->capacity, steps);
    return TALLY_OK;
}

static json_t *prediction_json(const predictor *p, const char *text, size_t answer, const float *probabilities) {
    json_t *object = json_pack("{s:s%, s:I, s:f}", "string", text, p->steps, "count", (json_int_t)answer, "probability",
                               (double)probabilities[answer]);
    if (object == NULL || !p->all_probabilities)
        return object;
    if (json_object_set_new(object, "probabilities", report_json_probabilities(probabilities, p->classes)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static int print_prediction(predictor *p, size_t n) {
    const char *text = p->texts + n * p->steps;
    const float *probabilities = p->probabilities + n * p->classes;
    size_t best = report_most_probable(probabilities, p->classes);
    for (size_t i = 0; i < p->classes; i++)
        if (!isfinite(probabilities[i]))
            return command_fail(TALLY_NUMBERS, "%.*s: its probability of %zu ones is not a number", (int)p->steps, text,
                                i);
    if (p->json != NULL) {
        if (json_array_append_new(p->json, prediction_json(p, text, best, probabilities)) != 0)
            return command_fail(TALLY_MEMORY, "no memory left for the JSON object");
        return TALLY_OK;
    }
    printf("%.*s %zu %.6f\n", (int)p->steps, text, best, (double)probabilities[best]);
    if (p->all_probabilities)
        report_print_probabilities(probabilities, p->classes);
    return TALLY_OK;
}

/* Predicts and prints the strings of the current batch, and empties it. */
static int predict_batch(predictor *p) {
    if (p->count == 0)
        return TALLY_OK;
    for (size_t i = 0; i < p->count * p->steps; i++)
        p->x[i] = p->texts[i] == '1' ? 1.0f : 0.0f;
    tally_status status = tally_predict(p->model, p->x, p->count, p->steps, NULL, p->probabilities);
    if (status != TALLY_OK)
        return command_fail_library(status);
    int result = TALLY_OK;
    for (size_t n = 0; n < p->count && result == TALLY_OK; n++)
        result = print_prediction(p, n);
    p->count = 0;
    int flushed = p->json == NULL ? command_flush() : TALLY_OK;
    return result != TALLY_OK ? result : flushed;
}

/* source and number tell where the string is from: "line" 3, "argument" 2. */
static int check_string(const predictor *p, const char *text, size_t length, const char *place, size_t number) {
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '0' || c == '1')
            continue;
        if (c > ' ' && c < 0x7f)
            return command_fail(TALLY_DATA, "%s %zu, column %zu: '%c' is neither 0 nor 1", place, number, i + 1, c);
        return command_fail(TALLY_DATA, "%s %zu, column %zu: the byte 0x%02x is neither 0 nor 1", place, number, i + 1,
                            c);
    }
    if (length == 0)
        return command_fail(TALLY_DATA, "%s %zu: it is empty", place, number);
    if (p->length > 0 && p->shortest == p->length && length != p->length)
        return command_fail(TALLY_DATA, "%s %zu: %zu characters, but the model takes strings of %zu", place, number,
                            length, p->length);
    if (p->length > 0 && (length < p->shortest || length > p->length))
        return command_fail(TALLY_DATA, "%s %zu: %zu characters, but the model takes strings of %zu to %zu", place,
                            number, length, p->shortest, p->length);
    return TALLY_OK;
}

/* Adds a checked string to the current batch; predicts that batch first if it is full or its strings have another
 * length. */
static int add_string(predictor *p, const char *text, size_t length) {
    int result = TALLY_OK;
    if (p->count == p->capacity || length != p->steps)
        result = predict_batch(p);
    if (result == TALLY_OK && length != p->steps)
        result = allocate_batch(p, length);
    if (result == TALLY_OK)
        memcpy(p->texts + p->count++ * p->steps, text, length);
    return result;
}

static int predict_arguments(predictor *p, char **strings, size_t count) {
    int result = TALLY_OK;
    for (size_t i = 0; i < count && result == TALLY_OK; i++)
        result = check_string(p, strings[i], strlen(strings[i]), "argument", i + 1);
    for (size_t i = 0; i < count && result == TALLY_OK; i++)
        result = add_string(p, strings[i], strlen(strings[i]));
    return result == TALLY_OK ? predict_batch(p) : result;
}

/* Predicts all lines that have arrived, or those before the first invalid line. */
static int predict_lines(predictor *p, lines *input) {
    const char *text;
    size_t length;
    while (lines_next(input, &text, &length)) {
        int wrong = check_string(p, text, length, "line", input->number);
        int result = wrong != TALLY_OK ? predict_batch(p) : add_string(p, text, length);
        if (wrong != TALLY_OK || result != TALLY_OK)
            return wrong != TALLY_OK ? wrong : result;
    }
    return predict_batch(p);
}

static int predict_stdin(predictor *p) {
    static lines input;
    lines_start(&input, STDIN_FILENO);
    for (;;) {
        switch (lines_wait(&input)) {
        case LINES_MORE: {
            int result = predict_lines(p, &input);
            if (result != TALLY_OK)
                return result;
            break;
        }
        case LINES_END:
            return TALLY_OK;
        case LINES_TOO_LONG:
            return command_fail(TALLY_DATA, "line %zu: longer than %d characters", input.number + 1, LINES_SIZE);
        case LINES_FAILED:
            return command_fail(TALLY_IO, "standard input: %s", strerror(errno));
        }
    }
}

static int predict_input(predictor *p, char **strings, size_t count) {
    bool from_stdin = count == 0 || strcmp(strings[0], "-") == 0;
    int result = from_stdin ? predict_stdin(p) : predict_arguments(p, strings, count);
    free_batch(p);
    return result;
}

static int predict_strings(predictor *p, const recipe *r, bool json, char **strings, size_t count) {
    p->length = RECIPE_KNOWS(r, length) ? (size_t)r->length : 0;
    p->shortest = (size_t)r->shortest;
    p->classes = tally_model_get_config(p->model)->classes;
    if (!json)
        return predict_input(p, strings, count);
    p->json = json_array();
    if (p->json == NULL)
        return command_fail(TALLY_MEMORY, "no memory left for the JSON object");
    int result = predict_input(p, strings, count);
    if (result != TALLY_OK) {
        json_decref(p->json);
        return result;
    }
    return report_dump_json(json_pack("{s:s, s:o}", "task", "count", "predictions", p->json));
}

static int predict_with(predictor *p, const char *path, const predicted_file *file, char **strings, size_t count) {
    recipe r;
    bool from_file = file->idx != NULL || file->npy != NULL;
    int result = recipe_load(&r, p->model, path, from_file ? RECIPE_NPY : RECIPE_COUNT);
    if (result != TALLY_OK)
        return result;
    if (r.task == RECIPE_COUNT && from_file)
        return command_misused(help.command, "%s counts ones in strings: it does not take --idx or --npy", path);
    if (r.task != RECIPE_COUNT && !from_file)
        return command_misused(help.command, "%s is a model of the task %s: it needs --idx IMAGES or --npy X.npy", path,
                               settings_tasks[r.task]);
    return from_file ? predict_file(p->model, &r, file) : predict_strings(p, &r, file->json, strings, count);
}

int command_predict(int argc, char **argv) {
    typedef struct arguments {
        predicted_file file;
        command_device device;
    } arguments;
    static const tally_setting options[] = {
        {.option = "probabilities",
         .help = "print the probability of every count or class, not of the most probable one only",
         TALLY_FLAG_AT(arguments, file.probabilities)},
        {.option = "idx",
         .metavar = "IMAGES",
         .help = "classify the images in this IDX file, which may be packed by gzip",
         .fallback = "",
         TALLY_TEXT_AT(arguments, file.idx)},
        {.option = "npy",
         .metavar = "X.npy",
         .help = "classify the sequences in this file, [sequences, time steps, inputs]",
         .fallback = "",
         TALLY_TEXT_AT(arguments, file.npy)},
        {.option = "lengths",
         .metavar = "FILE",
         .help = "how many steps each of them has, if not all",
         .fallback = "",
         TALLY_TEXT_AT(arguments, file.lengths)},
        OPTION_DEVICE(arguments, device.selector),
        OPTION_ROUTE(arguments, device.route),
        OPTION_THREADS(arguments, device.threads),
        OPTION_JSON(arguments, file.json),
        OPTION_VERBOSE(arguments, device.verbose),
        {.option = NULL},
    };
    arguments a = {.file = {.idx = NULL}};
    const predicted_file *file = &a.file;
    options_reset(options, &a);
    int operands;
    int parsed = options_parse(options, &a, &help, argc, argv, &operands);
    if (parsed != TALLY_OK)
        return parsed < 0 ? TALLY_OK : parsed;
    if (operands == 0)
        return command_misused(help.command, "no FILE given");
    for (int i = 1; i < operands; i++)
        if (strcmp(argv[i], "-") == 0 && operands > 2)
            return command_misused(help.command, "strings come from arguments or, with -, from stdin: not both");

    if (file->idx != NULL && file->npy != NULL)
        return command_misused(help.command, "give either --idx or --npy");
    if (file->lengths != NULL && file->npy == NULL)
        return command_misused(help.command, "--lengths needs --npy");
    if (operands > 1 && (file->idx != NULL || file->npy != NULL))
        return command_misused(help.command, "give strings or a file of sequences, not both");

    tally_device *device;
    tally_model *model;
    a.device.quiet = file->json;
    int result = command_open_model(argv[0], &a.device, &device, &model);
    if (result != TALLY_OK)
        return result;
    predictor p = {.model = model, .all_probabilities = file->probabilities};
    result = predict_with(&p, argv[0], file, argv + 1, (size_t)operands - 1);
    if (a.device.verbose)
        command_describe_fallbacks(device);
    tally_model_free(model);
    command_close_device(device);
    return result;
}
