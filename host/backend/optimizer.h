/* optimizer.h: what a backend and a file have to know of an optimizer. */
#ifndef TALLY_BACKEND_OPTIMIZER_H
#define TALLY_BACKEND_OPTIMIZER_H

#include "optimizers.h"

#include <tally/optimizer.h>

/* One step of an optimizer. */
typedef struct tl_update {
    tl_rule rule;
    size_t states;                  /* how many the rule has */
    double scalars[TL_MAX_SCALARS]; /* what it reads besides, before it is rounded */
} tl_update;

/* options are right; see tally_optimizer_check. */
tl_update tl_update_of(const tally_optimizer_options *options, uint64_t step);
/* Its scalars as rules read them. */
void tl_update_floats(const tl_update *update, float scalars[TL_MAX_SCALARS]);

/* Whether a state is a sum or a mean of squares, and so never below 0. */
bool tl_optimizer_squares(tally_optimizer kind, size_t state);

#endif
