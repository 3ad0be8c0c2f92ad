/* suggest.h: suggests the name that was probably meant. */
#ifndef TALLY_CLI_SUGGEST_H
#define TALLY_CLI_SUGGEST_H

#include <stddef.h>

typedef struct suggest {
    const char *wrong;
    const char *nearest; /* NULL: none is similar */
    size_t distance;
} suggest;

void suggest_start(suggest *s, const char *wrong);
/* Considers a valid name, which must remain allocated; of equally similar names the first wins. */
void suggest_offer(suggest *s, const char *name);

#endif
