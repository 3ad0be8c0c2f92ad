#include "tensor/upload.h"

#include "backend/backend.h"

tally_status tl_tensor_upload(const tally_tensor *tensor, const void *data) {
    return tensor->device->backend->load(tensor->storage, 0, data, tally_tensor_elements(tensor) * sizeof(float));
}
