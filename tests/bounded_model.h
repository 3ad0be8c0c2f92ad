/* bounded_model.h: the cell, softmax, Adam and the whole classifier under running error analysis, in the order of operations that
 * cl/arith.h states; matrix products and sums in any order.
 */
#ifndef TALLY_TESTS_BOUNDED_MODEL_H
#define TALLY_TESTS_BOUNDED_MODEL_H

#include "bounded.h"
#include "reference.h"

/* A sum being made. start: what it begins with, exact or an operand of its own. */
typedef struct bounded_sum {
    double v, magnitude, e;
    size_t terms;
} bounded_sum;
bounded_sum bounded_sum_start(bounded start);
void bounded_sum_product(bounded_sum *sum, bounded a, bounded b);
/* In any order, with two roundings to spare for what CLBlast does at the ends. */
bounded bounded_sum_end(const bounded_sum *sum);

void bounded_cell(bounded gate[4], bounded c_prev, bounded *c, bounded *tanh_c, bounded *h);
void bounded_cell_backward(bounded gate[4], bounded c_prev, bounded tanh_c, bounded dh, bounded *dc);
/* One column; stride is the distance between classes. probabilities may be logits. */
void bounded_softmax(size_t classes, size_t stride, const bounded *logits, bounded *probabilities);
bounded bounded_loss(size_t classes, size_t stride, const bounded *probabilities, int32_t label);
void bounded_adam(const tally_adam_options *options, uint64_t step, bounded gradient, bounded *weight, bounded *m,
                  bounded *v);

/* One step of one column of the layer, from the states before it. gates: [4H], activated. */
typedef struct bounded_layer {
    size_t inputs, hidden;
    const bounded *w_ih, *w_hh, *bias;
} bounded_layer;
void bounded_step(const bounded_layer *layer, const bounded *x, const bounded *h_prev, const bounded *c_prev,
                  bounded *gates, bounded *c, bounded *tanh_c, bounded *h);
/* gates: activated, replaced by gradients; dc: replaced by that of c_prev. */
void bounded_step_backward(const bounded_layer *layer, const bounded *c_prev, const bounded *tanh_c, const bounded *dh,
                           bounded *gates, bounded *dc);
/* out [columns] = w^T gates, w [4H, columns] */
void bounded_through(size_t rows, size_t columns, const bounded *w, const bounded *gates, bounded *out);

/* The whole classifier; arrays as in reference.h. Returns the loss. */
bounded bounded_model_gradients(const model_sizes *sizes, const bounded *values, const int32_t *labels,
                                bounded *gradients);

#endif
