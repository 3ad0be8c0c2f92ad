/* sums.h: several weight gradients with the same left side. */
#ifndef TALLY_BACKEND_CPU_SUMS_H
#define TALLY_BACKEND_CPU_SUMS_H

#include "backend/cpu/kernels.h"

/* A right side of tally_accumulate, NULL for ones, and its gradient. */
typedef struct tl_sum_right {
    const tally_tensor *right, *gradient;
} tl_sum_right;

/* A block of the result that is summed at a time, and how many columns are added to it at a time. */
enum { TL_SUMS_ROWS = 96, TL_SUMS_COLUMNS = 72, TL_SUMS_CHUNK = 384, TL_SUMS_RIGHTS = 3 };
/* Floats for the block's sums and for a chunk of both sides. */
#define TL_SUMS_SCRATCH_OF(rows, columns) ((rows) * (columns)*TL_LANES + ((rows) + (columns)) * TL_SUMS_CHUNK)
enum { TL_SUMS_SCRATCH = TL_SUMS_SCRATCH_OF(TL_SUMS_ROWS, TL_SUMS_COLUMNS) };

/* tally_accumulate for each of at most TL_SUMS_RIGHTS right sides, in one pass over left. scratch: TL_SUMS_SCRATCH floats. */
void TL_ISA_NAME(accumulate_all)(const tally_tensor *left, const tl_sum_right *rights, size_t count, float *scratch);

#endif
