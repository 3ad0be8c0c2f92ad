/* compare.h: cells trained one after another with the same options: a table of how each did, and their curves. */
#ifndef TALLY_CLI_COMPARE_H
#define TALLY_CLI_COMPARE_H

#include <stdio.h>
#include <tally/tally.h>

#include "options.h"
#include "report.h"

/* Of a run that came to its end. */
typedef struct compare_row {
    tally_cell cell;
    uint64_t elements; /* of its parameters */
    size_t mistakes, tested;
    double seconds; /* of training */
} compare_row;

typedef struct compare {
    const char *list, *curves; /* as the options say; list is NULL where nothing is compared */
    tally_cell cells[TALLY_CELLS];
    size_t count;
    FILE *file; /* of curves, or NULL */
    int result; /* TALLY_IO once a line was lost, which has been said on stderr */
    compare_row rows[TALLY_CELLS];
    size_t whole;       /* rows there are */
    json_t *runs;       /* an object each, with JSON */
    const char *cell;   /* the name of the one that is on */
    char stopped[1024]; /* why that one was, or "" */
} compare;

/* Each says on stderr what is wrong and returns the exit code, or TALLY_OK. */

/* Before options are parsed: those that do not go together. */
int compare_check(const tally_setting *options, int argc, char **argv, const char *command);
/* Reads the list. */
int compare_parse(compare *c, const char *command);
/* valid: something is held out. */
int compare_open(compare *c, bool valid, bool json);
/* An epoch of the cell that is on; train and valid (NULL: none) are what losses were summed over. A line that cannot be
 * written does not end training. */
void compare_epoch(compare *c, const tally_progress *now, const tally_dataset *train, const tally_dataset *valid);
/* The cell that is on has ended; before its end if the report says so. */
int compare_add(compare *c, const report *r);
/* Prints what is whole, and closes. result: the exit code so far; returns it, or what went wrong here. */
int compare_close(compare *c, int result);

#endif
