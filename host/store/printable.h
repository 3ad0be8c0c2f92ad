/* printable.h: text from a file, made safe to show. */
#ifndef TALLY_STORE_PRINTABLE_H
#define TALLY_STORE_PRINTABLE_H

#include <string.h>

typedef struct tl_printable_text {
    char text[120];
} tl_printable_text;

/* Its start, or "" in quotes, with a '?' for each byte that is not printable ASCII: no file sends control sequences to
 * a terminal. */
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
