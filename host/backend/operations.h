/* operations.h: the list of operations.
 *
 * Each row is X(NAME, TENSORS...): the public operation tally_NAME, whose signature is in tally/tensor.h or
 * tally/optimizer.h and nowhere else, and the tensors that a call of it has, by the names there. The first tensor is
 * always given; others may be absent. The list generates the operations' numbers and names, the slots of the
 * backends' tables, the prototypes of their implementations and the descriptions of calls.
 */
#ifndef TALLY_BACKEND_OPERATIONS_H
#define TALLY_BACKEND_OPERATIONS_H

#include <tally/optimizer.h>

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

typedef enum tl_op {
#define TL_OPERATION_NUMBER(name, ...) TL_OP_##name,
    TL_OPERATIONS(TL_OPERATION_NUMBER)
#undef TL_OPERATION_NUMBER
    TL_OP_COUNT
} tl_op;
/* clang-format on */

/* struct { const tally_tensor *a, *b, *c; } gemm; and so on. */
#define TL_OPERATION_TENSORS(name, ...)                                                                                \
    struct {                                                                                                           \
        const tally_tensor __VA_ARGS__;                                                                                \
    } name;
enum { TL_MOST_TENSORS = sizeof(union {TL_OPERATIONS(TL_OPERATION_TENSORS)}) / sizeof(tally_tensor *) };

/* A call of an operation, without its numbers: what decides whether a backend takes it. */
typedef struct tl_call {
    tl_op op;
    bool transpose_a, transpose_b; /* of gemm */
    tally_cell cell;               /* of cells and layers */
    size_t count;                  /* of tensors that the operation has */
    union {                        /* by name, or one after another; NULL where absent */
        TL_OPERATIONS(TL_OPERATION_TENSORS)
        const tally_tensor *tensors[TL_MOST_TENSORS];
    };
} tl_call;
#undef TL_OPERATION_TENSORS

/* How many tensors an operation has. */
#define TL_TENSOR_COUNT(name) (sizeof(((tl_call *)0)->name) / sizeof(tally_tensor *))

#endif
