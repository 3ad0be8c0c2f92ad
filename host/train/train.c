#include "backend/leaves.h"
#include "core/clock.h"
#include "core/fail.h"
#include "core/philox.h"
#include "train/schedule.h"
#include "train/training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Lets the device begin, and reads the chunk from position `first` of the batch on, or the first one of the next
 * batch of the epoch; other workers would load others. */
static tally_status read_next(tally_training *t, tl_worker *worker, size_t first) {
    const size_t *numbers = t->batch + first;
    size_t left_of_epoch = t->data->size - (size_t)(numbers - t->order), left = t->batch_size - first;
    tally_status status = tl_workers_flush(&t->workers);
    if (status || left_of_epoch == 0 || t->workers.count > 1)
        return status;
    if (left == 0)
        left = left_of_epoch < t->options.batch ? left_of_epoch : t->options.batch;
    tl_worker_read_ahead(worker, t->data, numbers, tl_workers_chunk_size(&t->workers, left, 0), false);
    return TALLY_OK;
}

static tally_status train_chunk(void *context, unsigned number, size_t chunk) {
    tally_training *t = context;
    tl_worker *worker = &t->workers.each[number];
    size_t count = tl_workers_chunk_size(&t->workers, t->batch_size, chunk);
    size_t first = chunk * t->workers.chunk_columns;
    tally_status status = tl_worker_load(worker, t->data, t->batch + first, count, false);
    if (!status)
        status = tl_gradient_tree_gradient(t->gradients, &worker->gradient);
    if (!status)
        status = tally_fill(worker->gradient, 0.0f);
    const tl_step_position position = {t->options.seed, t->at.step + 1, first};
    if (!status)
        status = tl_classifier_train(&worker->classifier, &position, worker->gradient);
    if (!status)
        status = read_next(t, worker, first + count);
    return status ? status : tl_classifier_losses(&worker->classifier, t->losses + tl_leaves(first));
}

static tally_status merge_chunk(void *context, unsigned number, size_t chunk) {
    tally_training *t = context;
    return tl_gradient_tree_add(t->gradients, chunk, t->workers.each[number].gradient);
}

/* The losses of the batch's micro-batches, by the tree in double. */
static double batch_loss(const tally_training *t) {
    double partials[TL_TREE_LEVELS], sum = 0.0;
    size_t leaves = tl_leaves(t->batch_size);
    for (size_t leaf = 0; leaf < leaves; leaf++) {
        sum = (double)t->losses[leaf];
#define PARTIAL(level) partials[level]
        TL_TREE_ADD(leaf, leaf + 1 == leaves, sum, PARTIAL);
#undef PARTIAL
    }
    return sum;
}

/* Where the step is that is being done. */
typedef struct where_text {
    char text[96];
} where_text;

static where_text where(const tally_training *t) {
    where_text shown;
    snprintf(shown.text, sizeof shown.text, "step %zu (epoch %zu, batch %zu)", t->at.step, t->at.epoch + 1,
             t->at.batch + 1);
    return shown;
}

/* Names the first weight that is not finite. */
static tally_status weight_fault(tally_training *t) {
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
        status = tl_fail(TALLY_NUMBERS, "%s: weight %s[%zu] became %g", where(t).text, name, number, (double)values[i]);
    } else if (!status) {
        status =
            tl_fail(TALLY_NUMBERS, "%s: the device reports a weight that is not finite, but all are", where(t).text);
    }
    free(values);
    return status;
}

/* The gradient that the optimizer is to have: that of the batch, or where it is too long, one scaled to the length
 * that it may have. */
static tally_status clip(tally_training *t, const tally_tensor **gradient) {
    const tally_tensor *whole = *gradient = tl_gradient_tree_sum(t->gradients);
    if (t->options.clip == 0)
        return TALLY_OK;
    tally_tensor flat;
    float square = 0;
    tally_status status = tally_tensor_reshape(whole, 3, (size_t[]){1, 1, tally_tensor_elements(whole)}, &flat);
    if (!status)
        status = tally_fill(&t->square, 0.0f);
    if (!status)
        status = tally_accumulate(&flat, &flat, &t->square);
    if (!status)
        status = tally_tensor_read(&t->square, &square, 1);
    if (status)
        return status;
    if (!isfinite(square))
        return tl_fail(TALLY_NUMBERS, "%s: the square of the gradient's norm became %g", where(t).text, (double)square);
    double norm = sqrt((double)square);
    if (norm > t->at.epoch_norm)
        t->at.epoch_norm = norm;
    if (!(norm > t->options.clip))
        return TALLY_OK;
    *gradient = &t->clipped;
    status = tally_fill(&t->factor, (float)(t->options.clip / norm));
    return status ? status : tally_apply(TALLY_PRODUCT, whole, &t->factor, NULL, &t->clipped);
}

