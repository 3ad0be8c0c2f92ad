#include "backend/cpu/kernels.h"
#include "backend/cpu/memory.h"

#include <stdlib.h>

static void close_device(tally_device *device) {
    free(device);
}

const tl_backend TL_ISA_NAME(backend) = {
    .step_major = true,
    .close = close_device,
    .storage_new = tl_cpu_storage_new,
    .storage_free = tl_cpu_storage_free,
    .storage_map = tl_cpu_storage_map,
    .storage_unmap = tl_cpu_storage_unmap,
    .write = tl_cpu_write,
    .load = tl_cpu_write,
    .read = tl_cpu_read,
    .layer_scratch = TL_ISA_NAME(layer_scratch),
    .peak = TL_ISA_NAME(peak),
#define SLOT(name, ...) .name = TL_ISA_NAME(name),
    TL_OPERATIONS(SLOT)
#undef SLOT
};
