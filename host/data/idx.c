/* IDX, the format of MNIST (http://yann.lecun.com/exdb/mnist, FILE FORMATS): two zero bytes, the type, the number of
 * dimensions, the size of each dimension in four bytes, big-endian, and the values. */
#include "data/array.h"

#include "core/fail.h"
#include "core/size.h"
#include "data/source.h"

enum { MAGIC = 4, SIZE = 4, UNSIGNED_BYTES = 0x08 };

static tally_status check_magic(const char *path, const unsigned char magic[MAGIC], tl_array_use use) {
    int ndim = use == TL_SEQUENCES ? 3 : 1;
    if (magic[0] != 0 || magic[1] != 0)
        return tl_fail(TALLY_DATA, "%s: it is not an IDX file: it begins with the bytes %02x %02x, not 00 00", path,
                       magic[0], magic[1]);
    if (magic[2] != UNSIGNED_BYTES)
        return tl_fail(TALLY_DATA, "%s: its values have the IDX type 0x%02x, but must be unsigned bytes, 0x%02x", path,
                       magic[2], UNSIGNED_BYTES);
    if (magic[3] != ndim)
        return tl_fail(TALLY_DATA, "%s: it has %d dimensions, %s", path, magic[3],
                       use == TL_SEQUENCES ? "images have 3: images, rows, columns" : "labels have 1");
    return TALLY_OK;
}

static tally_status read_header(tl_source *source, tl_array_use use, tl_array *array, size_t *count) {
    const char *path = source->path;
    unsigned char magic[MAGIC], sizes[3 * SIZE];
    size_t got;
    tally_status status = tl_source_read(source, magic, MAGIC, &got);
    if (!status && got < MAGIC)
        status = tl_fail(TALLY_DATA, "%s: it is not an IDX file: it has only %zu bytes", path, got);
    if (!status)
        status = check_magic(path, magic, use);
    if (status)
        return status;
    size_t ndim = magic[3];
    status = tl_source_read(source, sizes, ndim * SIZE, &got);
    if (!status && got < ndim * SIZE)
        status = tl_fail(TALLY_DATA, "%s: it ends within its header", path);
    *array = (tl_array){.element = TL_U8, .shape = {1, 1, 1}};
    *count = 1;
    for (size_t i = 0; i < ndim && !status; i++) {
        const unsigned char *size = sizes + i * SIZE;
        array->shape[i] = (size_t)size[0] << 24 | (size_t)size[1] << 16 | (size_t)size[2] << 8 | size[3];
        if (array->shape[i] == 0)
            status = tl_fail(TALLY_DATA, "%s: it is empty: dimension %zu has size 0", path, i + 1);
        else if (!tl_size_mul(*count, array->shape[i], count))
            status = tl_fail(TALLY_DATA, "%s: its header has more values than any file", path);
    }
    return status;
}

tally_status tl_idx_read(const char *path, tl_array_use use, tl_array *array) {
    *array = (tl_array){.values = NULL};
    tl_source source;
    tally_status status = tl_source_open(path, &source);
    if (status)
        return status;
    size_t count;
    status = read_header(&source, use, array, &count);
    if (!status)
        status = tl_source_read_rest(&source, count, 1, &array->values);
    tl_source_close(&source);
    return status;
}
