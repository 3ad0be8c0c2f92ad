/* paths.h: checks the paths given as options: whether they can be written and do not overwrite one another. */
#ifndef TALLY_CLI_PATHS_H
#define TALLY_CLI_PATHS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct path_option {
    const char *name; /* the option's name, without dashes */
    const char *path; /* NULL: not given */
    bool written;
} path_option;

/* Errors are reported on stderr. Each returns TALLY_OK or the exit code. */

/* Checks that no file to be written is also named by another of the options, under whatever path. */
int paths_check_apart(const path_option *options, size_t count, const char *command);

/* Checks that a file can be renamed to the path of --out, so that this fails before training rather than after it. */
int paths_check_out(const char *path);

#endif
