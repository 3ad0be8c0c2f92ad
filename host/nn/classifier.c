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

/* The host's side of the tensors, whose sizes fit, so that these do. */
static tally_status make_columns(tl_classifier *classifier) {
    size_t columns = classifier->whole.x.shape[2];
    classifier->x_columns = malloc(tally_tensor_elements(&classifier->whole.x) * sizeof(float));
    classifier->label_columns = malloc(columns * sizeof(int32_t));
    classifier->start_columns = malloc(columns * sizeof(int32_t));
    return classifier->x_columns && classifier->label_columns && classifier->start_columns
               ? TALLY_OK
               : tl_fail(TALLY_MEMORY, "no memory left for %zu columns of %zu steps", columns,
                         classifier->whole.x.shape[1]);
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
        status = make_columns(classifier);
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
    free(classifier->x_columns);
    free(classifier->label_columns);
    free(classifier->start_columns);
    memset(classifier, 0, sizeof *classifier);
}

/* The whole as a chunk of count sequences, rounded up to whole lanes. */
static tally_status narrow_chunk(const tl_chunk *whole, size_t count, tl_chunk *chunk) {
    size_t columns = (count + TL_COLUMN_LANES - 1) / TL_COLUMN_LANES * TL_COLUMN_LANES;
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

tally_status tl_classifier_load(tl_classifier *classifier, size_t count, const float *x, const int32_t *labels,
                                const int32_t *lengths) {
    tl_chunk *chunk = &classifier->chunk;
    tally_status status = narrow_chunk(&classifier->whole, count, chunk);
    if (status)
        return status;
    classifier->count = count;
    size_t steps = chunk->x.shape[1], columns = chunk->x.shape[2];
    tl_columns_from_rows(&chunk->x, count, x, lengths, classifier->x_columns);
    for (size_t n = 0; n < columns; n++) {
        classifier->label_columns[n] = labels && n < count ? labels[n] : -1;
        classifier->start_columns[n] = lengths && n < count ? (int32_t)steps - lengths[n] : 0;
    }
    status = tl_tensor_upload(&chunk->x, classifier->x_columns);
    if (!status)
        status = tl_tensor_upload(&chunk->labels, classifier->label_columns);
    if (!status && chunk->starts.storage)
        status = tl_tensor_upload(&chunk->starts, classifier->start_columns);
    return status;
}

tally_status tl_classifier_predict(tl_classifier *classifier) {
    classifier->chunk.weights = classifier->model->weights;
    return classifier->executor->methods->predict(classifier->executor, &classifier->chunk);
}

tally_status tl_classifier_train(tl_classifier *classifier, const tl_step_position *position,
                                 const tally_tensor *gradient, float *sums) {
    tl_chunk *chunk = &classifier->chunk;
    chunk->weights = classifier->model->weights;
    chunk->gradient = *gradient;
    chunk->position = *position;
    tally_status status = classifier->executor->methods->train(classifier->executor, chunk);
    return status ? status : tally_tensor_read(&chunk->loss_sums, sums, tally_tensor_elements(&chunk->loss_sums));
}

tally_status tl_classifier_probabilities(const tl_classifier *classifier, float *columns, float *rows) {
    const tally_tensor *probabilities = &classifier->chunk.probabilities;
    tally_status status = tally_tensor_read(probabilities, columns, tally_tensor_elements(probabilities));
    if (!status)
        tl_rows_from_columns(columns, probabilities->shape[0], probabilities->shape[1], classifier->count, rows);
    return status;
}
