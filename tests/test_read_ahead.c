/* While an OpenCL device computes a chunk, the next one is read; and what has been handed over without waiting stays
 * as it is until the device has been waited for. */
#define CL_TARGET_OPENCL_VERSION 120
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <CL/cl.h>
#include <cmocka.h>
#include <tally/tally.h>

#include "test_device.h"

/* Writes that may not be done yet. */
enum { MOST_WRITES = 16 };
static struct {
    const void *data;
    size_t bytes;
    uint64_t hash;
} writes[MOST_WRITES];
static size_t write_count, checked_count;

/* Reads of the data set, and how many there were before the device was first waited for. */
static size_t data_reads, reads_before_wait;
static bool waited;

cl_int __real_clEnqueueWriteBuffer(cl_command_queue, cl_mem, cl_bool, size_t, size_t, const void *, cl_uint,
                                   const cl_event *, cl_event *);
cl_int __wrap_clEnqueueWriteBuffer(cl_command_queue, cl_mem, cl_bool, size_t, size_t, const void *, cl_uint,
                                   const cl_event *, cl_event *);
cl_int __real_clEnqueueReadBuffer(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint, const cl_event *,
                                  cl_event *);
cl_int __wrap_clEnqueueReadBuffer(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint, const cl_event *,
                                  cl_event *);

/* FNV-1a. */
static uint64_t hash_of(const void *data, size_t bytes) {
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3;
    return hash;
}

cl_int __wrap_clEnqueueWriteBuffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset, size_t bytes,
                                   const void *data, cl_uint waits, const cl_event *wait, cl_event *event) {
    if (!blocking) {
        assert_true(write_count < MOST_WRITES);
        writes[write_count].data = data;
        writes[write_count].bytes = bytes;
        writes[write_count++].hash = hash_of(data, bytes);
    }
    return __real_clEnqueueWriteBuffer(queue, buffer, blocking, offset, bytes, data, waits, wait, event);
}

cl_int __wrap_clEnqueueReadBuffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset, size_t bytes,
                                  void *data, cl_uint waits, const cl_event *wait, cl_event *event) {
    for (size_t i = 0; i < write_count; i++, checked_count++)
        assert_true(hash_of(writes[i].data, writes[i].bytes) == writes[i].hash);
    write_count = 0;
    if (!waited)
        reads_before_wait = data_reads;
    waited = true;
    return __real_clEnqueueReadBuffer(queue, buffer, blocking, offset, bytes, data, waits, wait, event);
}

static void check(tally_status status) {
    if (status)
        fail_msg("%s", tally_error_text());
}

static tally_status counting_read(const tally_dataset *data, const size_t *numbers, size_t count, float *x,
                                  int32_t *labels) {
    const tally_dataset *of = data->context;
    data_reads++;
    return of->read(of, numbers, count, x, labels);
}

typedef struct experiment {
    tally_device *device;
    tally_count *count;
    tally_model *model;
    tally_dataset data;
} experiment;

static void experiment_start(experiment *e, size_t strings) {
    const tally_count_options options = {
        .length = 13, .train_size = strings, .seed = 1, .draw = TALLY_DRAW_RANDOM, .shortest = 0};
    const tally_model_config config = {.inputs = 1, .hidden = 4, .classes = 14, .layers = 1, .cell = TALLY_LSTM};
    check(tally_device_open(test_device_selector(), &(tally_device_options){.route = TALLY_ROUTE_EXACT}, &e->device));
    check(tally_count_new(&options, &e->count));
    check(tally_model_new(e->device, &config, &e->model));
    check(tally_model_init(e->model, 1));
    e->data = *tally_count_train(e->count);
    e->data.read = counting_read;
    e->data.context = tally_count_train(e->count);
    data_reads = reads_before_wait = write_count = checked_count = 0;
    waited = false;
}

static void experiment_end(experiment *e) {
    tally_model_free(e->model);
    tally_count_free(e->count);
    tally_device_close(e->device);
}

static void training_reads_the_next_batch_before_it_waits(void **state) {
    (void)state;
    experiment e;
    tally_train_options options = tally_train_defaults();
    options.epochs = 2;
    options.batch = 100;
    options.shuffle = true;
    experiment_start(&e, 250);
    check(tally_train(e.model, &e.data, &options, NULL, NULL));
    assert_int_equal(reads_before_wait, 2);
    assert_int_equal(data_reads, 6); /* each batch once: none of the next epoch's ahead of its order */
    assert_int_equal(checked_count, 2 * 6);
    experiment_end(&e);
}

static void testing_reads_the_next_chunk_before_it_waits(void **state) {
    (void)state;
    experiment e;
    experiment_start(&e, 8191);
    size_t chunk = tally_device_chunk_columns(e.device);
    assert_true(chunk < 8191 && 8191 <= 2 * chunk);
    tally_test_result result = {0};
    check(tally_test(e.model, &e.data, 0, 8191, NULL, &result));
    assert_int_equal(result.tested, 8191);
    assert_int_equal(reads_before_wait, 2);
    assert_int_equal(data_reads, 2);
    experiment_end(&e);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(training_reads_the_next_batch_before_it_waits),
                                       cmocka_unit_test(testing_reads_the_next_chunk_before_it_waits)};
    int status = test_device_find();
    return status ? status : cmocka_run_group_tests_name("read ahead", tests, NULL, NULL);
}
