/* schedule.h: how a run of training goes, is kept, and goes on: the options of it. */
#ifndef TALLY_CLI_SCHEDULE_H
#define TALLY_CLI_SCHEDULE_H

#include "options.h"
#include "recipe.h"

typedef struct schedule {
    uint64_t save_every; /* epochs; 0: at the end only */
    bool weights_only;
    const char *resume; /* the file to go on from, or NULL */
    const char *log;    /* or NULL */
} schedule;

enum { SCHEDULE_OPTIONS = 8 };

/* How many. */
size_t schedule_options(schedule *s, const value values[RECIPE_FIELDS], option *options);

#endif
