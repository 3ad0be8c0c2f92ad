/* format.h: formats numbers and texts for people. */
#ifndef TALLY_CLI_FORMAT_H
#define TALLY_CLI_FORMAT_H

#include <stdint.h>

typedef struct formatted {
    char text[32];
} formatted;

/* 1,038,576 */
formatted format_whole(uint64_t number);
/* 45s, 2m31s, 1h02m, 3d04h */
formatted format_duration(double seconds);
/* a share of 1, such as "0.04506 %" */
formatted format_percent(double share);

typedef struct printable {
    char text[120];
} printable;

/* The beginning of a text, with '?' for every byte that is not printable ASCII, so that a file cannot send control
 * sequences to a terminal. */
printable format_printable(const char *text);

/* Prints a text on stdout, wrapped at width and indented, except that the caller has already indented the first
 * line. */
void format_print_wrapped(const char *text, int indent, int width);

#endif
