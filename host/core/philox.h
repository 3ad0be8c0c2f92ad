/* philox.h: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011): random numbers as a function of a key and a counter,
 * so that a seed gives the same numbers on every machine and in any order of drawing. */
#ifndef TALLY_CORE_PHILOX_H
#define TALLY_CORE_PHILOX_H

#include <stddef.h>
#include <stdint.h>

#include "constants.h"

/* Ten rounds of counter under key. */
void tl_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* The uses of random numbers. The streams of one seed do not overlap. */
enum {
    TL_STREAM_SHUFFLE = 1,
    TL_STREAM_INIT = 2,
    TL_STREAM_EPOCH = 3,
    TL_STREAM_PARITY = 4,
    TL_STREAM_DROPOUT = TL_DROPOUT_STREAM,
    TL_STREAM_HOLD_OUT = 6,
    TL_STREAM_VALID = 7
};

typedef struct tl_random {
    uint32_t key[2], counter[4], block[4];
    unsigned used; /* of block */
} tl_random;

/* substream: the number of the epoch, parameter etc.; 0 if there is only one. */
void tl_random_start(tl_random *random, uint64_t seed, uint32_t stream, uint32_t substream);
uint32_t tl_random_u32(tl_random *random);
/* Uniform over 0 to bound - 1, without bias (Lemire 2019); bound is at least 1. */
uint32_t tl_random_below(tl_random *random, uint32_t bound);
/* Orders the numbers below count so that a random part of the given size, each number having the same probability,
 * is at the end and the others precede it, both ascending (Knuth's algorithm S). count is at most UINT32_MAX. */
void tl_random_part(tl_random *random, uint32_t *numbers, size_t count, size_t part);
/* Uniform in [0, 1), a multiple of 2^-24. */
float tl_random_unit(tl_random *random);
/* Normal(0, 1) truncated at two standard deviations, by rejection under exp(-x^2/2) with the shared exp. */
float tl_random_truncated_normal(tl_random *random);

#endif
