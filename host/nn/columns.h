/* columns.h: sequences of a data set, transposed so that they are columns. */
#ifndef TALLY_NN_COLUMNS_H
#define TALLY_NN_COLUMNS_H

#include <tally/tensor.h>

/* Columns are made in whole lanes of so many. */
enum { TL_COLUMN_LANES = 16 };

/* Row-major x [count, T, I] as memory [I, T, N] with the strides of the tensor x_columns, whose own memory is not
 * looked at: column n is sequence n. lengths [count], or NULL for all steps: a shorter sequence's steps lie at the
 * end of the column's, with zeros before them. Columns from count on are 0. N is a multiple of TL_COLUMN_LANES. */
void tl_columns_from_rows(const tally_tensor *x_columns, size_t count, const float *x, const int32_t *lengths,
                          float *memory);
/* Row-major [C, N] as rows [count, C]. */
void tl_rows_from_columns(const float *columns, size_t classes, size_t padded, size_t count, float *rows);

#endif
