/* array.h: an array as a file has it, in memory. */
#ifndef TALLY_DATA_ARRAY_H
#define TALLY_DATA_ARRAY_H

#include <tally/core.h>

/* Float elements are values, U8 may be, all but the floats are labels or lengths. */
typedef enum tl_element { TL_U8, TL_U16, TL_U32, TL_U64, TL_I8, TL_I16, TL_I32, TL_I64, TL_F32, TL_F64 } tl_element;

typedef enum tl_array_use {
    TL_SEQUENCES, /* values [N, T, F]: U8, F32 or F64 */
    TL_NUMBERS    /* whole numbers [N] */
} tl_array_use;

typedef struct tl_array {
    tl_element element;
    size_t shape[3]; /* none is 0; those behind the array's own are 1 */
    void *values;    /* row-major, in this machine's byte order; the caller frees them */
} tl_array;

/* The file must hold such an array and nothing else. TALLY_IO: cannot be read. TALLY_DATA: is not what it must be, and why. */
tally_status tl_idx_read(const char *path, tl_array_use use, tl_array *array);
tally_status tl_npy_read(const char *path, tl_array_use use, tl_array *array);

#endif
