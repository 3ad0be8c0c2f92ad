#include "predict_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "command.h"
#include "report.h"
#include "tasks.h"

enum { BATCH = 1000, MAX_VALUES = 1 << 20 };

typedef struct batch {
    const tally_model *model;
    const tally_dataset *data;
    const predicted_file *file;
    const char *path;
    json_t *json; /* predictions so far; NULL for text output */
    size_t capacity;
    size_t *numbers;
    int32_t *lengths;     /* [capacity], or NULL if all have data->steps */
    float *x;             /* [capacity, steps, inputs] */
    float *probabilities; /* [capacity, classes] */
} batch;

static json_t *prediction_json(const batch *b, size_t number, size_t best, const float *probabilities) {
    json_t *object = json_pack("{s:I, s:I, s:f}", "number", (json_int_t)number, "class", (json_int_t)best,
                               "probability", (double)probabilities[best]);
    if (object == NULL || !b->file->probabilities)
        return object;
    if (json_object_set_new(object, "probabilities", report_json_probabilities(probabilities, b->data->classes)) == 0)
        return object;
    json_decref(object);
    return NULL;
}

static int print_prediction(batch *b, size_t number, const float *probabilities) {
    size_t classes = b->data->classes, best = report_most_probable(probabilities, classes);
    for (size_t i = 0; i < classes; i++)
        if (!isfinite(probabilities[i]))
            return command_fail(TALLY_NUMBERS, "%s: the probability of class %zu of sequence %zu is not a number",
                                b->path, i, number);
    if (b->json != NULL) {
        if (json_array_append_new(b->json, prediction_json(b, number, best, probabilities)) != 0)
            return command_fail(TALLY_MEMORY, "no memory left for the JSON object");
        return TALLY_OK;
    }
    printf("%zu %zu %.6f\n", number, best, (double)probabilities[best]);
    if (b->file->probabilities)
        report_print_probabilities(probabilities, classes);
    return TALLY_OK;
}

static int predict_batch(batch *b, size_t first, size_t count) {
    for (size_t i = 0; i < count; i++)
        b->numbers[i] = first + i;
    tally_status status = b->data->read(b->data, b->numbers, count, b->x, NULL);
    if (status == TALLY_OK && b->lengths != NULL)
        status = b->data->lengths(b->data, b->numbers, count, b->lengths);
    if (status == TALLY_OK)
        status = tally_predict(b->model, b->x, count, b->data->steps, b->lengths, b->probabilities);
    if (status != TALLY_OK)
        return command_fail_library(status);
    int result = TALLY_OK;
    for (size_t i = 0; i < count && result == TALLY_OK; i++)
        result = print_prediction(b, first + i, b->probabilities + i * b->data->classes);
    int flushed = b->json == NULL ? command_flush() : TALLY_OK;
    return result != TALLY_OK ? result : flushed;
}

static int predict_all(batch *b) {
    size_t values = b->data->steps * b->data->inputs, size = b->data->size;
    size_t fitting = MAX_VALUES / values < 1 ? 1 : MAX_VALUES / values < BATCH ? MAX_VALUES / values : BATCH;
    b->capacity = fitting < size ? fitting : size;
    b->numbers = calloc(b->capacity, sizeof *b->numbers);
    b->lengths = b->data->lengths != NULL ? calloc(b->capacity, sizeof *b->lengths) : NULL;
    b->x = calloc(b->capacity, values * sizeof *b->x);
    b->probabilities = calloc(b->capacity, b->data->classes * sizeof *b->probabilities);
    int result = TALLY_OK;
    bool all = b->lengths != NULL || b->data->lengths == NULL;
    if (!all || b->numbers == NULL || b->x == NULL || b->probabilities == NULL)
        result = command_fail(TALLY_MEMORY, "no memory left for %zu sequences of %zu values", b->capacity, values);
    for (size_t done = 0; done < size && result == TALLY_OK; done += b->capacity)
        result = predict_batch(b, done, size - done < b->capacity ? size - done : b->capacity);
    free(b->numbers);
    free(b->lengths);
    free(b->x);
    free(b->probabilities);
    return result;
}

static int predict_sequences(const tally_model *model, const recipe *r, const predicted_file *file, const char *path,
                             tally_sequences *sequences) {
    int result = task_adopt(r, "the model takes", path, sequences);
    if (result != TALLY_OK)
        return result;
    batch b = {.model = model, .data = tally_sequences_kept(sequences), .file = file, .path = path};
    if (!file->json)
        return predict_all(&b);
    b.json = json_array();
    if (b.json == NULL)
        return command_fail(TALLY_MEMORY, "no memory left for the JSON object");
    result = predict_all(&b);
    if (result == TALLY_OK)
        return report_dump_json(json_pack("{s:s, s:o}", "task", settings_tasks[r->task], "predictions", b.json));
    json_decref(b.json);
    return result;
}

int predict_file(const tally_model *model, const recipe *r, const predicted_file *file) {
    const char *path = file->idx != NULL ? file->idx : file->npy;
    tally_sequences *sequences;
    tally_status status = file->idx != NULL ? tally_sequences_read_idx(path, NULL, &sequences)
                                            : tally_sequences_read_npy(path, NULL, file->lengths, &sequences);
    if (status != TALLY_OK)
        return command_fail_library(status);
    int result = predict_sequences(model, r, file, path, sequences);
    tally_sequences_free(sequences);
    return result;
}
