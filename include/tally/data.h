/* data.h: data sets: the counting experiment's strings, and sequences from IDX and NumPy files. */
#ifndef TALLY_DATA_H
#define TALLY_DATA_H

#include <tally/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Labelled sequences of at most steps time steps. read() fills x, row-major [count, steps, inputs], and labels
 * [count] with the sequences of the given numbers, each below size. It may be called from several threads at once.
 * Either output may be NULL. If it fails, the call that needed the sequences returns its status. */
typedef struct tally_dataset {
    size_t size, steps, inputs, classes;
    tally_status (*read)(const struct tally_dataset *dataset, const size_t *numbers, size_t count, float *x,
                         int32_t *labels);
    /* Fills lengths [count] with each sequence's number of time steps, 1 to steps; NULL if every sequence has steps
     * of them. A shorter sequence occupies the first time steps of its row of x; the rest of the row is ignored. May
     * be called from several threads at once, like read(). */
    tally_status (*lengths)(const struct tally_dataset *dataset, const size_t *numbers, size_t count, int32_t *lengths);
    const void *context;
} tally_dataset;

typedef enum tally_draw {
    TALLY_DRAW_RANDOM, /* the first strings of the shuffled order */
    TALLY_DRAW_EVEN,   /* evenly over the counts of ones; a count with too few strings gives all it has */
    TALLY_DRAW_RUNS    /* likewise, over the pairs of a count and a number of runs (stretches of equal bits) */
} tally_draw;

typedef struct tally_count_options {
    unsigned length;   /* bits per string, 1 to 24 */
    size_t train_size; /* 1 to the number of strings */
    uint64_t seed;
    tally_draw draw;
    unsigned shortest; /* strings have shortest to length bits, 1 to length; 0: all have length */
} tally_count_options;

/* 20 bits, 10,000 strings, seed 1, random. */
TALLY_API tally_count_options tally_count_defaults(void);

/* All strings of these lengths, the class of each being its number of ones, shuffled by the seed (Fisher-Yates over
 * Philox 4x32-10, the same on every machine) and split into a training and a test part. Both parts keep the shuffled
 * order. A string's bits are its time steps, in order, with one input of 0 or 1 each. Takes 4 bytes of memory per
 * string. The caller frees it. */
typedef struct tally_count tally_count;
TALLY_API tally_status tally_count_new(const tally_count_options *options, tally_count **count);
TALLY_API void tally_count_free(tally_count *count);
/* Both borrow from count. The test part may be empty. */
TALLY_API const tally_dataset *tally_count_train(const tally_count *count);
TALLY_API const tally_dataset *tally_count_test(const tally_count *count);

enum { TALLY_MAX_CLASSES = 65536 };

/* Labelled sequences from files, held in memory in the files' own element type (bytes stay bytes). The files are
 * read and checked completely by the functions that create the object. Use it from one thread at a time; its data
 * sets may be read from several.
 *
 * Files may be compressed with gzip. Memory is allocated for values that are present in a file, never on the promise
 * of its header. TALLY_IO: a file cannot be read. TALLY_DATA: a file has the wrong contents; the text names it and
 * says why. */
typedef struct tally_sequences tally_sequences;

/* IDX files of unsigned bytes: images [N, T, F], whose rows are the time steps, and labels [N], which may be NULL.
 * The caller frees the result. */
TALLY_API tally_status tally_sequences_read_idx(const char *images, const char *labels, tally_sequences **sequences);

/* NumPy .npy files, versions 1.0, 2.0 and 3.0, in either byte order and in C order: x [N, T, F] of float32, float64
 * or uint8; labels [N] of signed or unsigned integers, or NULL; lengths [N] of integers from 1 to T, or NULL if all
 * sequences have T time steps. Every value of x within a sequence's length must be finite as float32. The caller
 * frees the result. */
TALLY_API tally_status tally_sequences_read_npy(const char *x, const char *labels, const char *lengths,
                                                tally_sequences **sequences);
TALLY_API void tally_sequences_free(tally_sequences *sequences);

/* Both borrow from sequences and follow its later settings. Labels are those of the file, 0 to TALLY_MAX_CLASSES -
 * 1, or -1 if there are none. Until tally_sequences_set_classes, the number of classes is the largest label of both
 * parts + 1, but at least 2. Nothing is held out initially. */
TALLY_API const tally_dataset *tally_sequences_kept(const tally_sequences *sequences);
TALLY_API const tally_dataset *tally_sequences_held_out(const tally_sequences *sequences);

/* Holds out share * N of the sequences, rounded to the nearest integer and chosen at random by the seed (selection
 * sampling over Philox 4x32-10, the same on every machine). Both parts keep the order of the file. TALLY_USAGE:
 * share is not in [0, 1), or nothing would be kept. */
TALLY_API tally_status tally_sequences_hold_out(tally_sequences *sequences, double share, uint64_t seed);

/* Sets the number of classes. TALLY_DATA: a label is not below it. */
TALLY_API tally_status tally_sequences_set_classes(tally_sequences *sequences, size_t classes);

/* read() returns ((float)value - (float)mean) * (float)(1 / deviation), computed in float, and 0 beyond the end of a
 * shorter sequence. The initial mean 0 and deviation 1 leave values as they are. */
typedef struct tally_normalization {
    double mean, deviation;
} tally_normalization;

/* Mean and deviation of all values of the kept part, as float32, in their order, without anything beyond a
 * sequence's length: mean = sum / count, deviation = sqrt(sum of (value - mean)^2 / count), each sum one chain of
 * double additions. The result is the same on every machine. */
TALLY_API tally_normalization tally_sequences_measure(const tally_sequences *sequences);

/* TALLY_DATA: mean is not a finite float32, or deviation is not within FLT_MIN to FLT_MAX. (It is 0 if all values
 * are equal.) */
TALLY_API tally_status tally_sequences_normalize(tally_sequences *sequences, tally_normalization normalization);

/* A data set split in two: share * size of its sequences, rounded to the nearest integer and chosen at random by the
 * seed (selection sampling over Philox 4x32-10, the same on every machine), for validation, and the others for
 * training. Both parts keep the order of the whole data set and borrow from it. TALLY_USAGE: share is not in (0, 1),
 * or one part would be empty. The caller frees it. */
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
