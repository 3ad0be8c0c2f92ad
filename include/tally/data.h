/* data.h: data sets: the counting experiment's, and those of IDX and NumPy files.
 */
#ifndef TALLY_DATA_H
#define TALLY_DATA_H

#include <tally/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Labelled sequences of steps time steps, or of up to as many. read() fills x, row-major [count, steps, inputs], and labels [count] with the sequences
 * of the given numbers, each below size; it may be called from several threads at once. Either output may be NULL. If it fails, what
 * asked for the sequences returns its status. */
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
    TALLY_DRAW_EVEN,   /* evenly over the counts; a count with fewer strings gives all it has */
    TALLY_DRAW_RUNS    /* evenly over the pairs of a count and a number of runs (stretches of equal bits), likewise */
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

enum { TALLY_MAX_CLASSES = 65536 };

/* Sequences from files with their labels, in memory as the files have them (bytes stay bytes). All is read and checked when it is
 * made. From one thread at a time, but for its data sets.
 *
 * A file may be packed by gzip. Memory is taken for values that are in a file, never for those that its header promises.
 * TALLY_IO: a file cannot be read. TALLY_DATA: it is not what it must be; the text names it and says why. */
typedef struct tally_sequences tally_sequences;

/* IDX files of unsigned bytes: images [N, T, F], whose rows are time steps, and labels [N], or NULL. The caller frees it. */
TALLY_API tally_status tally_sequences_read_idx(const char *images, const char *labels, tally_sequences **sequences);

/* NumPy's .npy files, versions 1.0, 2.0 and 3.0, of either byte order, in C order: x [N, T, F] of float32, float64 or uint8; labels
 * [N] of whole numbers, signed or unsigned, or NULL; lengths [N] of whole numbers, 1 to T, or NULL if all sequences have T steps.
 * x must be finite as float32 as far as sequences go. The caller frees it. */
TALLY_API tally_status tally_sequences_read_npy(const char *x, const char *labels, const char *lengths,
                                                tally_sequences **sequences);
TALLY_API void tally_sequences_free(tally_sequences *sequences);

/* Both borrow from sequences and follow what is set there. Labels are those of the file, 0 to TALLY_MAX_CLASSES - 1; -1 where there
 * are none. Classes are the largest label of both parts + 1, at least 2, until they are set. At first nothing is held out. */
TALLY_API const tally_dataset *tally_sequences_kept(const tally_sequences *sequences);
TALLY_API const tally_dataset *tally_sequences_held_out(const tally_sequences *sequences);

/* Holds out share * N of the sequences, rounded to the nearest whole number, chosen at random by the seed (selection sampling over
 * Philox 4x32-10: the same everywhere). Both parts are in the order of the file. TALLY_USAGE: share is not 0 to below 1, or leaves
 * none. */
TALLY_API tally_status tally_sequences_hold_out(tally_sequences *sequences, double share, uint64_t seed);

/* A model's classes: TALLY_DATA for a label that is not below them. */
TALLY_API tally_status tally_sequences_set_classes(tally_sequences *sequences, size_t classes);

/* What read() gives is ((float)value - (float)mean) * (float)(1 / deviation), in float; what lies behind a shorter sequence's length
 * is 0. At first mean is 0 and deviation 1: values as they are. */
typedef struct tally_normalization {
    double mean, deviation;
} tally_normalization;

/* Over all values of the kept part, as float32, in its order, without what lies behind lengths: mean = sum / count and
 * deviation = sqrt(sum of (value - mean)^2 / count), each sum one chain of double additions. The same on every machine. */
TALLY_API tally_normalization tally_sequences_measure(const tally_sequences *sequences);

/* TALLY_DATA: mean is no finite float32, or deviation is not in FLT_MIN to FLT_MAX: it is 0 where all values are the same. */
TALLY_API tally_status tally_sequences_normalize(tally_sequences *sequences, tally_normalization normalization);

/* A data set in two parts: share * size of its sequences, rounded to the nearest whole number, chosen at random by the seed (selection
 * sampling over Philox 4x32-10: the same everywhere) to validate on, and the others to train on. Both in the order of the whole, which
 * they borrow from. TALLY_USAGE: share is not above 0 and below 1, or one part would have no sequence. The caller frees it. */
typedef struct tally_split tally_split;
TALLY_API tally_status tally_split_new(const tally_dataset *whole, double share, uint64_t seed, tally_split **split);
TALLY_API void tally_split_free(tally_split *split);
/* Both borrow from split. */
TALLY_API const tally_dataset *tally_split_train(const tally_split *split);
TALLY_API const tally_dataset *tally_split_valid(const tally_split *split);

#ifdef __cplusplus
}
#endif
#endif
