#include "test_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SKIPPED = 77 };

const char *test_device_selector(void) {
    const char *selector = getenv("TALLY_TEST_DEVICE");
    return selector && *selector ? selector : "cpu";
}

static int failed_to_open(void) {
    const char *why = tally_error_text(), *required = getenv("TALLY_REQUIRE_DEVICES");
    bool other_processor = strstr(why, "this processor does not have it") != NULL;
    bool missing = strncmp(why, "no device \"", strlen("no device \"")) == 0;
    bool skipped = other_processor || (missing && !(required && strcmp(required, "1") == 0));
    printf("%s: %s\n", skipped ? "skipped" : "failed", why);
    return skipped ? SKIPPED : EXIT_FAILURE;
}

int test_device_open(const tally_device_options *options, tally_device **device) {
    return tally_device_open(test_device_selector(), options, device) ? failed_to_open() : EXIT_SUCCESS;
}

int test_device_find(void) {
    tally_device *device;
    int status = test_device_open(&(tally_device_options){.route = TALLY_ROUTE_EXACT}, &device);
    if (!status)
        tally_device_close(device);
    return status;
}
