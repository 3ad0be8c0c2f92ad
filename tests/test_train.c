/* Training: what leaves its result unchanged, how it stops, what it keeps. The device is TALLY_TEST_DEVICE, by
 * default the C path. */
#include "core/fail.h"
#include "core/scalar_arith.h"
#include "parity/bounded.h"
#include "test_device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/tally.h>

typedef struct experiment {
    tally_device *device;
    tally_count *count;
    tally_model *model;
    tally_train_options options;
} experiment;

static void assert_ok(tally_status status) {
    if (status)
        fail_msg("%s", tally_error_text());
}

/* 9 bits, 7 hidden, 301 training strings: micro-batches and batches whose last one is smaller. */
static experiment start_on(tally_cell cell, const tally_device_options *device) {
    experiment e = {.options = tally_train_defaults()};
    e.options.epochs = 5;
    e.options.batch = 150;
    e.options.optimizer.rate = 0.01;
    tally_count_options data = {.length = 9, .train_size = 301, .seed = 5, .draw = TALLY_DRAW_RANDOM};
    tally_model_config config = {.inputs = 1, .hidden = 7, .classes = 10, .layers = 1, .cell = cell};
    assert_ok(tally_device_open(test_device_selector(), device, &e.device));
    assert_ok(tally_count_new(&data, &e.count));
    assert_ok(tally_model_new(e.device, &config, &e.model));
    assert_ok(tally_model_init(e.model, 5));
    return e;
}

static experiment start_with(tally_cell cell, unsigned threads) {
    return start_on(cell, &(tally_device_options){.threads = threads, .route = TALLY_ROUTE_EXACT});
}

static experiment start_lstm(unsigned threads) {
    return start_with(TALLY_LSTM, threads);
}

static void end_experiment(experiment *e) {
    tally_model_free(e->model);
    tally_count_free(e->count);
    tally_device_close(e->device);
}

static tally_status train(experiment *e, const tally_observer *observer, tally_train_result *result) {
    return tally_train(e->model, tally_count_train(e->count), &e->options, observer, result);
}

static void digest_of(experiment e, size_t epochs, bool shuffle, char hex[65]) {
    e.options.epochs = epochs;
    e.options.shuffle = shuffle;
    tally_train_result result;
    assert_ok(train(&e, NULL, &result));
    assert_int_equal(result.epochs, epochs);
    assert_int_equal(result.kept_epoch, epochs);
    assert_int_equal(result.steps, 3 * epochs);
    assert_ok(tally_model_digest(e.model, hex));
    end_experiment(&e);
}

static void digest_after(size_t epochs, unsigned threads, bool shuffle, char hex[65]) {
    digest_of(start_lstm(threads), epochs, shuffle, hex);
}

static void runs_and_threads_do_not_change_a_bit(void **state) {
    (void)state;
    char first[65], other[65];
    for (int shuffle = 0; shuffle < 2; shuffle++) {
        digest_after(4, 1, shuffle, first);
        for (unsigned threads = 1; threads <= 4; threads++) {
            digest_after(4, threads, shuffle, other);
            assert_string_equal(first, other);
        }
    }
    digest_after(4, 1, false, first);
    digest_after(4, 1, true, other);
    assert_string_not_equal(first, other);
}

/* Of the C path; instruction sets that this processor lacks are skipped. */
static void instruction_sets_do_not_change_a_bit(void **state) {
    (void)state;
    if (strcmp(test_device_selector(), "cpu") != 0)
        skip();
    const char *const others[] = {"avx2", "avx512"};
    tally_device_options options = {.threads = 2, .instruction_set = "baseline"};
    tally_device *device;
    char first[65], other[65];
    digest_of(start_on(TALLY_LSTM, &options), 4, false, first);
    for (size_t i = 0; i < 2; i++) {
        options.instruction_set = others[i];
        if (tally_device_open("cpu", &options, &device)) {
            print_message("%s\n", tally_error_text());
            continue;
        }
        tally_device_close(device);
        digest_of(start_on(TALLY_LSTM, &options), 4, false, other);
        assert_string_equal(first, other);
    }
    assert_int_equal(tally_device_open("cpu", &(tally_device_options){.instruction_set = "sse9"}, &device),
                     TALLY_DEVICE);
    assert_string_equal(tally_error_text(), "instruction set sse9: there are baseline, avx2 and avx512");
}

