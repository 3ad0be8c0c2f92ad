/* upload.h: tensors written from the host without waiting. */
#ifndef TALLY_TENSOR_UPLOAD_H
#define TALLY_TENSOR_UPLOAD_H

#include <tally/tensor.h>

/* Writes all elements of a tensor that fills its storage from the start, without gaps, in the order of memory. May
 * return before it is done: data stays as it is until something of the device has been read, or the tensor is freed. */
tally_status tl_tensor_upload(const tally_tensor *tensor, const void *data);

#endif
