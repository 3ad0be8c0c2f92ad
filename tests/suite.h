/* suite.h: common parts of the tests of operations: the device under test, seeded random data, the name of the
 * case.
 *
 * Environment: TALLY_TEST_DEVICE (see test_device.h), TALLY_TEST_ROUTE (exact or clblast; default exact),
 * TALLY_TEST_THREADS (of the C path), TALLY_TEST_SEED (default: from the clock, printed), TALLY_TEST_SMALL (fewer
 * shapes, for a simulator).
 */
#ifndef TALLY_TESTS_SUITE_H
#define TALLY_TESTS_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <tally/tally.h>

typedef struct suite {
    tally_device *device;
    tally_device *peer;  /* the baseline of the C path, with which every exact operation is compared bit for bit */
    bool exact;          /* the matrix products are exact; otherwise they are CLBlast's */
    bool small;          /* fewer shapes */
    bool keeps_denormal; /* false if the device was found to flush numbers below 2^-126 to zero when it was opened */
} suite;
extern suite the;

/* Opens the devices, seeds the random numbers and prints both. Returns 0 or main's exit status, see
 * test_device_open. */
int suite_begin(void);
void suite_end(void);

/* Names the current case for the message of a failing check. */
__attribute__((format(printf, 1, 2))) void suite_case(const char *format, ...);
/* Fails the test with the case's name. */
__attribute__((format(printf, 1, 2), noreturn)) void suite_fail(const char *format, ...);
/* Fails unless the call succeeded. */
void suite_ok(tally_status status);

/* SplitMix64: the same numbers for the same seed. */
uint64_t suite_random(void);
size_t suite_pick(size_t count); /* 0 to count - 1 */
float suite_uniform(float low, float high);
void suite_uniforms(float *values, size_t count, float low, float high);
int32_t suite_label(size_t classes); /* a class, or sometimes -1 */

/* Zeroed memory; fails the test if there is none. */
void *suite_memory(size_t count, size_t size);

#endif
