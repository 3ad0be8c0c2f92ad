/* resume.h: resuming a run: its recipe is read from the file, and options given again must agree with it. */
#ifndef TALLY_CLI_RESUME_H
#define TALLY_CLI_RESUME_H

#include "train_run.h"

/* Errors are reported on stderr. Each returns TALLY_OK or the exit code. */

/* Reads the recipe of a run to be resumed, without its texts. */
int resume_read(recipe *r, const char *path);

/* Compares the arguments read from the file with those after the command line was parsed. TALLY_USAGE: an option
 * that would change the result was given with another value. */
int resume_check_options(const train_arguments *before, const train_arguments *now, const tally_setting *options);
/* now includes what was found in the data. */
int resume_check_data(const recipe *before, const recipe *now, const char *path);

#endif
