#include "core/fail.h"
#include "train/workers.h"

#include <tally/train.h>

typedef struct predict_run {
    tl_workers workers;
    const float *x;
    const int32_t *lengths;
    size_t count, values; /* of one sequence */
    float *probabilities;
} predict_run;

static tally_status predict_chunk(void *context, unsigned number, size_t chunk) {
    predict_run *run = context;
    tl_worker *worker = &run->workers.each[number];
    size_t count = tl_workers_chunk_size(&run->workers, run->count, chunk), first = chunk * run->workers.chunk_columns;
    size_t classes = worker->classifier.whole.probabilities.shape[0];
    tl_classifier_stage(&worker->classifier, 0, count, run->x + first * run->values, NULL,
                        run->lengths ? run->lengths + first : NULL);
    tally_status status = tl_classifier_load(&worker->classifier, 0);
    if (!status)
        status = tl_classifier_predict(&worker->classifier);
    if (!status)
        status = tl_classifier_probabilities(&worker->classifier, worker->probability_columns,
                                             run->probabilities + first * classes);
    return status;
}

tally_status tally_predict(const tally_model *model, const float *x, size_t count, size_t steps, const int32_t *lengths,
                           float *probabilities) {
    if (!model || !x || !probabilities || steps < 1)
        return tl_fail(TALLY_USAGE, "tally_predict: no model, no sequences, no steps or no place for the result given");
    if (count == 0)
        return TALLY_OK;
    for (size_t n = 0; n < count && lengths; n++)
        if (lengths[n] < 1 || (size_t)lengths[n] > steps)
            return tl_fail(TALLY_USAGE, "tally_predict: length %d of sequence %zu is not in 1 to %zu", (int)lengths[n],
                           n, steps);
    predict_run run = {.x = x,
                       .lengths = lengths,
                       .count = count,
                       .values = steps * tally_model_get_config(model)->inputs,
                       .probabilities = probabilities};
    const tl_executor_options options = {.columns = count, .uneven = lengths != NULL};
    tally_status status = tl_workers_new(model, steps, &options, &run.workers);
    if (status)
        return status;
    size_t chunks = tl_workers_chunks(&run.workers, count);
    status = tl_worker_pool_run(run.workers.pool, chunks, predict_chunk, NULL, &run);
    tl_workers_free(&run.workers);
    return status;
}
