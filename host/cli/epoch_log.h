/* epoch_log.h: a log file with one line of JSON per epoch, written while training runs. */
#ifndef TALLY_CLI_EPOCH_LOG_H
#define TALLY_CLI_EPOCH_LOG_H

#include <stdbool.h>
#include <stdio.h>
#include <tally/tally.h>

typedef struct epoch_log {
    const char *path; /* NULL: no log */
    FILE *file;
    size_t trained, valid; /* number of training and of validation sequences; valid is 0 if there are none */
    int result;            /* TALLY_IO once a line could not be written, which has been reported */
} epoch_log;

/* path may be NULL. Errors are reported on stderr. A log that cannot be written does not end training. */
int epoch_log_open(epoch_log *log, const char *path, bool append);
void epoch_log_write(epoch_log *log, const tally_progress *now);
int epoch_log_close(epoch_log *log);

#endif
