/* parity_report.h: what the parity checks found, on stdout, for people or as JSON. */
#ifndef TALLY_CLI_PARITY_REPORT_H
#define TALLY_CLI_PARITY_REPORT_H

#include <tally/parity.h>

/* A device on a route. */
typedef struct parity_run {
    tally_device_info device;
    tally_route route;
    bool opened;
    char inexact[256];        /* of an opened one: what tally_device_inexact says */
    tally_parity_line *lines; /* of the checks that are done */
    size_t count;
    tally_parity_verdict verdict; /* the worst of them; broken if it failed, too */
    bool stopped;                 /* before the last one, by a signal */
    const char *operation;        /* the check that was on last; NULL: none was */
    tally_status status;          /* what it failed with */
    char error[1024];             /* and in words, or "" */
    double seconds;
} parity_run;

typedef struct parity_report {
    tally_parity_options options;
    const parity_run *runs;
    size_t count;
    bool stopped; /* before the last run's end */
    bool verbose;
} parity_report;

/* One run: a line for each operation, the verdict, and every failure in full. */
void parity_report_run(const parity_report *r, const parity_run *run);

/* The verdicts of all runs together. */
void parity_report_summary(const parity_report *r);

/* TALLY_OK, or TALLY_MEMORY, said on stderr. */
int parity_report_json(const parity_report *r);

#endif
