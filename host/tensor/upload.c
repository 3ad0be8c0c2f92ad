#include "tensor/upload.h"

#include "backend/backend.h"

enum { ELEMENT = 4 };

void *tl_tensor_host(const tally_tensor *tensor) {
    return tensor->storage->host ? (char *)tensor->storage->host + tensor->offset * ELEMENT : NULL;
}

tally_status tl_tensor_upload(const tally_tensor *tensor, const void *data) {
    return tensor->device->backend->load(tensor->storage, 0, data, tally_tensor_elements(tensor) * ELEMENT);
}

tally_status tl_device_flush(tally_device *device) {
    return device->backend->flush ? device->backend->flush(device) : TALLY_OK;
}
