/* gradient_tree.h: adds the gradients of a batch's chunks by the tree of cl/tree.h, whoever computed them and
 * whenever. */
#ifndef TALLY_TRAIN_GRADIENT_TREE_H
#define TALLY_TRAIN_GRADIENT_TREE_H

#include <tally/tensor.h>

typedef struct tl_gradient_tree tl_gradient_tree;

/* For batches of at most so many chunks, at least 1, each but the last of the same power of two of micro-batches, and
 * of gradients of so many elements. The caller frees it. TALLY_MEMORY, TALLY_DEVICE. */
tally_status tl_gradient_tree_new(tally_device *device, size_t elements, size_t chunks, tl_gradient_tree **tree);
void tl_gradient_tree_free(tl_gradient_tree *tree);

/* Begins a batch of count chunks; the gradients handed out before, and their sum, are no longer valid. */
void tl_gradient_tree_begin(tl_gradient_tree *tree, size_t count);

/* The next two may be called by several threads at the same time, as far as the device's operations may. */

/* A tensor [elements] for the gradient of a chunk, with anything in it; the tree's, for the caller until it is added.
 * New ones are made where all are in use, and kept: W workers and C chunks come to at most W (ceil(log2 C) + 1) + 1,
 * one worker to ceil(log2 C) + 1. */
tally_status tl_gradient_tree_gradient(tl_gradient_tree *tree, tally_tensor **gradient);

/* A chunk's gradient is complete. Where the other half of a sum is complete, too, it is added and the sum goes on as
 * half of the next; else it stays for whoever completes the other half. Nobody waits. */
tally_status tl_gradient_tree_add(tl_gradient_tree *tree, size_t chunk, tally_tensor *gradient);

/* After all chunks have been added: the gradient of the batch. */
const tally_tensor *tl_gradient_tree_sum(const tl_gradient_tree *tree);

/* Tensors that have been made, and additions since the tree was. */
typedef struct tl_gradient_tree_use {
    size_t tensors, additions;
} tl_gradient_tree_use;
tl_gradient_tree_use tl_gradient_tree_used(tl_gradient_tree *tree);

#endif
