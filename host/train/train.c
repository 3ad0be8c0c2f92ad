#include "core/clock.h"
#include "core/fail.h"
#include "core/philox.h"
#include "train/crew.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tally/train.h>

tally_train_options tally_train_defaults(void) {
    return (tally_train_options){
        .epochs = 5000,
        .batch = 1000,
        .adam = {.rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
        .seed = 1,
        .keep = TALLY_KEEP_LAST,
    };
}

typedef struct trainer {
    tally_model *model;
    const tally_dataset *data;
    const tally_train_options *options;
    tl_crew crew;
    tally_tensor gradient; /* of the batch, flat like the weights; a lone worker's own */
    tally_tensor merged;   /* its storage where there are more workers */
    tally_tensor m, v;     /* flat, like the weights */
    tally_tensor kept;     /* the weights that are the result so far */
    tally_tensor faults;   /* I32 [1] */
    size_t *order;         /* sequences in the order of this epoch */
    const size_t *batch;   /* the part of it that is the batch */
    size_t batch_size;
    uint64_t step; /* the one that is on, from 1 */
    float *losses; /* of the batch, one for each TALLY_SLICE_COLUMNS sequences */
} trainer;

static tally_status train_slice(void *context, unsigned worker, size_t slice) {
    trainer *t = context;
    tl_hand *hand = &t->crew.hands[worker];
    size_t count = tl_crew_slice_size(&t->crew, t->batch_size, slice);
    const size_t *numbers = t->batch + slice * t->crew.slice_columns;
    tally_status status = tl_hand_load(hand, t->data, numbers, count, false);
    if (!status && (t->crew.workers > 1 || slice == 0))
        status = tally_fill(&hand->classifier.gradient, 0.0f);
    size_t first = slice * t->crew.slice_columns;
    const tl_place place = {t->options->seed, t->step, first};
    return status ? status : tl_slice_train(&hand->slice, &place, t->losses + tl_loss_sums(first));
}

/* Slices of several workers are added up in their order, as a lone worker adds them. */
static tally_status merge_gradient(void *context, unsigned worker, size_t slice) {
    trainer *t = context;
    if (t->crew.workers == 1)
        return TALLY_OK;
    const tally_tensor *gradient = &t->crew.hands[worker].classifier.gradient;
    return slice == 0 ? tally_copy(gradient, &t->gradient) : tally_add(gradient, &t->gradient);
}

/* Names the first weight that is not finite. */
static tally_status weight_fault(trainer *t, const tally_train_result *result, size_t batch) {
    size_t count = tally_tensor_elements(&t->model->weights);
    float *values = malloc(count * sizeof *values);
    if (!values)
        return tl_fail(TALLY_MEMORY, "no memory left for %zu weights", count);
    tally_status status = tally_tensor_read(&t->model->weights, values, count);
    size_t i = 0, number = 0;
    while (i < count && isfinite(values[i]))
        i++;
    if (!status && i < count) {
        const char *name = tl_model_element(t->model, i, &number);
        status = tl_fail(TALLY_NUMBERS, "step %zu (epoch %zu, batch %zu): weight %s[%zu] became %g", result->steps,
                         result->epochs + 1, batch + 1, name, number, (double)values[i]);
    } else if (!status) {
        status = tl_fail(TALLY_NUMBERS, "step %zu: the device reports a weight that is not finite, but all are",
                         result->steps);
    }
    free(values);
    return status;
}

static tally_status train_step(trainer *t, size_t batch, tally_train_result *result, double *loss) {
    size_t first = batch * t->options->batch, left = t->data->size - first;
    t->batch = t->order + first;
    t->batch_size = left < t->options->batch ? left : t->options->batch;
    t->step = result->steps + 1;
    size_t slices = tl_crew_slices(&t->crew, t->batch_size);
    tally_status status = tl_slices_run(t->crew.slices, slices, train_slice, merge_gradient, t);
    if (status)
        return status;
    result->steps++;
    *loss = 0.0;
    for (size_t s = 0; s < tl_loss_sums(t->batch_size); s++)
        *loss += (double)t->losses[s];
    if (!isfinite(*loss))
        return tl_fail(TALLY_NUMBERS, "step %zu (epoch %zu, batch %zu): the loss became %g", result->steps,
                       result->epochs + 1, batch + 1, *loss);
    status = tally_adam(&t->options->adam, result->steps, &t->gradient, &t->model->weights, &t->m, &t->v, &t->faults);
    int32_t faults = 0;
    if (!status)
        status = tally_tensor_read(&t->faults, &faults, 1);
    return !status && faults ? weight_fault(t, result, batch) : status;
}

static void set_order(trainer *t, size_t epoch) {
    size_t count = t->data->size;
    if (epoch == 0 || t->options->shuffle)
        for (size_t i = 0; i < count; i++)
            t->order[i] = i;
    if (!t->options->shuffle)
        return;
    tl_random random;
    tl_random_start(&random, t->options->seed, TL_STREAM_EPOCH, (uint32_t)epoch);
    for (size_t i = count - 1; i > 0; i--) {
        size_t j = tl_random_below(&random, (uint32_t)i + 1), moved = t->order[i];
        t->order[i] = t->order[j];
        t->order[j] = moved;
    }
}

/* After a whole epoch: its weights are kept if they are to be. */
static tally_status end_epoch(trainer *t, double loss, tally_train_result *result) {
    result->epochs++;
    if (t->options->keep == TALLY_KEEP_BEST && result->kept_epoch > 0 && !(loss < result->loss))
        return TALLY_OK;
    result->kept_epoch = result->epochs;
    result->loss = loss;
    return tally_copy(&t->model->weights, &t->kept);
}

static tally_status train_epochs(trainer *t, const tally_observer *observer, tally_train_result *result) {
    size_t batches = t->data->size / t->options->batch + (t->data->size % t->options->batch != 0);
    while (result->epochs < t->options->epochs) {
        double epoch_loss = 0.0;
        set_order(t, result->epochs);
        for (size_t batch = 0; batch < batches; batch++) {
            double start = tl_seconds(), loss = 0.0;
            tally_status status = train_step(t, batch, result, &loss);
            epoch_loss += loss;
            bool last = batch + 1 == batches;
            if (!status && last)
                status = end_epoch(t, epoch_loss, result);
            result->seconds += tl_seconds() - start;
            if (status)
                return status;
            tally_progress progress = {.epoch = result->epochs,
                                       .step = result->steps,
                                       .steps_an_epoch = batches,
                                       .epoch_done = last,
                                       .step_loss = loss,
                                       .epoch_loss = epoch_loss,
                                       .seconds = result->seconds};
            if (observer && observer->step && !observer->step(observer->context, &progress))
                return tl_fail(TALLY_STOPPED, "stopped after %zu whole epochs of %zu", result->epochs,
                               t->options->epochs);
        }
    }
    return TALLY_OK;
}

static tally_status trainer_start(trainer *t) {
    size_t one = 1, batch = t->options->batch < t->data->size ? t->options->batch : t->data->size;
    tally_status status = tl_crew_new(
        t->model, &(tl_classifier_options){t->data->steps, batch, true, t->data->lengths != NULL, t->options->dropout},
        &t->crew);
    tally_tensor *flats[] = {&t->merged, &t->m, &t->v, &t->kept};
    for (size_t i = 0; i < sizeof flats / sizeof *flats && !status; i++)
        status = tl_model_flat_new(t->model, flats[i]);
    if (!status)
        status = tally_tensor_new(t->model->device, TALLY_I32, 1, &one, &t->faults);
    if (!status)
        status = tally_copy(&t->model->weights, &t->kept);
    if (status)
        return status;
    t->gradient = t->crew.workers == 1 ? t->crew.hands[0].classifier.gradient : t->merged;
    t->order = calloc(t->data->size, sizeof *t->order);
    t->losses = calloc(tl_loss_sums(batch), sizeof *t->losses);
    return t->order && t->losses
               ? TALLY_OK
               : tl_fail(TALLY_MEMORY, "no memory left for the order of %zu sequences", t->data->size);
}

static void trainer_end(trainer *t) {
    if (t->crew.hands)
        tl_crew_free(&t->crew);
    tally_tensor *tensors[] = {&t->merged, &t->m, &t->v, &t->kept, &t->faults};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        tally_tensor_free(tensors[i]);
    free(t->order);
    free(t->losses);
}

tally_status tally_train(tally_model *model, const tally_dataset *data, const tally_train_options *options,
                         const tally_observer *observer, tally_train_result *result) {
    tally_train_result unused;
    if (!result)
        result = &unused;
    *result = (tally_train_result){.loss = NAN};
    tally_status status = tl_check_data("tally_train", model, data);
    if (status)
        return status;
    if (!options || options->epochs < 1 || options->batch < 1 || data->size < 1 || data->size > UINT32_MAX)
        return tl_fail(TALLY_USAGE, "tally_train: epochs, batch and sequences must be at least 1");
    if (!(options->dropout >= 0 && options->dropout < 1))
        return tl_fail(TALLY_USAGE, "tally_train: a dropout of %g is not in [0, 1)", options->dropout);
    trainer t = {.model = model, .data = data, .options = options};
    status = trainer_start(&t);
    if (!status) {
        status = train_epochs(&t, observer, result);
        if (!status || status == TALLY_STOPPED || status == TALLY_NUMBERS) {
            tally_status restored = tally_copy(&t.kept, &model->weights);
            if (restored)
                status = restored;
        }
    }
    trainer_end(&t);
    return status;
}