typedef struct stop_at {
    size_t step;
    double losses[64]; /* of epochs */
} stop_at;

static bool watch(void *context, const tally_progress *progress) {
    stop_at *stop = context;
    if (progress->epoch_done)
        stop->losses[progress->epoch - 1] = progress->epoch_loss;
    return progress->step != stop->step;
}

static void stopping_leaves_the_last_whole_epoch(void **state) {
    (void)state;
    char whole[65], stopped[65];
    digest_after(2, 0, false, whole);
    experiment e = start_lstm(0);
    stop_at stop = {.step = 8}; /* the second step of the third epoch */
    tally_train_result result;
    assert_int_equal(train(&e, &(tally_observer){watch, &stop}, &result), TALLY_STOPPED);
    assert_int_equal(result.epochs, 2);
    assert_int_equal(result.steps, 8);
    assert_ok(tally_model_digest(e.model, stopped));
    assert_string_equal(whole, stopped);
    end_experiment(&e);
}

static void stopping_before_an_epoch_leaves_the_start(void **state) {
    (void)state;
    char before[65], after[65];
    experiment e = start_lstm(0);
    assert_ok(tally_model_digest(e.model, before));
    stop_at stop = {.step = 1};
    tally_train_result result;
    assert_int_equal(train(&e, &(tally_observer){watch, &stop}, &result), TALLY_STOPPED);
    assert_int_equal(result.kept_epoch, 0);
    assert_true(isnan(result.loss));
    assert_ok(tally_model_digest(e.model, after));
    assert_string_equal(before, after);
    end_experiment(&e);
}

static void best_keeps_the_epoch_of_the_lowest_loss(void **state) {
    (void)state;
    experiment e = start_lstm(0);
    e.options.epochs = 40;
    e.options.keep = TALLY_KEEP_BEST;
    e.options.optimizer.rate = 5.0; /* too large: the loss oscillates */
    stop_at never = {.step = 0};
    tally_train_result result;
    assert_ok(train(&e, &(tally_observer){watch, &never}, &result));
    size_t best = 0;
    for (size_t i = 1; i < 40; i++)
        if (never.losses[i] < never.losses[best])
            best = i;
    assert_int_equal(result.kept_epoch, best + 1);
    assert_true(result.loss == never.losses[best]);
    assert_true(best + 1 < 40); /* otherwise this shows nothing */
    char kept[65], again[65];
    assert_ok(tally_model_digest(e.model, kept));
    end_experiment(&e);

    e = start_lstm(0);
    e.options.epochs = best + 1;
    e.options.optimizer.rate = 5.0;
    assert_ok(train(&e, NULL, &result));
    assert_ok(tally_model_digest(e.model, again));
    assert_string_equal(kept, again);
    end_experiment(&e);
}

static void a_nan_stops_in_its_step_and_is_named(void **state) {
    (void)state;
    experiment e = start_lstm(0);
    size_t count = tally_model_parameter(e.model, 1).elements;
    float *weights = calloc(count, sizeof *weights);
    weights[3] = NAN;
    assert_ok(tally_model_set(e.model, 1, weights, count));
    free(weights);
    tally_train_result result;
    assert_int_equal(train(&e, NULL, &result), TALLY_NUMBERS);
    assert_int_equal(result.steps, 1);
    assert_non_null(strstr(tally_error_text(), "step 1 (epoch 1, batch 1): the loss became"));
    end_experiment(&e);
}

static void an_infinite_weight_is_named(void **state) {
    (void)state;
    experiment e = start_lstm(0);
    e.options.optimizer.rate = 3e38; /* the sum of two such values, in the second step, is too large */
    tally_train_result result;
    assert_int_equal(train(&e, NULL, &result), TALLY_NUMBERS);
    assert_in_range(result.steps, 1, 3);
    char part[64];
    snprintf(part, sizeof part, "step %zu (epoch 1, batch %zu): ", result.steps, result.steps);
    assert_non_null(strstr(tally_error_text(), part));
    end_experiment(&e);
}

