/* Tensors: the layout of views, and reading and writing through them. */
#include "guarded.h"
#include "ops.h"

#include <stdlib.h>
#include <string.h>

static void starts_as_zeros(void **state) {
    (void)state;
    suite_case("a new tensor");
    static const tally_dtype types[] = {TALLY_F32, TALLY_I32};
    for (size_t i = 0; i < 2; i++) {
        tally_tensor t;
        float got[3 * 7 * 31], zeros[3 * 7 * 31] = {0};
        suite_ok(tally_tensor_new(the.device, types[i], 3, (size_t[]){3, 7, 31}, &t));
        assert_int_equal(tally_tensor_elements(&t), 3 * 7 * 31);
        assert_true(t.stride[0] == 7 * 31 && t.stride[1] == 31 && t.stride[2] == 1 && t.offset == 0);
        suite_ok(tally_tensor_read(&t, got, 3 * 7 * 31));
        assert_memory_equal(got, zeros, sizeof got);
        tally_tensor_free(&t);
        assert_null(t.storage);
    }
}

static tl_guarded new_guarded(int ndim, const size_t *shape, tl_layout how, const float *values) {
    if (ndim == 1)
        return guarded_vector(the.device, how, shape[0], values);
    if (ndim == 2)
        return guarded_matrix(the.device, how, shape[0], shape[1], values);
    return guarded_cube(the.device, how, shape, values);
}

/* The guarded tensor computes the elements' positions independently: reads must find the values, and writes must
 * change nothing else. */
static void check_transfer(int ndim, const size_t *shape, tl_layout how) {
    size_t count = 1;
    for (int d = 0; d < ndim; d++)
        count *= shape[d];
    suite_case("write and read, %d dimensions, %zu elements, %s", ndim, count, tl_layout_name(how));
    uint32_t *bits = suite_memory(count, sizeof *bits), *got = suite_memory(count, sizeof *got);
    float *values = suite_memory(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        bits[i] = (uint32_t)suite_random(); /* some are signalling NaNs: bits are copied, not values */
    memcpy(values, bits, count * sizeof *bits);
    tl_guarded g = new_guarded(ndim, shape, how, values);
    suite_ok(tally_tensor_read(&g.tensor, got, count));
    assert_memory_equal(got, bits, count * sizeof *bits);
    guarded_unchanged(&g, "tensor");
    for (size_t i = 0; i < count; i++)
        bits[i] = (uint32_t)suite_random();
    suite_ok(tally_tensor_write(&g.tensor, bits, count));
    guarded_read(&g, "tensor", got);
    assert_memory_equal(got, bits, count * sizeof *bits);
    tl_guarded_free(&g);
    free(bits);
    free(got);
    free(values);
}

static void writes_and_reads(void **state) {
    (void)state;
    for (size_t i = 0; i < odd_sizes_used(); i++) {
        check_transfer(1, &odd_sizes[i], TL_FLAT);
        check_transfer(1, &odd_sizes[i], TL_PADDED);
        check_transfer(1, &odd_sizes[i], TL_STRIDED);
        for (size_t j = 0; j < odd_sizes_used(); j++)
            for (int how = 0; how < TL_MATRIX_LAYOUTS; how++)
                check_transfer(2, (size_t[]){odd_sizes[i], odd_sizes[j]}, (tl_layout)how);
        for (size_t j = 0; j < 4; j++) {
            check_transfer(3, (size_t[]){odd_sizes[j], odd_sizes[i], 3}, TL_FLAT);
            check_transfer(3, (size_t[]){3, odd_sizes[j], odd_sizes[i]}, TL_PADDED);
        }
    }
}

/* Element i of the storage holds i. */
static tally_tensor counted(int ndim, const size_t *shape) {
    tally_tensor t;
    suite_ok(tally_tensor_new(the.device, TALLY_I32, ndim, shape, &t));
    size_t count = tally_tensor_elements(&t);
    int32_t *numbers = suite_memory(count, sizeof *numbers);
    for (size_t i = 0; i < count; i++)
        numbers[i] = (int32_t)i;
    suite_ok(tally_tensor_write(&t, numbers, count));
    free(numbers);
    return t;
}

static void check_view(const tally_tensor *view, size_t count, const int32_t *want) {
    int32_t got[64];
    assert_int_equal(tally_tensor_elements(view), count);
    suite_ok(tally_tensor_read(view, got, count));
    assert_memory_equal(got, want, count * sizeof *want);
}

static void views_are_where_they_should_be(void **state) {
    (void)state;
    suite_case("views");
    tally_tensor t = counted(3, (size_t[]){2, 3, 4}), view, deeper; /* t[i][j][k] = 12 i + 4 j + k */
    suite_ok(tally_tensor_slice(&t, 2, 1, 2, &view));
    check_view(&view, 12, (int32_t[]){1, 2, 5, 6, 9, 10, 13, 14, 17, 18, 21, 22});
    suite_ok(tally_tensor_slice(&view, 0, 1, 1, &deeper));
    check_view(&deeper, 6, (int32_t[]){13, 14, 17, 18, 21, 22});
    suite_ok(tally_tensor_select(&t, 1, 2, &view));
    check_view(&view, 8, (int32_t[]){8, 9, 10, 11, 20, 21, 22, 23});
    suite_ok(tally_tensor_transpose(&view, 0, 1, &deeper));
    check_view(&deeper, 8, (int32_t[]){8, 20, 9, 21, 10, 22, 11, 23});
    suite_ok(tally_tensor_select(&deeper, 1, 1, &deeper)); /* a view may replace the tensor it is taken from */
    check_view(&deeper, 4, (int32_t[]){20, 21, 22, 23});
    suite_ok(tally_tensor_transpose(&t, 0, 2, &view));
    check_view(&view, 24,
               (int32_t[]){0, 12, 4, 16, 8, 20, 1, 13, 5, 17, 9, 21, 2, 14, 6, 18, 10, 22, 3, 15, 7, 19, 11, 23});
    suite_ok(tally_tensor_reshape(&t, 2, (size_t[]){4, 5}, &view));
    check_view(&view, 20, (int32_t[]){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19});
    suite_ok(tally_tensor_slice(&t, 0, 1, 1, &view));
    suite_ok(tally_tensor_reshape(&view, 1, (size_t[]){5}, &deeper));
    check_view(&deeper, 5, (int32_t[]){12, 13, 14, 15, 16});
    suite_ok(tally_tensor_transpose(&t, 0, 1, &view));
    assert_int_equal(tally_tensor_reshape(&view, 1, (size_t[]){24}, &deeper), TALLY_USAGE);
    assert_non_null(strstr(tally_error_text(), "not contiguous"));
    tally_tensor_free(&t);
}

int ops_tensors(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_as_zeros),
        cmocka_unit_test(writes_and_reads),
        cmocka_unit_test(views_are_where_they_should_be),
    };
    return cmocka_run_group_tests_name("tensors", tests, NULL, NULL);
}
