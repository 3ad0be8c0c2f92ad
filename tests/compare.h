/* compare.h: results against what they must be. Every function fails the test, naming the case, the tensor and the element. */
#ifndef TALLY_TESTS_COMPARE_H
#define TALLY_TESTS_COMPARE_H

#include "parity/bounded.h"

#include <stddef.h>

/* |got - want| <= bound; a NaN or an infinity exactly where want has it. */
void compare_within(const char *name, const float *got, const double *want, const double *bound, size_t count);
/* The same for one of them, of [.., ..] or [.., .., ..] at these places: a tl_element_check. */
void compare_bounded(void *context, const char *name, const size_t place[3], float got, tl_bounded want);
/* The same bits, any NaN being equal to any other: their payload is nobody's contract. On a device that flushes denormals, zeros of either
 * sign are equal, too: it is within tolerance only, and Mesa's compiler takes 0 - x for -x, for one. */
void compare_bits(const char *name, const float *got, const float *want, size_t count);

#endif
