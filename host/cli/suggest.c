#include "suggest.h"

#include <string.h>

enum { LONGEST = 32 };

/* Levenshtein distance. Names longer than LONGEST are treated as very distant. */
static size_t edit_distance(const char *a, const char *b) {
    size_t la = strlen(a), lb = strlen(b);
    if (la > LONGEST || lb > LONGEST)
        return LONGEST;
    size_t row[LONGEST + 1];
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[lb];
}

void suggest_start(suggest *s, const char *wrong) {
    size_t length = strlen(wrong);
    /* Up to a third of the letters, but at least two, may be wrong. */
    *s = (suggest){.wrong = wrong, .nearest = NULL, .distance = (length < 6 ? 2 : length / 3) + 1};
}

void suggest_offer(suggest *s, const char *name) {
    size_t length = strlen(s->wrong);
    /* A prefix of a name always matches it. */
    size_t d = length > 0 && strncmp(name, s->wrong, length) == 0 ? 1 : edit_distance(s->wrong, name);
    if (d < s->distance && d < strlen(name)) {
        s->distance = d;
        s->nearest = name;
    }
}
