#include "backend/leaves.h"
#include "core/clock.h"
#include "core/fail.h"
#include "core/scalar_arith.h"
#include "train/tester.h"
#include "train/workers.h"

#include <stdlib.h>

/* Sequences between two calls of the observer: whole chunks of any device. */
enum { RUN = 16384 };

/* What became of a sequence. */
typedef struct verdict {
    int32_t label;
    bool mistake;
    float probability; /* of the label */
} verdict;

struct tl_tester {
    tl_workers workers;
    const tally_dataset *data;
    size_t *numbers;   /* [RUN] sequences, of which count are run at a time */
    verdict *verdicts; /* [RUN] */
    size_t count;
    tally_test_result *result;
    double loss, partial_losses[TL_TREE_LEVELS]; /* of the micro-batch that is under way, and of the tree */
};

static verdict judge(size_t classes, const float *probabilities, int32_t label) {
    size_t best = 0;
    for (size_t k = 1; k < classes; k++)
        if (probabilities[k] > probabilities[best])
            best = k;
    float of_best = probabilities[best];
    return (verdict){label, best != (size_t)label || of_best != of_best, probabilities[label]};
}

/* Lets the device begin, and reads the chunk from sequence `first` of this run on, if there is one; other workers
 * would load others. */
static tally_status read_next(tl_tester *tester, tl_worker *worker, size_t first) {
    tally_status status = tl_workers_flush(&tester->workers);
    size_t left = tester->count - first, columns = tester->workers.chunk_columns;
    if (!status && left && tester->workers.count == 1)
        tl_worker_read_ahead(worker, tester->data, tester->numbers + first, left < columns ? left : columns, true);
    return status;
}

static tally_status test_chunk(void *context, unsigned number, size_t chunk) {
    tl_tester *tester = context;
    tl_worker *worker = &tester->workers.each[number];
    size_t first = chunk * tester->workers.chunk_columns, classes = tester->data->classes;
    size_t count = tl_workers_chunk_size(&tester->workers, tester->count, chunk);
    tally_status status = tl_worker_load(worker, tester->data, tester->numbers + first, count, true);
    if (!status)
        status = tl_classifier_predict(&worker->classifier);
    if (!status)
        status = read_next(tester, worker, first + count);
    if (!status)
        status =
            tl_classifier_probabilities(&worker->classifier, worker->probability_columns, worker->probability_rows);
    for (size_t n = 0; n < count && !status; n++)
        tester->verdicts[first + n] = judge(classes, worker->probability_rows + n * classes, worker->labels[n]);
    return status;
}

/* As training has it, by the shared log. */
static double loss_of(float probability) {
    return (double)fabsf(tl_s_log(probability < 1e-10f ? 1e-10f : probability));
}

/* Adds a sequence's loss to its micro-batch's, and the last one's in a micro-batch or of all to the tree. */
static void add_loss(tl_tester *tester, float probability, size_t sequence, bool last) {
    tester->loss += loss_of(probability);
    if (!last && (sequence + 1) % TALLY_MICRO_BATCH != 0)
        return;
#define PARTIAL(level) tester->partial_losses[level]
    TL_TREE_ADD(sequence / TALLY_MICRO_BATCH, last, tester->loss, PARTIAL);
#undef PARTIAL
    if (last)
        *tester->result->loss = tester->loss;
    tester->loss = 0.0;
}

/* In the order of the sequences; of a run that failed those before the failure. all: sequences of the whole test. */
static void count_verdicts(tl_tester *tester, size_t all) {
    tally_test_result *result = tester->result;
    for (size_t n = 0; n < tester->count; n++) {
        const verdict *v = &tester->verdicts[n];
        size_t sequence = result->tested++;
        result->mistakes += v->mistake;
        if (result->tested_of_class)
            result->tested_of_class[v->label]++;
        if (result->mistakes_of_class)
            result->mistakes_of_class[v->label] += v->mistake;
        if (result->loss)
            add_loss(tester, v->probability, sequence, sequence + 1 == all);
    }
}

static tally_status test_all(tl_tester *tester, size_t first, size_t count, const tally_observer *observer) {
    double start = tl_seconds();
    for (size_t done = 0; done < count;) {
        tester->count = count - done < RUN ? count - done : RUN;
        for (size_t i = 0; i < tester->count; i++)
            tester->numbers[i] = first + done + i;
        tl_workers_forget(&tester->workers);
        size_t chunks = tl_workers_chunks(&tester->workers, tester->count);
        tally_status status = tl_worker_pool_run(tester->workers.pool, chunks, test_chunk, NULL, tester);
        if (status)
            tester->count = tl_worker_pool_failed(tester->workers.pool) * tester->workers.chunk_columns;
        count_verdicts(tester, count);
        if (status)
            return status;
        done += tester->count;
        tester->result->seconds = tl_seconds() - start;
        tally_progress progress = {.step = done, .seconds = tester->result->seconds};
        if (observer && observer->step && !observer->step(observer->context, &progress))
            return tl_fail(TALLY_STOPPED, "stopped after %zu of %zu sequences", done, count);
    }
    return TALLY_OK;
}

static void clear_result(tally_test_result *result, size_t classes) {
    result->tested = result->mistakes = 0;
    result->seconds = 0.0;
    if (result->loss)
        *result->loss = 0.0;
    for (size_t k = 0; k < classes; k++) {
        if (result->tested_of_class)
            result->tested_of_class[k] = 0;
        if (result->mistakes_of_class)
            result->mistakes_of_class[k] = 0;
    }
}

tally_status tl_tester_new(const tally_model *model, const tally_dataset *data, size_t most, tl_tester **tester) {
    size_t run = most < RUN ? most : RUN;
    tl_tester *made = calloc(1, sizeof *made);
    *tester = NULL;
    if (!made)
        return tl_fail(TALLY_MEMORY, "no memory left for a test");
    made->data = data;
    made->numbers = malloc(run * sizeof *made->numbers);
    made->verdicts = malloc(run * sizeof *made->verdicts);
    const tl_executor_options options = {.columns = run, .uneven = data->lengths != NULL};
    tally_status status = made->numbers && made->verdicts
                              ? tl_workers_new(model, data->steps, &options, &made->workers)
                              : tl_fail(TALLY_MEMORY, "no memory left for %zu numbers", run);
    if (status)
        tl_tester_free(made);
    else
        *tester = made;
    return status;
}

void tl_tester_free(tl_tester *tester) {
    if (!tester)
        return;
    tl_workers_free(&tester->workers);
    free(tester->numbers);
    free(tester->verdicts);
    free(tester);
}

tally_status tl_tester_run(tl_tester *tester, size_t first, size_t count, const tally_observer *observer,
                           tally_test_result *result) {
    clear_result(result, tester->data->classes);
    tester->result = result;
    tester->loss = 0.0;
    return test_all(tester, first, count, observer);
}

tally_status tally_test(const tally_model *model, const tally_dataset *data, size_t first, size_t count,
                        const tally_observer *observer, tally_test_result *result) {
    tally_status status = tl_check_data("tally_test", model, data);
    if (status)
        return status;
    if (!result || first > data->size || count > data->size - first)
        return tl_fail(TALLY_USAGE, "tally_test: %zu sequences from %zu on of %zu", count, first, data->size);
    clear_result(result, data->classes);
    if (count == 0)
        return TALLY_OK;
    tl_tester *tester;
    status = tl_tester_new(model, data, count, &tester);
    if (!status)
        status = tl_tester_run(tester, first, count, observer, result);
    tl_tester_free(tester);
    return status;
}
