/* The device that a selector means, with the test's own backends in place of the built-in ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <tally/tally.h>

#include "backend/registry.h"

enum { MOST = 3 };
static const tally_device_info reference = {.selector = "cpu", .backend = "cpu", .name = "a processor"};
static const tally_device_info accelerated[MOST] = {
    {.selector = "0:0", .backend = "opencl", .name = "Alpha", .platform = "First", .type = TALLY_DEVICE_CPU},
    {.selector = "1:0", .backend = "opencl", .name = "Beta", .platform = "Second", .type = TALLY_DEVICE_GPU},
    {.selector = "1:1", .backend = "opencl", .name = "Gamma", .platform = "Second", .type = TALLY_DEVICE_GPU},
};
static size_t listed;     /* the number of devices in this case */
static size_t lists;      /* how often they were listed */
static char opened[2][8]; /* the backend that opened one, and its selector */

static tally_status list_infos(const tally_device_info *all, size_t count, tally_device_info **infos) {
    *infos = count ? malloc(count * sizeof **infos) : NULL;
    for (size_t i = 0; i < count; i++)
        (*infos)[i] = all[i];
    return TALLY_OK;
}

static tally_status list_reference(tally_device_info **infos, size_t *count, char *note, size_t note_size) {
    (void)note, (void)note_size;
    *count = 1;
    return list_infos(&reference, 1, infos);
}

static tally_status list_accelerated(tally_device_info **infos, size_t *count, char *note, size_t note_size) {
    lists++;
    *count = listed;
    if (!listed)
        snprintf(note, note_size, "none today");
    return list_infos(accelerated, listed, infos);
}

static tally_status note_opened(const char *backend, const char *selector) {
    snprintf(opened[0], sizeof opened[0], "%s", backend);
    snprintf(opened[1], sizeof opened[1], "%s", selector);
    return TALLY_OK;
}

static tally_status open_reference(const char *selector, const tally_device_options *options, tally_device **device) {
    assert_non_null(options);
    assert_non_null(device);
    return note_opened("cpu", selector);
}

static tally_status open_accelerated(const char *selector, const tally_device_options *options, tally_device **device) {
    assert_non_null(options);
    assert_non_null(device);
    return note_opened("opencl", selector);
}

static const tl_registration reference_backend = {"cpu", list_reference, open_reference};
static const tl_registration accelerated_backend = {"opencl", list_accelerated, open_accelerated};
const tl_registration *const tl_registry[] = {&reference_backend, &accelerated_backend, NULL};
const char tl_registry_note[] = "";

static void expect_opened(const char *selector, const char *backend, const char *own_selector) {
    tally_device *device;
    memset(opened, 0, sizeof opened);
    assert_int_equal(tally_device_open(selector, NULL, &device), TALLY_OK);
    assert_string_equal(opened[0], backend);
    assert_string_equal(opened[1], own_selector);
}

static void expect_none(const char *selector, const char *text) {
    tally_device *device;
    memset(opened, 0, sizeof opened);
    assert_int_equal(tally_device_open(selector, NULL, &device), TALLY_DEVICE);
    assert_null(device);
    assert_string_equal(opened[0], "");
    assert_string_equal(tally_error_text(), text);
}

static void a_gpu_comes_first(void **state) {
    (void)state;
    listed = 3;
    expect_opened("auto", "opencl", "1:0");
    expect_opened("AUTO", "opencl", "1:0");
    expect_opened("opencl", "opencl", "1:0");
    expect_opened("OpenCL", "opencl", "1:0");
    listed = 1;
    expect_opened("auto", "cpu", "cpu");
    expect_opened("opencl", "opencl", "0:0");
    listed = 0;
    expect_opened("auto", "cpu", "cpu");
    expect_none("opencl", "no device \"opencl\"; there are: cpu (a processor); OpenCL: none today");
}

static void a_number_or_part_of_a_name_means_one_device(void **state) {
    (void)state;
    listed = 3;
    expect_opened("0:0", "opencl", "0:0");
    expect_opened("1:1", "opencl", "1:1");
    expect_opened("gam", "opencl", "1:1");
    expect_opened("second", "opencl", "1:0"); /* of several devices, the first */
    static const char all[] = "; there are: cpu (a processor), 0:0 (Alpha), 1:0 (Beta), 1:1 (Gamma)";
    char text[128];
    const char *const unknown[] = {"1:2", "processor", ""}; /* the reference's name is not a selector */
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        snprintf(text, sizeof text, "no device \"%s\"%s", unknown[i], all);
        expect_none(unknown[i], text);
    }
}

static void the_c_path_needs_no_driver(void **state) {
    (void)state;
    lists = 0;
    expect_opened("cpu", "cpu", "cpu");
    expect_opened("CPU", "cpu", "cpu");
    assert_int_equal(lists, 0);
}

static void all_backends_are_listed(void **state) {
    (void)state;
    tally_device_list list;
    for (listed = 0; listed <= MOST; listed++) {
        assert_int_equal(tally_device_list_new(&list), TALLY_OK);
        assert_int_equal(list.count, 1 + listed);
        assert_string_equal(list.devices[0].name, reference.name);
        for (size_t i = 0; i < listed; i++)
            assert_string_equal(list.devices[1 + i].name, accelerated[i].name);
        assert_string_equal(list.opencl_note, listed ? "" : "none today");
        tally_device_list_free(&list);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gpu_comes_first),
        cmocka_unit_test(a_number_or_part_of_a_name_means_one_device),
        cmocka_unit_test(the_c_path_needs_no_driver),
        cmocka_unit_test(all_backends_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
