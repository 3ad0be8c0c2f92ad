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

static bool has_slot(const tl_backend *table, tl_op op) {
    switch (op) {
#define CASE(name, ...)                                                                                                \
    case TL_OP_##name:                                                                                                 \
        return table->name != NULL;
        TL_OPERATIONS(CASE)
#undef CASE
    default:
        return false;
    }
}

tally_status tl_run_begin(tl_run *run, const tl_call *call) {
    tally_device *device = call->tensors[0]->device;
    const tl_backend *own = device->backend;
    run->mapped_count = 0;
    run->table = own;
    if (has_slot(own, call->op) && (!own->supports || own->supports(device, call)))
        return TALLY_OK;
    run->table = tl_cpu_backend();
    atomic_fetch_add(&device->fallbacks, 1);
    atomic_fetch_or(&device->fallback_ops, 1u << call->op);
    for (size_t i = 0; i < call->count; i++)
        if (call->tensors[i]) {
            tally_status status = map_once(run, call->tensors[i]->storage);
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
