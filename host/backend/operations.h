/* operations.h: the list of operations.
 *
 * Each row is X(NAME, TENSORS...): the public operation tally_NAME, whose signature is in tally/tensor.h or
 * tally/optimizer.h and nowhere else, and the tensors that a call of it has, by the names there. The first tensor is
 * always given; others may be absent. The list generates the operations' numbers and names, the slots of the
 * backends' tables, the prototypes of their implementations and the descriptions of calls.
 */
#ifndef TALLY_BACKEND_OPERATIONS_H
#define TALLY_BACKEND_OPERATIONS_H

/* clang-format off */
#define TL_OPERATIONS(X)                                                                                               \
    X(gemm, *a, *b, *c)                                                                                                \
    X(bias, *bias, *y)                                                                                                 \
    X(reduce, *x, *out)                                                                                                \
    X(accumulate, *left, *right, *gradient)                                                                            \
    X(apply, *a, *b, *c, *out)                                                                                         \
    X(add, *src, *dst)                                                                                                 \
    X(copy, *src, *dst)                                                                                                \
    X(fill, *tensor)                                                                                                   \
    X(dropout, *x, *out)                                                                                               \
    X(cell_forward, *gates, *previous, *c, *tanh_c, *h)                                                                \
    X(cell_backward, *gates, *previous, *tanh_c, *dh, *dc)                                                             \
    X(softmax_loss, *logits, *labels, *probabilities, *loss)                                                           \
    X(softmax_loss_backward, *probabilities, *labels, *dlogits)                                                        \
    X(optimizer_step, *gradient, *weights, *faults, *states[TALLY_MAX_OPTIMIZER_STATES])                               \
    X(layer_forward, *x, *w_ih, *w_hh, *bias, *gates, *c, *h, *tanh_c, *scratch, *starts)                              \
    X(layer_backward, *x, *dy, *dx, *w_ih, *w_hh, *bias, *gates, *c, *h, *tanh_c, *dh, *dc, *scratch, *starts,         \
      *w_ih_gradient, *w_hh_gradient, *bias_gradient)
/* clang-format on */

typedef enum tl_op {
#define TL_OPERATION_NUMBER(name, ...) TL_OP_##name,
    TL_OPERATIONS(TL_OPERATION_NUMBER)
#undef TL_OPERATION_NUMBER
        TL_OP_COUNT
} tl_op;

#endif
