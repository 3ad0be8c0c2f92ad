/* bench_report.h: prints measurements on stdout, as a table, CSV or JSON. */
#ifndef TALLY_CLI_BENCH_REPORT_H
#define TALLY_CLI_BENCH_REPORT_H

#include "bench_compare.h"

typedef enum bench_format { BENCH_TABLE, BENCH_CSV, BENCH_JSON } bench_format;

/* The names of the formats, terminated by NULL. */
extern const char *const bench_formats[];

typedef struct bench_report {
    bench_format format;
    const json_t *old; /* the earlier run, or NULL without --compare */
    bool sweep;
    const bench_line *lines; /* completed measurements */
    size_t count;
} bench_report;

/* Prints the last line, and the header before the first one; JSON is printed by bench_report_end. Returns TALLY_OK,
 * or an error's status, reported on stderr. */
int bench_report_line(const bench_report *r);

/* Prints the devices and digests, or everything as JSON. Returns TALLY_OK or TALLY_MEMORY, reported on stderr. */
int bench_report_end(const bench_report *r);

/* Whether weights or mistakes differ where they must be the same, among the lines or from the earlier run. */
bool bench_report_differs(const bench_report *r);

#endif
