/* bench_report.h: measurements on stdout, as a table for people, as CSV or as JSON. */
#ifndef TALLY_CLI_BENCH_REPORT_H
#define TALLY_CLI_BENCH_REPORT_H

#include "bench_compare.h"

typedef enum bench_format { BENCH_TABLE, BENCH_CSV, BENCH_JSON } bench_format;

/* The names of formats, NULL at the end. */
extern const char *const bench_formats[];

typedef struct bench_report {
    bench_format format;
    const json_t *old; /* of --compare; NULL without it */
    bool sweep;
    const bench_line *lines; /* that are done */
    size_t count;
} bench_report;

/* The last of the lines; the first one brings the header. Nothing as JSON. TALLY_OK, or why not, said on stderr. */
int bench_report_line(const bench_report *r);

/* What is said once: devices and digests; all as JSON. TALLY_OK, or TALLY_MEMORY, said on stderr. */
int bench_report_end(const bench_report *r);

/* Whether weights, or mistakes, are not the same where they must be: among the lines or beside the old ones. */
bool bench_report_differs(const bench_report *r);

#endif
