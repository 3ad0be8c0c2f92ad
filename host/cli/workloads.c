#include "workloads.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"

const workload workloads[WORKLOADS] = {
    {"count", WORKLOAD_COUNT, 1, 24, 1, 20, 21, 1000, 10, "counting strings"},
    {"rows", WORKLOAD_MADE, 1, 128, 28, 28, 10, 128, 10, "an image by rows"},
    {"deep", WORKLOAD_MADE, 2, 256, 64, 50, 10, 256, 2, "much arithmetic"},
    {"pixels", WORKLOAD_MADE, 1, 64, 1, 784, 10, 128, 10, "it by pixels"},
    {"score", WORKLOAD_SCORE, 1, 24, 1, 20, 21, 1038576, 10, "tests the others"},
};

const workload *workload_find(const char *name) {
    for (size_t i = 0; i < WORKLOADS; i++)
        if (strcmp(name, workloads[i].name) == 0)
            return &workloads[i];
    return NULL;
}

tally_model_config workload_model(const workload *w) {
    return (tally_model_config){.layers = w->layers, .inputs = w->inputs, .hidden = w->hidden, .classes = w->classes};
}

size_t workload_train_batch(const workload *w) {
    return w->kind == WORKLOAD_SCORE ? tally_train_defaults().batch : w->batch;
}

double workload_flops(const workload *w) {
    double hidden = (double)w->hidden, inputs = (double)w->inputs, head = 2 * hidden * (double)w->classes;
    double products = 0; /* of a time step forward */
    for (size_t l = 0; l < w->layers; l++)
        products += 8 * hidden * ((l == 0 ? inputs : hidden) + hidden);
    double first_dx = 8 * hidden * inputs; /* which is not computed */
    double steps = (double)w->steps, columns = (double)w->batch;
    if (w->kind == WORKLOAD_SCORE)
        return columns * (steps * products + head);
    return columns * (steps * (3 * products - first_dx) + 3 * head);
}

/* SplitMix64 (Steele, Lea & Flood 2014). */
static uint64_t next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Batches enough that what is done once an epoch does not show; all are the one that there is. */
enum { BATCHES = 100 };

static tally_status read_made(const tally_dataset *dataset, const size_t *numbers, size_t count, float *x,
                              int32_t *labels) {
    const workload_data *data = dataset->context;
    size_t values = dataset->steps * dataset->inputs, batch = dataset->size / BATCHES;
    for (size_t i = 0; i < count; i++) {
        size_t n = numbers[i] % batch;
        if (x != NULL)
            memcpy(x + i * values, data->x + n * values, values * sizeof *x);
        if (labels != NULL)
            labels[i] = data->labels[n];
    }
    return TALLY_OK;
}

static int make_batch(const workload *w, workload_data *data) {
    size_t values = w->batch * w->steps * w->inputs; /* the table's sizes are far below any overflow */
    data->x = malloc(values * sizeof *data->x);
    data->labels = malloc(w->batch * sizeof *data->labels);
    if (data->x == NULL || data->labels == NULL)
        return command_fail(TALLY_MEMORY, "no memory left for a batch of %zu sequences", w->batch);
    uint64_t state = 1;
    for (size_t i = 0; i < values; i++)
        data->x[i] = (float)(next(&state) >> 40) * 0x1p-24f;
    for (size_t i = 0; i < w->batch; i++)
        data->labels[i] = (int32_t)(next(&state) % w->classes);
    data->made = (tally_dataset){.size = w->batch * BATCHES,
                                 .steps = w->steps,
                                 .inputs = w->inputs,
                                 .classes = w->classes,
                                 .read = read_made,
                                 .context = data};
    data->train = &data->made;
    return TALLY_OK;
}

int workload_data_new(const workload *w, workload_data *data) {
    *data = (workload_data){.x = NULL};
    if (w->kind == WORKLOAD_MADE) {
        int result = make_batch(w, data);
        if (result != TALLY_OK)
            workload_data_free(data);
        return result;
    }
    const tally_count_options options = tally_count_defaults();
    tally_status status = tally_count_new(&options, &data->strings);
    if (status != TALLY_OK)
        return command_fail_library(status);
    data->train = tally_count_train(data->strings);
    data->test = w->kind == WORKLOAD_SCORE ? tally_count_test(data->strings) : NULL;
    return TALLY_OK;
}

void workload_data_free(workload_data *data) {
    tally_count_free(data->strings);
    free(data->x);
    free(data->labels);
    *data = (workload_data){.x = NULL};
}
