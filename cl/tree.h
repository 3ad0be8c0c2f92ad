/* tree.h: the order of every sum over micro-batches, read by the C compiler and by the OpenCL compiler:
 *
 *     sum(lo, hi) = leaf lo                       if hi - lo = 1
 *                 = sum(lo, mid) + sum(mid, hi)   mid = lo + the largest power of two below hi - lo
 *
 * with one rounding for each addition. Leaves that come in ascending order are added as a binary counter counts: after
 * n of them there is a partial sum of 2^l leaves for each bit l that is set in n, and the next leaf is added to those
 * that it completes.
 */
#ifndef TALLY_TREE_H
#define TALLY_TREE_H

#ifdef __OPENCL_VERSION__
typedef ulong tl_tree_count;
#else
#include <stdbool.h>
#include <stdint.h>
typedef uint64_t tl_tree_count;
#endif

/* As many levels as a tl_tree_count of leaves can need. */
#define TL_TREE_LEVELS 64

/* The partial sums that so many leaves need, which is also the longest way from a leaf to the sum: log2, rounded up. */
static inline tl_tree_count tl_tree_levels(tl_tree_count leaves) {
    tl_tree_count levels = 0;
    while (levels < TL_TREE_LEVELS && (leaves - 1) >> levels)
        levels++;
    return levels;
}

/* The partial sums that leaf, counted from 0, is added to, as bits: those it completes, all that there are if it is
 * the last. */
static inline tl_tree_count tl_tree_additions(tl_tree_count leaf, bool last) {
    return last ? leaf : leaf & ~(leaf + 1);
}

/* Takes the sum of the next leaf: it is kept as a partial sum, or becomes the sum of the tree if the leaf is the last.
 * PARTIAL(level): an lvalue for each of the tree's levels. */
#define TL_TREE_ADD(leaf, last, sum, PARTIAL)                                                                          \
    do {                                                                                                               \
        tl_tree_count tl_level = 0, tl_additions = tl_tree_additions(leaf, last);                                      \
        for (; tl_additions; tl_additions >>= 1, tl_level++)                                                           \
            if (tl_additions & 1)                                                                                      \
                (sum) = PARTIAL(tl_level) + (sum);                                                                     \
        if (!(last))                                                                                                   \
            PARTIAL(tl_level) = (sum);                                                                                 \
    } while (0)

#endif
