/* layer_record.h: what a device made of a sequence, checked step by step: each from what the device itself had before it, so that the
 * bounds are those of one step and do not grow with the length.
 */
#ifndef TALLY_PARITY_LAYER_RECORD_H
#define TALLY_PARITY_LAYER_RECORD_H

#include "parity/bounded_ops.h"

/* Shapes as in tally/tensor.h. c, tanh_c, dc_last and dc: the LSTM's, else not looked at. */
typedef struct tl_layer_record {
    tally_cell cell;
    size_t inputs, hidden, steps, columns;
    const int32_t *starts; /* NULL: all start at 0 */
    const float *w_ih, *w_hh, *bias, *x;
    const float *gates, *c, *tanh_c, *h; /* after forward */
    const float *dy, *dh_last, *dc_last; /* before backward; dy may be NULL */
    const float *dgates, *dh, *dc, *dx;  /* after backward; dx may be NULL */
    const float *before[3], *after[3];   /* gradients of w_ih, w_hh and bias around backward; before NULL: zeros */
} tl_layer_record;

/* Called for every element: got is the device's, want what it must be and how far it may be off. */
typedef void tl_element_check(void *context, const char *name, const size_t place[3], float got, tl_bounded want);

/* TALLY_MEMORY, before any element was checked. */
tally_status tl_layer_record_forward(const tl_layer_record *record, tl_element_check *check, void *context);
tally_status tl_layer_record_backward(const tl_layer_record *record, tl_element_check *check, void *context);

#endif
