/* report.h: the outcome of train and eval on stdout, for people or as JSON. */
#ifndef TALLY_CLI_REPORT_H
#define TALLY_CLI_REPORT_H

#include <tally/tally.h>

#include "recipe.h"

typedef struct report {
    recipe *recipe;
    const tally_model *model; /* on the device that did the work */
    bool trained;             /* by this command, on that device */
    const char *digest;
    tally_test_result test; /* with its arrays, or none tested */
    bool tested;            /* false: testing was not done to the end */
    const char *file;       /* where the model is; NULL: not saved */
    const char *stopped;    /* why before its time, or NULL */
    const char *example;    /* of count: one of the test strings, or NULL */
    const float *probabilities;
} report;

/* TALLY_OK or what went wrong, said on stderr. */
int report_print(const report *r);
int report_print_json(const report *r);

/* The lines on what was trained and how it went, as far as that is known. */
void report_print_training(const report *r);

/* What report_print_json() prints; NULL without memory. */
json_t *report_json(const report *r);

/* Prints a JSON object, which it takes over; NULL, for one that could not be built, is TALLY_MEMORY. */
int report_dump_json(json_t *object);

/* Of all parameters. */
uint64_t report_elements(const tally_model *model);

/* The way the guide prints a softmax. */
void report_print_probabilities(const float *probabilities, size_t count);

/* Probabilities as an array; NULL without memory. */
json_t *report_json_probabilities(const float *probabilities, size_t count);

/* The first of the largest. */
size_t report_most_probable(const float *probabilities, size_t count);

#endif
