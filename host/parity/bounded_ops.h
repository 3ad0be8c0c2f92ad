/* bounded_ops.h: running error analysis of sums, cells, softmax, the loss, optimizers and a time step of a layer,
 * in the order of operations that cl/arith.h states; matrix products and sums in any order.
 */
#ifndef TALLY_PARITY_BOUNDED_OPS_H
#define TALLY_PARITY_BOUNDED_OPS_H

#include "parity/bounded.h"

#include <stddef.h>
#include <stdint.h>
#include <tally/optimizer.h>

/* A sum of products under construction. start is its initial value, which may itself have an error. */
typedef struct tl_bounded_sum {
    double v, magnitude, e;
    size_t terms;
} tl_bounded_sum;
tl_bounded_sum tl_bounded_sum_start(tl_bounded start);
void tl_bounded_sum_product(tl_bounded_sum *sum, tl_bounded a, tl_bounded b);
/* The terms may be added in any order; two roundings are allowed for CLBlast's alpha and beta. */
tl_bounded tl_bounded_sum_end(const tl_bounded_sum *sum);

/* gate: the cell's pre-activations, replaced by the activated gates. previous: c_prev for the LSTM, h_prev for the
 * GRU. c and tanh_c: the LSTM's. Operands that the cell lacks are ignored. */
void tl_bounded_cell(tally_cell cell, tl_bounded *gate, tl_bounded previous, tl_bounded *c, tl_bounded *tanh_c,
                     tl_bounded *h);
/* gate: activated, replaced by the gradients of the pre-activations. dh: for the GRU, replaced by dh z. dc: the
 * LSTM's, replaced by the gradient of c_prev. */
void tl_bounded_cell_backward(tally_cell cell, tl_bounded *gate, tl_bounded previous, tl_bounded tanh_c, tl_bounded *dh,
                              tl_bounded *dc);
/* One column; stride is the distance between classes. probabilities may be the same array as logits. */
void tl_bounded_softmax(size_t classes, size_t stride, const tl_bounded *logits, tl_bounded *probabilities);
tl_bounded tl_bounded_loss(size_t classes, size_t stride, const tl_bounded *probabilities, int32_t label);
/* states: tally_optimizer_states(options) of them, updated like the weight. */
void tl_bounded_optimizer_step(const tally_optimizer_options *options, uint64_t step, tl_bounded gradient,
                               tl_bounded *weight, tl_bounded *states);

/* A layer. Its functions compute one time step of one column from the states before it. gates: [GH], activated.
 * c_prev, c, tanh_c and dc: the LSTM's, otherwise ignored. */
typedef struct tl_bounded_layer {
    tally_cell cell;
    size_t inputs, hidden;
    const tl_bounded *w_ih, *w_hh, *bias;
} tl_bounded_layer;
void tl_bounded_step(const tl_bounded_layer *layer, const tl_bounded *x, const tl_bounded *h_prev,
                     const tl_bounded *c_prev, tl_bounded *gates, tl_bounded *c, tl_bounded *tanh_c, tl_bounded *h);
/* The cells' backward pass. gates: activated, replaced by gradients; dh: for the GRU, replaced by dh z; dc:
 * replaced by the gradient of c_prev. */
void tl_bounded_step_backward(const tl_bounded_layer *layer, const tl_bounded *h_prev, const tl_bounded *c_prev,
                              const tl_bounded *tanh_c, tl_bounded *gates, tl_bounded *dh, tl_bounded *dc);
/* Propagates the gradients of the gates through the weights. dh: as tl_bounded_step_backward left it, replaced by
 * the gradient of h_prev. dx: receives the gradient of x, or NULL. */
void tl_bounded_step_through(const tl_bounded_layer *layer, const tl_bounded *gates, tl_bounded *dh, tl_bounded *dx);
/* out [columns] = w^T gradients, w [rows, columns] */
void tl_bounded_through(size_t rows, size_t columns, const tl_bounded *w, const tl_bounded *gradients, tl_bounded *out);

#endif
