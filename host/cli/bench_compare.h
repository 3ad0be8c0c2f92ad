/* bench_compare.h: measurements beside those of an earlier run, which 'tally bench --format json' wrote. */
#ifndef TALLY_CLI_BENCH_COMPARE_H
#define TALLY_CLI_BENCH_COMPARE_H

#include <jansson.h>

#include "bench_measure.h"

typedef enum bench_digests { BENCH_NOT_COMPARED, BENCH_EQUAL, BENCH_DIFFERENT } bench_digests;

/* TALLY_OK, and the caller decrefs *old; or TALLY_DATA or TALLY_IO, said on stderr. */
int bench_compare_load(const char *path, json_t **old);

/* Ms a step of the same workload, device and route in old; 0 if it is not there. */
double bench_compare_speed(const json_t *old, const bench_line *line);

/* Against every old measurement that must have the same weights: of the same workload and version, on the exact route of a device
 * whose arithmetic is exact. */
bench_digests bench_compare_digests(const json_t *old, const bench_line *line);

/* Whether the line is one whose weights must be those of all others like it. */
bool bench_is_exact(const bench_line *line);

#endif
