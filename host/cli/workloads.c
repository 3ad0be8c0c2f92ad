#include "workloads.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"

/* name, kind, cell, layers, hidden, inputs, shortest, steps, classes, batch, dropout, digest */
const workload workloads[WORKLOADS] = {
    {"count", WORKLOAD_COUNT, TALLY_LSTM, 1, 24, 1, 20, 20, 21, 1000, 0, 10},
    {"rows", WORKLOAD_MADE, TALLY_LSTM, 1, 128, 28, 28, 28, 10, 128, 0, 10},
    {"rows-gru", WORKLOAD_MADE, TALLY_GRU, 1, 128, 28, 28, 28, 10, 128, 0, 10},
    {"rows-rnn", WORKLOAD_MADE, TALLY_RNN, 1, 128, 28, 28, 28, 10, 128, 0, 10},
    {"rows-uneven", WORKLOAD_MADE, TALLY_LSTM, 1, 128, 28, 7, 28, 10, 128, 0, 10},
    {"rows-dropout", WORKLOAD_MADE, TALLY_LSTM, 2, 128, 28, 28, 28, 10, 128, 0.2, 10},
    {"deep", WORKLOAD_MADE, TALLY_LSTM, 2, 256, 64, 50, 50, 10, 256, 0, 2},
    {"pixels", WORKLOAD_MADE, TALLY_LSTM, 1, 64, 1, 784, 784, 10, 128, 0, 10},
    {"score", WORKLOAD_SCORE, TALLY_LSTM, 1, 24, 1, 20, 20, 21, 1038576, 0, 10},
};

const workload *workload_find(const char *name) {
    for (size_t i = 0; i < WORKLOADS; i++)
        if (strcmp(name, workloads[i].name) == 0)
            return &workloads[i];
    return NULL;
}

tally_model_config workload_model(const workload *w) {
    return (tally_model_config){
        .cell = w->cell, .layers = w->layers, .inputs = w->inputs, .hidden = w->hidden, .classes = w->classes};
}

size_t workload_train_batch(const workload *w) {
    return w->kind == WORKLOAD_SCORE ? tally_train_defaults().batch : w->batch;
}

/* The time steps of a batch's sequence: they cycle through shortest to steps. */
static size_t length_of(const workload *w, size_t sequence) {
    return w->shortest + sequence % (w->steps - w->shortest + 1);
}

static double steps_of_batch(const workload *w) {
    size_t steps = 0;
    for (size_t i = 0; i < w->batch; i++)
        steps += length_of(w, i);
    return (double)steps;
}

double workload_flops(const workload *w) {
    double hidden = (double)w->hidden, inputs = (double)w->inputs, head = 2 * hidden * (double)w->classes;
    /* per input of a layer, or per hidden unit of its previous time step */
    double per_value = 2 * hidden * (double)tally_cell_weights(w->cell);
    double products = 0; /* per time step, forward */
    for (size_t l = 0; l < w->layers; l++)
        products += per_value * ((l == 0 ? inputs : hidden) + hidden);
    double first_dx = per_value * inputs; /* not computed */
    double steps = steps_of_batch(w), heads = (double)w->batch * head;
    if (w->kind == WORKLOAD_SCORE)
        return steps * products + heads;
    return steps * (3 * products - first_dx) + 3 * heads;
}

/* SplitMix64 (Steele, Lea & Flood 2014). */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* Enough batches that the work done once per epoch is negligible. All of them are the same batch. */
enum { BATCHES = 100 };

static tally_status read_made(const tally_dataset *dataset, const size_t *numbers, size_t count, float *x,
                              int32_t *labels) {
    const workload_data *data = dataset->context;
    size_t values = dataset->steps * dataset->inputs;
    for (size_t i = 0; i < count; i++) {
        size_t n = numbers[i] % data->workload->batch;
        if (x != NULL)
            memcpy(x + i * values, data->x + n * values, values * sizeof *x);
        if (labels != NULL)
            labels[i] = data->labels[n];
    }
    return TALLY_OK;
}

static tally_status read_made_lengths(const tally_dataset *dataset, const size_t *numbers, size_t count,
                                      int32_t *lengths) {
    const workload *w = ((const workload_data *)dataset->context)->workload;
    for (size_t i = 0; i < count; i++)
        lengths[i] = (int32_t)length_of(w, numbers[i] % w->batch);
    return TALLY_OK;
}

static int make_batch(const workload *w, workload_data *data) {
    size_t values = w->batch * w->steps * w->inputs; /* cannot overflow: the table's sizes are small */
    data->x = malloc(values * sizeof *data->x);
    data->labels = malloc(w->batch * sizeof *data->labels);
    if (data->x == NULL || data->labels == NULL)
        return command_fail(TALLY_MEMORY, "no memory left for a batch of %zu sequences", w->batch);
    uint64_t state = 1;
    for (size_t i = 0; i < values; i++)
        data->x[i] = (float)(next_random(&state) >> 40) * 0x1p-24f;
    for (size_t i = 0; i < w->batch; i++)
        data->labels[i] = (int32_t)(next_random(&state) % w->classes);
    data->made = (tally_dataset){.size = w->batch * BATCHES,
                                 .steps = w->steps,
                                 .inputs = w->inputs,
                                 .classes = w->classes,
                                 .read = read_made,
                                 .lengths = w->shortest < w->steps ? read_made_lengths : NULL,
                                 .context = data};
    data->train = &data->made;
    return TALLY_OK;
}

int workload_data_new(const workload *w, workload_data *data) {
    *data = (workload_data){.workload = w};
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
