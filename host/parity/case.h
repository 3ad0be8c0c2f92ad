/* case.h: one case of a check: its tensors, the same on the device and on the C path, and what comparing them found.
 *
 * A case that fails keeps its first status; everything after it does nothing, so that a check reads from top to bottom. Memory
 * and tensors are freed when the case ends.
 */
#ifndef TALLY_PARITY_CASE_H
#define TALLY_PARITY_CASE_H

#include "core/philox.h"
#include "parity/bounded.h"
#include "parity/guarded.h"

#include <tally/parity.h>
#include <tally/tensor.h>

/* What the values of an input are like. */
typedef enum tl_values {
    TL_VALUES_ORDINARY, /* between -1 and 1 */
    TL_VALUES_ZEROS,    /* half of them are zero, of either sign */
    TL_VALUES_TINY,     /* around 2^-60: products are near the smallest normal number */
    TL_VALUES_LARGE,    /* around 2^40 */
    TL_VALUES_DENORMAL, /* below 2^-126 */
    TL_VALUES_KINDS
} tl_values;

/* The two places where a case runs. */
enum { TL_DEVICE, TL_PEER, TL_SIDES };

typedef struct tl_operand {
    const char *name;
    tally_tensor on[TL_SIDES]; /* the views under test */
    size_t elements;
    float *before;          /* what was written, row-major */
    float *after[TL_SIDES]; /* what tl_case_read read */
    bool read;              /* it did: a result; else nothing of it may change */
    tl_guarded guarded[TL_SIDES];
} tl_operand;

enum { TL_CASE_OPERANDS = 24 };

typedef struct tl_case {
    tally_device *device[TL_SIDES];
    const char *check;
    size_t number;
    tl_random random;
    bool same_bits; /* the device must give the C path's bits here */
    bool rows;      /* operands are not turned any more */
    bool compared;  /* at least one element was */
    tally_status status;
    char text[160];
    tl_operand operands[TL_CASE_OPERANDS];
    size_t operand_count;
    struct tl_block *memory;
    /* What was found. */
    double worst_ulp, worst_share;
    bool other_bits;
    char failure[512]; /* the first */
} tl_case;

void tl_case_end(tl_case *c);

/* Names the case. */
__attribute__((format(printf, 2, 3))) void tl_case_describe(tl_case *c, const char *format, ...);

/* Zeroed memory until the case ends; NULL, and the case has failed, without. */
void *tl_case_memory(tl_case *c, size_t count, size_t size);

/* Keeps a first failure. */
void tl_case_keep(tl_case *c, tally_status status);

/* An operand of one to three dimensions on both sides; where spaced, cut out of a larger tensor, half of the time one that lies in memory
 * with its first two dimensions the other way round, but see rows. Never NULL. It lies between guards, and
 * until it is written it is made of them: NaNs, so that what reads them shows. */
tl_operand *tl_case_operand(tl_case *c, const char *name, bool spaced, int ndim, const size_t *shape);
/* Of integers, whose bits are in before and after. */
tl_operand *tl_case_integers(tl_case *c, const char *name, size_t count, const int32_t *values);
tl_operand *tl_case_labels(tl_case *c, size_t columns, size_t classes);
int32_t tl_case_integer(const float *bits);
/* Gives it values: of a kind, uniform, or these (row-major). */
void tl_case_fill(tl_case *c, tl_operand *o, tl_values kind);
void tl_case_uniform(tl_case *c, tl_operand *o, float low, float high);
void tl_case_write(tl_case *c, tl_operand *o, const float *values);
/* Reads what is there now, on both sides. */
void tl_case_read(tl_case *c, tl_operand *o);
/* What was read is an input from now on, which may not change any more. */
void tl_case_settle(tl_case *c, tl_operand *o);

/* Compares what was read: of the device with want, element by element, and with the C path's bits. */
void tl_case_compare(tl_case *c, const tl_operand *o, const tl_bounded *want);
/* The same for one element, at place, without bits. */
void tl_case_element(tl_case *c, const char *name, const size_t place[3], float got, tl_bounded want);
/* Only the bits. */
void tl_case_bits(tl_case *c, const tl_operand *o);
/* Whether anything changed but what was read, guards or operands that are inputs only. The last of every case. */
void tl_case_guards(tl_case *c);
/* Keeps the text of a first failure, behind the case's name. */
__attribute__((format(printf, 2, 3))) void tl_case_fail(tl_case *c, const char *format, ...);

const char *tl_values_name(tl_values kind);
float tl_case_value(tl_case *c, tl_values kind);

#endif
