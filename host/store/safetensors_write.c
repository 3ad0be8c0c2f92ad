#include "store/safetensors.h"

#include "core/atomic_file.h"
#include "core/fail.h"
#include "core/size.h"

#include <stdlib.h>
#include <string.h>

/* TL_SAFETENSORS_MAX_HEADER is a multiple of the alignment. */
enum { PREFIX = 8, ALIGNMENT = 8, DUMP = JSON_COMPACT | JSON_SORT_KEYS };

static json_t *tensor_json(const tl_saved_tensor *tensor, size_t begin, size_t end) {
    json_t *shape = json_array();
    bool failed = !shape;
    for (size_t i = 0; i < tensor->ndim && !failed; i++)
        failed = json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i])) != 0;
    json_t *info = failed ? NULL
                          : json_pack("{s:s, s:O, s:[I, I]}", "dtype", tensor->dtype, "shape", shape, "data_offsets",
                                      (json_int_t)begin, (json_int_t)end);
    json_decref(shape);
    return info;
}

/* NULL if out of memory. */
static json_t *make_header(const tl_saved_tensor *tensors, size_t count, const json_t *metadata) {
    json_t *header = json_object();
    bool failed = !header || (metadata && json_object_set(header, "__metadata__", (json_t *)metadata) != 0);
    size_t begin = 0, end;
    for (size_t i = 0; i < count && !failed; i++) {
        failed = !tl_size_add(begin, tensors[i].bytes, &end) ||
                 json_object_set_new(header, tensors[i].name, tensor_json(&tensors[i], begin, end)) != 0;
        begin = end;
    }
    if (!failed)
        return header;
    json_decref(header);
    return NULL;
}

/* The contents of the file; header_size is a multiple of the alignment and at least the size of the header. NULL if
 * out of memory. */
static unsigned char *make_file(const json_t *header, size_t header_size, const tl_saved_tensor *tensors, size_t count,
                                size_t *bytes) {
    bool fits = tl_size_add(header_size, PREFIX, bytes);
    for (size_t i = 0; i < count && fits; i++)
        fits = tl_size_add(*bytes, tensors[i].bytes, bytes);
    unsigned char *file = fits ? malloc(*bytes) : NULL;
    if (!file)
        return NULL;
    for (int i = 0; i < PREFIX; i++)
        file[i] = (unsigned char)((uint64_t)header_size >> 8 * i);
    unsigned char *end = file + PREFIX;
    memset(end, ' ', header_size);
    if (json_dumpb(header, (char *)end, header_size, DUMP) == 0) {
        free(file);
        return NULL;
    }
    end += header_size;
    for (size_t i = 0; i < count; i++) {
        if (tensors[i].bytes)
            memcpy(end, tensors[i].data, tensors[i].bytes);
        end += tensors[i].bytes;
    }
    return file;
}

tally_status tl_safetensors_write(const char *path, const tl_saved_tensor *tensors, size_t count,
                                  const json_t *metadata) {
    json_t *header = make_header(tensors, count, metadata);
    size_t text = header ? json_dumpb(header, NULL, 0, DUMP) : 0; /* 0 if out of memory */
    unsigned char *file = NULL;
    size_t bytes;
    tally_status status;
    if (text > TL_SAFETENSORS_MAX_HEADER)
        status = tl_fail(TALLY_USAGE, "cannot write %s: its header would be larger than %d bytes", path,
                         TL_SAFETENSORS_MAX_HEADER);
    else if (text == 0 ||
             !(file = make_file(header, (text + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, tensors, count, &bytes)))
        status = tl_fail(TALLY_MEMORY, "cannot write %s: no memory left", path);
    else
        status = tl_atomic_write(path, file, bytes);
    free(file);
    json_decref(header);
    return status;
}