static void training_lowers_the_loss_and_testing_counts(void **state) {
    (void)state;
    experiment e = start_lstm(0);
    e.options.epochs = 60;
    stop_at never = {.step = 0};
    tally_train_result result;
    assert_ok(train(&e, &(tally_observer){watch, &never}, &result));
    assert_true(never.losses[59] < 0.5 * never.losses[0]);

    const tally_dataset *test = tally_count_test(e.count);
    size_t tested_of[10], mistakes_of[10], tested = 0, mistakes = 0, by_hand = 0;
    tally_test_result all = {.tested_of_class = tested_of, .mistakes_of_class = mistakes_of};
    assert_ok(tally_test(e.model, test, 0, test->size, NULL, &all));
    for (int k = 0; k < 10; k++) {
        tested += tested_of[k];
        mistakes += mistakes_of[k];
    }
    assert_int_equal(all.tested, 512 - 301);
    assert_int_equal(tested, all.tested);
    assert_int_equal(mistakes, all.mistakes);
    /* One prediction at a time gives the same results as all at once. */
    float every_x[211 * 9], every_p[211 * 10];
    for (size_t i = 0; i < test->size; i++)
        assert_ok(test->read(test, &i, 1, every_x + 9 * i, NULL));
    assert_ok(tally_predict(e.model, every_x, 211, 9, NULL, every_p));
    for (size_t i = 0; i < test->size; i++) {
        float x[9], p[10], sum = 0;
        int32_t label;
        assert_ok(test->read(test, &i, 1, x, &label));
        assert_ok(tally_predict(e.model, x, 1, 9, NULL, p));
        assert_memory_equal(p, every_p + 10 * i, sizeof p);
        int best = 0;
        for (int k = 0; k < 10; k++) {
            sum += p[k];
            best = p[k] > p[best] ? k : best;
        }
        assert_true(fabsf(sum - 1.0f) <= 10 * 0x1p-23f); /* ten roundings of numbers up to 1 */
        by_hand += best != label;
    }
    assert_int_equal(by_hand, all.mistakes);

    /* Only the last of them. */
    size_t rest_of[10], labels_of[10] = {0};
    tally_test_result rest = {.tested_of_class = rest_of};
    assert_ok(tally_test(e.model, test, 100, test->size - 100, NULL, &rest));
    for (size_t i = 100; i < test->size; i++) {
        int32_t label;
        assert_ok(test->read(test, &i, 1, NULL, &label));
        labels_of[label]++;
    }
    assert_memory_equal(rest_of, labels_of, sizeof rest_of);
    end_experiment(&e);
}

/* The training strings repeated: more than any device processes at a time. */
enum { MANY = 17000, STRINGS = 301 };

typedef struct many {
    const tally_dataset *strings;
    size_t unreadable, mislabelled; /* all from the first number on; the second number alone; MANY: none */
} many;

static tally_status read_many(const tally_dataset *data, const size_t *numbers, size_t count, float *x,
                              int32_t *labels) {
    const many *m = data->context;
    for (size_t i = 0; i < count; i++) {
        size_t number = numbers[i] % STRINGS;
        if (numbers[i] >= m->unreadable)
            return tl_fail(TALLY_IO, "sequence %zu cannot be read", numbers[i]);
        tally_status status =
            m->strings->read(m->strings, &number, 1, x ? x + 9 * i : NULL, labels ? labels + i : NULL);
        if (status)
            return status;
        if (labels && numbers[i] == m->mislabelled)
            labels[i] = 10;
    }
    return TALLY_OK;
}

/* The sum over p [count, 10] that tally/train.h defines. */
static double tree_of_losses(const float *p, const int32_t *labels, size_t count) {
    size_t half = TALLY_MICRO_BATCH;
    if (count > half) {
        while (2 * half < count)
            half *= 2;
        return tree_of_losses(p, labels, half) + tree_of_losses(p + 10 * half, labels + half, count - half);
    }
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        float of_label = p[10 * i + (size_t)labels[i]];
        sum += (double)fabsf(tl_s_log(of_label < 1e-10f ? 1e-10f : of_label));
    }
    return sum;
}

