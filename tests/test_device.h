/* test_device.h: the device under test, which TALLY_TEST_DEVICE selects; the C path where that is not set. */
#ifndef TALLY_TESTS_TEST_DEVICE_H
#define TALLY_TESTS_TEST_DEVICE_H

#include <tally/device.h>

const char *test_device_selector(void);

/* Opens it. Returns 0, or what main should exit with, having said why: 77, which meson counts as skipped, where the processor lacks the
 * instruction set of TALLY_CPU or the machine the device. Where TALLY_REQUIRE_DEVICES=1, a missing device is a failure. */
int test_device_open(const tally_device_options *options, tally_device **device);
/* The same for a program whose tests open it themselves: opens it and closes it again. */
int test_device_find(void);

#endif
