#include "backend/backend.h"
#include "backend/view.h"
#include "core/fail.h"
#include "core/size.h"
#include "tensor/shapes.h"

#include <stdlib.h>
#include <string.h>

static_assert(sizeof(float) == 4 && sizeof(int32_t) == 4, "elements are 4 bytes");
enum { ELEMENT = 4 };

static void row_major(tally_tensor *tensor, int ndim, const size_t *shape) {
    tensor->ndim = ndim;
    size_t stride = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        tensor->shape[d] = shape[d];
        tensor->stride[d] = stride;
        stride *= shape[d];
    }
}

static tally_status count_elements(const char *what, int ndim, const size_t *shape, size_t *elements) {
    if (ndim < 1 || ndim > TALLY_MAX_DIMS || !shape)
        return tl_fail(TALLY_USAGE, "%s: %d dimensions, but tensors have 1 to %d", what, ndim, TALLY_MAX_DIMS);
    *elements = 1;
    for (int d = 0; d < ndim; d++) {
        if (shape[d] == 0)
            return tl_fail(TALLY_USAGE, "%s: dimension %d is 0", what, d);
        if (!tl_size_mul(*elements, shape[d], elements))
            return tl_fail(TALLY_MEMORY, "%s: the number of elements does not fit a size", what);
    }
    return TALLY_OK;
}

tally_status tally_tensor_new(tally_device *device, tally_dtype dtype, int ndim, const size_t *shape,
                              tally_tensor *tensor) {
    if (!device || !tensor)
        return tl_fail(TALLY_USAGE, "tally_tensor_new: no device or no tensor given");
    memset(tensor, 0, sizeof *tensor);
    if (dtype != TALLY_F32 && dtype != TALLY_I32)
        return tl_fail(TALLY_USAGE, "tally_tensor_new: unknown type %d", (int)dtype);
    size_t elements = 0, bytes;
    tally_status status = count_elements("tally_tensor_new", ndim, shape, &elements);
    if (status)
        return status;
    if (!tl_size_mul(elements, ELEMENT, &bytes) || bytes > PTRDIFF_MAX)
        return tl_fail(TALLY_MEMORY, "tally_tensor_new: %zu elements do not fit in memory", elements);
    tl_storage *storage;
    status = device->backend->storage_new(device, bytes, &storage);
    if (status)
        return status;
    tensor->device = device;
    tensor->storage = storage;
    tensor->dtype = dtype;
    row_major(tensor, ndim, shape);
    return TALLY_OK;
}

void tally_tensor_free(tally_tensor *tensor) {
    if (tensor && tensor->storage)
        tensor->device->backend->storage_free(tensor->storage);
    if (tensor)
        memset(tensor, 0, sizeof *tensor);
}

size_t tally_tensor_elements(const tally_tensor *tensor) {
    if (!tensor || !tensor->storage)
        return 0;
    size_t elements = 1;
    for (int d = 0; d < tensor->ndim; d++)
        elements *= tensor->shape[d];
    return elements;
}

static tally_status check_view(const char *what, const tally_tensor *tensor, const tally_tensor *view) {
    if (!tensor || !tensor->storage || !view)
        return tl_fail(TALLY_USAGE, "%s: no tensor given", what);
    return TALLY_OK;
}

static tally_status check_dim(const char *what, const tally_tensor *tensor, int dim) {
    char text[TL_SHAPE_TEXT];
    if (dim < 0 || dim >= tensor->ndim)
        return tl_fail(TALLY_USAGE, "%s: no dimension %d in %s", what, dim, tl_shape_text(tensor, text));
    return TALLY_OK;
}

tally_status tally_tensor_slice(const tally_tensor *tensor, int dim, size_t start, size_t length, tally_tensor *view) {
    char text[TL_SHAPE_TEXT];
    tally_status status = check_view("tally_tensor_slice", tensor, view);
    if (!status)
        status = check_dim("tally_tensor_slice", tensor, dim);
    if (status)
        return status;
    if (length == 0 || start > tensor->shape[dim] || length > tensor->shape[dim] - start)
        return tl_fail(TALLY_USAGE, "tally_tensor_slice: %zu elements from %zu on are not in dimension %d of %s",
                       length, start, dim, tl_shape_text(tensor, text));
    *view = *tensor;
    view->offset += start * tensor->stride[dim];
    view->shape[dim] = length;
    return TALLY_OK;
}

