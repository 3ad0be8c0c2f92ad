#include "train/workers.h"

#include "core/fail.h"
#include "core/size.h"
#include "tensor/upload.h"

#include <stdlib.h>
#include <string.h>

static tally_status worker_new(const tally_model *model, size_t steps, const tl_executor_options *options,
                               tl_worker *worker) {
    tally_status status = tl_classifier_new(model, steps, options, &worker->classifier);
    if (status)
        return status;
    /* The classifier's tensors have as many elements or more, so these sizes fit. */
    size_t capacity = worker->classifier.whole.x.shape[2], classes = tally_model_get_config(model)->classes;
    worker->x = malloc(tally_tensor_elements(&worker->classifier.whole.x) * sizeof *worker->x);
    bool labels = true;
    for (size_t i = 0; i < TL_STAGED_CHUNKS; i++) {
        worker->read[i].labels = malloc(capacity * sizeof *worker->read[i].labels);
        labels = labels && worker->read[i].labels;
    }
    worker->lengths = options->uneven ? malloc(capacity * sizeof *worker->lengths) : NULL;
    worker->probability_columns = malloc(capacity * classes * sizeof(float));
    worker->probability_rows = malloc(capacity * classes * sizeof(float));
    if (!worker->x || !labels || (options->uneven && !worker->lengths) || !worker->probability_columns ||
        !worker->probability_rows)
        return tl_fail(TALLY_MEMORY, "no memory left for a chunk of %zu sequences", options->columns);
    return TALLY_OK;
}

tally_status tl_workers_new(const tally_model *model, size_t steps, const tl_executor_options *options,
                            tl_workers *workers) {
    tally_device *device = tally_model_device(model);
    memset(workers, 0, sizeof *workers);
    workers->device = device;
    workers->chunk_columns = tally_device_chunk_columns(device);
    size_t chunks = tl_workers_chunks(workers, options->columns);
    unsigned most = tally_device_workers(device);
    workers->count = chunks < most ? (unsigned)chunks : most;
    tl_executor_options each = *options;
    each.columns = options->columns < workers->chunk_columns ? options->columns : workers->chunk_columns;
    workers->each = calloc(workers->count, sizeof *workers->each);
    tally_status status =
        workers->each ? TALLY_OK : tl_fail(TALLY_MEMORY, "no memory left for %u workers", workers->count);
    for (unsigned i = 0; i < workers->count && !status; i++)
        status = worker_new(model, steps, &each, &workers->each[i]);
    if (!status)
        status = tl_worker_pool_new(workers->count, &workers->pool);
    if (status)
        tl_workers_free(workers);
    return status;
}

static tally_status check_read(const tl_worker *worker, const int32_t *labels, const tally_dataset *data,
                               const size_t *numbers, size_t count) {
    for (size_t n = 0; n < count; n++) {
        if (labels[n] < 0 || (size_t)labels[n] >= data->classes)
            return tl_fail(TALLY_DATA, "label %d of sequence %zu is not in 0 to %zu", (int)labels[n], numbers[n],
                           data->classes - 1);
        if (worker->lengths && (worker->lengths[n] < 1 || (size_t)worker->lengths[n] > data->steps))
            return tl_fail(TALLY_DATA, "length %d of sequence %zu is not in 1 to %zu", (int)worker->lengths[n],
                           numbers[n], data->steps);
    }
    return TALLY_OK;
}

/* Into a staged chunk. */
static tally_status read_chunk(tl_worker *worker, unsigned slot, const tally_dataset *data, const size_t *numbers,
                               size_t count, bool masked) {
    tl_read_chunk *to = &worker->read[slot];
    const char *asked = "read";
    unsigned before = tl_failures();
    to->numbers = NULL;
    tally_status status = data->read(data, numbers, count, worker->x, to->labels);
    if (!status && worker->lengths) {
        asked = "lengths";
        status = data->lengths(data, numbers, count, worker->lengths);
    }
    /* A caller's own has left a text only if it was one of the library's functions that failed. */
    if (status && tl_failures() == before)
        return tl_fail(status, "the data set's %s() failed with status %d", asked, (int)status);
    if (!status)
        status = check_read(worker, to->labels, data, numbers, count);
    if (status)
        return status;
    tl_classifier_stage(&worker->classifier, slot, count, worker->x, masked ? NULL : to->labels, worker->lengths);
    to->numbers = numbers;
    to->count = count;
    return TALLY_OK;
}

/* The staged chunk that is not computed. */
static unsigned other_slot(const tl_worker *worker) {
    return worker->classifier.in_place ? 0 : 1 - worker->loaded;
}

tally_status tl_worker_load(tl_worker *worker, const tally_dataset *data, const size_t *numbers, size_t count,
                            bool masked) {
    unsigned slot = other_slot(worker);
    tl_read_chunk *read = &worker->read[slot];
    tally_status status = read->numbers == numbers && read->count == count
                              ? TALLY_OK
                              : read_chunk(worker, slot, data, numbers, count, masked);
    read->numbers = NULL; /* for this time only */
    worker->loaded = slot;
    worker->labels = read->labels;
    return status ? status : tl_classifier_load(&worker->classifier, slot);
}

void tl_worker_read_ahead(tl_worker *worker, const tally_dataset *data, const size_t *numbers, size_t count,
                          bool masked) {
    if (!worker->classifier.in_place)
        read_chunk(worker, other_slot(worker), data, numbers, count, masked);
}

void tl_workers_forget(tl_workers *workers) {
    for (unsigned i = 0; i < workers->count; i++)
        for (size_t c = 0; c < TL_STAGED_CHUNKS; c++)
            workers->each[i].read[c].numbers = NULL;
}

tally_status tl_workers_flush(const tl_workers *workers) {
    return tl_device_flush(workers->device);
}

void tl_workers_free(tl_workers *workers) {
    tl_worker_pool_free(workers->pool);
    for (unsigned i = 0; workers->each && i < workers->count; i++) {
        tl_worker *worker = &workers->each[i];
        tl_classifier_free(&worker->classifier);
        free(worker->x);
        for (size_t c = 0; c < TL_STAGED_CHUNKS; c++)
            free(worker->read[c].labels);
        free(worker->lengths);
        free(worker->probability_columns);
        free(worker->probability_rows);
    }
    free(workers->each);
    memset(workers, 0, sizeof *workers);
}

tally_status tl_check_data(const char *what, const tally_model *model, const tally_dataset *data) {
    if (!model || !data || !data->read)
        return tl_fail(TALLY_USAGE, "%s: no model or no data given", what);
    const tally_model_config *config = tally_model_get_config(model);
    if (data->inputs != config->inputs || data->classes != config->classes || data->steps < 1)
        return tl_fail(TALLY_USAGE, "%s: data of %zu inputs, %zu classes and %zu steps for a model of %zu and %zu",
                       what, data->inputs, data->classes, data->steps, config->inputs, config->classes);
    return TALLY_OK;
}

size_t tl_workers_chunks(const tl_workers *workers, size_t count) {
    return count / workers->chunk_columns + (count % workers->chunk_columns != 0);
}

size_t tl_workers_chunk_size(const tl_workers *workers, size_t count, size_t chunk) {
    size_t left = count - chunk * workers->chunk_columns;
    return left < workers->chunk_columns ? left : workers->chunk_columns;
}
