/* tensor.h: tensors, views and operations on them.
 *
 * A tensor is a view (shape, strides, offset) of a device's storage. The struct is passed by address and may be
 * copied. Only the tensor made by tally_tensor_new owns the storage and is freed; views of it are not. Treat the
 * fields as read-only. Activations are feature-major, [feature][time][column], a column being one sequence of the
 * batch.
 *
 * Operations check shapes, types and devices and then run on the tensors' device. They may return before the device
 * has finished; tally_tensor_read waits. Outputs must not overlap inputs unless stated otherwise. After an error the
 * contents of outputs are undefined. Errors: TALLY_USAGE for wrong shapes, TALLY_DEVICE from a driver, TALLY_MEMORY.
 */
#ifndef TALLY_TENSOR_H
#define TALLY_TENSOR_H

#include <tally/device.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tally_dtype { TALLY_F32, TALLY_I32 } tally_dtype;

enum { TALLY_MAX_DIMS = 3 };

typedef struct tally_tensor {
    tally_device *device;
    struct tl_storage *storage; /* NULL: no tensor */
    tally_dtype dtype;
    int ndim;
    size_t shape[TALLY_MAX_DIMS];
    size_t stride[TALLY_MAX_DIMS]; /* in elements */
    size_t offset;                 /* in elements */
} tally_tensor;

/* A new tensor of zeros, row-major, with 1 to 3 dimensions of at least 1 each. The caller frees it. */
TALLY_API tally_status tally_tensor_new(tally_device *device, tally_dtype dtype, int ndim, const size_t *shape,
                                        tally_tensor *tensor);
/* Frees the storage and clears the struct; views of it become invalid. A cleared struct is allowed. */
TALLY_API void tally_tensor_free(tally_tensor *tensor);

TALLY_API size_t tally_tensor_elements(const tally_tensor *tensor);

/* Views. They borrow the storage: the owner must outlive them. */
TALLY_API tally_status tally_tensor_slice(const tally_tensor *tensor, int dim, size_t start, size_t length,
                                          tally_tensor *view);
TALLY_API tally_status tally_tensor_select(const tally_tensor *tensor, int dim, size_t index, tally_tensor *view);
TALLY_API tally_status tally_tensor_transpose(const tally_tensor *tensor, int dim0, int dim1, tally_tensor *view);
/* Views the first elements of a contiguous tensor in another shape, row-major. The shape may have fewer elements
 * than the tensor. */
TALLY_API tally_status tally_tensor_reshape(const tally_tensor *tensor, int ndim, const size_t *shape,
                                            tally_tensor *view);

/* Copy between a view and an ordinary array, row-major in the view's shape; count, the array's number of elements,
 * must equal the view's. Both return when the transfer is complete. */
TALLY_API tally_status tally_tensor_write(const tally_tensor *tensor, const void *array, size_t count);
TALLY_API tally_status tally_tensor_read(const tally_tensor *tensor, void *array, size_t count);

/* C = alpha op(A) op(B) + beta C, op(A) [M, K], op(B) [K, N], C [M, N]; if beta is 0, C is not read. Any strides; a
 * transposed view is equivalent to a transpose flag. Exact order if B is not transposed: each element is one chain
 * over ascending k that begins with beta C, acc = fma(alpha a, b, acc), alpha a being rounded first. If B is
 * transposed: 16 lanes, k ascending in lane k mod 16, which are then reduced pairwise (8, 4, 2, 1), and C =
 * fma(beta, C, sum). CLBlast sums in its own order, within gamma(K + 2). */
TALLY_API tally_status tally_gemm(bool transpose_a, bool transpose_b, float alpha, const tally_tensor *a,
                                  const tally_tensor *b, float beta, const tally_tensor *c);

/* Y[m][n] += bias[m]. */
TALLY_API tally_status tally_bias(const tally_tensor *bias, const tally_tensor *y);

/* out[m] = beta out[m] + sum over n of X[m][n], in the 16 lanes of tally_gemm. */
TALLY_API tally_status tally_reduce(const tally_tensor *x, float beta, const tally_tensor *out);

/* The columns (sequences) of a micro-batch: a sum over the columns of a batch is taken over each micro-batch first,
 * and those sums are added by the tree below. Part of the exact arithmetic, the same on every device. */
enum { TALLY_MICRO_BATCH = 64 };

/* gradient[m][j] += sum over t, n of left[m][t][n] right[j][t][n]: the gradient of weights. left [M, T, N], right [J,
 * T, N], gradient [M, J]; or right NULL, for ones, and gradient [M]. Exact order: leaf s is the sum over micro-batch
 * s, the columns from TALLY_MICRO_BATCH s on. It has 16 lanes: column n belongs to lane n mod 16, t ascending, then
 * n ascending, fma(left, right, lane) from 0; the lanes are halved 8, 4, 2, 1. The leaves 0 to S - 1 are added by a
 * binary tree, and gradient + sum(0, S) is the result, each addition rounded once:
 *     sum(lo, hi) = leaf lo                       if hi - lo = 1
 *                 = sum(lo, mid) + sum(mid, hi)   mid = lo + the largest power of two below hi - lo
 * CLBlast takes it as one product, with right. */
