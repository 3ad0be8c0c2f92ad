/* safetensors.h: the safetensors format (https://github.com/huggingface/safetensors, section Format): the size of
 * the header in 8 bytes, little-endian; the header in JSON; the tensors' bytes. */
#ifndef TALLY_STORE_SAFETENSORS_H
#define TALLY_STORE_SAFETENSORS_H

#include <jansson.h>
#include <tally/core.h>

/* The largest header that the reference implementation reads. */
#define TL_SAFETENSORS_MAX_HEADER 100000000

typedef struct tl_saved_tensor {
    const char *name;
    const char *dtype; /* as in the format: "F32", "I64", ... */
    size_t ndim;       /* 0 for a scalar */
    const size_t *shape;
    const unsigned char *data; /* row-major, little-endian */
    size_t bytes;
} tl_saved_tensor;

typedef struct tl_safetensors {
    tl_saved_tensor *tensors; /* in the order of their data */
    size_t count;
    const json_t *metadata; /* an object of strings; NULL if there is none */
    /* Owns what the fields above point to. */
    json_t *header;
    size_t *sizes;
    unsigned char *data;
} tl_safetensors;

/* The number of bytes of a tensor with this dtype and shape. TALLY_USAGE: the dtype is unknown, the size overflows
 * or is not a multiple of 8 bits; the text continues a message that begins with the tensor's name. */
tally_status tl_safetensors_bytes(const char *dtype, const size_t *shape, size_t ndim, size_t *bytes);

/* Reads a whole file into memory. As strict as the reference implementation, and stricter where the specification
 * is: the header must begin with '{', and a tensor may have no keys other than dtype, shape and data_offsets.
 * TALLY_IO: the file cannot be read. TALLY_MODEL: it violates the format; the text says how. Memory use is
 * proportional to the file's size. Free with tl_safetensors_free. */
tally_status tl_safetensors_read(const char *path, tl_safetensors *file);
void tl_safetensors_free(tl_safetensors *file);

/* Writes a file atomically, with the data in the given order and the header's keys sorted. The caller guarantees
 * that names differ and that bytes are those of tl_safetensors_bytes(). metadata: an object of strings, or NULL. */
tally_status tl_safetensors_write(const char *path, const tl_saved_tensor *tensors, size_t count,
                                  const json_t *metadata);

#endif
