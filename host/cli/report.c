#include "report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "format.h"
#include "task.h"

uint64_t report_elements(const tally_model *model) {
    uint64_t elements = 0;
    for (size_t i = 0; i < tally_model_parameters(model); i++)
        elements += tally_model_parameter(model, i).elements;
    return elements;
}

size_t report_most_probable(const float *probabilities, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (probabilities[i] > probabilities[best])
            best = i;
    return best;
}

void report_print_probabilities(const float *probabilities, size_t count) {
    enum { COLUMNS = 5 };
    for (size_t i = 0; i < count; i++)
        printf("%s%14.8e%s",
               i == 0             ? "[[ "
               : i % COLUMNS == 0 ? "   "
                                  : "  ",
               (double)probabilities[i],
               i + 1 == count               ? "]]\n"
               : i % COLUMNS == COLUMNS - 1 ? "\n"
                                            : "");
}

static size_t count_ones(const char *string) {
    size_t count = 0;
    for (; *string != '\0'; string++)
        count += *string == '1';
    return count;
}

static void print_device(const report *r) {
    const tally_device *device = tally_model_device(r->model);
    const tally_device_info *info = tally_device_get_info(device);
    printf("Device       %s (%s), %s", info->selector, info->backend, info->name);
    if (strcmp(info->backend, "cpu") == 0)
        printf(", threads: %u", tally_device_workers(device));
    else
        printf(", route: %s", command_routes[tally_device_route(device)]);
    putchar('\n');
    const char *inexact = tally_device_inexact(device);
    if (inexact[0] != '\0')
        printf("Arithmetic   within tolerance of other devices' only: %s\n", inexact);
    uint64_t fallbacks = tally_device_fallbacks(device, NULL, 0);
    if (fallbacks > 0)
        printf("Fallbacks    %s operations ran on the C path; --verbose names them\n", format_whole(fallbacks).text);
}

static const task_words *words_of(const report *r) {
    return &task_get(r->recipe->task)->words;
}

/* Prints what the model was trained on. */
static void print_sequences(const report *r) {
    const recipe *c = r->recipe;
    if (c->task == RECIPE_COUNT)
        printf("%s of the %s strings of %s bits", format_whole(c->train_size).text,
               format_whole(recipe_all_strings(c)).text, recipe_lengths(c).text);
    else
        printf("%s %s of %llu %s of %zu inputs", format_whole(c->train_size).text, words_of(r)->many,
               (unsigned long long)c->time_steps, words_of(r)->steps, c->model.inputs);
}

static void print_trained(const report *r) {
    const recipe *c = r->recipe;
    printf("Trained      ");
    if (RECIPE_KNOWS(c, epochs))
        printf("%s epoch%s of ", format_whole(c->epochs).text, c->epochs == 1 ? "" : "s");
    print_sequences(r);
    if (RECIPE_KNOWS(c, train_seconds))
        printf(", in %.1f s", c->train_seconds);
    putchar('\n');
}

void report_print_training(const report *r) {
    const recipe *c = r->recipe;
    if (RECIPE_KNOWS(c, train_size) && (c->task != RECIPE_COUNT || RECIPE_KNOWS(c, length)))
        print_trained(r);
    double speed = recipe_sequences(c) / c->train_seconds;
    if (RECIPE_KNOWS(c, train_seconds) && speed > 0 && speed < 0x1p64)
        printf("Speed        %.3f ms a step, %s sequences a second\n", 1000 * c->train_seconds / (double)c->steps,
               format_whole((uint64_t)speed).text);
    if (RECIPE_KNOWS(c, loss))
        printf("Loss         %.6g %s %s in training, weights of epoch %s\n", c->loss, words_of(r)->article,
               words_of(r)->one, format_whole(c->kept_epoch).text);
    if (RECIPE_KNOWS(c, valid_loss))
        printf("Validation   mistakes in %s of %s %s, loss %.6g %s %s\n", format_whole(c->valid_mistakes).text,
               format_whole(c->valid_size).text, words_of(r)->many, c->valid_loss, words_of(r)->article,
               words_of(r)->one);
    if (r->trained && r->stopped == NULL && c->epochs < c->train.epochs)
        printf("Ended        after %s of %s epochs, by patience\n", format_whole(c->epochs).text,
               format_whole(c->train.epochs).text);
}

static void print_error(const report *r) {
    if (r->stopped != NULL)
        printf("Stopped      %s\n", r->stopped);
    if (!r->tested)
        printf("Test error   not known: the test was not run to its end\n");
    else if (r->test.tested == 0)
        printf("Test error   none: every %s was trained on, there is none left to test\n", words_of(r)->one);
    else
        printf("Test error   %s: mistakes in %s of %s %s, tested in %.1f s\n",
               format_percent((double)r->test.mistakes / (double)r->test.tested).text,
               format_whole(r->test.mistakes).text, format_whole(r->test.tested).text, words_of(r)->many,
               r->test.seconds);
}

static void print_by_class(const report *r) {
    printf("\n%s %11s %9s\n", r->recipe->task == RECIPE_COUNT ? "count" : "class", words_of(r)->many, "mistakes");
    size_t classes = tally_model_get_config(r->model)->classes;
    for (size_t i = 0; i < classes; i++)
        printf("%5zu %11s %9s\n", i, format_whole(r->test.tested_of_class[i]).text,
               format_whole(r->test.mistakes_of_class[i]).text);
}

static void print_example(const report *r) {
    size_t classes = tally_model_get_config(r->model)->classes;
    size_t answer = report_most_probable(r->probabilities, classes);
    printf("\nPredicted output for a sample string: %s\n", r->example);
    report_print_probabilities(r->probabilities, classes);
    printf("Most probable: %zu ones (%s); it has %zu\n", answer, format_percent((double)r->probabilities[answer]).text,
           count_ones(r->example));
}

