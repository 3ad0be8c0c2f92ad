#include "lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void lines_start(lines *l, int fd) {
    l->fd = fd;
    l->start = l->end = l->number = 0;
    l->ended = false;
}

bool lines_next(lines *l, const char **text, size_t *length) {
    size_t here = l->end - l->start;
    if (here == 0)
        return false;
    const char *begin = l->buffer + l->start;
    const char *newline = memchr(begin, '\n', here);
    if (newline == NULL && !l->ended)
        return false;
    size_t taken = newline != NULL ? (size_t)(newline - begin) : here;
    l->start += newline != NULL ? taken + 1 : taken;
    l->number++;
    *text = begin;
    *length = taken > 0 && begin[taken - 1] == '\r' ? taken - 1 : taken;
    return true;
}

lines_state lines_wait(lines *l) {
    if (l->ended)
        return LINES_END;
    memmove(l->buffer, l->buffer + l->start, l->end - l->start);
    l->end -= l->start;
    l->start = 0;
    if (l->end == LINES_SIZE)
        return LINES_TOO_LONG;
    ssize_t got;
    do
        got = read(l->fd, l->buffer + l->end, LINES_SIZE - l->end);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return LINES_FAILED;
    l->ended = got == 0;
    l->end += (size_t)got;
    return LINES_MORE; /* the last line need not end with a newline */
}
