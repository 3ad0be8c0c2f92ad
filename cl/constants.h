/* constants.h: numbers that the host and the kernels must agree on, read by the C compiler and by the OpenCL compiler.
 */
#ifndef TL_CONSTANTS_H
#define TL_CONSTANTS_H

/* Columns of a micro-batch, a leaf of the gradient tree (TALLY_MICRO_BATCH), and the lanes in which it is summed. */
#define TL_MICRO_BATCH 64
#define TL_LANES 16

/* The blocks of recurrent.h by the number of columns in a vector: as many sums as the registers hold. The rows left
 * over by whole blocks are done in smaller blocks. */
#define TL_BLOCK_ROWS_OF(width) ((width) == 16 || (width) == 1 ? 12 : 4)
#define TL_SMALL_BLOCK_ROWS_OF(width) ((width) == 16 || (width) == 1 ? 4 : 1)
#define TL_BLOCK_VECTORS_OF(width) ((width) == 1 ? 1 : 2)

/* weight_gradients.h: the block of the result that is summed at a time, and the columns of its operands that are packed
 * at a time. */
#define TL_SUM_ROWS 96
#define TL_SUM_COLUMNS 72
#define TL_SUM_PANEL 384
#define TL_SUM_WORKSPACE_OF(rows, columns) ((rows) * (columns) * TL_LANES + ((rows) + (columns)) * TL_SUM_PANEL)
#define TL_SUM_WORKSPACE TL_SUM_WORKSPACE_OF(TL_SUM_ROWS, TL_SUM_COLUMNS)

/* The stream of random numbers (core/philox.h) that dropout draws its keys from. */
#define TL_DROPOUT_STREAM 5

/* chain.h: rows of a product that are computed together. */
#define TL_CHAIN_ROWS 4

/* Neighbouring elements of a flat tensor that a work-item takes: a processor wants more than one vector. */
#define TL_FLAT_OF(width) ((width) == 1 ? 1 : 64 * (width))

/* sums.cl: rows and columns of the result that a work-item computes. */
#define TL_DOTS_TILE_OF(width) ((width) == 1 ? 1 : 4)

/* sums_group.cl: rows and columns of a tile, sixteen elements for as many lanes; and the floats between two elements'
 * lanes in local memory, so that neighbouring work-items meet different banks. */
#define TL_GROUP_TILE 4
#define TL_GROUP_LANES (TL_LANES + 1)

/* peak.cl: independent chains of fused multiply-adds. */
#define TL_PEAK_CHAINS 12

#endif
