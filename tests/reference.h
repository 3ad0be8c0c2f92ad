/* reference.h: every operation in double precision, to be read beside tally/tensor.h. Arrays are row-major and
 * contiguous. */
#ifndef TALLY_TESTS_REFERENCE_H
#define TALLY_TESTS_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "parity/model_parts.h"

#include <tally/optimizer.h>

/* c = alpha op(a) op(b) + beta c; a is [m, k] or, transposed, [k, m]. magnitude is the same sum of absolute values. */
void reference_gemm(bool transpose_a, bool transpose_b, size_t m, size_t n, size_t k, double alpha, const float *a,
                    const float *b, double beta, const float *c, double *out, double *magnitude);
/* out = beta old + row sums of x [m, n]; magnitude as above. */
void reference_reduce(size_t m, size_t n, const float *x, double beta, const float *old, double *out,
                      double *magnitude);

/* One unit of a cell. gate: pre-activations in the gate order of tally/tensor.h, replaced by the activated gates.
 * previous, c and tanh_c as in tally_cell_forward; those that the cell lacks are ignored. */
void reference_cell(tally_cell cell, double gate[4], double previous, double *c, double *tanh_c, double *h);
/* gate: activated, replaced by the gradients of the pre-activations. dh: the gradient of h; for the GRU, replaced
 * by the share that reaches h_prev directly. dc: the LSTM's gradient of c, replaced by the gradient of c_prev. */
void reference_cell_backward(tally_cell cell, double gate[4], double previous, double tanh_c, double *dh, double *dc);

/* One column; stride is the distance between classes. */
void reference_softmax(size_t classes, size_t stride, const double *logits, double *probabilities);
double reference_loss(size_t classes, size_t stride, const double *probabilities, int32_t label);

/* states: in the order of tally_optimizer_state_name, updated like the weight. */
void reference_optimizer_step(const tally_optimizer_options *options, uint64_t step, double gradient, double *weight,
                              double *states);
/* The same in float, with the roundings of cl/optimizers.h. */
void reference_optimizer_rounded(const tally_optimizer_options *options, uint64_t step, float gradient, float *weight,
                                 float *states);

double reference_model_loss(const tl_model_sizes *sizes, const double *values, const int32_t *labels);
/* Returns the loss. */
double reference_model_gradients(const tl_model_sizes *sizes, const double *values, const int32_t *labels,
                                 double *gradients);

/* A hash of the signs of all arguments of rectifiers since it was last set. If it differs between two points, there is
 * a kink between them. */
extern uint64_t reference_branches;

#endif