TALLY_API tally_status tally_accumulate(const tally_tensor *left, const tally_tensor *right,
                                        const tally_tensor *gradient);

/* out[i] = function of a[i] and, if it has them, b[i] and c[i]: the arithmetic that all other operations are built
 * from, exposed so that a device can be tested. All [N]; unused b and c may be NULL. The largest errors are in
 * cl/arith.h. */
typedef enum tally_function {
    TALLY_EXP,     /* e^a for a <= 0 */
    TALLY_LOG,     /* ln a for normal a > 0 */
    TALLY_SIGMOID, /* 1 / (1 + e^-a) */
    TALLY_TANH,
    TALLY_SUM,     /* a + b */
    TALLY_PRODUCT, /* a b */
    TALLY_QUOTIENT,
    TALLY_ROOT, /* square root of a */
    TALLY_FMA,  /* a b + c, rounded once */
    TALLY_FUNCTIONS
} tally_function;
TALLY_API tally_status tally_apply(tally_function function, const tally_tensor *a, const tally_tensor *b,
                                   const tally_tensor *c, const tally_tensor *out);

/* dst[...] += src[...], same shapes. */
TALLY_API tally_status tally_add(const tally_tensor *src, const tally_tensor *dst);

/* dst = src, same shapes and types, any strides. */
TALLY_API tally_status tally_copy(const tally_tensor *src, const tally_tensor *dst);

/* Dropout (Srivastava et al. 2014), scaled during training: out = x / (1 - probability) for an element that is kept,
 * else 0. x and out are [F, T, N]; out may be x. The mask depends only on the key and an element's position, so that
 * all devices drop the same elements: [f][t][n] is dropped if word f mod 4 of Philox 4x32-10 of the counter (first +
 * n, t, f / 4, 0) is below floor(probability 2^32). Exact: x times 1 / (1 - probability), computed in double and
 * rounded to float. */
typedef struct tally_dropout_options {
    double probability; /* 0 to below 1 */
    uint64_t key;
    uint32_t first; /* the number of column 0 */
} tally_dropout_options;
TALLY_API tally_status tally_dropout(const tally_dropout_options *options, const tally_tensor *x,
                                     const tally_tensor *out);

/* Sets every element of a float tensor. */
TALLY_API tally_status tally_fill(const tally_tensor *tensor, float value);

/* Recurrent cells. A unit has G gates and W rows in each weight matrix:
 *   TALLY_LSTM  G 4, W 4: i, f, g, o, PyTorch's order. Without peepholes (Hochreiter & Schmidhuber 1997, Gers et al.
 *               2000).
 *   TALLY_GRU   G 4: n, r, z, a. W 3: w_ih has n, r, z; w_hh has r, z, a. The reset gate is applied after the
 *               product, as in PyTorch and cuDNN (Cho et al. 2014, version 1 of the paper's code): n depends on h
 *               through a = W_hh h + bias.
 *   TALLY_RNN   G 1, W 1. Elman's network, with tanh.
 *   TALLY_RNN_RELU  G 1, W 1. The same with the rectifier max(0, x), PyTorch's nonlinearity='relu'.
 * Tensors with a row for each gate have [G H] rows: all units of the first gate, then those of the next. */
typedef enum tally_cell { TALLY_LSTM, TALLY_GRU, TALLY_RNN, TALLY_RNN_RELU, TALLY_CELLS } tally_cell;

/* "lstm", "gru", "rnn" or "rnn-relu". */
TALLY_API const char *tally_cell_name(tally_cell cell);
/* G and W. */
TALLY_API size_t tally_cell_gates(tally_cell cell);
TALLY_API size_t tally_cell_weights(tally_cell cell);

/* The element-wise part of a cell. gates [G H, N]: pre-activations, replaced by the activated gates. All others are
 * [H, N], and NULL if the cell does not have them.
 *   LSTM: previous is c_prev. i, f, o = sigmoid, g = tanh; c = f c_prev + i g; tanh_c = tanh(c); h = o tanh_c.
 *   GRU:  previous is h_prev. r, z = sigmoid, a stays; n = tanh(n + r a); h = n + z (h_prev - n). No c, no tanh_c.
 *   RNN:  h = tanh, which is the gate as well. No previous, no c, no tanh_c. RNN_RELU: h = max(0, gate).
 * The roundings are in cl/cell_arith.h. */
TALLY_API tally_status tally_cell_forward(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                          const tally_tensor *c, const tally_tensor *tanh_c, const tally_tensor *h);
/* Backward. gates: activated, replaced by the gradients of the pre-activations. dh [H, N]: gradient of h; for the
 * GRU it is replaced by dh z, the part that reaches h_prev without passing a gate. dc [H, N], LSTM only: gradient of
 * c from later time steps, replaced by the gradient of c_prev. Gradients of h and c below 2^-95 are treated as 0
 * (see tl_carried in cl/cell_arith.h). */
