/* upload.h: tensors written from the host without waiting, and work that is begun without waiting for it. */
#ifndef TALLY_TENSOR_UPLOAD_H
#define TALLY_TENSOR_UPLOAD_H

#include <tally/tensor.h>

/* Where the host sees the tensor's first element, always, and may write it while no operation uses it; NULL where it
 * does not. */
void *tl_tensor_host(const tally_tensor *tensor);

/* Writes all elements of a tensor that fills its storage from the start, without gaps, in the order of memory. May
 * return before it is done: data stays as it is until something of the device has been read, or the tensor is freed. */
tally_status tl_tensor_upload(const tally_tensor *tensor, const void *data);

/* Makes the device begin what it has been asked for, without waiting. */
tally_status tl_device_flush(tally_device *device);

#endif
