/* What times of the two routes mean, and their text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_faster_one_is_taken),
        cmocka_unit_test(test_within_a_tenth_it_is_exact),
        cmocka_unit_test(test_the_median),
        cmocka_unit_test(test_text_and_back),
        cmocka_unit_test(test_other_texts),
    };
    return cmocka_run_group_tests_name("route", tests, NULL, NULL);
}
