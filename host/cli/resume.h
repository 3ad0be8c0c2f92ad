/* resume.h: a run's recipe comes from its file, and what is said again must be what is there. */
#ifndef TALLY_CLI_RESUME_H
#define TALLY_CLI_RESUME_H

#include "options.h"
#include "recipe.h"
#include "shape.h"

/* What a file says of a run that is to go on. */
typedef struct resume {
    const char *path;
    recipe recipe; /* without its texts */
    shape shape;
} resume;

enum { RESUME_MAX_OPTIONS = 96 };

/* The options' values as the file has them, before the command line is parsed. */
typedef struct resume_values {
    char text[RESUME_MAX_OPTIONS][VALUE_TEXT_SIZE];
} resume_values;

/* Each says on stderr what is wrong and returns the exit code, or TALLY_OK. */

int resume_read(resume *r, const char *path);

void resume_remember(resume_values *values, const option *options);
/* An option that was given and would change the result is TALLY_USAGE. */
int resume_check_options(const resume *r, const resume_values *values, const option *options, const char *command);
/* now: with what its data have turned out to be. */
int resume_check_data(const resume *r, recipe *now);

#endif
