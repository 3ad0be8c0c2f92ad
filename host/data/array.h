/* array.h: arrays read from files. */
#ifndef TALLY_DATA_ARRAY_H
#define TALLY_DATA_ARRAY_H

#include <tally/core.h>

/* Floats are values only, U8 values or integers, and all others integers only. */
typedef enum tl_element { TL_U8, TL_U16, TL_U32, TL_U64, TL_I8, TL_I16, TL_I32, TL_I64, TL_F32, TL_F64 } tl_element;

typedef enum tl_array_use {
    TL_SEQUENCES, /* values [N, T, F]: U8, F32 or F64 */
    TL_NUMBERS    /* integers [N], labels or lengths */
} tl_array_use;

typedef struct tl_array {
    tl_element element;
    size_t shape[3]; /* all at least 1; unused dimensions are 1 */
    void *values;    /* row-major, in native byte order; the caller frees them */
} tl_array;

/* Read a file that contains one such array and nothing else. TALLY_IO: it cannot be read. TALLY_DATA: its contents
 * are wrong; the text says how. */
tally_status tl_idx_read(const char *path, tl_array_use use, tl_array *array);
tally_status tl_npy_read(const char *path, tl_array_use use, tl_array *array);

#endif
