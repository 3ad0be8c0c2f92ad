/* data.h: data sets, and the counting experiment's.
 */
#ifndef TALLY_DATA_H
#define TALLY_DATA_H

#include <tally/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Labelled sequences of steps time steps, or of up to as many. read() fills x, row-major [count, steps, inputs], and labels [count] with the sequences
 * of the given numbers, each below size; it may be called from several threads at once. Either output may be NULL. */
typedef struct tally_dataset {
    size_t size, steps, inputs, classes;
    tally_status (*read)(const struct tally_dataset *dataset, const size_t *numbers, size_t count, float *x,
                         int32_t *labels);
    /* How many steps each has, 1 to steps, or NULL: all have steps. x of a shorter one is its first steps; what lies behind is not
     * looked at. As for read(), from several threads at once. */
    tally_status (*lengths)(const struct tally_dataset *dataset, const size_t *numbers, size_t count, int32_t *lengths);
    const void *context;
} tally_dataset;

typedef enum tally_draw {
    TALLY_DRAW_RANDOM, /* the first strings of the shuffled order */
    TALLY_DRAW_EVEN    /* evenly over the counts; a count with fewer strings gives all it has */
} tally_draw;

typedef struct tally_count_options {
    unsigned length;   /* bits a string, 1 to 24 */
    size_t train_size; /* 1 to as many strings as there are */
    uint64_t seed;
    tally_draw draw;
    unsigned shortest; /* 1 to length: strings have from as many to length bits; 0: all have length */
} tally_count_options;

/* 20 bits, 10,000 strings, seed 1, random. */
TALLY_API tally_count_options tally_count_defaults(void);

/* All strings of these lengths, each with the number of its ones as its class, shuffled by the seed (Fisher-Yates over Philox
 * 4x32-10: the same everywhere) and split in two. Strings are in shuffled order in both parts, bits in
 * string order, one input a step, 0 or 1. Takes 4 bytes a string. The caller frees it. */
typedef struct tally_count tally_count;
TALLY_API tally_status tally_count_new(const tally_count_options *options, tally_count **count);
TALLY_API void tally_count_free(tally_count *count);
/* Both borrow from count. The test part's size may be 0. */
TALLY_API const tally_dataset *tally_count_train(const tally_count *count);
TALLY_API const tally_dataset *tally_count_test(const tally_count *count);

#ifdef __cplusplus
}
#endif
#endif
