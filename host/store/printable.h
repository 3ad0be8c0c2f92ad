/* printable.h: makes text from a file safe to print. */
#ifndef TALLY_STORE_PRINTABLE_H
#define TALLY_STORE_PRINTABLE_H

#include <string.h>

typedef struct tl_printable_text {
    char text[120];
} tl_printable_text;

/* The beginning of a text, or quotes if it is empty, with '?' for every byte that is not printable ASCII, so that a
 * file cannot send control sequences to a terminal. */
static inline tl_printable_text tl_printable(const char *text) {
    tl_printable_text shown = {""};
    if (!text[0])
        text = "\"\"";
    size_t length = strlen(text), room = sizeof shown.text - 1;
    for (size_t i = 0; i < length && i < room; i++)
        shown.text[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    if (length > room)
        memcpy(shown.text + room - 3, "...", 3);
    return shown;
}

#endif
