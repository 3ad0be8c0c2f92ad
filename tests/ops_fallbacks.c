/* A device must run the operations of its table itself; otherwise the suite might test the C path under another
 * name. Operations that its table lacks or refuses run on the C path and are counted as fallbacks. */
#include "backend/backend.h"
#include "ops.h"
#include "suite.h"

#include <string.h>

enum { M = 8, N = 32, STEPS = 3, CLASSES = M, ELEMENTS = 1 << 14 };

/* Contiguous float tensors in one storage, so that all results can be read at once. */
typedef struct arena {
    tally_tensor all, labels, fault;
    size_t used;  /* elements */
    size_t calls; /* calls of operations */
} arena;

static arena arena_new(tally_device *device) {
    arena a = {.used = 0};
    float values[ELEMENTS];
    for (size_t i = 0; i < ELEMENTS; i++)
        values[i] = (float)(i * 7 % 13 + 1) / 16;
    suite_ok(tally_tensor_new(device, TALLY_F32, 1, (size_t[]){ELEMENTS}, &a.all));
    suite_ok(tally_tensor_new(device, TALLY_I32, 1, (size_t[]){N}, &a.labels));
    suite_ok(tally_tensor_new(device, TALLY_I32, 1, (size_t[]){1}, &a.fault));
    suite_ok(tally_tensor_write(&a.all, values, ELEMENTS));
    return a;
}

static void arena_free(arena *a) {
    tally_tensor_free(&a->all);
    tally_tensor_free(&a->labels);
    tally_tensor_free(&a->fault);
}

static tally_tensor next_tensor(arena *a, int ndim, const size_t *shape) {
    tally_tensor part, tensor;
    size_t elements = 1;
    for (int d = 0; d < ndim; d++)
        elements *= shape[d];
    suite_ok(tally_tensor_slice(&a->all, 0, a->used, elements, &part));
    suite_ok(tally_tensor_reshape(&part, ndim, shape, &tensor));
    a->used += elements;
    return tensor;
}

static tally_tensor next_vector(arena *a, size_t n) {
    return next_tensor(a, 1, &n);
}

static tally_tensor next_matrix(arena *a, size_t rows, size_t columns) {
    return next_tensor(a, 2, (size_t[]){rows, columns});
}

static void call(arena *a, tally_status status) {
    suite_ok(status);
    a->calls++;
}

static void call_on_matrices(arena *a) {
    tally_tensor m[] = {next_matrix(a, M, N), next_matrix(a, M, N), next_matrix(a, M, N)};
    tally_tensor square = next_matrix(a, M, M), bias = next_vector(a, M), sums = next_vector(a, M);
    tally_tensor losses = next_vector(a, N), filled = next_matrix(a, M, N);
    call(a, tally_fill(&filled, 0.5f));
    call(a, tally_copy(&m[0], &m[1]));
    call(a, tally_add(&filled, &m[1]));
    call(a, tally_bias(&bias, &m[1]));
    call(a, tally_reduce(&m[1], 0, &sums));
    call(a, tally_gemm(false, false, 1, &square, &m[0], 0, &m[2]));
    call(a, tally_gemm(true, false, 1, &square, &m[0], 1, &m[2]));
    call(a, tally_gemm(false, true, 1, &m[0], &m[2], 1, &square));
    call(a, tally_softmax_loss(&m[0], &a->labels, &m[1], &losses));
    call(a, tally_softmax_loss_backward(&m[1], &a->labels, &m[0]));
}

static void call_on_others(arena *a) {
    const size_t shape[] = {M, STEPS, N};
    tally_tensor left = next_tensor(a, 3, shape), right = next_tensor(a, 3, shape), kept = next_tensor(a, 3, shape);
    tally_tensor gradient = next_matrix(a, M, M), sums = next_vector(a, M);
    tally_tensor v[] = {next_vector(a, N), next_vector(a, N), next_vector(a, N), next_vector(a, N)};
    call(a, tally_accumulate(&left, &right, &gradient));
    call(a, tally_accumulate(&left, NULL, &sums));
    call(a, tally_dropout(&(tally_dropout_options){.probability = 0.5, .key = 1}, &left, &kept));
    call(a, tally_apply(TALLY_TANH, &v[0], NULL, NULL, &v[1]));
    call(a, tally_apply(TALLY_FMA, &v[1], &v[2], &v[3], &v[0]));
    const tally_optimizer_options optimizer = tally_optimizer_defaults(TALLY_ADAM);
    call(a, tally_optimizer_step(&optimizer, 1, &v[0], &v[1], &v[2], &a->fault));
}

