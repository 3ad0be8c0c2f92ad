/* sums.h: several weight gradients with the same left operand. */
#ifndef TALLY_BACKEND_CPU_SUMS_H
#define TALLY_BACKEND_CPU_SUMS_H

#include "backend/cpu/kernels.h"
#include "backend/leaves.h"

/* A right operand of tally_accumulate, NULL for ones, and its gradient. */
typedef struct tl_sum_right {
    const tally_tensor *right, *gradient;
} tl_sum_right;

enum { TL_SUMS_RIGHTS = 3 };

/* Floats for the sums and panels of a block, and for the partial sums of a tree with so many levels. */
#define TL_SUMS_SCRATCH_OF(rows, columns, levels) (TL_SUM_WORKSPACE_OF(rows, columns) + (rows) * (columns) * (levels))
/* What accumulate_all needs for so many columns (sequences). */
#define TL_SUMS_SCRATCH(columns) TL_SUMS_SCRATCH_OF(TL_SUM_ROWS, TL_SUM_COLUMNS, tl_leaf_levels(columns))

/* tally_accumulate for each of at most TL_SUMS_RIGHTS right operands, in one pass over left [M, T, N]. scratch:
 * TL_SUMS_SCRATCH(N) floats. */
void TL_ISA_NAME(accumulate_all)(const tally_tensor *left, const tl_sum_right *rights, size_t count, float *scratch);

#endif
