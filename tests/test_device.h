/* test_device.h: the device under test, which TALLY_TEST_DEVICE selects; by default the C path. */
#ifndef TALLY_TESTS_TEST_DEVICE_H
#define TALLY_TESTS_TEST_DEVICE_H

#include <tally/device.h>

const char *test_device_selector(void);

/* Opens the device. Returns 0 or, after printing the reason, main's exit status: 77, which meson counts as skipped,
 * if the processor lacks the instruction set of TALLY_CPU or the machine lacks the device. With
 * TALLY_REQUIRE_DEVICES=1 a missing device is a failure. */
int test_device_open(const tally_device_options *options, tally_device **device);
/* The same for a program whose tests open the device themselves: opens the device and closes it again. */
int test_device_find(void);

#endif
