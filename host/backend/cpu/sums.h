/* sums.h: several weight gradients with the same left side. */
#ifndef TALLY_BACKEND_CPU_SUMS_H
#define TALLY_BACKEND_CPU_SUMS_H

#include "backend/cpu/kernels.h"
#include "backend/leaves.h"

/* A right side of tally_accumulate, NULL for ones, and its gradient. */
typedef struct tl_sum_right {
    const tally_tensor *right, *gradient;
} tl_sum_right;

/* A block of the result that is summed at a time, and how many columns are added to it at a time. */
enum { TL_SUMS_ROWS = 96, TL_SUMS_COLUMNS = 72, TL_SUMS_CHUNK = 384, TL_SUMS_RIGHTS = 3 };
/* Floats for a block's sums, for a chunk of both sides, and for the partial sums of a tree with so many levels. */
#define TL_SUMS_SCRATCH_OF(rows, columns, levels)                                                                      \
    ((rows) * (columns) * (TL_LANES + (levels)) + ((rows) + (columns)) * TL_SUMS_CHUNK)
/* What accumulate_all needs for so many columns (sequences). */
#define TL_SUMS_SCRATCH(columns) TL_SUMS_SCRATCH_OF(TL_SUMS_ROWS, TL_SUMS_COLUMNS, tl_leaf_levels(columns))

/* tally_accumulate for each of at most TL_SUMS_RIGHTS right sides, in one pass over left [M, T, N]. scratch:
 * TL_SUMS_SCRATCH(N) floats. */
void TL_ISA_NAME(accumulate_all)(const tally_tensor *left, const tl_sum_right *rights, size_t count, float *scratch);

#endif
