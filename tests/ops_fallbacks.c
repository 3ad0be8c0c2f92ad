/* What the device is there for, it does itself: without this the suite might test the C path under another name. */
#include "ops.h"
#include "suite.h"

#include <string.h>

enum { M = 8, N = 32 };

/* Both passes of a cell alone and of a layer. */
static void run_cell(tally_device *device, tally_cell cell) {
    const size_t gates_rows = tally_cell_gates(cell) * M, weight_rows = tally_cell_weights(cell) * M;
    tally_tensor gates, unit[5], x[2], bias[2], w_ih[2], w_hh[2]; /* the last four and their gradients */
    suite_ok(tally_tensor_new(device, TALLY_F32, 2, (size_t[]){gates_rows, N}, &gates));
    for (int i = 0; i < 5; i++)
        suite_ok(tally_tensor_new(device, TALLY_F32, 2, (size_t[]){M, N}, &unit[i]));
    const tally_tensor *previous = cell == TALLY_RNN ? NULL : &unit[0], *c = NULL, *tanh_c = NULL, *dc = NULL;
    if (cell == TALLY_LSTM)
        c = &unit[1], tanh_c = &unit[2], dc = &unit[3];
    suite_ok(tally_cell_forward(cell, &gates, previous, c, tanh_c, &unit[4]));
    suite_ok(tally_cell_backward(cell, &gates, previous, tanh_c, &unit[4], dc));

    tally_layer_state state;
    suite_ok(tally_layer_state_new(device, cell, 1, M, 3, N, &state));
    for (int i = 0; i < 2; i++) {
        suite_ok(tally_tensor_new(device, TALLY_F32, 3, (size_t[]){1, 3, N}, &x[i]));
        suite_ok(tally_tensor_new(device, TALLY_F32, 1, (size_t[]){gates_rows}, &bias[i]));
        suite_ok(tally_tensor_new(device, TALLY_F32, 2, (size_t[]){weight_rows, 1}, &w_ih[i]));
        suite_ok(tally_tensor_new(device, TALLY_F32, 2, (size_t[]){weight_rows, M}, &w_hh[i]));
    }
    tally_layer_weights weights = {w_ih[0], w_hh[0], bias[0], cell}, gradients = {w_ih[1], w_hh[1], bias[1], cell};
    suite_ok(tally_layer_forward(&weights, &x[0], &state));
    suite_ok(tally_layer_backward(&weights, &x[0], NULL, &state, &gradients, &x[1]));

    tally_tensor_free(&gates);
    for (int i = 0; i < 5; i++)
        tally_tensor_free(&unit[i]);
    for (int i = 0; i < 2; i++) {
        tally_tensor_free(&x[i]);
        tally_tensor_free(&bias[i]);
        tally_tensor_free(&w_ih[i]);
        tally_tensor_free(&w_hh[i]);
    }
    tally_layer_state_free(&state);
}

static void nothing_contiguous_falls_back(void **state) {
    (void)state;
    suite_case("operations on contiguous tensors");
    tally_device *device;
    const tally_device_info *info = tally_device_get_info(the.device);
    tally_device_options options = {.route = the.exact ? TALLY_ROUTE_EXACT : TALLY_ROUTE_CLBLAST};
    suite_ok(tally_device_open(info->selector, &options, &device)); /* one that counts from 0 */
    tally_tensor matrix[4], vector[4], row, labels, fault;
    for (int i = 0; i < 4; i++) {
        suite_ok(tally_tensor_new(device, TALLY_F32, 2, (size_t[]){M, N}, &matrix[i]));
        suite_ok(tally_tensor_new(device, TALLY_F32, 1, (size_t[]){M}, &vector[i]));
    }
    suite_ok(tally_tensor_new(device, TALLY_F32, 1, (size_t[]){N}, &row));
    suite_ok(tally_tensor_new(device, TALLY_I32, 1, (size_t[]){N}, &labels));
    suite_ok(tally_tensor_new(device, TALLY_I32, 1, (size_t[]){1}, &fault));
    tally_tensor square;
    suite_ok(tally_tensor_reshape(&matrix[1], 2, (size_t[]){M, M}, &square));

    suite_ok(tally_fill(&matrix[0], 0.5f));
    suite_ok(tally_copy(&matrix[0], &matrix[1]));
    suite_ok(tally_add(&matrix[0], &matrix[1]));
    suite_ok(tally_bias(&vector[0], &matrix[1]));
    suite_ok(tally_reduce(&matrix[1], 0, &vector[1]));
    suite_ok(tally_gemm(false, false, 1, &square, &matrix[0], 0, &matrix[2]));
    suite_ok(tally_gemm(true, false, 1, &square, &matrix[0], 0, &matrix[2]));
    suite_ok(tally_gemm(false, true, 1, &matrix[0], &matrix[2], 1, &square));
    suite_ok(tally_softmax_loss(&matrix[0], &labels, &matrix[1], &row));
    suite_ok(tally_softmax_loss_backward(&matrix[1], &labels, &matrix[2]));
    const tally_optimizer_options optimizer = tally_optimizer_defaults(TALLY_ADAM);
    suite_ok(tally_optimizer_step(&optimizer, 1, &vector[0], &vector[1], vector + 2, &fault));
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        run_cell(device, (tally_cell)cell);

    char names[256];
    uint64_t fallbacks = tally_device_fallbacks(device, names, sizeof names);
    if (fallbacks)
        suite_fail("the C path did %llu of them: %s", (unsigned long long)fallbacks, names);
    assert_string_equal(names, "");

    tally_tensor *ones[] = {&row, &labels, &fault};
    for (int i = 0; i < 3; i++)
        tally_tensor_free(ones[i]);
    for (int i = 0; i < 4; i++) {
        tally_tensor_free(&matrix[i]);
        tally_tensor_free(&vector[i]);
    }
    tally_device_close(device);
}

