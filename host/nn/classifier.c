#include "nn/classifier.h"

#include "backend/leaves.h"
#include "core/fail.h"
#include "core/size.h"
#include "nn/columns.h"
#include "nn/operations_executor.h"
#include "tensor/activations.h"
#include "tensor/upload.h"

#include <stdlib.h>
#include <string.h>

static tally_status make_tensors(const tally_model *model, size_t steps, const tl_executor_options *o,
                                 tl_chunk *whole) {
    tally_device *device = model->device;
    size_t sums = tl_leaves(o->columns);
    tally_status status = tl_activations_new(device, model->config.inputs, steps, o->columns, &whole->x);
    if (!status)
        status = tally_tensor_new(device, TALLY_I32, 1, &o->columns, &whole->labels);
    if (!status)
        status = tally_tensor_new(device, TALLY_F32, 2, (size_t[]){model->config.classes, o->columns},
                                  &whole->probabilities);
    if (!status)
        status = tally_tensor_new(device, TALLY_F32, 1, &sums, &whole->loss_sums);
    if (!status && o->uneven)
        status = tally_tensor_new(device, TALLY_I32, 1, &o->columns, &whole->starts);
    return status;
}

static tally_status make_executor(tl_classifier *classifier, size_t steps, const tl_executor_options *o) {
    const tally_model *model = classifier->model;
    classifier->offsets = calloc(2 + 3 * model->config.layers, sizeof *classifier->offsets);
    if (!classifier->offsets)
        return tl_fail(TALLY_MEMORY, "no memory left for %zu layers", model->config.layers);
    const tl_network network = tl_model_network(model, steps, classifier->offsets);
    tally_status status = tl_executor_new(model->device, &network, o, &classifier->executor);
    return status || classifier->executor ? status : tl_operations_executor_new(model, steps, o, &classifier->executor);
}

/* Their sizes are those of tensors, so that they fit. */
static tally_status make_staged(const tl_chunk *whole, tl_staged_chunk *staged) {
    size_t columns = whole->x.shape[2];
    staged->x = malloc(tally_tensor_elements(&whole->x) * sizeof *staged->x);
    staged->labels = malloc(columns * sizeof *staged->labels);
    staged->starts = whole->starts.storage ? malloc(columns * sizeof *staged->starts) : NULL;
    return staged->x && staged->labels && (staged->starts || !whole->starts.storage)
               ? TALLY_OK
               : tl_fail(TALLY_MEMORY, "no memory left for %zu columns of %zu steps", columns, whole->x.shape[1]);
}

static tally_status make_all_staged(tl_classifier *classifier) {
    const tl_chunk *whole = &classifier->whole;
    classifier->in_place = tl_tensor_host(&whole->x) != NULL;
    if (classifier->in_place) {
        classifier->staged[0].x = tl_tensor_host(&whole->x);
        classifier->staged[0].labels = tl_tensor_host(&whole->labels);
        classifier->staged[0].starts = whole->starts.storage ? tl_tensor_host(&whole->starts) : NULL;
        return TALLY_OK;
    }
    tally_status status = TALLY_OK;
    for (size_t i = 0; i < TL_STAGED_CHUNKS && !status; i++)
        status = make_staged(whole, &classifier->staged[i]);
    return status;
}

tally_status tl_classifier_new(const tally_model *model, size_t steps, const tl_executor_options *options,
                               tl_classifier *classifier) {
    tl_executor_options made = *options;
    memset(classifier, 0, sizeof *classifier);
    classifier->model = model;
    if (!tl_size_add(options->columns, TL_COLUMN_LANES - 1, &made.columns))
        return tl_fail(TALLY_MEMORY, "%zu columns do not fit a size", options->columns);
    made.columns -= made.columns % TL_COLUMN_LANES;
    made.dropout = options->training && model->config.layers > 1 ? options->dropout : 0;
    tally_status status = make_tensors(model, steps, &made, &classifier->whole);
    if (!status)
        status = make_executor(classifier, steps, &made);
    if (!status)
        status = make_all_staged(classifier);
    if (status)
        tl_classifier_free(classifier);
    return status;
}

