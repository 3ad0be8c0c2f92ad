#include "backend/cpu/memory.h"

#include "core/fail.h"
#include "core/size.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGNMENT = 64, LARGE = 2 << 20 };

tally_status tl_cpu_storage_new(tally_device *device, size_t bytes, tl_storage **storage) {
    size_t padded, alignment = bytes < LARGE ? ALIGNMENT : LARGE;
    if (!tl_size_add(bytes, alignment - 1, &padded))
        return tl_fail(TALLY_MEMORY, "%zu bytes do not fit in memory", bytes);
    padded -= padded % alignment;
    tl_storage *made = malloc(sizeof *made);
    void *host = aligned_alloc(alignment, padded);
    if (!made || !host) {
        free(made);
        free(host);
        return tl_fail(TALLY_MEMORY, "no memory left for a tensor of %zu bytes", bytes);
    }
    if (alignment == LARGE)
        madvise(host, padded, MADV_HUGEPAGE); /* long sequences go through many pages; it is a wish */
    memset(host, 0, padded);
    *made = (tl_storage){.device = device, .bytes = bytes, .host = host};
    *storage = made;
    return TALLY_OK;
}

void tl_cpu_storage_free(tl_storage *storage) {
    free(storage->host);
    free(storage);
}

tally_status tl_cpu_storage_map(tl_storage *storage) {
    (void)storage;
    return TALLY_OK;
}

tally_status tl_cpu_storage_unmap(tl_storage *storage) {
    (void)storage;
    return TALLY_OK;
}

tally_status tl_cpu_write(tl_storage *storage, size_t offset, const void *data, size_t bytes) {
    memcpy((char *)storage->host + offset, data, bytes);
    return TALLY_OK;
}

tally_status tl_cpu_read(tl_storage *storage, size_t offset, void *data, size_t bytes) {
    memcpy(data, (const char *)storage->host + offset, bytes);
    return TALLY_OK;
}