/* Of the drivers here only llvmpipe's loops end early. What ends early must be found, and what does not must not be. */
static void long_sums_fall_back_where_loops_are_limited(void **state) {
    (void)state;
    suite_case("a sum of 70,000");
    const size_t shape[] = {1, 70000}, rows = 1;
    const tally_device_info *info = tally_device_get_info(the.device);
    tally_device *device;
    tally_tensor x, sum;
    suite_ok(tally_device_open(info->selector, NULL, &device));
    suite_ok(tally_tensor_new(device, TALLY_F32, 2, shape, &x));
    suite_ok(tally_tensor_new(device, TALLY_F32, 1, &rows, &sum));
    suite_ok(tally_fill(&x, 1));
    suite_ok(tally_reduce(&x, 0, &sum));
    float got;
    suite_ok(tally_tensor_read(&sum, &got, 1));
    assert_true(got == 70000);
    assert_int_equal(tally_device_fallbacks(device, NULL, 0), strstr(info->name, "llvmpipe") ? 1 : 0);
    tally_tensor_free(&x);
    tally_tensor_free(&sum);
    tally_device_close(device);
}

static void expect_sum(const char *what, const tally_tensor *sum, float want) {
    float got;
    suite_ok(tally_tensor_read(sum, &got, 1));
    if (got != want)
        suite_fail("%s: %.9g, not %.9g", what, (double)got, (double)want);
}

/* Longer than any limited loop, on either route: in parts, or on the C path, but never cut short. */
static void long_products_are_whole(void **state) {
    (void)state;
    const size_t steps = 30, columns = the.small ? 110 : 110000, k = steps * columns;
    suite_case("products over %zu", k);
    const tally_device_info *info = tally_device_get_info(the.device);
    tally_device_options options = {.route = the.exact ? TALLY_ROUTE_EXACT : TALLY_ROUTE_CLBLAST};
    tally_device *device;
    tally_tensor ones, row, column, cube, sum;
    suite_ok(tally_device_open(info->selector, &options, &device));
    suite_ok(tally_tensor_new(device, TALLY_F32, 1, &k, &ones));
    suite_ok(tally_tensor_reshape(&ones, 2, (size_t[]){1, k}, &row));
    suite_ok(tally_tensor_reshape(&ones, 2, (size_t[]){k, 1}, &column));
    suite_ok(tally_tensor_reshape(&ones, 3, (size_t[]){1, steps, columns}, &cube));
    suite_ok(tally_tensor_new(device, TALLY_F32, 2, (size_t[]){1, 1}, &sum));
    suite_ok(tally_fill(&ones, 1));
    suite_ok(tally_gemm(false, false, 1, &row, &column, 0, &sum));
    expect_sum("B as it is", &sum, (float)k);
    suite_ok(tally_gemm(false, true, 1, &row, &row, 0, &sum));
    expect_sum("B transposed", &sum, (float)k);
    suite_ok(tally_fill(&sum, 0));
    suite_ok(tally_accumulate(&cube, &cube, &sum));
    expect_sum("a gradient", &sum, (float)k);
    tally_tensor_free(&ones);
    tally_tensor_free(&sum);
    tally_device_close(device);
}

int ops_fallbacks(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_contiguous_falls_back),
        cmocka_unit_test(long_sums_fall_back_where_loops_are_limited),
        cmocka_unit_test(long_products_are_whole),
    };
    return cmocka_run_group_tests_name("fallbacks", tests, NULL, NULL);
}
