/* packed_sizes.h: how many floats the packed weights of recurrent.h take, for the host and the kernels. block_rows and
 * small_rows are TL_BLOCK_ROWS_OF and TL_SMALL_BLOCK_ROWS_OF of the width. Sizes are the caller's to check. */
#ifndef TL_PACKED_SIZES_H
#define TL_PACKED_SIZES_H

static inline tl_size tl_blocks_of(tl_size n, tl_size size) {
    return (n + size - 1) / size;
}

/* A block of the pre-activations' rows, and all blocks of a layer. */
static inline tl_size tl_packed_block_size(unsigned int cell, tl_size block_rows, tl_size inputs, tl_size hidden) {
    return block_rows + block_rows / tl_cell_gates(cell) * tl_cell_weights(cell) * (inputs + hidden);
}

static inline tl_size tl_packed_blocks(unsigned int cell, tl_size block_rows, tl_size hidden) {
    return tl_blocks_of(hidden, block_rows / tl_cell_gates(cell));
}

static inline tl_size tl_packed_forward_size(unsigned int cell, tl_size block_rows, tl_size inputs, tl_size hidden) {
    return tl_packed_blocks(cell, block_rows, hidden) * tl_packed_block_size(cell, block_rows, inputs, hidden);
}

/* The transpose of a matrix [sums, rows]. */
static inline tl_size tl_transpose_blocks(tl_size block_rows, tl_size small_rows, tl_size rows) {
    return rows / block_rows + tl_blocks_of(rows % block_rows, small_rows);
}

static inline tl_size tl_packed_transpose_size(tl_size small_rows, tl_size rows, tl_size sums) {
    return tl_blocks_of(rows, small_rows) * small_rows * sums;
}

#endif