static tally_status train_step(tally_training *t, double rate, double *loss) {
    size_t first = t->at.batch * t->options.batch, left = t->data->size - first;
    t->batch = t->order + first;
    t->batch_size = left < t->options.batch ? left : t->options.batch;
    size_t chunks = tl_workers_chunks(&t->workers, t->batch_size);
    tl_gradient_tree_begin(t->gradients, chunks);
    tally_status status = tl_worker_pool_run(t->workers.pool, chunks, train_chunk, merge_chunk, t);
    if (status)
        return status;
    t->at.step++;
    *loss = batch_loss(t);
    if (!isfinite(*loss))
        return tl_fail(TALLY_NUMBERS, "%s: the loss became %g", where(t).text, *loss);
    const tally_tensor *gradient;
    status = clip(t, &gradient);
    if (status)
        return status;
    tally_optimizer_options optimizer = t->options.optimizer;
    optimizer.rate = rate;
    status = tally_optimizer_step(&optimizer, t->at.step, gradient, &t->model->weights, t->states, &t->faults);
    int32_t faults = 0;
    if (!status)
        status = tally_tensor_read(&t->faults, &faults, 1);
    return !status && faults ? weight_fault(t) : status;
}

/* Of the epoch that is next or under way. */
static void set_order(tally_training *t) {
    size_t count = t->data->size;
    tl_workers_forget(&t->workers);
    for (size_t i = 0; i < count; i++)
        t->order[i] = i;
    if (!t->options.shuffle)
        return;
    tl_random random;
    tl_random_start(&random, t->options.seed, TL_STREAM_EPOCH, (uint32_t)t->at.epoch);
    for (size_t i = count - 1; i > 0; i--) {
        size_t j = tl_random_below(&random, (uint32_t)i + 1), moved = t->order[i];
        t->order[i] = t->order[j];
        t->order[j] = moved;
    }
}

static tally_status validate(tally_training *t, tl_score *score) {
    score->valid_loss = NAN;
    if (!t->valid)
        return TALLY_OK;
    tally_test_result result = {.loss = &score->valid_loss};
    tally_status status = tl_tester_run(t->tester, 0, t->valid->size, NULL, &result);
    score->valid_mistakes = result.mistakes;
    return status;
}

static bool is_better(const tally_training *t, const tl_score *score) {
    const tl_score *best = &t->at.best;
    if (best->epoch == 0)
        return true;
    if (!t->valid)
        return score->loss < best->loss;
    return score->valid_mistakes < best->valid_mistakes ||
           (score->valid_mistakes == best->valid_mistakes && score->valid_loss < best->valid_loss);
}

/* After a whole epoch: its weights are kept if they are to be. */
static tally_status end_epoch(tally_training *t, tl_score *score) {
    t->at.epoch++;
    *score = (tl_score){.epoch = t->at.epoch, .loss = t->at.epoch_loss};
    tally_status status = validate(t, score);
    if (status)
        return status;
    bool better = is_better(t, score);
    if (better)
        t->at.best = *score;
    if (t->options.keep == TALLY_KEEP_BEST && !better)
        return TALLY_OK;
    t->at.kept = *score;
    return tally_copy(&t->model->weights, &t->aside);
}

