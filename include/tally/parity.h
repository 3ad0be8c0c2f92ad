/* parity.h: a device compared with the C path and with double precision, operation by operation, and over a training run.
 *
 * Every check is made of numbered cases: a shape, a kind of values and everything else follow from its number and the seed, so
 * that one case can be run again alone. An operation's error against double precision is held to a bound derived from
 * its arithmetic, never to a tolerance; on the exact route its bits are compared with the C path's, too. Where the bits of a training run
 * may be others, its losses and weights are held to the band in which the C path's own stay when its weights are moved a little.
 */
#ifndef TALLY_PARITY_H
#define TALLY_PARITY_H

#include <tally/device.h>

#ifdef __cplusplus
extern "C" {
#endif

/* From best to worst. */
typedef enum tally_parity_verdict {
    TALLY_PARITY_EXACT,        /* the C path's bits in every case */
    TALLY_PARITY_WITHIN_BOUND, /* other bits, as they may be: through CLBlast, or on a device that is within tolerance only */
    TALLY_PARITY_BROKEN        /* beyond the bound, or other bits where they must be the same */
} tally_parity_verdict;

typedef struct tally_parity_options {
    const char *operation; /* one check's name, or "name/case" for one case of it; NULL: every check */
    uint64_t seed;
    size_t steps;    /* of each training run, 1 to 5,242; their line counts them as cases, which cannot be named */
    bool exhaustive; /* exp, log, sigmoid and tanh for every float there is, which takes minutes */
} tally_parity_options;

/* No operation, seed 1, 20 steps, not exhaustive. */
TALLY_API tally_parity_options tally_parity_defaults(void);

/* What one check found. */
typedef struct tally_parity_line {
    const char *operation;
    tally_parity_verdict verdict;
    size_t cases;       /* that ran */
    size_t left_out;    /* too large for a device this slow */
    size_t fallbacks;   /* operations that the C path did in the device's place */
    double worst_ulp;   /* largest error against double precision, in units of the last place; 0 where there is none */
    double worst_share; /* the same as a share of the bound: at most 1 unless it is broken */
    size_t worst_case;  /* the first case that failed; else the one with the largest share */
    char worst[160];    /* that case in words */
    char failure[512];  /* where it is broken, the first failure: case, tensor, element, both values; else "" */
    char note[1024];    /* what else there is to say, as of the training run; else "" */
} tally_parity_line;

/* Called when a check begins and, with line->cases growing, now and then within a long one (done false), and after it (done
 * true). False stops the run. */
typedef bool tally_parity_observer(void *context, const tally_parity_line *line, bool done);

/* The names of checks, in their order; NULL at the end. */
TALLY_API const char *const *tally_parity_operations(void);

/* Compares the device, on the route it was opened for, with the C path's. *verdict is the worst of all lines. A check
 * that finds a difference is no failed call: errors are TALLY_USAGE (no such operation or case), TALLY_STOPPED and what a device fails
 * with. */
TALLY_API tally_status tally_parity_run(tally_device *device, const tally_parity_options *options,
                                        tally_parity_observer *observer, void *context, tally_parity_verdict *verdict);

#ifdef __cplusplus
}
#endif
#endif
