#include "backend/leaves.h"
#include "core/clock.h"
#include "core/fail.h"
#include "core/scalar_arith.h"
#include "train/workers.h"

#include <stdlib.h>
#include <tally/train.h>

/* Sequences between two calls of the observer: whole chunks of any device. */
enum { RUN = 16384 };

/* What became of a sequence. */
typedef struct verdict {
    int32_t label;
    bool mistake;
    float probability; /* of the label */
} verdict;

typedef struct test_run {
    tl_workers workers;
    const tally_dataset *data;
    size_t *numbers;   /* [RUN] sequences, of which count are run at a time */
    verdict *verdicts; /* [RUN] */
    size_t count;
    tally_test_result *result;
    double loss, partial_losses[TL_TREE_LEVELS]; /* of the micro-batch that is under way, and of the tree */
} test_run;

static verdict judge(size_t classes, const float *probabilities, int32_t label) {
    size_t best = 0;
    for (size_t k = 1; k < classes; k++)
        if (probabilities[k] > probabilities[best])
            best = k;
    float of_best = probabilities[best];
    return (verdict){label, best != (size_t)label || of_best != of_best, probabilities[label]};
}

static tally_status test_chunk(void *context, unsigned number, size_t chunk) {
    test_run *run = context;
    tl_worker *worker = &run->workers.each[number];
    size_t first = chunk * run->workers.chunk_columns, classes = run->data->classes;
    size_t count = tl_workers_chunk_size(&run->workers, run->count, chunk);
    tally_status status = tl_worker_load(worker, run->data, run->numbers + first, count, true);
    if (!status)
        status = tl_classifier_predict(&worker->classifier);
    if (!status)
        status =
            tl_classifier_probabilities(&worker->classifier, worker->probability_columns, worker->probability_rows);
    for (size_t n = 0; n < count && !status; n++)
        run->verdicts[first + n] = judge(classes, worker->probability_rows + n * classes, worker->labels[n]);
    return status;
}

/* As training has it, by the shared log. */
static double loss_of(float probability) {
    return (double)fabsf(tl_s_log(probability < 1e-10f ? 1e-10f : probability));
}

/* Adds a sequence's loss to its micro-batch's, and the last one's in a micro-batch or of all to the tree. */
static void add_loss(test_run *run, float probability, size_t sequence, bool last) {
    run->loss += loss_of(probability);
    if (!last && (sequence + 1) % TALLY_MICRO_BATCH != 0)
        return;
#define PARTIAL(level) run->partial_losses[level]
    TL_TREE_ADD(sequence / TALLY_MICRO_BATCH, last, run->loss, PARTIAL);
#undef PARTIAL
    if (last)
        *run->result->loss = run->loss;
    run->loss = 0.0;
}

/* In the order of the sequences; of a run that failed those before the failure. all: sequences of the whole test. */
static void count_verdicts(test_run *run, size_t all) {
    tally_test_result *result = run->result;
    for (size_t n = 0; n < run->count; n++) {
        const verdict *v = &run->verdicts[n];
        size_t sequence = result->tested++;
        result->mistakes += v->mistake;
        if (result->tested_of_class)
            result->tested_of_class[v->label]++;
        if (result->mistakes_of_class)
            result->mistakes_of_class[v->label] += v->mistake;
        if (result->loss)
            add_loss(run, v->probability, sequence, sequence + 1 == all);
    }
}

static tally_status test_all(test_run *run, size_t first, size_t count, const tally_observer *observer) {
    double start = tl_seconds();
    for (size_t done = 0; done < count;) {
        run->count = count - done < RUN ? count - done : RUN;
        for (size_t i = 0; i < run->count; i++)
            run->numbers[i] = first + done + i;
        size_t chunks = tl_workers_chunks(&run->workers, run->count);
        tally_status status = tl_worker_pool_run(run->workers.pool, chunks, test_chunk, NULL, run);
        if (status)
            run->count = tl_worker_pool_failed(run->workers.pool) * run->workers.chunk_columns;
        count_verdicts(run, count);
        if (status)
            return status;
        done += run->count;
        run->result->seconds = tl_seconds() - start;
        tally_progress progress = {.step = done, .seconds = run->result->seconds};
        if (observer && observer->step && !observer->step(observer->context, &progress))
            return tl_fail(TALLY_STOPPED, "stopped after %zu of %zu sequences", done, count);
    }
    return TALLY_OK;
}

tally_status tally_test(const tally_model *model, const tally_dataset *data, size_t first, size_t count,
                        const tally_observer *observer, tally_test_result *result) {
    tally_status status = tl_check_data("tally_test", model, data);
    if (status)
        return status;
    if (!result || first > data->size || count > data->size - first)
        return tl_fail(TALLY_USAGE, "tally_test: %zu sequences from %zu on of %zu", count, first, data->size);
    result->tested = result->mistakes = 0;
    result->seconds = 0.0;
    if (result->loss)
        *result->loss = 0.0;
    for (size_t k = 0; k < data->classes; k++) {
        if (result->tested_of_class)
            result->tested_of_class[k] = 0;
        if (result->mistakes_of_class)
            result->mistakes_of_class[k] = 0;
    }
    if (count == 0)
        return TALLY_OK;
    size_t most = count < RUN ? count : RUN;
    const tl_executor_options options = {.columns = most, .uneven = data->lengths != NULL};
    test_run run = {.data = data,
                    .numbers = malloc(most * sizeof *run.numbers),
                    .verdicts = malloc(most * sizeof *run.verdicts),
                    .result = result};
    status = run.numbers && run.verdicts ? tl_workers_new(model, data->steps, &options, &run.workers)
                                         : tl_fail(TALLY_MEMORY, "no memory left for %zu numbers", most);
    if (!status) {
        status = test_all(&run, first, count, observer);
        tl_workers_free(&run.workers);
    }
    free(run.numbers);
    free(run.verdicts);
    return status;
}

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
    tally_status status = tl_classifier_load(&worker->classifier, count, run->x + first * run->values, NULL,
                                             run->lengths ? run->lengths + first : NULL);
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
