#include "epoch_log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "value.h"

int epoch_log_open(epoch_log *log, const char *path, bool append) {
    *log = (epoch_log){.path = path};
    if (path == NULL)
        return TALLY_OK;
    log->file = fopen(path, append ? "ae" : "we");
    if (log->file == NULL)
        return command_fail(TALLY_IO, "--log %s: %s", path, strerror(errno));
    setvbuf(log->file, NULL, _IOLBF, BUFSIZ);
    return TALLY_OK;
}

static void report_lost_log(epoch_log *log, int status, const char *why) {
    if (log->result == TALLY_OK)
        log->result = command_fail(status, "--log %s: %s", log->path, why);
}

/* NULL if out of memory. */
static json_t *epoch_json(const epoch_log *log, const tally_progress *now) {
    json_t *line =
        json_pack("{s:I, s:I, s:o, s:o}", "epoch", (json_int_t)now->epoch, "steps", (json_int_t)now->step, "loss",
                  value_json_real(now->epoch_loss / (double)log->trained), "learning_rate", value_json_real(now->rate));
    bool failed = line == NULL;
    if (log->valid > 0 && !failed)
        failed = json_object_set_new(line, "valid_loss", value_json_real(now->valid_loss / (double)log->valid)) != 0 ||
                 json_object_set_new(line, "valid_mistakes", json_integer((json_int_t)now->valid_mistakes)) != 0 ||
                 json_object_set_new(line, "valid_tested", json_integer((json_int_t)log->valid)) != 0;
    if (now->norm == now->norm && !failed)
        failed = json_object_set_new(line, "gradient_norm", value_json_real(now->norm)) != 0;
    if (!failed && json_object_set_new(line, "seconds", value_json_real(now->seconds)) == 0)
        return line;
    json_decref(line);
    return NULL;
}

void epoch_log_write(epoch_log *log, const tally_progress *now) {
    if (log->file == NULL)
        return;
    json_t *line = epoch_json(log, now);
    char *text = line != NULL ? json_dumps(line, JSON_COMPACT) : NULL;
    errno = 0;
    if (text == NULL)
        report_lost_log(log, TALLY_MEMORY, "no memory left for a line");
    else if (fprintf(log->file, "%s\n", text) < 0)
        report_lost_log(log, TALLY_IO, strerror(errno));
    free(text);
    json_decref(line);
}

int epoch_log_close(epoch_log *log) {
    if (log->file != NULL && fclose(log->file) != 0)
        report_lost_log(log, TALLY_IO, strerror(errno));
    log->file = NULL;
    return log->result;
}
