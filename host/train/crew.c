#include "train/crew.h"

#include "core/fail.h"
#include "core/size.h"

#include <stdlib.h>
#include <string.h>

static tally_status hand_new(const tally_model *model, const tl_classifier_options *options, tl_hand *hand) {
    tally_status status = tl_classifier_new(model, options, &hand->classifier);
    if (status)
        return status;
    /* The classifier's tensors have as many elements or more, so these sizes fit. */
    size_t capacity = hand->classifier.capacity, classes = tally_model_get_config(model)->classes;
    hand->x = malloc(tally_tensor_elements(&hand->classifier.x) * sizeof *hand->x);
    hand->labels = malloc(capacity * sizeof *hand->labels);
    hand->lengths = options->uneven ? malloc(capacity * sizeof *hand->lengths) : NULL;
    hand->probability_columns = malloc(capacity * classes * sizeof(float));
    hand->probability_rows = malloc(capacity * classes * sizeof(float));
    if (!hand->x || !hand->labels || (options->uneven && !hand->lengths) || !hand->probability_columns ||
        !hand->probability_rows)
        return tl_fail(TALLY_MEMORY, "no memory left for a slice of %zu sequences", options->columns);
    return TALLY_OK;
}

tally_status tl_crew_new(const tally_model *model, const tl_classifier_options *options, tl_crew *crew) {
    tally_device *device = tally_model_device(model);
    memset(crew, 0, sizeof *crew);
    crew->slice_columns = tally_device_slice_columns(device);
    size_t slices = tl_crew_slices(crew, options->columns);
    unsigned workers = tally_device_workers(device);
    crew->workers = slices < workers ? (unsigned)slices : workers;
    tl_classifier_options each = *options;
    each.columns = options->columns < crew->slice_columns ? options->columns : crew->slice_columns;
    crew->hands = calloc(crew->workers, sizeof *crew->hands);
    tally_status status =
        crew->hands ? TALLY_OK : tl_fail(TALLY_MEMORY, "no memory left for %u workers", crew->workers);
    for (unsigned i = 0; i < crew->workers && !status; i++)
        status = hand_new(model, &each, &crew->hands[i]);
    if (!status)
        status = tl_slices_new(crew->workers, &crew->slices);
    if (status)
        tl_crew_free(crew);
    return status;
}

static tally_status check_read(const tl_hand *hand, const tally_dataset *data, const size_t *numbers, size_t count) {
    for (size_t n = 0; n < count; n++) {
        if (hand->labels[n] < 0 || (size_t)hand->labels[n] >= data->classes)
            return tl_fail(TALLY_DATA, "label %d of sequence %zu is not in 0 to %zu", (int)hand->labels[n], numbers[n],
                           data->classes - 1);
        if (hand->lengths && (hand->lengths[n] < 1 || (size_t)hand->lengths[n] > data->steps))
            return tl_fail(TALLY_DATA, "length %d of sequence %zu is not in 1 to %zu", (int)hand->lengths[n],
                           numbers[n], data->steps);
    }
    return TALLY_OK;
}

tally_status tl_hand_load(tl_hand *hand, const tally_dataset *data, const size_t *numbers, size_t count, bool masked) {
    const char *asked = "read";
    unsigned before = tl_failures();
    tally_status status = data->read(data, numbers, count, hand->x, hand->labels);
    if (!status && hand->lengths) {
        asked = "lengths";
        status = data->lengths(data, numbers, count, hand->lengths);
    }
    /* A caller's own has left a text only if it was one of the library's functions that failed. */
    if (status && tl_failures() == before)
        return tl_fail(status, "the data set's %s() failed with status %d", asked, (int)status);
    if (!status)
        status = check_read(hand, data, numbers, count);
    if (!status)
        status = tl_classifier_slice(&hand->classifier, count, &hand->slice);
    return status ? status : tl_slice_load(&hand->slice, hand->x, masked ? NULL : hand->labels, hand->lengths);
}

void tl_crew_free(tl_crew *crew) {
    tl_slices_free(crew->slices);
    for (unsigned i = 0; crew->hands && i < crew->workers; i++) {
        tl_hand *hand = &crew->hands[i];
        tl_classifier_free(&hand->classifier);
        free(hand->x);
        free(hand->labels);
        free(hand->lengths);
        free(hand->probability_columns);
        free(hand->probability_rows);
    }
    free(crew->hands);
    memset(crew, 0, sizeof *crew);
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

size_t tl_crew_slices(const tl_crew *crew, size_t count) {
    return count / crew->slice_columns + (count % crew->slice_columns != 0);
}

size_t tl_crew_slice_size(const tl_crew *crew, size_t count, size_t slice) {
    size_t left = count - slice * crew->slice_columns;
    return left < crew->slice_columns ? left : crew->slice_columns;
}
