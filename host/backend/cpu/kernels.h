/* kernels.h: the operations of the C path for one instruction set. */
#ifndef TALLY_BACKEND_CPU_KERNELS_H
#define TALLY_BACKEND_CPU_KERNELS_H

#include "backend/backend.h"
#include "backend/cpu/simd.h"
#include "backend/view.h"

/* The slots; see backend.h. */
#define tl_isa_gemm TL_ISA_NAME(gemm)
#define tl_isa_gemm_dots TL_ISA_NAME(gemm_dots)
#define tl_isa_bias TL_ISA_NAME(bias)
#define tl_isa_reduce TL_ISA_NAME(reduce)
#define tl_isa_accumulate TL_ISA_NAME(accumulate)
#define tl_isa_apply TL_ISA_NAME(apply)
#define tl_isa_add TL_ISA_NAME(add)
#define tl_isa_copy TL_ISA_NAME(copy)
#define tl_isa_fill TL_ISA_NAME(fill)
#define tl_isa_dropout TL_ISA_NAME(dropout)
#define tl_isa_cell_forward TL_ISA_NAME(cell_forward)
#define tl_isa_cell_backward TL_ISA_NAME(cell_backward)
#define tl_isa_softmax_loss TL_ISA_NAME(softmax_loss)
#define tl_isa_softmax_loss_backward TL_ISA_NAME(softmax_loss_backward)
#define tl_isa_adam TL_ISA_NAME(adam)
#define tl_isa_layer_scratch TL_ISA_NAME(layer_scratch)
#define tl_isa_layer_forward TL_ISA_NAME(layer_forward)
#define tl_isa_layer_backward TL_ISA_NAME(layer_backward)
#define tl_isa_peak TL_ISA_NAME(peak)
#define tl_isa_backend TL_ISA_NAME(backend)

extern const tl_backend tl_isa_backend;

tally_status tl_isa_gemm(bool transpose_a, bool transpose_b, float alpha, const tally_tensor *a, const tally_tensor *b,
                         float beta, const tally_tensor *c);
tally_status tl_isa_bias(const tally_tensor *bias, const tally_tensor *y);
tally_status tl_isa_reduce(const tally_tensor *x, float beta, const tally_tensor *out);
tally_status tl_isa_accumulate(const tally_tensor *left, const tally_tensor *right, const tally_tensor *gradient);
tally_status tl_isa_apply(tally_function function, const tally_tensor *a, const tally_tensor *b, const tally_tensor *c,
                          const tally_tensor *out);
tally_status tl_isa_add(const tally_tensor *src, const tally_tensor *dst);
tally_status tl_isa_copy(const tally_tensor *src, const tally_tensor *dst);
tally_status tl_isa_fill(const tally_tensor *tensor, float value);
tally_status tl_isa_dropout(const tally_dropout_options *options, const tally_tensor *x, const tally_tensor *out);
tally_status tl_isa_cell_forward(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                 const tally_tensor *c, const tally_tensor *tanh_c, const tally_tensor *h);
tally_status tl_isa_cell_backward(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                  const tally_tensor *tanh_c, const tally_tensor *dh, const tally_tensor *dc);
tally_status tl_isa_softmax_loss(const tally_tensor *logits, const tally_tensor *labels,
                                 const tally_tensor *probabilities, const tally_tensor *loss);
tally_status tl_isa_softmax_loss_backward(const tally_tensor *probabilities, const tally_tensor *labels,
                                          const tally_tensor *dlogits);
tally_status tl_isa_adam(const tally_adam_options *options, uint64_t step, const tally_tensor *gradient,
                         const tally_tensor *weights, const tally_tensor *m, const tally_tensor *v,
                         const tally_tensor *faults);
/* tally_gemm with B transposed. */
void tl_isa_gemm_dots(float alpha, const tally_tensor *a, bool transpose_a, const tally_tensor *b, float beta,
                      const tally_tensor *c);
size_t tl_isa_layer_scratch(tally_device *device, tally_cell cell, size_t inputs, size_t hidden, size_t steps,
                            size_t columns);
tally_status tl_isa_layer_forward(const tally_layer_weights *weights, const tally_tensor *x,
                                  const tally_layer_state *state);
tally_status tl_isa_layer_backward(const tally_layer_weights *weights, const tally_tensor *x, const tally_tensor *dy,
                                   const tally_layer_state *state, const tally_layer_weights *gradients,
                                   const tally_tensor *dx);
tally_status tl_isa_peak(tally_device *device, double *flops);

#endif
