/* safetensors.h: the file format (https://github.com/huggingface/safetensors, its format section): the header's size as
 * 8 bytes little-endian, the header in JSON, the tensors' bytes. */
#ifndef TALLY_STORE_SAFETENSORS_H
#define TALLY_STORE_SAFETENSORS_H

#include <jansson.h>
#include <tally/core.h>

/* The largest header that upstream reads. */
#define TL_SAFETENSORS_MAX_HEADER 100000000

typedef struct tl_saved_tensor {
    const char *name;
    const char *dtype; /* as the format names it: "F32", "I64", ... */
    size_t ndim;       /* 0 for a scalar */
    const size_t *shape;
    const unsigned char *data; /* row-major, little-endian */
    size_t bytes;
} tl_saved_tensor;

typedef struct tl_safetensors {
    tl_saved_tensor *tensors; /* in the order of their data */
    size_t count;
    const json_t *metadata; /* an object of strings, NULL if there is none */
    /* What the fields above point into. */
    json_t *header;
    size_t *sizes;
    unsigned char *data;
} tl_safetensors;

/* Bytes of one such tensor; TALLY_USAGE for an unknown dtype, a size that overflows or one that is not whole bytes. The
 * text is for a message that begins with the tensor's name. */
tally_status tl_safetensors_bytes(const char *dtype, const size_t *shape, size_t ndim, size_t *bytes);

/* Reads a whole file into memory, as strict as upstream and stricter where its format section is: the header begins
 * with '{', and a tensor has no other keys than dtype, shape and data_offsets. TALLY_IO: cannot be read; TALLY_MODEL:
 * breaks a rule of the format, and which. Memory taken is in proportion to the file's size. Free with
 * tl_safetensors_free. */
tally_status tl_safetensors_read(const char *path, tl_safetensors *file);
void tl_safetensors_free(tl_safetensors *file);

/* Writes atomically, data in the order given, the header's keys sorted. Trusts that names differ and that bytes are
 * what tl_safetensors_bytes() says. metadata: an object of strings, or NULL. */
tally_status tl_safetensors_write(const char *path, const tl_saved_tensor *tensors, size_t count,
                                  const json_t *metadata);

#endif
