/* predict_file.h: classifies the sequences in a file. */
#ifndef TALLY_CLI_PREDICT_FILE_H
#define TALLY_CLI_PREDICT_FILE_H

#include <tally/tally.h>

#include "recipe.h"

typedef struct predicted_file {
    const char *idx, *npy; /* the file's path; one of them is NULL */
    const char *lengths;   /* path of the lengths for npy, or NULL */
    bool probabilities;    /* print those of all classes */
    bool json;
} predicted_file;

/* Prints a line per sequence, or the JSON object. r is the model's recipe. Returns the exit code. */
int predict_file(const tally_model *model, const recipe *r, const predicted_file *file);

#endif