TALLY_API tally_status tally_cell_backward(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                           const tally_tensor *tanh_c, const tally_tensor *dh, const tally_tensor *dc);

/* Softmax over classes and cross-entropy. logits [C, N]; labels I32 [N], 0 to C-1, or negative for a column to
 * ignore, whose loss and gradient are 0; probabilities [C, N], which may be logits itself; loss [N] =
 * -log(max(p[label], 1e-10)). A label above C-1 gives a NaN loss. */
TALLY_API tally_status tally_softmax_loss(const tally_tensor *logits, const tally_tensor *labels,
                                          const tally_tensor *probabilities, const tally_tensor *loss);
/* dlogits [C, N] = probabilities - one_hot(labels); may be probabilities itself. */
TALLY_API tally_status tally_softmax_loss_backward(const tally_tensor *probabilities, const tally_tensor *labels,
                                                   const tally_tensor *dlogits);

/* A layer over whole sequences: I inputs, H hidden units, T time steps, N columns; G and W are the cell's. */
typedef struct tally_layer_weights {
    tally_tensor w_ih; /* [W H, I] */
    tally_tensor w_hh; /* [W H, H] */
    tally_tensor bias; /* [G H] */
    tally_cell cell;   /* ignored in gradients */
} tally_layer_weights;

/* What the forward pass leaves for the backward pass. Columns are contiguous. tally_layer_state_new chooses the
 * order of time steps and features that is fastest on the device; any other is allowed. */
typedef struct tally_layer_state {
    tally_tensor gates;   /* [G H, T, N]: activated gates; after backward, gradients of the pre-activations */
    tally_tensor c;       /* LSTM only: [H, T + 1, N]; [:, 0, :] is the initial cell state, set by the caller */
    tally_tensor h;       /* [H, T + 1, N]; [:, 0, :] is the initial hidden state, set by the caller */
    tally_tensor tanh_c;  /* LSTM only: [H, T, N] */
    tally_tensor dh;      /* [H, N]: in: gradient of the last h; out: of the initial h */
    tally_tensor dc;      /* LSTM only: [H, N]: in: gradient of the last c; out: of the initial c */
    tally_tensor scratch; /* 1-D workspace of the backend */
    /* I32 [N], owned by the caller, or no tensor: the sequence of column n starts at time step starts[n], below T,
     * so that sequences of unequal length end together. At earlier time steps h and c are 0 and the gates have no
     * gradient; x must be finite. The initial state applies to columns that start at 0; for others it is ignored and
     * has no gradient. */
    tally_tensor starts;
} tally_layer_state;

/* A state of zeros in storage of its own, without the tensors that the cell does not have and without starts. The
 * caller frees it. */
TALLY_API tally_status tally_layer_state_new(tally_device *device, tally_cell cell, size_t inputs, size_t hidden,
                                             size_t steps, size_t columns, tally_layer_state *state);
/* A state for inference: without dh and dc, and with one time step of memory for gates, c and tanh_c, whose stride over
 * time is 0, so that each time step overwrites the previous one's. tally_layer_forward computes the same values. */
TALLY_API tally_status tally_layer_state_new_inference(tally_device *device, tally_cell cell, size_t inputs,
                                                       size_t hidden, size_t steps, size_t columns,
                                                       tally_layer_state *state);
TALLY_API void tally_layer_state_free(tally_layer_state *state);
/* A view of the same storage as a state of fewer columns; not freed. Its contents are undefined until written. */
TALLY_API tally_status tally_layer_state_narrow(const tally_layer_state *state, size_t columns,
                                                tally_layer_state *view);

/* gates[t] = bias + W_ih x[t] + W_hh h[t-1], where each weight applies to the gates that it has rows for; then the
 * cell. x [I, T, N], columns contiguous, features and time steps with any stride, so that h[:, 1:, :] of one layer's
 * state can be the x of the next. Exact order of a pre-activation: 0 + bias, then inputs ascending, then hidden
 * units ascending, one fma each. */
TALLY_API tally_status tally_layer_forward(const tally_layer_weights *weights, const tally_tensor *x,
                                           const tally_layer_state *state);
/* Backpropagation through time. dy [H, T, N], laid out like x: gradient of h at every time step, or NULL for none.
 * state->dh and state->dc: the gradients at the last time step, replaced by those of the initial state. The
 * gradients of the weights are added to gradients. dx [I, T, N], laid out like x, is overwritten; it may be NULL.
 * Exact order: dh[t] = dh_next + dy[t] if there is dy, dh_next being a chain of fma over the rows of W_hh,
 * ascending, that begins with 0 (GRU: with dh z); dx is such a chain over the rows of W_ih that begins with 0; the
 * gradients of weights and bias are summed as by tally_accumulate. */
TALLY_API tally_status tally_layer_backward(const tally_layer_weights *weights, const tally_tensor *x,
                                            const tally_tensor *dy, const tally_layer_state *state,
                                            const tally_layer_weights *gradients, const tally_tensor *dx);

#ifdef __cplusplus
}
#endif
#endif
