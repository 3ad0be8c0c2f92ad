/* lstm_record.h: what a device made of a sequence, checked step by step: each from what the device itself had before it, so that the
 * bounds are those of one step and do not grow with the length.
 */
#ifndef TALLY_TESTS_LSTM_RECORD_H
#define TALLY_TESTS_LSTM_RECORD_H

#include <stddef.h>

/* Shapes as in tally/tensor.h. */
typedef struct lstm_record {
    size_t inputs, hidden, steps, columns;
    const float *w_ih, *w_hh, *bias, *x;
    const float *gates, *c, *tanh_c, *h; /* after forward */
    const float *dy, *dh_last, *dc_last; /* before backward; dy may be NULL */
    const float *dgates, *dh, *dc, *dx;  /* after backward; dx may be NULL */
    const float *before[3], *after[3];   /* gradients of w_ih, w_hh and bias around backward; before NULL: zeros */
} lstm_record;

void lstm_check_forward(const lstm_record *record);
void lstm_check_backward(const lstm_record *record);

#endif