/* *go is what the observer says. */
static tally_status step_and_tell(tally_training *t, const tally_observer *observer, bool *go) {
    double start = tl_seconds(), loss = 0.0;
    double rate = tl_learning_rate(&t->options, t->batches, t->at.epoch, t->at.step);
    tally_status status = train_step(t, rate, &loss);
    t->at.seconds += tl_seconds() - start;
    if (status)
        return status;
    t->at.epoch_loss += loss;
    t->at.batch++;
    tl_score score = {.valid_loss = NAN};
    bool last = t->at.batch == t->batches;
    if (last)
        status = end_epoch(t, &score);
    if (status)
        return status;
    tally_progress progress = {.epoch = t->at.epoch,
                               .step = t->at.step,
                               .steps_an_epoch = t->batches,
                               .epoch_done = last,
                               .step_loss = loss,
                               .epoch_loss = t->at.epoch_loss,
                               .rate = rate,
                               .norm = t->options.clip > 0 ? t->at.epoch_norm : NAN,
                               .valid_loss = score.valid_loss,
                               .valid_mistakes = score.valid_mistakes,
                               .seconds = t->at.seconds};
    if (last) {
        t->at.batch = 0;
        t->at.epoch_loss = t->at.epoch_norm = 0.0;
    }
    *go = !observer || !observer->step || observer->step(observer->context, &progress);
    return TALLY_OK;
}

static bool is_over(const tally_training *t) {
    return t->at.epoch >= t->options.epochs ||
           (t->options.patience > 0 && t->at.epoch - t->at.best.epoch >= t->options.patience);
}

static tally_status train_epochs(tally_training *t, const tally_observer *observer) {
    bool go = true;
    set_order(t);
    while (!is_over(t)) {
        tally_status status = step_and_tell(t, observer, &go);
        if (status)
            return status;
        if (!go)
            return tl_fail(TALLY_STOPPED, "stopped after %zu whole epochs of %zu", t->at.epoch, t->options.epochs);
        if (t->at.batch == 0 && t->options.shuffle)
            set_order(t);
    }
    return TALLY_OK;
}

/* The model gets what is aside, and the other way round. */
static void exchange(tally_training *t) {
    tally_tensor weights = t->model->weights;
    t->model->weights = t->aside;
    t->aside = weights;
    t->on = !t->on;
}

tally_status tally_training_run(tally_training *t, const tally_observer *observer) {
    if (!t || t->failed)
        return tl_fail(TALLY_USAGE, t ? "tally_training_run: this run has failed and cannot go on"
                                      : "tally_training_run: no run given");
    exchange(t);
    tally_status status = train_epochs(t, observer);
    t->failed = status == TALLY_STOPPED ? TALLY_OK : status;
    exchange(t);
    return status;
}

const tally_tensor *tl_training_kept(const tally_training *t) {
    return t->on ? &t->aside : &t->model->weights;
}

const tally_tensor *tl_training_present(const tally_training *t) {
    return t->on ? &t->model->weights : &t->aside;
}

tally_train_result tally_training_result(const tally_training *t) {
    return (tally_train_result){.epochs = t->at.epoch,
                                .steps = t->at.step,
                                .kept_epoch = t->at.kept.epoch,
                                .loss = t->at.kept.loss,
                                .valid_loss = t->at.kept.valid_loss,
                                .valid_mistakes = t->at.kept.valid_mistakes,
                                .best_epoch = t->at.best.epoch,
                                .seconds = t->at.seconds};
}

const tally_train_options *tally_training_options(const tally_training *t) {
    return &t->options;
}

tally_status tally_training_digest(const tally_training *t, char hex[65]) {
    if (!t || !hex)
        return tl_fail(TALLY_USAGE, "tally_training_digest: no run or no place for the digest given");
    return tl_model_digest(t->model, tl_training_kept(t), hex);
}

static tally_status make_clipping(tally_training *t) {
    tally_status status = tl_model_flat_new(t->model, &t->clipped);
    if (!status)
        status = tl_model_flat_new(t->model, &t->factor);
    return status ? status : tally_tensor_new(t->model->device, TALLY_F32, 2, (size_t[]){1, 1}, &t->square);
}

