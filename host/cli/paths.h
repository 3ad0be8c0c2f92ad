/* paths.h: files that options name: whether they can be written, and are not written over one another. */
#ifndef TALLY_CLI_PATHS_H
#define TALLY_CLI_PATHS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct path_option {
    const char *name; /* of the option, without the dashes */
    const char *path; /* NULL: not given */
    bool written;
} path_option;

/* Each returns the exit code, said on stderr, or TALLY_OK. */

/* That no file is written which another of the options names, by this path or by another one. */
int paths_check_apart(const path_option *options, size_t count, const char *command);

/* That --out can be renamed into place: fails now rather than when training is over. */
int paths_check_out(const char *path);

#endif
