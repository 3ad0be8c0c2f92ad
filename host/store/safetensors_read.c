#include "store/safetensors.h"

#include "core/fail.h"
#include "core/regular_file.h"
#include "core/size.h"
#include "store/printable.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PREFIX = 8 }; /* bytes before the header, with its size */

static tally_status read_exactly(const char *path, int fd, unsigned char *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t got = read(fd, data, bytes < SSIZE_MAX ? bytes : SSIZE_MAX);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return tl_fail(TALLY_IO, "cannot read %s: %s", path, strerror(errno));
        if (got == 0)
            return tl_fail(TALLY_IO, "cannot read %s: it was truncated while being read", path);
        data += got;
        bytes -= (size_t)got;
    }
    return TALLY_OK;
}

static tally_status fail_memory(const char *path, size_t bytes) {
    return tl_fail(TALLY_MEMORY, "cannot read %s: no memory left for %zu bytes", path, bytes);
}

static bool parse_size(const json_t *value, size_t *number) {
    if (!json_is_integer(value) || json_integer_value(value) < 0 || (uintmax_t)json_integer_value(value) > SIZE_MAX)
        return false;
    *number = (size_t)json_integer_value(value);
    return true;
}

static tally_status parse_header(const char *path, int fd, size_t header_size, json_t **header) {
    char *text = malloc(header_size);
    if (!text)
        return fail_memory(path, header_size);
    tally_status status = read_exactly(path, fd, (unsigned char *)text, header_size);
    if (!status && text[0] != '{')
        status = tl_fail(TALLY_MODEL, "%s: the header does not begin with '{'", path);
    if (!status) {
        json_error_t error = {.text = ""};
        *header = json_loadb(text, header_size, JSON_REJECT_DUPLICATES, &error);
        if (!*header && !error.text[0]) /* jansson has no text for this error */
            status = fail_memory(path, header_size);
        else if (!*header)
            status = tl_fail(TALLY_MODEL, "%s: the header is not valid JSON: %s at its byte %d", path,
                             tl_printable(error.text).text, error.position);
    }
    free(text);
    return status;
}

static tally_status check_metadata(const char *path, const json_t *metadata) {
    if (!json_is_object(metadata))
        return tl_fail(TALLY_MODEL, "%s: __metadata__ is not an object", path);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)metadata, key, value) {
        if (!json_is_string(value))
            return tl_fail(TALLY_MODEL, "%s: %s in __metadata__ is not a string", path, tl_printable(key).text);
    }
    return TALLY_OK;
}

static tally_status check_keys(const char *path, const char *name, json_t *info) {
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    enum { KEYS = sizeof keys / sizeof keys[0] };
    if (!json_is_object(info))
        return tl_fail(TALLY_MODEL, "%s: tensor %s is not an object", path, name);
    for (size_t i = 0; i < KEYS; i++)
        if (!json_object_get(info, keys[i]))
            return tl_fail(TALLY_MODEL, "%s: tensor %s has no %s", path, name, keys[i]);
    const char *key;
    json_t *value;
    json_object_foreach(info, key, value) {
        size_t i = 0;
        while (i < KEYS && strcmp(key, keys[i]) != 0)
            i++;
        if (i == KEYS)
            return tl_fail(TALLY_MODEL, "%s: tensor %s has the unknown key %s", path, name, tl_printable(key).text);
    }
    return TALLY_OK;
}

/* shape has space for json_array_size() elements. */
static tally_status parse_tensor(const char *path, const char *key, json_t *info, const unsigned char *data,
                                 size_t data_size, size_t *shape, tl_saved_tensor *tensor) {
    const tl_printable_text shown = tl_printable(key);
    const char *name = shown.text;
    tally_status status = check_keys(path, name, info);
    if (status)
        return status;

    const char *dtype = json_string_value(json_object_get(info, "dtype"));
    if (!dtype)
        return tl_fail(TALLY_MODEL, "%s: tensor %s has a dtype that is not a string", path, name);

    const json_t *sizes = json_object_get(info, "shape");
    if (!json_is_array(sizes))
        return tl_fail(TALLY_MODEL, "%s: tensor %s has a shape that is not an array", path, name);
    size_t ndim = json_array_size(sizes);
    for (size_t i = 0; i < ndim; i++)
        if (!parse_size(json_array_get(sizes, i), &shape[i]))
            return tl_fail(TALLY_MODEL, "%s: tensor %s has a size in its shape that is not a whole number from 0", path,
                           name);

    const json_t *offsets = json_object_get(info, "data_offsets");
    size_t begin, end, bytes;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 || !parse_size(json_array_get(offsets, 0), &begin) ||
        !parse_size(json_array_get(offsets, 1), &end))
        return tl_fail(TALLY_MODEL, "%s: tensor %s has data_offsets that are not two whole numbers from 0", path, name);
    if (begin > end)
        return tl_fail(TALLY_MODEL, "%s: tensor %s ends at byte %zu, before it begins at byte %zu", path, name, end,
                       begin);

    if (tl_safetensors_bytes(dtype, shape, ndim, &bytes))
        return tl_fail_within(TALLY_MODEL, "%s: tensor %s ", path, name);
    if (bytes != end - begin)
        return tl_fail(TALLY_MODEL, "%s: tensor %s has %zu bytes of data, but its shape and dtype need %zu", path, name,
                       end - begin, bytes);
    if (end > data_size)
        return tl_fail(TALLY_MODEL, "%s: tensor %s ends at byte %zu of the data, but the file has only %zu", path, name,
                       end, data_size);
    *tensor = (tl_saved_tensor){key, dtype, ndim, shape, data + begin, bytes};
    return TALLY_OK;
}