void tl_classifier_free(tl_classifier *classifier) {
    if (classifier->executor)
        classifier->executor->methods->free(classifier->executor);
    tl_chunk *whole = &classifier->whole;
    tally_tensor *tensors[] = {&whole->x, &whole->labels, &whole->starts, &whole->probabilities, &whole->loss_sums};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        tally_tensor_free(tensors[i]);
    free(classifier->offsets);
    for (size_t i = 0; i < TL_STAGED_CHUNKS && !classifier->in_place; i++) {
        free(classifier->staged[i].x);
        free(classifier->staged[i].labels);
        free(classifier->staged[i].starts);
    }
    memset(classifier, 0, sizeof *classifier);
}

static size_t padded_columns(size_t count) {
    return (count + TL_COLUMN_LANES - 1) / TL_COLUMN_LANES * TL_COLUMN_LANES;
}

/* The whole as a chunk of count sequences, rounded up to whole lanes. */
static tally_status narrow_chunk(const tl_chunk *whole, size_t count, tl_chunk *chunk) {
    size_t columns = padded_columns(count);
    *chunk = *whole;
    chunk->x = tl_activations_narrow(&whole->x, columns);
    tally_status status = tally_tensor_slice(&whole->labels, 0, 0, columns, &chunk->labels);
    if (!status && whole->starts.storage)
        status = tally_tensor_slice(&whole->starts, 0, 0, columns, &chunk->starts);
    if (!status)
        status = tally_tensor_reshape(&whole->probabilities, 2, (size_t[]){whole->probabilities.shape[0], columns},
                                      &chunk->probabilities);
    return status ? status : tally_tensor_slice(&whole->loss_sums, 0, 0, tl_leaves(columns), &chunk->loss_sums);
}

void tl_classifier_stage(tl_classifier *classifier, unsigned slot, size_t count, const float *x, const int32_t *labels,
                         const int32_t *lengths) {
    tl_staged_chunk *staged = &classifier->staged[slot];
    const tally_tensor x_columns = tl_activations_narrow(&classifier->whole.x, padded_columns(count));
    size_t steps = x_columns.shape[1], columns = x_columns.shape[2];
    staged->count = count;
    tl_columns_from_rows(&x_columns, count, x, lengths, staged->x);
    for (size_t n = 0; n < columns; n++) {
        staged->labels[n] = labels && n < count ? labels[n] : -1;
        if (staged->starts)
            staged->starts[n] = lengths && n < count ? (int32_t)steps - lengths[n] : 0;
    }
}

tally_status tl_classifier_load(tl_classifier *classifier, unsigned slot) {
    const tl_staged_chunk *staged = &classifier->staged[slot];
    tl_chunk *chunk = &classifier->chunk;
    classifier->count = staged->count;
    tally_status status = narrow_chunk(&classifier->whole, staged->count, chunk);
    if (status || classifier->in_place)
        return status;
    status = tl_tensor_upload(&chunk->x, staged->x);
    if (!status)
        status = tl_tensor_upload(&chunk->labels, staged->labels);
    if (!status && staged->starts)
        status = tl_tensor_upload(&chunk->starts, staged->starts);
    return status;
}

tally_status tl_classifier_predict(tl_classifier *classifier) {
    classifier->chunk.weights = classifier->model->weights;
    return classifier->executor->methods->predict(classifier->executor, &classifier->chunk);
}

tally_status tl_classifier_train(tl_classifier *classifier, const tl_step_position *position,
                                 const tally_tensor *gradient) {
    tl_chunk *chunk = &classifier->chunk;
    chunk->weights = classifier->model->weights;
    chunk->gradient = *gradient;
    chunk->position = *position;
    return classifier->executor->methods->train(classifier->executor, chunk);
}

tally_status tl_classifier_losses(const tl_classifier *classifier, float *sums) {
    const tally_tensor *loss_sums = &classifier->chunk.loss_sums;
    return tally_tensor_read(loss_sums, sums, tally_tensor_elements(loss_sums));
}

tally_status tl_classifier_probabilities(const tl_classifier *classifier, float *columns, float *rows) {
    const tally_tensor *probabilities = &classifier->chunk.probabilities;
    tally_status status = tally_tensor_read(probabilities, columns, tally_tensor_elements(probabilities));
    if (!status)
        tl_rows_from_columns(columns, probabilities->shape[0], probabilities->shape[1], classifier->count, rows);
    return status;
}