static void many_slices_are_each_their_own(void **state) {
    (void)state;
    experiment e = start_lstm(0);
    many m = {tally_count_train(e.count), MANY, MANY};
    tally_dataset data = *m.strings;
    data.size = MANY;
    data.read = read_many;
    data.context = &m;
    size_t *numbers = calloc(MANY, sizeof *numbers), mistakes = 0;
    float *x = calloc((size_t)MANY * 9, sizeof *x), *p = calloc((size_t)MANY * 10, sizeof *p), few[STRINGS * 10];
    int32_t *labels = calloc(MANY, sizeof *labels), *lengths = calloc(MANY, sizeof *lengths);
    assert_true(numbers && x && p && labels && lengths);
    for (size_t i = 0; i < MANY; i++) {
        numbers[i] = i;
        lengths[i] = (int32_t)(1 + i % STRINGS % 9);
    }
    assert_ok(data.read(&data, numbers, MANY, x, labels));
    assert_ok(tally_predict(e.model, x, MANY, 9, lengths, p));
    assert_ok(tally_predict(e.model, x, STRINGS, 9, lengths, few));
    for (size_t i = 0; i < MANY; i++)
        assert_memory_equal(p + 10 * i, few + 10 * (i % STRINGS), 10 * sizeof *p);
    assert_ok(tally_predict(e.model, x, MANY, 9, NULL, p));
    assert_ok(tally_predict(e.model, x, STRINGS, 9, NULL, few));
    for (size_t i = 0; i < MANY; i++) {
        size_t best = 0;
        assert_memory_equal(p + 10 * i, few + 10 * (i % STRINGS), 10 * sizeof *p);
        for (size_t k = 1; k < 10; k++)
            best = p[10 * i + k] > p[10 * i + best] ? k : best;
        mistakes += best != (size_t)labels[i];
    }
    double loss;
    tally_test_result result = {.loss = &loss};
    assert_ok(tally_test(e.model, &data, 0, MANY, NULL, &result));
    assert_int_equal(result.tested, MANY);
    assert_int_equal(result.mistakes, mistakes);
    assert_true(loss == tree_of_losses(p, labels, MANY));
    assert_ok(tally_test(e.model, &data, 0, 450, NULL, &result));
    assert_true(loss == tree_of_losses(p, labels, 450));

    /* Mistakes before a fault are counted, and none after it. */
    size_t before = 9000 - 9000 % tally_device_chunk_columns(e.device);
    m.unreadable = 9000;
    assert_int_equal(tally_test(e.model, &data, 0, MANY, NULL, &result), TALLY_IO);
    assert_non_null(strstr(tally_error_text(), "sequence 9000 cannot"));
    assert_int_equal(result.tested, before);
    m = (many){m.strings, MANY, 9000};
    assert_int_equal(tally_test(e.model, &data, 0, MANY, NULL, &result), TALLY_DATA);
    assert_non_null(strstr(tally_error_text(), "label 10 of sequence 9000 is not in 0 to 9"));
    assert_int_equal(result.tested, before);
    free(numbers);
    free(lengths);
    free(labels);
    free(x);
    free(p);
    end_experiment(&e);
}

/* The other cells, like the LSTM above, for fewer epochs. */
static void every_cell_learns(void **state) {
    (void)state;
    enum { EPOCHS = 60 }; /* the ReLU RNN needs so many */
    for (int cell = TALLY_GRU; cell < TALLY_CELLS; cell++) {
        experiment e = start_with((tally_cell)cell, 0);
        e.options.epochs = EPOCHS;
        stop_at never = {.step = 0};
        tally_train_result result;
        assert_ok(train(&e, &(tally_observer){watch, &never}, &result));
        if (!(never.losses[EPOCHS - 1] < 0.5 * never.losses[0]))
            fail_msg("%s: the loss went from %g to %g", tally_cell_name((tally_cell)cell), never.losses[0],
                     never.losses[EPOCHS - 1]);
        const tally_dataset *test = tally_count_test(e.count);
        float x[211 * 9], p[211 * 10];
        int32_t labels[211];
        size_t mistakes = 0;
        tally_test_result tested = {0};
        assert_ok(tally_test(e.model, test, 0, test->size, NULL, &tested));
        for (size_t i = 0; i < test->size; i++)
            assert_ok(test->read(test, &i, 1, x + 9 * i, &labels[i]));
        assert_ok(tally_predict(e.model, x, test->size, 9, NULL, p));
        for (size_t i = 0; i < test->size; i++) {
            size_t best = 0;
            for (size_t k = 0; k < 10; k++)
                best = p[10 * i + k] > p[10 * i + best] ? k : best;
            mistakes += best != (size_t)labels[i];
        }
        assert_int_equal(mistakes, tested.mistakes);
        end_experiment(&e);
    }
}

