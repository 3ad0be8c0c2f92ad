/* device_facts.h: what a device says of its arithmetic. */
#ifndef TALLY_TESTS_DEVICE_FACTS_H
#define TALLY_TESTS_DEVICE_FACTS_H

#include <stdbool.h>
#include <tally/device.h>

/* Whether an OpenCL device has CL_FP_DENORM: without it numbers below 2^-126 may count as zero. */
bool device_keeps_denormal(const tally_device_info *info);

#endif
