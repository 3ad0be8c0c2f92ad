/* kernels.h: the kernels of cl/ and the texts of their programs, which scripts/embed-kernels writes when tally is
 * built. */
#ifndef TALLY_BACKEND_OPENCL_KERNELS_H
#define TALLY_BACKEND_OPENCL_KERNELS_H

/* One program has the kernels that do not depend on a cell; the others are built for one cell, TL_CELL, when it is
 * first used. */
extern const char tl_common_text[], tl_cell_text[];

/* X(name, program, columns): a kernel tally_NAME, the program that it is in, and whether it is there for work-items
 * with one column, with a vector of columns, or both. SEQUENCE: in a cell's program, but only made where loops are not
 * limited, as whole sequences are composed of steps there; all of a cell's take Mesa a minute of a processor. */
#define TL_CL_KERNEL_LIST(X)                                                                                           \
    X(add, COMMON, ANY)                                                                                                \
    X(copy, COMMON, ANY)                                                                                               \
    X(fill, COMMON, ANY)                                                                                               \
    X(dropout, COMMON, ANY)                                                                                            \
    X(bias, COMMON, ANY)                                                                                               \
    X(apply, COMMON, ANY)                                                                                              \
    X(loop, COMMON, ANY)                                                                                               \
    X(gemm_chains, COMMON, ANY)                                                                                        \
    X(dots, COMMON, ANY)                                                                                               \
    X(reduce, COMMON, ANY)                                                                                             \
    X(softmax_loss, COMMON, ANY)                                                                                       \
    X(softmax_loss_backward, COMMON, ANY)                                                                              \
    X(optimizer_step, COMMON, ANY)                                                                                     \
    X(peak, COMMON, ANY)                                                                                               \
    X(merge, COMMON, ANY)                                                                                              \
    X(dots_group, COMMON, ONE)                                                                                         \
    X(gates, CELL, ANY)                                                                                                \
    X(gates_backward, CELL, ANY)                                                                                       \
    X(pack_layer, SEQUENCE, ANY)                                                                                       \
    X(layer_forward, SEQUENCE, ANY)                                                                                    \
    X(layer_backward, SEQUENCE, ANY)                                                                                   \
    X(pack_network, SEQUENCE, VECTOR)                                                                                  \
    X(train, SEQUENCE, VECTOR)                                                                                         \
    X(predict, SEQUENCE, VECTOR)                                                                                       \
    X(group_forward, SEQUENCE, ONE)                                                                                    \
    X(group_backward, SEQUENCE, ONE)

typedef enum tl_cl_kernel {
#define TL_CL_KERNEL_NUMBER(name, program, columns) TL_CL_##name,
    TL_CL_KERNEL_LIST(TL_CL_KERNEL_NUMBER)
#undef TL_CL_KERNEL_NUMBER
        TL_CL_KERNELS
} tl_cl_kernel;

#endif
