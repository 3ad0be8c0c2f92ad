/* report.h: prints the outcome of train and eval on stdout, for people or as JSON. */
#ifndef TALLY_CLI_REPORT_H
#define TALLY_CLI_REPORT_H

#include <tally/tally.h>

#include "recipe.h"

typedef struct report {
    recipe *recipe;
    const tally_model *model; /* on the device in use */
    bool trained;             /* by this command; otherwise loaded */
    const char *digest;
    tally_test_result test; /* with its arrays; all 0 if the test set is empty */
    bool tested;            /* the test was completed */
    const char *file;       /* the model's path; NULL: not saved */
    const char *stopped;    /* why training or testing ended early, or NULL */
    const char *example;    /* task count: a string of the test set, or NULL */
    const float *probabilities;
} report;

/* TALLY_OK or an error's status, reported on stderr. */
int report_print(const report *r);
int report_print_json(const report *r);

/* Prints what was trained and the results, as far as they are known. */
void report_print_training(const report *r);

/* The object that report_print_json() prints; NULL if out of memory. */
json_t *report_json(const report *r);

/* Prints and frees a JSON object. TALLY_MEMORY, reported on stderr, for NULL, which stands for an object that could
 * not be built. */
int report_dump_json(json_t *object);

/* The total number of elements of all parameters. */
uint64_t report_elements(const tally_model *model);

/* Prints probabilities in the format of the guide. */
void report_print_probabilities(const float *probabilities, size_t count);

/* An array of probabilities; NULL if out of memory. */
json_t *report_json_probabilities(const float *probabilities, size_t count);

/* The index of the largest probability, the first of several. */
size_t report_most_probable(const float *probabilities, size_t count);

#endif
