/* Without a driver, or built without OpenCL, the C path is the only device, and asking for another one fails with a
 * reason. The argument is the text that the reason must contain. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

static const char *reason;

static void opencl_is_refused(void **state) {
    (void)state;
    static const char *const selectors[] = {"opencl", "0:0", "Portable"};
    for (size_t i = 0; i < sizeof selectors / sizeof *selectors; i++) {
        tally_device *device;
        assert_int_equal(tally_device_open(selectors[i], NULL, &device), TALLY_DEVICE);
        assert_null(device);
        const char *words[] = {selectors[i], "cpu", reason};
        for (size_t w = 0; w < 3; w++)
            if (!strstr(tally_error_text(), words[w]))
                fail_msg("\"%s\" does not say \"%s\"", tally_error_text(), words[w]);
    }
}

static void the_c_path_is_listed_and_chosen(void **state) {
    (void)state;
    tally_device_list list;
    assert_int_equal(tally_device_list_new(&list), TALLY_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.devices[0].selector, "cpu");
    assert_string_equal(list.devices[0].backend, "cpu");
    assert_non_null(strstr(list.opencl_note, reason));
    tally_device_list_free(&list);
    tally_device *device;
    assert_int_equal(tally_device_open("auto", NULL, &device), TALLY_OK);
    assert_string_equal(tally_device_get_info(device)->backend, "cpu");
    tally_device_close(device);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: test_no_driver REASON\n");
        return 2;
    }
    reason = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opencl_is_refused),
        cmocka_unit_test(the_c_path_is_listed_and_chosen),
    };
    return cmocka_run_group_tests_name("no driver", tests, NULL, NULL);
}
