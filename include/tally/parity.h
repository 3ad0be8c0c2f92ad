/* parity.h: compares a device with the C path and with double precision, operation by operation and over training
 * runs.
 *
 * Every check consists of numbered cases. A case's shape, values and everything else follow from its number and the
 * seed, so that a single case can be run again. An operation's error against double precision is compared with a
 * bound derived from its arithmetic, not with a tolerance. On the exact route the bits are compared with the C
 * path's as well. If the bits of a training run may differ, its losses and weights have to stay within the band that
 * the C path's own runs span when their initial weights are slightly perturbed.
 */
#ifndef TALLY_PARITY_H
#define TALLY_PARITY_H

#include <tally/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/* From best to worst. */
typedef enum tally_parity_verdict {
    TALLY_PARITY_EXACT, /* the C path's bits in every case */
    /* different bits, permitted with CLBlast or inexact arithmetic, and no error beyond its bound */
    TALLY_PARITY_WITHIN_BOUND,
    TALLY_PARITY_BROKEN /* an error beyond its bound, or different bits where they must be the same */
} tally_parity_verdict;

typedef struct tally_parity_options {
    const char *operation; /* the name of one check, or "name/case" for one of its cases; NULL: every check */
    uint64_t seed;
    size_t steps;    /* of each training run, 1 to 5,242; they are counted as cases, but cannot be selected */
    bool exhaustive; /* test exp, log, sigmoid and tanh on every float, which takes minutes */
} tally_parity_options;

/* No operation, seed 1, 20 steps, not exhaustive. */
TALLY_API tally_parity_options tally_parity_defaults(void);

/* The result of one check. */
typedef struct tally_parity_line {
    const char *operation;
    tally_parity_verdict verdict;
    size_t cases;       /* executed */
    size_t left_out;    /* cases too large for a device this slow */
    size_t fallbacks;   /* operations that the C path executed for the device */
    double worst_ulp;   /* the largest error against double precision in units in the last place; 0 if there is none */
    double worst_share; /* the largest error as a share of its bound: at most 1 unless the check is broken */
    size_t worst_case;  /* the first case that failed, or else the one with the largest share */
    char worst[160];    /* description of that case */
    char failure[512];  /* if broken, the first failure: case, tensor, element and both values; else "" */
    char note[1024];    /* further remarks, such as those on a training run; else "" */
} tally_parity_line;

/* Called when a check begins, from time to time during a long one as line->cases grows (both with done false), and
 * when it ends (done true). Returning false stops the run. */
typedef bool tally_parity_observer(void *context, const tally_parity_line *line, bool done);

/* The names of the checks in their order, terminated by NULL. */
TALLY_API const char *const *tally_parity_operations(void);

/* Compares the device, on the route it was opened for, with the C path. *verdict is the worst of all checks. A
 * difference is a verdict, not an error. TALLY_USAGE: no such operation or case. TALLY_STOPPED: the observer
 * returned false. Errors of the device are passed on. */
TALLY_API tally_status tally_parity_run(tally_device *device, const tally_parity_options *options,
                                        tally_parity_observer *observer, void *context, tally_parity_verdict *verdict);

#ifdef __cplusplus
}
#endif
#endif