/* The range of a parameter's initial values, or the value of all of them. */
typedef struct initial {
    float limit;
    bool drawn;
} initial;

static initial initial_of(const tally_model_config *c, const char *name) {
    if (strcmp(name, "head.weight") == 0)
        return (initial){2, true};
    if (strcmp(name, "head.bias") == 0)
        return (initial){0.1f, false};
    if (strncmp(name, "rnn.bias", strlen("rnn.bias")) == 0)
        return (initial){0, false};
    size_t inputs = strcmp(name + strlen(name) - 3, "_l0") == 0 ? c->inputs : c->hidden;
    return (initial){(float)sqrt(6.0 / (double)(inputs + c->hidden + tally_cell_weights(c->cell) * c->hidden)), true};
}

/* Random values reach nine tenths of the limit on both sides: the probability that 192 of them do not is below 2 x
 * 0.95^192. */
static void check_initial(const tally_model *model, size_t index) {
    const tally_model_config *c = tally_model_get_config(model);
    const tally_parameter parameter = tally_model_parameter(model, index);
    const initial want = initial_of(c, parameter.name);
    float *values = calloc(parameter.elements, sizeof *values), least = INFINITY, most = -INFINITY;
    assert_non_null(values);
    assert_ok(tally_model_get(model, index, values, parameter.elements));
    bool forget = c->cell == TALLY_LSTM && strncmp(parameter.name, "rnn.bias_ih", strlen("rnn.bias_ih")) == 0;
    for (size_t i = 0; i < parameter.elements; i++) {
        if (forget && i / c->hidden == 1) {
            assert_true(values[i] == 1.0f);
            continue;
        }
        least = fminf(least, values[i]);
        most = fmaxf(most, values[i]);
    }
    free(values);
    if (!want.drawn
            ? least != want.limit || most != want.limit
            : least < -want.limit || least > -0.9f * want.limit || most > want.limit || most < 0.9f * want.limit)
        fail_msg("%s, %s: from %g to %g, where the limit is %g", tally_cell_name(c->cell), parameter.name,
                 (double)least, (double)most, (double)want.limit);
}

static void initial_weights_have_their_limits(void **state) {
    (void)state;
    tally_device *device;
    assert_ok(tally_device_open(test_device_selector(), NULL, &device));
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        const tally_model_config config = {
            .inputs = 3, .hidden = 64, .classes = 10, .layers = 3, .cell = (tally_cell)cell};
        tally_model *model;
        assert_ok(tally_model_new(device, &config, &model));
        assert_ok(tally_model_init(model, 11));
        for (size_t i = 0; i < tally_model_parameters(model); i++)
            check_initial(model, i);
        char first[65], again[65], other[65];
        assert_ok(tally_model_digest(model, first));
        assert_ok(tally_model_init(model, 12));
        assert_ok(tally_model_digest(model, other));
        assert_ok(tally_model_init(model, 11));
        assert_ok(tally_model_digest(model, again));
        assert_string_equal(first, again);
        assert_string_not_equal(first, other);
        tally_model_free(model);
    }
    tally_device_close(device);
}

/* A model that always gives the same answer is right for that class alone. */
static void every_class_can_be_the_answer(void **state) {
    (void)state;
    experiment e = start_lstm(0);
    const tally_dataset *test = tally_count_test(e.count);
    for (int answer = 0; answer < 10; answer++) {
        float bias[10] = {0};
        size_t tested_of[10], mistakes_of[10];
        tally_test_result result = {.tested_of_class = tested_of, .mistakes_of_class = mistakes_of};
        bias[answer] = 100; /* the initial weights of seven units cannot outweigh it */
        assert_ok(tally_model_set(e.model, 0, bias, 10));
        assert_ok(tally_test(e.model, test, 0, test->size, NULL, &result));
        for (int k = 0; k < 10; k++)
            assert_int_equal(mistakes_of[k], k == answer ? 0 : tested_of[k]);
    }
    end_experiment(&e);
}

