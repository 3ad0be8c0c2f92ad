/* resume.h: a run's recipe comes from its file, and what is said again must be what is there. */
#ifndef TALLY_CLI_RESUME_H
#define TALLY_CLI_RESUME_H

#include "train_run.h"

/* Each says on stderr what is wrong and returns the exit code, or TALLY_OK. */

/* What a file says of a run that is to go on, without its texts. */
int resume_read(recipe *r, const char *path);

/* The arguments before the command line was parsed, as the file has them, and now. An option that was given and would
 * change the result is TALLY_USAGE. */
int resume_check_options(const train_arguments *before, const train_arguments *now, const tally_setting *options);
/* now: with what its data have turned out to be. */
int resume_check_data(const recipe *before, const recipe *now, const char *path);

#endif