static int compare_begin(const void *left, const void *right) {
    const tl_saved_tensor *a = left, *b = right;
    if (a->data != b->data)
        return a->data < b->data ? -1 : 1;
    return (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* The tensors cover the data without gaps, overlaps or a remainder. */
static tally_status check_contiguous(const char *path, const tl_safetensors *file, size_t data_size) {
    size_t next = 0;
    for (size_t i = 0; i < file->count; i++) {
        const tl_saved_tensor *tensor = &file->tensors[i];
        size_t begin = (size_t)(tensor->data - file->data);
        if (begin != next)
            return tl_fail(TALLY_MODEL, "%s: tensor %s begins at byte %zu of the data, but the one before ends at %zu",
                           path, tl_printable(tensor->name).text, begin, next);
        next = begin + tensor->bytes;
    }
    if (next != data_size)
        return tl_fail(TALLY_MODEL, "%s: %zu bytes follow the last tensor", path, data_size - next);
    return TALLY_OK;
}

static tally_status parse_tensors(const char *path, size_t data_size, tl_safetensors *file) {
    const char *key;
    json_t *info;
    /* Each size takes at least a byte of the header, so that these sums cannot overflow. */
    size_t entries = 0, sizes = 0;
    json_object_foreach(file->header, key, info) {
        entries++;
        sizes += json_array_size(json_object_get(info, "shape"));
    }
    file->tensors = calloc(entries + 1, sizeof *file->tensors);
    file->sizes = calloc(sizes + 1, sizeof *file->sizes);
    if (!file->tensors || !file->sizes)
        return fail_memory(path, entries * sizeof *file->tensors + sizes * sizeof *file->sizes);

    size_t *shape = file->sizes;
    json_object_foreach(file->header, key, info) {
        tally_status status;
        if (strcmp(key, "__metadata__") == 0) {
            status = check_metadata(path, info);
            file->metadata = info;
        } else {
            tl_saved_tensor *tensor = &file->tensors[file->count];
            status = parse_tensor(path, key, info, file->data, data_size, shape, tensor);
            shape += tensor->ndim;
            file->count++;
        }
        if (status)
            return status;
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, compare_begin);
    return check_contiguous(path, file, data_size);
}

static tally_status read_opened(const char *path, int fd, size_t size, tl_safetensors *file) {
    if (size < PREFIX)
        return tl_fail(TALLY_MODEL, "%s: %zu bytes are too few for a safetensors file, which has at least %d", path,
                       size, PREFIX);
    unsigned char prefix[PREFIX];
    tally_status status = read_exactly(path, fd, prefix, PREFIX);
    if (status)
        return status;
    uint64_t header_size = 0;
    for (int i = PREFIX - 1; i >= 0; i--)
        header_size = header_size << 8 | prefix[i];
    if (header_size > TL_SAFETENSORS_MAX_HEADER)
        return tl_fail(TALLY_MODEL,
                       "%s: a header of %llu bytes is larger than the %d allowed; is this a safetensors file?", path,
                       (unsigned long long)header_size, TL_SAFETENSORS_MAX_HEADER);
    if (header_size > size - PREFIX)
        return tl_fail(TALLY_MODEL, "%s: a header of %llu bytes does not fit in the file, which has %zu", path,
                       (unsigned long long)header_size, size);
    if (header_size == 0)
        return tl_fail(TALLY_MODEL, "%s: the header is empty", path);
    size_t data_size = size - PREFIX - (size_t)header_size;
    status = parse_header(path, fd, (size_t)header_size, &file->header);
    if (status)
        return status;
    file->data = malloc(data_size ? data_size : 1);
    if (!file->data)
        return fail_memory(path, data_size);
    status = parse_tensors(path, data_size, file);
    return status ? status : read_exactly(path, fd, file->data, data_size);
}

tally_status tl_safetensors_read(const char *path, tl_safetensors *file) {
    *file = (tl_safetensors){NULL, 0, NULL, NULL, NULL, NULL};
    int fd;
    size_t size = 0;
    tally_status status = tl_open_regular(path, &fd, &size);
    if (status)
        return status;
    status = read_opened(path, fd, size, file);
    close(fd); /* opened for reading only, so nothing can be lost */
    if (status)
        tl_safetensors_free(file);
    return status;
}

void tl_safetensors_free(tl_safetensors *file) {
    free(file->tensors);
    free(file->sizes);
    free(file->data);
    json_decref(file->header);
    *file = (tl_safetensors){NULL, 0, NULL, NULL, NULL, NULL};
}
