/* Data that is being written to a device must stay valid until something is read or the storage is freed. The
 * driver here copies it as late as it may. */
#define CL_TARGET_OPENCL_VERSION 120
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <CL/cl.h>
#include <cmocka.h>
#include <tally/tally.h>

#include "backend/backend.h"
#include "test_device.h"

static struct {
    bool is;
    cl_command_queue queue;
    cl_mem buffer;
    size_t offset, bytes;
    const void *data;
} pending;

cl_int __real_clEnqueueWriteBuffer(cl_command_queue, cl_mem, cl_bool, size_t, size_t, const void *, cl_uint,
                                   const cl_event *, cl_event *);
cl_int __wrap_clEnqueueWriteBuffer(cl_command_queue, cl_mem, cl_bool, size_t, size_t, const void *, cl_uint,
                                   const cl_event *, cl_event *);
cl_int __real_clFinish(cl_command_queue);
cl_int __wrap_clFinish(cl_command_queue);

cl_int __wrap_clEnqueueWriteBuffer(cl_command_queue queue, cl_mem buffer, cl_bool blocking, size_t offset, size_t bytes,
                                   const void *data, cl_uint waits, const cl_event *wait, cl_event *event) {
    if (blocking)
        return __real_clEnqueueWriteBuffer(queue, buffer, blocking, offset, bytes, data, waits, wait, event);
    assert_false(pending.is);
    pending.is = true;
    pending.queue = queue;
    pending.buffer = buffer;
    pending.offset = offset;
    pending.bytes = bytes;
    pending.data = data;
    return CL_SUCCESS;
}

cl_int __wrap_clFinish(cl_command_queue queue) {
    cl_int error = CL_SUCCESS;
    if (pending.is)
        error = __real_clEnqueueWriteBuffer(pending.queue, pending.buffer, CL_TRUE, pending.offset, pending.bytes,
                                            pending.data, 0, NULL, NULL);
    pending.is = false;
    return error ? error : __real_clFinish(queue);
}

static void assert_ok(tally_status status) {
    if (status)
        fail_msg("%s", tally_error_text());
}

static void a_freed_tensor_has_taken_what_it_was_given(void **state) {
    (void)state;
    enum { COUNT = 64 };
    const size_t count = COUNT;
    tally_device *device;
    tally_tensor tensor;
    float *values = calloc(COUNT, sizeof *values);
    assert_non_null(values);
    assert_ok(tally_device_open(test_device_selector(), &(tally_device_options){.route = TALLY_ROUTE_EXACT}, &device));
    assert_ok(tally_tensor_new(device, TALLY_F32, 1, &count, &tensor));
    assert_ok(device->backend->load(tensor.storage, 0, values, COUNT * sizeof *values));
    assert_true(pending.is); /* the write has not been waited for */
    tally_tensor_free(&tensor);
    assert_false(pending.is);
    free(values);
    tally_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_freed_tensor_has_taken_what_it_was_given)};
    int status = test_device_find();
    return status ? status : cmocka_run_group_tests(tests, NULL, NULL);
}
