/* The choice between two measured routes, the text that explains it, and which products are too large for CLBlast. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "backend/opencl/opencl.h"
#include "backend/opencl/route.h"

static tally_route faster(uint64_t exact, uint64_t clblast) {
    return tl_cl_faster_route((tl_cl_route_times){exact, clblast});
}

static void test_the_faster_one_is_taken(void **state) {
    (void)state;
    assert_int_equal(faster(5400000, 28800000), TALLY_ROUTE_EXACT);
    assert_int_equal(faster(28800000, 5400000), TALLY_ROUTE_CLBLAST);
    assert_int_equal(faster(1, UINT64_MAX), TALLY_ROUTE_EXACT);
    assert_int_equal(faster(UINT64_MAX, 1), TALLY_ROUTE_CLBLAST);
}

static void test_within_a_tenth_it_is_exact(void **state) {
    (void)state;
    assert_int_equal(faster(1000, 1000), TALLY_ROUTE_EXACT);
    assert_int_equal(faster(1000, 901), TALLY_ROUTE_EXACT);
    assert_int_equal(faster(1000, 900), TALLY_ROUTE_EXACT);
    assert_int_equal(faster(1000, 899), TALLY_ROUTE_CLBLAST);
    assert_int_equal(faster(29, 27), TALLY_ROUTE_EXACT);
    assert_int_equal(faster(29, 26), TALLY_ROUTE_CLBLAST);
}

static void test_the_median(void **state) {
    (void)state;
    static const uint64_t orders[][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2},
                                         {3, 2, 1}, {2, 2, 9}, {9, 2, 2}, {2, 0, 2}};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        assert_int_equal(tl_cl_median_of_three(orders[i]), 2);
}

static void test_text_and_back(void **state) {
    (void)state;
    static const tl_cl_route_times all[] = {{1, 1}, {21383591, 103436455}, {UINT64_MAX, UINT64_MAX}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char text[TL_CL_ROUTE_TEXT];
        tl_cl_route_times read;
        tl_cl_write_route_times(all[i], text);
        assert_true(tl_cl_read_route_times(text, strlen(text), &read));
        assert_int_equal(read.exact, all[i].exact);
        assert_int_equal(read.clblast, all[i].clblast);
    }
}

static void test_other_texts(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",
        "exact",
        "exact 5 ns, clblast 7 ns",
        "exact 5 ns, clblast 7 ns\n\n",
        "exact 5 ns, clblast 7 ms\n",
        "exact 05 ns, clblast 7 ns\n",
        "exact  5 ns, clblast 7 ns\n",
        "exact -5 ns, clblast 7 ns\n",
        "exact 0 ns, clblast 7 ns\n",
        "exact 5 ns, clblast 0 ns\n",
        "exact 5.5 ns, clblast 7 ns\n",
        "exact 18446744073709551616 ns, clblast 7 ns\n",
        "clblast 5 ns, exact 7 ns\n",
    };
    tl_cl_route_times times;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(tl_cl_read_route_times(wrong[i], strlen(wrong[i]), &times));
    assert_false(tl_cl_read_route_times("exact 5 ns, clblast 7 ns\n\0x", 27, &times));
}

/* A matrix that starts at an element of a tensor with as many columns. */
static tally_tensor matrix(size_t offset, size_t rows, size_t columns) {
    return (tally_tensor){.ndim = 2, .shape = {rows, columns}, .stride = {columns, 1}, .offset = offset};
}

static bool counts(tally_tensor a, tally_tensor b, tally_tensor c) {
    return tl_cl_clblast_counts(&a, &b, &c, a.shape[1]);
}

static void test_clblast_counts_in_an_int(void **state) {
    (void)state;
    const size_t m = 4096, n = 4096, k = 1024, most = INT32_MAX, far = most - m * n;
    assert_true(counts(matrix(0, m, k), matrix(0, k, n), matrix(0, m, n)));
    assert_true(counts(matrix(0, m, k), matrix(0, k, n), matrix(far, m, n)));
    assert_false(counts(matrix(0, m, k), matrix(0, k, n), matrix(far + 1, m, n)));
    assert_false(counts(matrix(most - m * k + 1, m, k), matrix(0, k, n), matrix(0, m, n)));
    assert_false(counts(matrix(0, m, k), matrix(most - k * n + 1, k, n), matrix(0, m, n)));
    assert_false(counts(matrix(0, m, k), matrix(most + 1, k, n), matrix(0, m, n)));
    /* All time steps of a layer. */
    assert_false(counts(matrix(0, m, 8), matrix(0, 8, n * 128), matrix(0, m, n * 128)));
    /* One time step: rows that are far apart. */
    tally_tensor step = matrix(n, m, n);
    step.stride[0] = n * 128;
    assert_false(counts(matrix(0, m, k), matrix(0, k, n), step));
    step.stride[0] = n * 127;
    assert_true(counts(matrix(0, m, k), matrix(0, k, n), step));
    assert_false(counts(matrix(0, most + 1, 1), matrix(0, 1, 1), matrix(0, most + 1, 1)));
    /* CLBlast's copies are larger than a matrix of one row. */
    assert_true(counts(matrix(0, 1, 32), matrix(0, 32, 1 << 20), matrix(0, 1, 1 << 20)));
    assert_false(counts(matrix(0, 1, 32), matrix(0, 32, 1 << 22), matrix(0, 1, 1 << 22)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_faster_one_is_taken),
        cmocka_unit_test(test_within_a_tenth_it_is_exact),
        cmocka_unit_test(test_the_median),
        cmocka_unit_test(test_text_and_back),
        cmocka_unit_test(test_other_texts),
        cmocka_unit_test(test_clblast_counts_in_an_int),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