static tally_status make_tensors(tally_training *t) {
    size_t one = 1, batch = t->options.batch < t->data->size ? t->options.batch : t->data->size;
    const tl_executor_options options = {
        .columns = batch, .training = true, .uneven = t->data->lengths != NULL, .dropout = t->options.dropout};
    tally_status status = tl_workers_new(t->model, t->data->steps, &options, &t->workers);
    if (!status)
        status = tl_gradient_tree_new(t->model->device, tally_tensor_elements(&t->model->weights),
                                      tl_workers_chunks(&t->workers, batch), &t->gradients);
    if (!status && t->valid)
        status = tl_tester_new(t->model, t->valid, t->valid->size, &t->tester);
    if (!status)
        status = tl_model_flat_new(t->model, &t->aside);
    for (size_t s = 0; s < tally_optimizer_states(&t->options.optimizer) && !status; s++)
        status = tl_model_flat_new(t->model, &t->states[s]);
    if (!status)
        status = tally_tensor_new(t->model->device, TALLY_I32, 1, &one, &t->faults);
    if (!status && t->options.clip > 0)
        status = make_clipping(t);
    if (!status)
        status = tally_copy(&t->model->weights, &t->aside);
    if (status)
        return status;
    t->order = calloc(t->data->size, sizeof *t->order);
    t->losses = calloc(tl_leaves(batch), sizeof *t->losses);
    return t->order && t->losses
               ? TALLY_OK
               : tl_fail(TALLY_MEMORY, "no memory left for the order of %zu sequences", t->data->size);
}

/* what: the function that asks, for the error. */
static tally_status check_arguments(const char *what, const tally_model *model, const tally_dataset *data,
                                    const tally_dataset *valid, const tally_train_options *options) {
    tally_status status = tl_check_data(what, model, data);
    if (!status && valid)
        status = tl_check_data(what, model, valid);
    if (status)
        return status;
    if (!options || options->epochs < 1 || options->batch < 1 || data->size < 1 || data->size > UINT32_MAX ||
        (valid && valid->size < 1))
        return tl_fail(TALLY_USAGE, "%s: epochs, batch and sequences must be at least 1", what);
    if (!(options->dropout >= 0 && options->dropout < 1))
        return tl_fail(TALLY_USAGE, "%s: a dropout of %g is not in [0, 1)", what, options->dropout);
    if (!isfinite(options->clip) || options->clip < 0)
        return tl_fail(TALLY_USAGE, "%s: a norm of %g to clip to: it must be finite and not negative", what,
                       options->clip);
    status = tally_optimizer_check(&options->optimizer);
    if (status)
        return tl_fail_within(status, "%s: ", what);
    if ((unsigned)options->keep > TALLY_KEEP_BEST || (unsigned)options->decay > TALLY_DECAY_STEP)
        return tl_fail(TALLY_USAGE, "%s: there is no such way to keep weights, or to let the rate fall", what);
    return TALLY_OK;
}

static tally_status start(const char *what, tally_model *model, const tally_dataset *data, const tally_dataset *valid,
                          const tally_train_options *options, tally_training **training) {
    *training = NULL;
    tally_status status = check_arguments(what, model, data, valid, options);
    if (status)
        return status;
    tally_training *t = calloc(1, sizeof *t);
    if (!t)
        return tl_fail(TALLY_MEMORY, "no memory left for a run of training");
    *t = (tally_training){.model = model, .data = data, .valid = valid, .options = *options};
    t->batches = data->size / options->batch + (data->size % options->batch != 0);
    t->at.kept.loss = t->at.kept.valid_loss = NAN;
    status = make_tensors(t);
    if (status)
        tally_training_free(t);
    else
        *training = t;
    return status;
}

tally_status tally_training_new(tally_model *model, const tally_dataset *data, const tally_dataset *valid,
                                const tally_train_options *options, tally_training **training) {
    return training ? start("tally_training_new", model, data, valid, options, training)
                    : tl_fail(TALLY_USAGE, "tally_training_new: no place for the run given");
}

void tally_training_free(tally_training *t) {
    if (!t)
        return;
    tl_workers_free(&t->workers);
    tl_tester_free(t->tester);
    tl_gradient_tree_free(t->gradients);
    tally_tensor *tensors[] = {&t->aside, &t->faults, &t->clipped, &t->factor, &t->square};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        tally_tensor_free(tensors[i]);
    for (size_t s = 0; s < TALLY_MAX_OPTIMIZER_STATES; s++)
        tally_tensor_free(&t->states[s]);
    free(t->order);
    free(t->losses);
    free(t);
}

tally_status tally_train(tally_model *model, const tally_dataset *data, const tally_train_options *options,
                         const tally_observer *observer, tally_train_result *result) {
    tally_training *training;
    if (result)
        *result = (tally_train_result){.loss = NAN, .valid_loss = NAN};
    tally_status status = start("tally_train", model, data, NULL, options, &training);
    if (status)
        return status;
    status = tally_training_run(training, observer);
    if (result)
        *result = tally_training_result(training);
    tally_training_free(training);
    return status;
}
