/* kernels.h: the operations of the C path for one instruction set. */
#ifndef TALLY_BACKEND_CPU_KERNELS_H
#define TALLY_BACKEND_CPU_KERNELS_H

#include "backend/backend.h"
#include "backend/cpu/simd.h"
#include "backend/view.h"

extern const tl_backend TL_ISA_NAME(backend);

/* tl_avx2_gemm and so on: the slots of one instruction set's table. */
#define TL_ISA_OPERATION(name, ...) __typeof__(tally_##name) TL_ISA_NAME(name);
TL_OPERATIONS(TL_ISA_OPERATION)
#undef TL_ISA_OPERATION
tl_layer_scratch TL_ISA_NAME(layer_scratch);
__typeof__(tally_device_peak) TL_ISA_NAME(peak);

/* tally_gemm with B transposed. */
void TL_ISA_NAME(gemm_dots)(float alpha, const tally_tensor *a, bool transpose_a, const tally_tensor *b, float beta,
                            const tally_tensor *c);

#endif
