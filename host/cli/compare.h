/* compare.h: trains several cells in turn with the same options, and prints a table of the results and their
 * learning curves. */
#ifndef TALLY_CLI_COMPARE_H
#define TALLY_CLI_COMPARE_H

#include <stdio.h>
#include <tally/tally.h>

#include "options.h"
#include "report.h"

/* The result of a completed run. */
typedef struct compare_row {
    tally_cell cell;
    uint64_t elements; /* number of weights */
    size_t mistakes, tested;
    double seconds; /* of training */
} compare_row;

typedef struct compare {
    const char *list, *curves; /* the options' values; list is NULL if nothing is compared */
    tally_cell cells[TALLY_CELLS];
    size_t count;
    FILE *file; /* the file for curves, or NULL */
    int result; /* TALLY_IO once a line could not be written, which has been reported */
    compare_row rows[TALLY_CELLS];
    size_t whole;       /* completed rows */
    json_t *runs;       /* with --json: an object for each completed run */
    const char *cell;   /* the name of the cell being trained */
    char stopped[1024]; /* why the current run stopped early, or "" */
} compare;

/* Errors are reported on stderr. Each returns TALLY_OK or the exit code. */

/* Refuses options that cannot be combined with --compare. Call it before the options are parsed. */
int compare_check(const tally_setting *options, int argc, char **argv, const char *command);
/* Parses the list of cells. */
int compare_parse(compare *c, const char *command);
/* valid: there is a validation set. */
int compare_open(compare *c, bool valid, bool json);
/* Writes an epoch of the current cell. Losses are sums over train and valid (NULL if there is none). A line that
 * cannot be written does not end training. */
void compare_epoch(compare *c, const tally_progress *now, const tally_dataset *train, const tally_dataset *valid);
/* Adds the run of the current cell, which ended early if the report says so. */
int compare_add(compare *c, const report *r);
/* Prints the completed runs and closes the file. result is the exit code so far; returns it, or the status of a
 * failure here. */
int compare_close(compare *c, int result);

#endif
