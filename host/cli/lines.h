/* lines.h: reads lines from a file descriptor. Lines that have arrived can be processed before the next read blocks. */
#ifndef TALLY_CLI_LINES_H
#define TALLY_CLI_LINES_H

#include <stdbool.h>
#include <stddef.h>

enum { LINES_SIZE = 1 << 16 };

typedef struct lines {
    int fd;
    char buffer[LINES_SIZE];
    size_t start, end; /* of the bytes not yet returned */
    size_t number;     /* of the line returned last, counting from 1 */
    bool ended;
} lines;

void lines_start(lines *l, int fd);

/* Returns the next line that has arrived, without its LF or CR LF; valid until lines_wait. False if there is none. */
bool lines_next(lines *l, const char **text, size_t *length);

typedef enum lines_state { LINES_MORE, LINES_END, LINES_TOO_LONG, LINES_FAILED /* errno says why */ } lines_state;

/* Waits for more input. */
lines_state lines_wait(lines *l);

#endif
