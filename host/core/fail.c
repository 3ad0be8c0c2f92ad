#include "core/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifndef TALLY_VERSION
#error "the build defines TALLY_VERSION"
#endif

/* Long enough for the beginning of a driver's build log. */
enum { TEXT_SIZE = 4096 };
static _Thread_local char text[TEXT_SIZE];
static _Thread_local unsigned failures;

const char *tally_error_text(void) {
    return text;
}

const char *tally_version(void) {
    return TALLY_VERSION;
}

tally_status tl_fail(tally_status status, const char *format, ...) {
    char next[TEXT_SIZE]; /* an argument may be the stored text itself */
    va_list args;
    va_start(args, format);
    vsnprintf(next, sizeof next, format, args);
    va_end(args);
    memcpy(text, next, sizeof text);
    failures++;
    return status;
}

unsigned tl_failures(void) {
    return failures;
}

tally_status tl_fail_within(tally_status status, const char *format, ...) {
    char next[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    int used = vsnprintf(next, sizeof next, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used < sizeof next)
        snprintf(next + used, sizeof next - (size_t)used, "%s", text);
    memcpy(text, next, sizeof text);
    return status;
}
