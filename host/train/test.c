#include "core/clock.h"
#include "core/fail.h"
#include "core/scalar_arith.h"
#include "train/crew.h"

#include <stdlib.h>
#include <tally/train.h>

/* Sequences between two calls of the observer. */
enum { CHUNK = 16384 };

typedef struct test_run {
    tl_crew crew;
    const tally_dataset *data;
    const size_t *numbers;
    size_t count; /* of the chunk */
    tally_test_result *result;
} test_run;

static tally_status test_slice(void *context, unsigned worker, size_t slice) {
    test_run *run = context;
    tl_hand *hand = &run->crew.hands[worker];
    size_t count = tl_crew_slice_size(&run->crew, run->count, slice);
    const size_t *numbers = run->numbers + slice * run->crew.slice_columns;
    tally_status status = tl_hand_load(hand, run->data, numbers, count, true);
    if (!status)
        status = tl_slice_predict(&hand->slice);
    if (!status)
        status = tl_slice_probabilities(&hand->slice, hand->probability_columns, hand->probability_rows);
    return status;
}

/* As training has it, by the shared log. */
static double loss_of(float probability) {
    return (double)fabsf(tl_s_log(probability < 1e-10f ? 1e-10f : probability));
}

static tally_status count_slice(void *context, unsigned worker, size_t slice) {
    test_run *run = context;
    const tl_hand *hand = &run->crew.hands[worker];
    tally_test_result *result = run->result;
    (void)slice;
    size_t classes = run->data->classes;
    for (size_t n = 0; n < hand->slice.count; n++) {
        const float *p = hand->probability_rows + n * classes;
        size_t best = 0;
        for (size_t k = 1; k < classes; k++)
            if (p[k] > p[best])
                best = k;
        int32_t label = hand->labels[n];
        bool mistake = best != (size_t)label || p[best] != p[best];
        result->tested++;
        result->mistakes += mistake;
        if (result->tested_of_class)
            result->tested_of_class[label]++;
        if (result->mistakes_of_class)
            result->mistakes_of_class[label] += mistake;
        if (result->loss) /* one chain in the order of the sequences */
            *result->loss += loss_of(p[label]);
    }
    return TALLY_OK;
}

static tally_status test_all(test_run *run, size_t first, size_t count, const tally_observer *observer,
                             size_t *numbers) {
    double start = tl_seconds();
    for (size_t done = 0; done < count;) {
        run->count = count - done < CHUNK ? count - done : CHUNK;
        for (size_t i = 0; i < run->count; i++)
            numbers[i] = first + done + i;
        tally_status status =
            tl_slices_run(run->crew.slices, tl_crew_slices(&run->crew, run->count), test_slice, count_slice, run);
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
    size_t chunk = count < CHUNK ? count : CHUNK;
    size_t *numbers = malloc(chunk * sizeof *numbers);
    if (!numbers)
        return tl_fail(TALLY_MEMORY, "no memory left for %zu numbers", chunk);
    test_run run = {.data = data, .numbers = numbers, .result = result};
    status =
        tl_crew_new(model, &(tl_classifier_options){data->steps, chunk, false, data->lengths != NULL, 0}, &run.crew);
    if (!status) {
        status = test_all(&run, first, count, observer, numbers);
        tl_crew_free(&run.crew);
    }
    free(numbers);
    return status;
}

typedef struct predict_run {
    tl_crew crew;
    const float *x;
    const int32_t *lengths;
    size_t count, values; /* of one sequence */
    float *probabilities;
} predict_run;

static tally_status predict_slice(void *context, unsigned worker, size_t slice) {
    predict_run *run = context;
    tl_hand *hand = &run->crew.hands[worker];
    size_t count = tl_crew_slice_size(&run->crew, run->count, slice), first = slice * run->crew.slice_columns;
    size_t classes = hand->classifier.probabilities.shape[0];
    tally_status status = tl_classifier_slice(&hand->classifier, count, &hand->slice);
    if (!status)
        status =
            tl_slice_load(&hand->slice, run->x + first * run->values, NULL, run->lengths ? run->lengths + first : NULL);
    if (!status)
        status = tl_slice_predict(&hand->slice);
    if (!status)
        status = tl_slice_probabilities(&hand->slice, hand->probability_columns, run->probabilities + first * classes);
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
    tally_status status =
        tl_crew_new(model, &(tl_classifier_options){steps, count, false, lengths != NULL, 0}, &run.crew);
    if (status)
        return status;
    status = tl_slices_run(run.crew.slices, tl_crew_slices(&run.crew, count), predict_slice, NULL, &run);
    tl_crew_free(&run.crew);
    return status;
}
