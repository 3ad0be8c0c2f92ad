/* predict_file.h: the classes of a file's sequences. */
#ifndef TALLY_CLI_PREDICT_FILE_H
#define TALLY_CLI_PREDICT_FILE_H

#include <tally/tally.h>

#include "recipe.h"

typedef struct predicted_file {
    const char *idx, *npy; /* one of them is its path */
    const char *lengths;   /* of an npy file: that of its lengths, or NULL */
    bool probabilities;    /* all of them */
    bool json;
} predicted_file;

/* Prints a line for each sequence, or the JSON object. r is the model's. The exit code. */
int predict_file(const tally_model *model, const recipe *r, const predicted_file *file);

#endif