/* The loss of the only step is that of the initial weights' predictions. A log is off by TL_LOG_ULPS of at most
 * 2^-23; a sum of 64 in 16 lanes is off by seven roundings, 3 in its lane and 4 of the lanes. The double's own
 * errors are inside the last unit. */
static void the_loss_is_that_of_the_predictions(void **state) {
    (void)state;
    experiment e = start_lstm(0);
    const tally_dataset *data = tally_count_train(e.count);
    double want = 0;
    for (size_t i = 0; i < data->size; i++) {
        float x[9], p[10];
        int32_t label;
        assert_ok(data->read(data, &i, 1, x, &label));
        assert_ok(tally_predict(e.model, x, 1, 9, NULL, p));
        want -= log(fmax((double)p[label], 1e-10));
    }
    e.options.batch = data->size;
    e.options.epochs = 1;
    tally_train_result result;
    assert_ok(train(&e, NULL, &result));
    if (!(fabs(result.loss - want) <= (2 * TL_LOG_ULPS + 8) * 0x1p-24 * want))
        fail_msg("the loss is %.9g, not %.9g", result.loss, want);
    end_experiment(&e);
}

/* Records sequences in the order in which they are requested. */
typedef struct asked {
    const tally_dataset *data;
    size_t *numbers, count;
} asked;

static tally_status note_and_read(const tally_dataset *data, const size_t *numbers, size_t count, float *x,
                                  int32_t *labels) {
    asked *all = (asked *)(uintptr_t)data->context;
    memcpy(all->numbers + all->count, numbers, count * sizeof *numbers);
    all->count += count;
    return all->data->read(all->data, numbers, count, x, labels);
}

/* Each sequence comes once in an epoch, at any position. On average one sequence an epoch keeps its position; the
 * probability that none does in 40 epochs is e^-40. */
static void a_shuffled_epoch_has_every_sequence_once(void **state) {
    (void)state;
    enum { EPOCHS = 40, SIZE = 301 };
    static size_t numbers[EPOCHS * SIZE];
    experiment e = start_lstm(1);
    asked all = {tally_count_train(e.count), numbers, 0};
    tally_dataset noted = *all.data;
    noted.read = note_and_read;
    noted.context = &all;
    e.options.epochs = EPOCHS;
    e.options.shuffle = true;
    assert_ok(tally_train(e.model, &noted, &e.options, NULL, NULL));
    assert_int_equal(all.count, EPOCHS * SIZE);
    size_t kept = 0, same_as_before = 0;
    for (size_t epoch = 0; epoch < EPOCHS; epoch++) {
        const size_t *order = numbers + epoch * SIZE;
        bool seen[SIZE] = {false};
        for (size_t i = 0; i < SIZE; i++) {
            assert_true(order[i] < SIZE && !seen[order[i]]);
            seen[order[i]] = true;
            kept += order[i] == i;
            same_as_before += epoch > 0 && order[i] == numbers[(epoch - 1) * SIZE + i];
        }
    }
    assert_in_range(kept, 1, 4 * EPOCHS);
    assert_in_range(same_as_before, 0, 4 * EPOCHS);
    end_experiment(&e);
}