int report_print(const report *r) {
    report_print_training(r);
    print_device(r);
    print_error(r);
    printf("Weights      SHA-256 %s\n", r->digest);
    if (r->file != NULL)
        printf("Model file   %s\n", r->file);
    if (r->tested && r->test.tested > 0 && !r->trained)
        print_by_class(r);
    if (r->example != NULL)
        print_example(r);
    return TALLY_OK;
}

static json_t *text_or_null(const char *text) {
    return text != NULL ? value_json_text(text) : json_null();
}

/* null if it is not a finite number. */
static json_t *quotient_json(double above, double below) {
    return value_json_real(above / below);
}

static json_t *by_class_json(const report *r, const size_t *numbers) {
    if (!r->tested)
        return json_null();
    json_t *array = json_array();
    size_t classes = tally_model_get_config(r->model)->classes;
    for (size_t i = 0; i < classes; i++)
        if (json_array_append_new(array, json_integer((json_int_t)numbers[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

json_t *report_json_probabilities(const float *probabilities, size_t count) {
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(array, value_json_real((double)probabilities[i])) != 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

static json_t *example_json(const report *r) {
    if (r->example == NULL)
        return json_null();
    size_t classes = tally_model_get_config(r->model)->classes;
    size_t answer = report_most_probable(r->probabilities, classes);
    return json_pack("{s:s, s:I, s:I, s:o, s:o}", "string", r->example, "ones", (json_int_t)count_ones(r->example),
                     "count", (json_int_t)answer, "probability", value_json_real((double)r->probabilities[answer]),
                     "probabilities", report_json_probabilities(r->probabilities, classes));
}

/* Adds the device in use, replacing the notes about the device used for training. */
static bool set_device(const report *r, json_t *object) {
    const tally_device *device = tally_model_device(r->model);
    const tally_device_info *info = tally_device_get_info(device);
    return json_object_set_new(object, "device", value_json_text(info->name)) == 0 &&
           json_object_set_new(object, "selector", value_json_text(info->selector)) == 0 &&
           json_object_set_new(object, "backend", value_json_text(info->backend)) == 0 &&
           json_object_set_new(object, "route", json_string(command_routes[tally_device_route(device)])) == 0 &&
           json_object_set_new(object, "threads", json_integer(tally_device_workers(device))) == 0 &&
           json_object_set_new(object, "fallbacks",
                               json_integer((json_int_t)tally_device_fallbacks(device, NULL, 0))) == 0;
}

static bool set_trained_device(const recipe *c, json_t *object) {
    return json_object_set_new(object, "trained_device", text_or_null(RECIPE_KNOWS(c, device) ? c->device : NULL)) ==
               0 &&
           json_object_set_new(object, "trained_backend", text_or_null(RECIPE_KNOWS(c, backend) ? c->backend : NULL)) ==
               0 &&
           json_object_set_new(object, "trained_route",
                               text_or_null(RECIPE_KNOWS(c, route) ? command_routes[c->route] : NULL)) == 0;
}

static bool set_speed(const recipe *c, json_t *object) {
    double seconds = RECIPE_KNOWS(c, train_seconds) ? c->train_seconds : NAN;
    double steps = RECIPE_KNOWS(c, steps) ? (double)c->steps : NAN, sequences = recipe_sequences(c);
    return json_object_set_new(object, "ms_per_step", quotient_json(1000 * seconds, steps)) == 0 &&
           json_object_set_new(object, "sequences_per_second",
                               quotient_json(sequences > 0 ? sequences : NAN, seconds)) == 0;
}

static bool set_test(const report *r, json_t *object) {
    bool count = r->recipe->task == RECIPE_COUNT;
    size_t tested = r->tested ? r->test.tested : 0, mistakes = r->tested ? r->test.mistakes : 0;
    return json_object_set_new(object, "mistakes", json_integer((json_int_t)mistakes)) == 0 &&
           json_object_set_new(object, "tested", json_integer((json_int_t)tested)) == 0 &&
           json_object_set_new(object, "error", quotient_json((double)mistakes, (double)tested)) == 0 &&
           json_object_set_new(object, "test_seconds", r->tested ? json_real(r->test.seconds) : json_null()) == 0 &&
           json_object_set_new(object, count ? "mistakes_by_count" : "mistakes_by_class",
                               by_class_json(r, r->test.mistakes_of_class)) == 0 &&
           json_object_set_new(object, count ? "tested_by_count" : "tested_by_class",
                               by_class_json(r, r->test.tested_of_class)) == 0;
}

int report_dump_json(json_t *object) {
    if (object == NULL)
        return command_fail(TALLY_MEMORY, "no memory left for the JSON object");
    /* A failed write is detected when stdout is flushed. */
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
    return TALLY_OK;
}

json_t *report_json(const report *r) {
    json_t *object = json_object();
    bool built = object != NULL && recipe_json(r->recipe, object) && set_device(r, object) &&
                 (r->trained || set_trained_device(r->recipe, object)) && set_speed(r->recipe, object) &&
                 set_test(r, object) &&
                 json_object_set_new(object, "weights_sha256", value_json_text(r->digest)) == 0 &&
                 json_object_set_new(object, r->trained ? "out" : "file", text_or_null(r->file)) == 0 &&
                 (!r->trained ||
                  (json_object_set_new(object, "stopped", text_or_null(r->stopped)) == 0 &&
                   (r->recipe->task != RECIPE_COUNT || json_object_set_new(object, "example", example_json(r)) == 0)));
    if (!built) {
        json_decref(object);
        object = NULL;
    }
    return object;
}

int report_print_json(const report *r) {
    return report_dump_json(report_json(r));
}
