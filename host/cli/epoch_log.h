/* epoch_log.h: a file with one JSON object an epoch, a line each, to be followed while training is on. */
#ifndef TALLY_CLI_EPOCH_LOG_H
#define TALLY_CLI_EPOCH_LOG_H

#include <stdbool.h>
#include <stdio.h>
#include <tally/tally.h>

typedef struct epoch_log {
    const char *path; /* NULL: there is none */
    FILE *file;
    size_t trained, valid; /* sequences; of valid, 0 if none */
    int result;            /* TALLY_IO once a line was lost, which has been said on stderr */
} epoch_log;

/* path may be NULL. Each says on stderr what is wrong; a log that fails does not end training. */
int epoch_log_open(epoch_log *log, const char *path, bool append);
void epoch_log_write(epoch_log *log, const tally_progress *now);
int epoch_log_close(epoch_log *log);

#endif
