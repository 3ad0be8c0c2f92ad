/* fail.h: keeping the text of an error. */
#ifndef TALLY_CORE_FAIL_H
#define TALLY_CORE_FAIL_H

#include <tally/core.h>

/* Keeps the text for this thread and returns status, so that callers write: return tl_fail(TALLY_DATA, "...", ...). */
__attribute__((format(printf, 2, 3))) tally_status tl_fail(tally_status status, const char *format, ...);

/* How many texts this thread has kept: whether a function that is not the library's has left one. */
unsigned tl_failures(void);

/* Puts text in front of what is kept: for a caller that knows more (the file, the operation). Returns status. */
__attribute__((format(printf, 2, 3))) tally_status tl_fail_within(tally_status status, const char *format, ...);

#endif
