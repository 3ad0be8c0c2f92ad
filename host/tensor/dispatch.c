#include "tensor/dispatch.h"

static tally_status map_once(tl_run *run, tl_storage *storage) {
    for (size_t i = 0; i < run->mapped_count; i++)
        if (run->mapped[i] == storage)
            return TALLY_OK;
    tally_status status = storage->device->backend->storage_map(storage);
    if (!status)
        run->mapped[run->mapped_count++] = storage;
    return status;
}

tally_status tl_run_begin(tl_run *run, tl_op op, const tally_tensor *const *tensors, size_t count) {
    tally_device *device = tensors[0]->device;
    run->mapped_count = 0;
    run->table = device->backend;
    if (device->backend->supports(device, op, tensors, count))
        return TALLY_OK;
    run->table = tl_cpu_backend();
    atomic_fetch_add(&device->fallbacks, 1);
    atomic_fetch_or(&device->fallback_ops, 1u << op);
    for (size_t i = 0; i < count; i++)
        if (tensors[i]) {
            tally_status status = map_once(run, tensors[i]->storage);
            if (status)
                return tl_run_end(run, status);
        }
    return TALLY_OK;
}

tally_status tl_run_end(tl_run *run, tally_status status) {
    while (run->mapped_count > 0) {
        tl_storage *storage = run->mapped[--run->mapped_count];
        tally_status unmapped = storage->device->backend->storage_unmap(storage);
        if (!status)
            status = unmapped;
    }
    return status;
}