/* Forward and backward passes of a cell and of a layer. */
static void call_cell(arena *a, tally_device *device, tally_cell cell) {
    const size_t gate_rows = tally_cell_gates(cell) * M, weight_rows = tally_cell_weights(cell) * M;
    tally_tensor gates = next_matrix(a, gate_rows, N), unit[5];
    for (int i = 0; i < 5; i++)
        unit[i] = next_matrix(a, M, N);
    const tally_tensor *previous = cell == TALLY_LSTM || cell == TALLY_GRU ? &unit[0] : NULL, *c = NULL, *tanh_c = NULL,
                       *dc = NULL;
    if (cell == TALLY_LSTM)
        c = &unit[1], tanh_c = &unit[2], dc = &unit[3];
    call(a, tally_cell_forward(cell, &gates, previous, c, tanh_c, &unit[4]));
    call(a, tally_cell_backward(cell, &gates, previous, tanh_c, &unit[4], dc));

    tally_layer_state state;
    tally_tensor x[2];
    tally_layer_weights weights[2]; /* the weights and their gradients */
    suite_ok(tally_layer_state_new(device, cell, 1, M, STEPS, N, &state));
    for (int i = 0; i < 2; i++) {
        x[i] = next_tensor(a, 3, (size_t[]){1, STEPS, N});
        weights[i] = (tally_layer_weights){next_matrix(a, weight_rows, 1), next_matrix(a, weight_rows, M),
                                           next_vector(a, gate_rows), cell};
    }
    call(a, tally_layer_forward(&weights[0], &x[0], &state));
    call(a, tally_layer_backward(&weights[0], &x[0], NULL, &state, &weights[1], &x[1]));
    tally_layer_state_free(&state);
}

/* Calls every operation on contiguous tensors, always with the same values. Returns the number of calls; results
 * has ELEMENTS elements. */
static size_t call_every_operation(tally_device *device, float *results) {
    arena a = arena_new(device);
    call_on_matrices(&a);
    call_on_others(&a);
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        call_cell(&a, device, (tally_cell)cell);
    suite_ok(tally_tensor_read(&a.all, results, ELEMENTS));
    arena_free(&a);
    return a.calls;
}

/* Opens the device under test a second time, without any fallbacks counted so far. */
static tally_device *open_another(void) {
    tally_device *device;
    tally_device_options options = {.route = the.exact ? TALLY_ROUTE_EXACT : TALLY_ROUTE_CLBLAST};
    suite_ok(tally_device_open(tally_device_get_info(the.device)->selector, &options, &device));
    return device;
}

static void nothing_contiguous_falls_back(void **state) {
    (void)state;
    suite_case("operations on contiguous tensors");
    tally_device *device = open_another();
    float results[ELEMENTS];
    call_every_operation(device, results);
    char names[512];
    uint64_t fallbacks = tally_device_fallbacks(device, names, sizeof names);
    if (fallbacks)
        suite_fail("the C path did %llu of them: %s", (unsigned long long)fallbacks, names);
    assert_string_equal(names, "");
    tally_device_close(device);
}

static void a_table_without_operations_falls_back(void **state) {
    (void)state;
    suite_case("a table without operations");
    tally_device *device = open_another();
    tl_backend table = *device->backend;
#define REMOVE(name, ...) table.name = NULL;
    TL_OPERATIONS(REMOVE)
    table.layer_scratch = NULL;
    device->backend = &table;
    float results[ELEMENTS], wanted[ELEMENTS];
    size_t calls = call_every_operation(device, results);
    char names[512];
    assert_int_equal(tally_device_fallbacks(device, names, sizeof names), calls);
#define NAME(name, ...) ", " #name
    static const char all_names[] = TL_OPERATIONS(NAME);
    assert_string_equal(names, all_names + strlen(", "));
    call_every_operation(the.peer, wanted);
    assert_memory_equal(results, wanted, sizeof results);
    tally_device_close(device);
}

static void one_slot_that_is_missing_falls_back_alone(void **state) {
    (void)state;
    suite_case("a table without copy");
    tally_device *device = open_another();
    tl_backend table = *device->backend;
    table.copy = NULL;
    device->backend = &table;
    float results[ELEMENTS];
    call_every_operation(device, results);
    char names[512];
    assert_int_equal(tally_device_fallbacks(device, names, sizeof names), 1);
    assert_string_equal(names, "copy");
    tally_device_close(device);
}

static bool refuse_gemm(tally_device *device, const tl_call *call) {
    (void)device;
    return call->op != TL_OP_gemm || !call->transpose_a;
}

static void a_call_that_is_refused_falls_back(void **state) {
    (void)state;
    suite_case("a table that refuses a product with A transposed");
    tally_device *device = open_another();
    tl_backend table = *device->backend;
    table.supports = refuse_gemm;
    device->backend = &table;
    float results[ELEMENTS];
    call_every_operation(device, results);
    char names[512];
    assert_int_equal(tally_device_fallbacks(device, names, sizeof names), 1);
    assert_string_equal(names, "gemm");
    tally_device_close(device);
}

/* Of the tested drivers only llvmpipe cuts loops short. That must be detected, and must not be reported for others. */
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

/* Longer than a limited loop, on either route: the product is computed in parts or on the C path, but never cut
 * short. */
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
        cmocka_unit_test(a_table_without_operations_falls_back),
        cmocka_unit_test(one_slot_that_is_missing_falls_back_alone),
        cmocka_unit_test(a_call_that_is_refused_falls_back),
        cmocka_unit_test(long_sums_fall_back_where_loops_are_limited),
        cmocka_unit_test(long_products_are_whole),
    };
    return cmocka_run_group_tests_name("fallbacks", tests, NULL, NULL);
}
