#include "nn/columns.h"

#include <string.h>

/* Sequences are transposed a tile of LANES sequences by VALUES values at a time: whole cache lines are read and
 * written, so that it does not matter how many rows a power of two apart the cache can hold. */
enum { LANES = TL_COLUMN_LANES, VALUES = 16 };

void tl_columns_from_rows(const tally_tensor *x_columns, size_t count, const float *x, const int32_t *lengths,
                          float *memory) {
    const tally_tensor *t = x_columns;
    size_t inputs = t->shape[0], values = inputs * t->shape[1], columns = t->shape[2];
    for (size_t first = 0; first < values; first += VALUES) {
        size_t some = values - first < VALUES ? values - first : VALUES;
        float *rows[VALUES];
        for (size_t v = 0; v < some; v++)
            rows[v] = memory + (first + v) % inputs * t->stride[0] + (first + v) / inputs * t->stride[1];
        for (size_t column = 0; column < columns; column += LANES) {
            float tile[VALUES][LANES] = {{0}};
            for (size_t n = 0; n < LANES && column + n < count; n++) {
                size_t missing = lengths ? values - (size_t)lengths[column + n] * inputs : 0;
                for (size_t v = missing < first ? 0 : missing - first; v < some; v++)
                    tile[v][n] = x[(column + n) * values + first + v - missing];
            }
            for (size_t v = 0; v < some; v++)
                memcpy(rows[v] + column, tile[v], sizeof tile[v]);
        }
    }
}

void tl_rows_from_columns(const float *columns, size_t classes, size_t padded, size_t count, float *rows) {
    for (size_t first = 0; first < count; first += LANES) /* a cache line of each class */
        for (size_t k = 0; k < classes; k++)
            for (size_t n = first; n < first + LANES && n < count; n++)
                rows[n * classes + k] = columns[k * padded + n];
}
