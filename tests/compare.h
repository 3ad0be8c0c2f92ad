/* compare.h: compares results with expected values. A mismatch fails the test with the names of the case and the
 * tensor and the index of the element. */
#ifndef TALLY_TESTS_COMPARE_H
#define TALLY_TESTS_COMPARE_H

#include "parity/bounded.h"

#include <stddef.h>

/* |got - want| <= bound; NaN and infinity exactly where want has them. */
void compare_within(const char *name, const float *got, const double *want, const double *bound, size_t count);
/* The same for one element, at an index of three dimensions; a tl_element_check. */
void compare_bounded(void *context, const char *name, const size_t index[3], float got, tl_bounded want);
/* The same bits, except that any NaN equals any other: the payload is unspecified. On a device that flushes
 * denormals, zeros of either sign are equal as well: such a device is only within tolerance, and Mesa's compiler,
 * for one, replaces 0 - x by -x. */
void compare_bits(const char *name, const float *got, const float *want, size_t count);

#endif
