#include "format.h"

#include <stdio.h>
#include <string.h>

formatted format_whole(uint64_t number) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    formatted f;
    char *to = f.text;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return f;
}

formatted format_duration(double seconds) {
    enum { MINUTE = 60, HOUR = 60 * MINUTE, DAY = 24 * HOUR };
    formatted f;
    if (!(seconds < 1e9)) {
        snprintf(f.text, sizeof f.text, "years");
        return f;
    }
    unsigned long s = (unsigned long)(seconds + 0.5);
    if (s < MINUTE)
        snprintf(f.text, sizeof f.text, "%lus", s);
    else if (s < HOUR)
        snprintf(f.text, sizeof f.text, "%lum%02lus", s / MINUTE, s % MINUTE);
    else if (s < DAY)
        snprintf(f.text, sizeof f.text, "%luh%02lum", s / HOUR, s % HOUR / MINUTE);
    else
        snprintf(f.text, sizeof f.text, "%lud%02luh", s / DAY, s % DAY / HOUR);
    return f;
}

formatted format_percent(double share) {
    formatted f;
    snprintf(f.text, sizeof f.text, "%.4g %%", 100 * share);
    return f;
}

printable format_printable(const char *text) {
    printable p;
    snprintf(p.text, sizeof p.text, "%s", text);
    for (char *c = p.text; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return p;
}

void format_print_wrapped(const char *text, int indent, int width) {
    int column = indent;
    while (*text != '\0') {
        int length = (int)strcspn(text, " ");
        if (column > indent && column + 1 + length > width) {
            printf("\n%*s", indent, "");
            column = indent;
        }
        column += printf("%s%.*s", column > indent ? " " : "", length, text);
        text += length;
        text += *text == ' ';
    }
    putchar('\n');
}
