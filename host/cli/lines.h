/* lines.h: lines of a file descriptor as they come: those that are here are answered before others are waited for. */
#ifndef TALLY_CLI_LINES_H
#define TALLY_CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>

enum { LINES_SIZE = 1 << 16 };

typedef struct lines {
    int fd;
    char buffer[LINES_SIZE];
    size_t start, end; /* of what is not taken yet */
    size_t number;     /* of the line taken last, from 1 */
    bool ended;
} lines;

void lines_start(lines *l, int fd);

/* Takes the next line that is already here, without its end (LF or CR LF); valid until lines_wait. False: none is. */
bool lines_take(lines *l, const char **text, size_t *length);

typedef enum lines_state { LINES_MORE, LINES_END, LINES_TOO_LONG, LINES_FAILED /* errno says why */ } lines_state;

/* Waits for more. */
lines_state lines_wait(lines *l);

#endif
