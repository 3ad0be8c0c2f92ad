/* layer_record.h: checks a device's results for a sequence time step by time step. Each time step is computed from
 * the device's own results of the time step before, so that the bounds do not grow with the length of the sequence.
 */
#ifndef TALLY_PARITY_LAYER_RECORD_H
#define TALLY_PARITY_LAYER_RECORD_H

#include "parity/bounded_ops.h"

/* Shapes as in tally/tensor.h. c, tanh_c, dc_last and dc: the LSTM's, otherwise ignored. */
typedef struct tl_layer_record {
    tally_cell cell;
    size_t inputs, hidden, steps, columns;
    const int32_t *starts; /* NULL: all columns start at 0 */
    const float *w_ih, *w_hh, *bias, *x;
    const float *gates, *c, *tanh_c, *h; /* after the forward pass */
    const float *dy, *dh_last, *dc_last; /* before the backward pass; dy may be NULL */
    const float *dgates, *dh, *dc, *dx;  /* after the backward pass; dx may be NULL */
    /* Gradients of w_ih, w_hh and bias before and after the backward pass; before NULL: zeros. */
    const float *before[3], *after[3];
} tl_layer_record;

/* Called for every element, with the device's value and the expected one with its bound. */
typedef void tl_element_check(void *context, const char *name, const size_t index[3], float got, tl_bounded want);

/* TALLY_MEMORY, before any element was checked. */
tally_status tl_layer_record_forward(const tl_layer_record *record, tl_element_check *check, void *context);
tally_status tl_layer_record_backward(const tl_layer_record *record, tl_element_check *check, void *context);

#endif
