/* guarded.h: a tensor inside a larger storage whose other elements hold a signalling NaN: reading one shows in the
 * results, writing one is found.
 */
#ifndef TALLY_PARITY_GUARDED_H
#define TALLY_PARITY_GUARDED_H

#include <tally/tensor.h>

/* The tensor's layout in its storage. There are guards after it, before it unless it starts at the storage's first
 * element, and between its elements as the layout says. */
typedef enum tl_layout {
    TL_FLAT,       /* contiguous */
    TL_PADDED,     /* each dimension is part of a larger one */
    TL_STRIDED,    /* every third element of a row; 1 or 2 dimensions */
    TL_TRANSPOSED, /* padded, with the last two dimensions swapped in memory; 2 or 3 dimensions */
    TL_MATRIX_LAYOUTS,
    TL_SWAPPED = TL_MATRIX_LAYOUTS, /* padded, with the first two dimensions swapped in memory; 2 or 3 dimensions */
    TL_SPACED,                      /* only the second dimension is padded; 2 or 3 dimensions */
    TL_STEP_MAJOR,                  /* the first two dimensions swapped, the outer of them padded; 2 or 3 dimensions */
    TL_ALL_LAYOUTS
} tl_layout;

typedef struct tl_guarded {
    tally_tensor tensor;  /* the view under test */
    tally_tensor storage; /* the whole storage, in one dimension */
    uint32_t *image;      /* the expected content of the storage */
    size_t elements;      /* of the view */
} tl_guarded;

/* The first element that is not as expected. */
typedef struct tl_damage {
    bool found;
    size_t at;        /* its index in the storage */
    bool inside;      /* whether it belongs to the view */
    size_t element;   /* if so, its row-major index in the view */
    uint32_t was, is; /* its expected and actual bits */
} tl_damage;

const char *tl_layout_name(tl_layout layout);

/* Creates the storage and a view of it that consists of guards until it is written. If first, the view starts at
 * the storage's first element, which may take a different path in the device's code. The caller frees it, also
 * after a failure. */
tally_status tl_guarded_new(tally_device *device, tally_dtype dtype, tl_layout layout, bool first, int ndim,
                            const size_t *shape, tl_guarded *guarded);
void tl_guarded_free(tl_guarded *guarded);

/* Sets the view's expected values, row-major. The caller writes them, in whatever way is under test. */
void tl_guarded_expect(tl_guarded *guarded, const void *values);
/* Looks for the first element that has changed. If result, the view's own elements may differ; they are copied to
 * values, row-major, unless that is NULL, straight from the storage and not through the view. */
tally_status tl_guarded_check(const tl_guarded *guarded, bool result, void *values, tl_damage *damage);

#endif
