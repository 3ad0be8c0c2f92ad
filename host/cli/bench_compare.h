/* bench_compare.h: comparison with an earlier run's measurements, written by 'tally bench --format json'. */
#ifndef TALLY_CLI_BENCH_COMPARE_H
#define TALLY_CLI_BENCH_COMPARE_H

#include <jansson.h>

#include "bench_measure.h"

typedef enum bench_digests { BENCH_NOT_COMPARED, BENCH_EQUAL, BENCH_DIFFERENT } bench_digests;

/* Returns TALLY_OK, and the caller decrefs *old, or TALLY_DATA or TALLY_IO, reported on stderr. */
int bench_compare_load(const char *path, json_t **old);

/* Milliseconds per step of the same workload, device and route in old; 0 if old does not have it. */
double bench_compare_speed(const json_t *old, const bench_line *line);

/* Compares the weights with those of all measurements in old that must have the same ones: those of the same
 * workload and version, on the exact route of a device with exact arithmetic. */
bench_digests bench_compare_digests(const json_t *old, const bench_line *line);

/* Whether the line was measured on the exact route with exact arithmetic, so that all such lines must have the same
 * weights. */
bool bench_is_exact(const bench_line *line);

#endif
