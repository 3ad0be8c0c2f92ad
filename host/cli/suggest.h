/* suggest.h: the name that was probably meant. */
#ifndef TALLY_CLI_SUGGEST_H
#define TALLY_CLI_SUGGEST_H

#include <stddef.h>

typedef struct suggest {
    const char *wrong;
    const char *nearest; /* NULL: nothing is near */
    size_t distance;
} suggest;

void suggest_start(suggest *s, const char *wrong);
/* Offers a right name, which must stay valid; the first of equally near ones stays. */
void suggest_offer(suggest *s, const char *name);

#endif
