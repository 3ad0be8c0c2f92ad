/* How much memory training and testing take on the C path, in tensors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <tally/tally.h>

#include "backend/backend.h"

/* Of all storage, by a table that counts. */
static struct {
    const tl_backend *table; /* what it stands before */
    size_t bytes, most, made;
} counted;

static tally_status counted_new(tally_device *device, size_t bytes, tl_storage **storage) {
    tally_status status = counted.table->storage_new(device, bytes, storage);
    if (!status) {
        counted.made++;
        counted.bytes += bytes;
        counted.most = counted.bytes > counted.most ? counted.bytes : counted.most;
    }
    return status;
}

static void counted_free(tl_storage *storage) {
    counted.bytes -= storage->bytes;
    counted.table->storage_free(storage);
}

static void check(tally_status status) {
    if (status)
        fail_msg("%s", tally_error_text());
}

typedef struct experiment {
    tally_device *device;
    tl_backend table;
    tally_count *count;
    tally_model *model;
} experiment;

static void experiment_start(experiment *e, const tally_count_options *data, size_t layers, size_t hidden) {
    const tally_model_config config = {
        .inputs = 1, .hidden = hidden, .classes = data->length + 1, .layers = layers, .cell = TALLY_LSTM};
    check(tally_device_open("cpu", &(tally_device_options){.threads = 1}, &e->device));
    check(tally_count_new(data, &e->count));
    check(tally_model_new(e->device, &config, &e->model));
    check(tally_model_init(e->model, 1));
    counted.table = e->device->backend;
    counted.bytes = counted.most = counted.made = 0;
    e->table = *counted.table;
    e->table.storage_new = counted_new;
    e->table.storage_free = counted_free;
    e->device->backend = &e->table;
}

static void experiment_end(experiment *e) {
    e->device->backend = counted.table;
    tally_model_free(e->model);
    tally_count_free(e->count);
    tally_device_close(e->device);
}

/* What one call makes, at most, on top of the model. */
static size_t most_of_training(experiment *e, const tally_train_options *options) {
    counted.most = counted.bytes;
    tally_training *training;
    check(tally_training_new(e->model, tally_count_train(e->count), NULL, options, &training));
    check(tally_training_run(training, NULL));
    tally_training_free(training);
    assert_int_equal(counted.bytes, 0);
    return counted.most;
}

static size_t most_of_test(experiment *e) {
    counted.most = counted.bytes;
    tally_test_result result = {0};
    check(tally_test(e->model, tally_count_train(e->count), 0, 16, NULL, &result));
    assert_int_equal(result.tested, 16);
    assert_int_equal(counted.bytes, 0);
    return counted.most;
}

static void testing_takes_a_fraction_of_training(void **state) {
    (void)state;
    enum { STEPS = 20, HIDDEN = 512, COLUMNS = 16, LAYERS = 2 };
    const tally_count_options data = {.length = STEPS, .train_size = COLUMNS, .seed = 1, .draw = TALLY_DRAW_RANDOM};
    tally_train_options options = tally_train_defaults();
    options.epochs = 1;
    options.batch = COLUMNS;
    experiment e;
    experiment_start(&e, &data, LAYERS, HIDDEN);
    size_t training = most_of_training(&e, &options), testing = most_of_test(&e);
    experiment_end(&e);
    /* Of what is kept of every step, only h is left of an LSTM's gates, c, tanh c and h, and of the gradients between
     * layers. */
    size_t step = (size_t)HIDDEN * COLUMNS * sizeof(float);
    assert_true(testing + LAYERS * step * STEPS * (4 + 2) < training);
}

static void epochs_and_validation_make_no_tensor(void **state) {
    (void)state;
    const tally_count_options data = {.length = 9, .train_size = 200, .seed = 1, .draw = TALLY_DRAW_RANDOM};
    tally_train_options options = tally_train_defaults();
    options.epochs = 3;
    options.batch = 64; /* one chunk, and so one gradient */
    experiment e;
    experiment_start(&e, &data, 1, 8);
    tally_training *training;
    check(tally_training_new(e.model, tally_count_train(e.count), tally_count_test(e.count), &options, &training));
    size_t made = counted.made;
    check(tally_training_run(training, NULL));
    assert_int_equal(tally_training_result(training).epochs, 3);
    assert_true(counted.made <= made + 1); /* the gradient, made when it is first needed */
    tally_training_free(training);
    experiment_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(testing_takes_a_fraction_of_training),
                                       cmocka_unit_test(epochs_and_validation_make_no_tensor)};
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