tally_status tally_tensor_select(const tally_tensor *tensor, int dim, size_t index, tally_tensor *view) {
    char text[TL_SHAPE_TEXT];
    tally_status status = check_view("tally_tensor_select", tensor, view);
    if (!status)
        status = check_dim("tally_tensor_select", tensor, dim);
    if (status)
        return status;
    if (tensor->ndim == 1 || index >= tensor->shape[dim])
        return tl_fail(TALLY_USAGE, "tally_tensor_select: nothing to select at %zu in dimension %d of %s", index, dim,
                       tl_shape_text(tensor, text));
    tally_tensor result = *tensor;
    result.offset += index * tensor->stride[dim];
    result.ndim--;
    for (int d = dim; d < result.ndim; d++) {
        result.shape[d] = tensor->shape[d + 1];
        result.stride[d] = tensor->stride[d + 1];
    }
    *view = result;
    return TALLY_OK;
}

tally_status tally_tensor_transpose(const tally_tensor *tensor, int dim0, int dim1, tally_tensor *view) {
    tally_status status = check_view("tally_tensor_transpose", tensor, view);
    if (!status)
        status = check_dim("tally_tensor_transpose", tensor, dim0);
    if (!status)
        status = check_dim("tally_tensor_transpose", tensor, dim1);
    if (status)
        return status;
    tally_tensor result = *tensor;
    result.shape[dim0] = tensor->shape[dim1];
    result.stride[dim0] = tensor->stride[dim1];
    result.shape[dim1] = tensor->shape[dim0];
    result.stride[dim1] = tensor->stride[dim0];
    *view = result;
    return TALLY_OK;
}

tally_status tally_tensor_reshape(const tally_tensor *tensor, int ndim, const size_t *shape, tally_tensor *view) {
    char text[TL_SHAPE_TEXT];
    size_t elements = 0;
    tally_status status = check_view("tally_tensor_reshape", tensor, view);
    if (!status)
        status = count_elements("tally_tensor_reshape", ndim, shape, &elements);
    if (status)
        return status;
    if (!tl_view_contiguous(tensor))
        return tl_fail(TALLY_USAGE, "tally_tensor_reshape: the view %s is not contiguous", tl_shape_text(tensor, text));
    if (elements > tally_tensor_elements(tensor))
        return tl_fail(TALLY_USAGE, "tally_tensor_reshape: %zu elements wanted of %s", elements,
                       tl_shape_text(tensor, text));
    tally_tensor result = *tensor;
    row_major(&result, ndim, shape);
    *view = result;
    return TALLY_OK;
}

/* Between a strided view, seen by the host, and a row-major array. */
static void transfer(const tally_tensor *t, char *array, bool to_tensor) {
    size_t shape[3] = {1, 1, 1}, stride[3] = {0, 0, 0};
    for (int d = 0; d < t->ndim; d++) {
        shape[3 - t->ndim + d] = t->shape[d];
        stride[3 - t->ndim + d] = t->stride[d];
    }
    for (size_t i = 0; i < shape[0]; i++)
        for (size_t j = 0; j < shape[1]; j++) {
            char *row = (char *)t->storage->host + ELEMENT * (t->offset + i * stride[0] + j * stride[1]);
            for (size_t k = 0; k < shape[2]; k++, array += ELEMENT) {
                char *element = row + ELEMENT * k * stride[2];
                memcpy(to_tensor ? element : array, to_tensor ? array : element, ELEMENT);
            }
        }
}

static tally_status move(const char *what, const tally_tensor *tensor, char *array, size_t count, bool to_tensor) {
    char text[TL_SHAPE_TEXT];
    if (!tensor || !tensor->storage || !array)
        return tl_fail(TALLY_USAGE, "%s: no tensor or no array given", what);
    if (count != tally_tensor_elements(tensor))
        return tl_fail(TALLY_USAGE, "%s: an array of %zu elements for %s", what, count, tl_shape_text(tensor, text));
    const tl_backend *backend = tensor->device->backend;
    if (tl_view_contiguous(tensor))
        return to_tensor ? backend->write(tensor->storage, tensor->offset * ELEMENT, array, count * ELEMENT)
                         : backend->read(tensor->storage, tensor->offset * ELEMENT, array, count * ELEMENT);
    tally_status status = backend->storage_map(tensor->storage);
    if (status)
        return status;
    transfer(tensor, array, to_tensor);
    return backend->storage_unmap(tensor->storage);
}

tally_status tally_tensor_write(const tally_tensor *tensor, const void *array, size_t count) {
    return move("tally_tensor_write", tensor, (char *)(uintptr_t)array, count, true);
}

tally_status tally_tensor_read(const tally_tensor *tensor, void *array, size_t count) {
    return move("tally_tensor_read", tensor, array, count, false);
}
