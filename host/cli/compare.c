#include "compare.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "format.h"

int compare_check(const tally_setting *options, int argc, char **argv, const char *command) {
    static const struct {
        const char *name, *why;
    } alone[] = {
        {"cell", "it says which cells there are"}, {"out", "no model is saved"},
        {"save-every", "no model is saved"},       {"resume", "it trains from the beginning"},
        {"log", "--curves FILE has all epochs"},
    };
    bool compared = options_value(options, argc, argv, "compare") != NULL;
    if (!compared && options_value(options, argc, argv, "curves") != NULL)
        return command_misused(command, "option --curves: it needs --compare");
    for (size_t i = 0; compared && i < sizeof alone / sizeof *alone; i++)
        if (options_value(options, argc, argv, alone[i].name) != NULL)
            return command_misused(command, "option --%s: cannot be combined with --compare: %s", alone[i].name,
                                   alone[i].why);
    return TALLY_OK;
}

static int add_cell_by_name(compare *c, const char *name, size_t length, const char *command) {
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        const char *known = tally_cell_name((tally_cell)cell);
        if (strlen(known) != length || memcmp(known, name, length) != 0)
            continue;
        for (size_t i = 0; i < c->count; i++)
            if (c->cells[i] == (tally_cell)cell)
                return command_misused(command, "option --compare: %s is listed twice", known);
        c->cells[c->count++] = (tally_cell)cell;
        return TALLY_OK;
    }
    char known[TALLY_SETTING_TEXT_SIZE];
    tally_setting_describe_range(settings_find("cell"), known);
    return command_misused(command, "option --compare: '%.*s' is not %s", (int)length, name, known);
}

int compare_parse(compare *c, const char *command) {
    int result = TALLY_OK;
    const char *at = c->list;
    for (bool more = true; more && result == TALLY_OK;) {
        size_t length = strcspn(at, ",");
        result = add_cell_by_name(c, at, length, command);
        more = at[length] == ',';
        at += length + more;
    }
    return result;
}

static void report_lost_curves(compare *c) {
    if (c->result == TALLY_OK)
        c->result = command_fail(TALLY_IO, "--curves %s: %s", c->curves, strerror(errno));
}

int compare_open(compare *c, bool valid, bool json) {
    if (json) {
        c->runs = json_array();
        if (c->runs == NULL)
            return command_fail(TALLY_MEMORY, "no memory left for the JSON object");
    }
    if (c->curves == NULL)
        return TALLY_OK;
    c->file = fopen(c->curves, "we");
    if (c->file == NULL)
        return command_fail(TALLY_IO, "--curves %s: %s", c->curves, strerror(errno));
    setvbuf(c->file, NULL, _IOLBF, BUFSIZ);
    errno = 0;
    if (fprintf(c->file, "cell,epoch,steps,loss,learning_rate%s\n", valid ? ",valid_loss,valid_mistakes" : "") < 0)
        report_lost_curves(c);
    return TALLY_OK;
}

/* The shortest text that reads back exactly; "" if the number is not finite. */
static const char *format_real(double number, char text[TALLY_SETTING_TEXT_SIZE]) {
    static const tally_setting setting = {.type = TALLY_SETTING_REAL};
    return isfinite(number) ? tally_setting_format(&setting, &number, text) : "";
}

void compare_epoch(compare *c, const tally_progress *now, const tally_dataset *train, const tally_dataset *valid) {
    char loss[TALLY_SETTING_TEXT_SIZE], rate[TALLY_SETTING_TEXT_SIZE], held_out[TALLY_SETTING_TEXT_SIZE];
    if (c->file == NULL)
        return;
    errno = 0;
    int written = fprintf(c->file, "%s,%zu,%zu,%s,%s", c->cell, now->epoch, now->step,
                          format_real(now->epoch_loss / (double)train->size, loss), format_real(now->rate, rate));
    if (written >= 0 && valid != NULL)
        written = fprintf(c->file, ",%s,%zu", format_real(now->valid_loss / (double)valid->size, held_out),
                          now->valid_mistakes);
    if (written < 0 || fputc('\n', c->file) == EOF)
        report_lost_curves(c);
}

int compare_add(compare *c, const report *r) {
    if (r->stopped != NULL) {
        snprintf(c->stopped, sizeof c->stopped, "%s", r->stopped);
        return TALLY_OK;
    }
    if (!r->tested)
        return TALLY_OK;
    c->rows[c->whole++] = (compare_row){.cell = tally_model_get_config(r->model)->cell,
                                        .elements = report_elements(r->model),
                                        .mistakes = r->test.mistakes,
                                        .tested = r->test.tested,
                                        .seconds = r->recipe->train_seconds};
    if (c->runs != NULL && json_array_append_new(c->runs, report_json(r)) != 0)
        return command_fail(TALLY_MEMORY, "no memory left for the JSON object");
    return TALLY_OK;
}

static void print_comparison(const compare *c) {
    printf("%-4s %12s %12s %10s %10s\n", "cell", "parameters", "test error", "mistakes", "seconds");
    for (size_t i = 0; i < c->whole; i++) {
        const compare_row *row = &c->rows[i];
        formatted error = {"none"};
        if (row->tested > 0)
            error = format_percent((double)row->mistakes / (double)row->tested);
        printf("%-4s %12s %12s %10s %10.1f\n", tally_cell_name(row->cell), format_whole(row->elements).text, error.text,
               format_whole(row->mistakes).text, row->seconds);
    }
    if (c->stopped[0] != '\0')
        printf("\nStopped in %s: %s\n", c->cell, c->stopped);
}

static int print_comparison_json(compare *c) {
    json_t *stopped = c->stopped[0] != '\0' ? value_json_text(c->stopped) : json_null();
    int result = report_dump_json(json_pack("{s:o, s:o}", "runs", c->runs, "stopped", stopped));
    c->runs = NULL;
    return result;
}

int compare_close(compare *c, int result) {
    errno = 0;
    if (c->file != NULL && fclose(c->file) != 0)
        report_lost_curves(c);
    c->file = NULL;
    if (result != TALLY_OK && c->whole > 0 && c->stopped[0] == '\0') /* it failed before its first step */
        snprintf(c->stopped, sizeof c->stopped, "it failed");
    if (result == TALLY_OK || c->whole > 0 || c->stopped[0] != '\0') {
        int printed = TALLY_OK;
        if (c->runs != NULL)
            printed = print_comparison_json(c);
        else
            print_comparison(c);
        result = result != TALLY_OK ? result : printed;
    }
    json_decref(c->runs);
    c->runs = NULL;
    return result != TALLY_OK ? result : c->result;
}
