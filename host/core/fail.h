/* fail.h: stores error texts. */
#ifndef TALLY_CORE_FAIL_H
#define TALLY_CORE_FAIL_H

#include <tally/core.h>

/* Stores the calling thread's error text and returns status: return tl_fail(TALLY_DATA, "...", ...). */
__attribute__((format(printf, 2, 3))) tally_status tl_fail(tally_status status, const char *format, ...);

/* How often this thread has stored a text, to find out whether a function outside the library has caused one. */
unsigned tl_failures(void);

/* Prepends text to the stored one, for callers that know more, such as the name of a file or operation. Returns
 * status. */
__attribute__((format(printf, 2, 3))) tally_status tl_fail_within(tally_status status, const char *format, ...);

#endif
