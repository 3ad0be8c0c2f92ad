/* leaves.h: the micro-batches of a number of columns, which are the leaves of the tree that adds their sums. */
#ifndef TALLY_BACKEND_LEAVES_H
#define TALLY_BACKEND_LEAVES_H

#include "tree.h"

#include <stddef.h>
#include <tally/tensor.h>

static inline size_t tl_leaves(size_t columns) {
    return columns / TALLY_MICRO_BATCH + (columns % TALLY_MICRO_BATCH != 0);
}

/* Partial sums that the tree over the columns needs. */
static inline size_t tl_leaf_levels(size_t columns) {
    return (size_t)tl_tree_levels(tl_leaves(columns));
}

#endif
