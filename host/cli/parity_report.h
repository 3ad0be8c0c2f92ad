/* parity_report.h: prints the results of the parity checks on stdout, for people or as JSON. */
#ifndef TALLY_CLI_PARITY_REPORT_H
#define TALLY_CLI_PARITY_REPORT_H

#include <tally/parity.h>

/* The checks of a device on one route. */
typedef struct parity_run {
    tally_device_info device;
    tally_route route;
    bool opened;
    char inexact[256];        /* tally_device_inexact(), once it is opened */
    tally_parity_line *lines; /* of the completed checks */
    size_t count;
    tally_parity_verdict verdict; /* the worst of them; also broken if the run failed */
    bool stopped;                 /* by a signal before its end */
    const char *operation;        /* the check that was running last; NULL: none */
    tally_status status;          /* of tally_parity_run */
    char error[1024];             /* its text, or "" */
    double seconds;
} parity_run;

typedef struct parity_report {
    tally_parity_options options;
    const parity_run *runs;
    size_t count;
    bool stopped; /* during the last run */
    bool verbose;
} parity_report;

/* Prints a run: a line per operation, the verdict, and every failure in full. */
void parity_report_run(const parity_report *r, const parity_run *run);

/* Prints the verdicts of all runs. */
void parity_report_summary(const parity_report *r);

/* Returns TALLY_OK, or TALLY_MEMORY, reported on stderr. */
int parity_report_json(const parity_report *r);

#endif
