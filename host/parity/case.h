/* case.h: one case of a check: its operands, which are the same on the device and on the C path, and the result of
 * comparing them.
 *
 * A case keeps the first status that is not TALLY_OK; all later calls then do nothing, so that a check needs no
 * error handling of its own. Memory and tensors are freed when the case ends.
 */
#ifndef TALLY_PARITY_CASE_H
#define TALLY_PARITY_CASE_H

#include "core/philox.h"
#include "parity/bounded.h"
#include "parity/guarded.h"

#include <tally/parity.h>
#include <tally/tensor.h>

/* The kind of values an input gets. */
typedef enum tl_values {
    TL_VALUES_ORDINARY, /* between -1 and 1 */
    TL_VALUES_ZEROS,    /* half of them are zero, of either sign */
    TL_VALUES_TINY,     /* around 2^-60: products are near the smallest normal number */
    TL_VALUES_LARGE,    /* around 2^40 */
    TL_VALUES_DENORMAL, /* below 2^-126 */
    TL_VALUES_KINDS
} tl_values;

/* Every case runs on the device under test and on its peer, the C path. */
enum { TL_DEVICE, TL_PEER, TL_SIDES };

typedef struct tl_operand {
    const char *name;
    tally_tensor on[TL_SIDES]; /* the views under test */
    size_t elements;
    float *before;          /* what was written, row-major */
    float *after[TL_SIDES]; /* what tl_case_read read */
    bool read;              /* tl_case_read was called, so this is a result; otherwise nothing of it may change */
    tl_guarded guarded[TL_SIDES];
} tl_operand;

enum { TL_CASE_OPERANDS = 24 };

typedef struct tl_case {
    tally_device *device[TL_SIDES];
    const char *check;
    size_t number;
    tl_random random;
    bool same_bits; /* the device must give the C path's bits in this case */
    bool row_major; /* operands from here on are row-major in memory */
    bool compared;  /* at least one element was compared */
    tally_status status;
    char text[160];
    tl_operand operands[TL_CASE_OPERANDS];
    size_t operand_count;
    struct tl_block *memory;
    /* Results of the comparisons. */
    double worst_ulp, worst_share;
    bool other_bits;
    char failure[512]; /* the first */
} tl_case;

void tl_case_end(tl_case *c);

/* Sets the text that describes the case in messages. */
__attribute__((format(printf, 2, 3))) void tl_case_describe(tl_case *c, const char *format, ...);

/* Zeroed memory that is freed when the case ends. NULL if there is none, and the case has failed. */
void *tl_case_memory(tl_case *c, size_t count, size_t size);

/* Keeps a status if it is the first failure. */
void tl_case_keep(tl_case *c, tally_status status);

/* An operand of one to three dimensions on both sides, never NULL. If spaced, it is a view of a larger tensor and
 * half of the time has its first two dimensions swapped in memory, unless row_major is set. It lies between guards
 * and, until it is written, consists of guards: NaNs, so that reading them shows. */
tl_operand *tl_case_operand(tl_case *c, const char *name, bool spaced, int ndim, const size_t *shape);
/* A one-dimensional operand of integers, whose bits are in before and after. */
tl_operand *tl_case_integers(tl_case *c, const char *name, size_t count, const int32_t *values);
tl_operand *tl_case_labels(tl_case *c, size_t columns, size_t classes);
int32_t tl_case_integer(const float *bits);
/* Writes values to both sides: random ones of a kind, uniform ones, or the given ones (row-major). */
void tl_case_fill(tl_case *c, tl_operand *o, tl_values kind);
void tl_case_uniform(tl_case *c, tl_operand *o, float low, float high);
void tl_case_write(tl_case *c, tl_operand *o, const float *values);
/* Reads the operand back from both sides. */
void tl_case_read(tl_case *c, tl_operand *o);
/* Makes the values that were read an input, which may not change any more. */
void tl_case_settle(tl_case *c, tl_operand *o);

/* Compares what was read: the device's elements with want, and its bits with the C path's. */
void tl_case_compare(tl_case *c, const tl_operand *o, const tl_bounded *want);
/* Compares one element, at an index, with want; bits are not compared. */
void tl_case_element(tl_case *c, const char *name, const size_t index[3], float got, tl_bounded want);
/* Compares the bits only. */
void tl_case_bits(tl_case *c, const tl_operand *o);
/* Fails if a guard or an operand that is only an input has changed. The last check of every case. */
void tl_case_guards(tl_case *c);
/* Keeps the text if it is the first failure, with the case's description before it. */
__attribute__((format(printf, 2, 3))) void tl_case_fail(tl_case *c, const char *format, ...);

const char *tl_values_name(tl_values kind);
float tl_case_value(tl_case *c, tl_values kind);

#endif