/* A second input whose weights are zero changes nothing, at either index. */
static void inputs_of_a_time_step_are_contiguous(void **state) {
    (void)state;
    enum { COUNT = 70, STEPS = 5, ROWS = 28 };
    experiment e = start_lstm(0);
    float x[COUNT * STEPS], two[COUNT * STEPS * 2], want[COUNT * 10], got[COUNT * 10];
    for (size_t i = 0; i < COUNT * STEPS; i++)
        x[i] = (float)(i * 37 % 101) / 101;
    assert_ok(tally_predict(e.model, x, COUNT, STEPS, NULL, want));
    for (size_t used = 0; used < 2; used++) {
        tally_model *model;
        assert_ok(tally_model_new(e.device, &(tally_model_config){.inputs = 2, .hidden = 7, .classes = 10, .layers = 1},
                                  &model));
        for (size_t part = 0; part < tally_model_parameters(model); part++) {
            tally_parameter from = tally_model_parameter(e.model, part), to = tally_model_parameter(model, part);
            float values[ROWS * 7], wide[ROWS * 2] = {0};
            assert_true(from.elements <= ROWS * 7);
            assert_ok(tally_model_get(e.model, part, values, from.elements));
            for (size_t row = 0; row < ROWS && to.elements != from.elements; row++)
                wide[2 * row + used] = values[row];
            assert_ok(tally_model_set(model, part, to.elements == from.elements ? values : wide, to.elements));
        }
        for (size_t i = 0; i < COUNT * STEPS; i++) {
            two[2 * i + used] = x[i];
            two[2 * i + 1 - used] = (float)(i * 53 % 97) - 40;
        }
        assert_ok(tally_predict(model, two, COUNT, STEPS, NULL, got));
        assert_memory_equal(got, want, sizeof got);
        tally_model_free(model);
    }
    end_experiment(&e);
}

static void data_of_another_shape_is_refused(void **state) {
    (void)state;
    experiment e = start_lstm(0);
    tally_dataset wrong = *tally_count_train(e.count);
    wrong.classes = 11;
    assert_int_equal(tally_train(e.model, &wrong, &e.options, NULL, NULL), TALLY_USAGE);
    assert_non_null(strstr(tally_error_text(), "11 classes"));
    tally_test_result result = {0};
    assert_int_equal(tally_test(e.model, tally_count_test(e.count), 200, 100, NULL, &result), TALLY_USAGE);
    end_experiment(&e);
}

static tally_status cannot_read(const tally_dataset *data, const size_t *numbers, size_t count, float *x,
                                int32_t *labels) {
    (void)data, (void)numbers, (void)count, (void)x, (void)labels;
    return TALLY_IO;
}

static tally_status cannot_tell(const tally_dataset *data, const size_t *numbers, size_t count, int32_t *lengths) {
    (void)data, (void)numbers, (void)count, (void)lengths;
    return TALLY_DATA;
}

/* Otherwise the text would be that of an earlier failure. */
static void data_that_fails_is_named(void **state) {
    (void)state;
    experiment e = start_lstm(2);
    tally_dataset unreadable = *tally_count_train(e.count), untold = unreadable;
    unreadable.read = cannot_read;
    untold.lengths = cannot_tell;
    tally_test_result result = {0};
    assert_int_equal(tally_train(e.model, &unreadable, &e.options, NULL, NULL), TALLY_IO);
    assert_string_equal(tally_error_text(), "the data set's read() failed with status 7");
    assert_int_equal(tally_test(e.model, &untold, 0, untold.size, NULL, &result), TALLY_DATA);
    assert_string_equal(tally_error_text(), "the data set's lengths() failed with status 3");
    end_experiment(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_and_threads_do_not_change_a_bit),
        cmocka_unit_test(instruction_sets_do_not_change_a_bit),
        cmocka_unit_test(stopping_leaves_the_last_whole_epoch),
        cmocka_unit_test(stopping_before_an_epoch_leaves_the_start),
        cmocka_unit_test(best_keeps_the_epoch_of_the_lowest_loss),
        cmocka_unit_test(a_nan_stops_in_its_step_and_is_named),
        cmocka_unit_test(an_infinite_weight_is_named),
        cmocka_unit_test(training_lowers_the_loss_and_testing_counts),
        cmocka_unit_test(many_slices_are_each_their_own),

        cmocka_unit_test(every_cell_learns),
        cmocka_unit_test(initial_weights_have_their_limits),
        cmocka_unit_test(every_class_can_be_the_answer),
        cmocka_unit_test(the_loss_is_that_of_the_predictions),
        cmocka_unit_test(a_shuffled_epoch_has_every_sequence_once),
        cmocka_unit_test(inputs_of_a_time_step_are_contiguous),
        cmocka_unit_test(data_of_another_shape_is_refused),
        cmocka_unit_test(data_that_fails_is_named),
    };
    int status = test_device_find();
    return status ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
