/* guarded.h: a tensor inside a larger storage whose other elements hold a signalling NaN: reading one shows in the results, writing one
 * is found.
 */
#ifndef TALLY_PARITY_GUARDED_H
#define TALLY_PARITY_GUARDED_H

#include <tally/tensor.h>

/* How the tensor lies in its storage. Guards are behind it, before it unless it is the first in its storage, and where the layout says. */
typedef enum tl_layout {
    TL_FLAT,       /* contiguous */
    TL_PADDED,     /* each dimension is cut out of a larger one */
    TL_STRIDED,    /* every third element of a row; 1 or 2 dimensions */
    TL_TRANSPOSED, /* padded, with the last two dimensions swapped in memory; 2 or 3 dimensions */
    TL_MATRIX_LAYOUTS,
    TL_TURNED = TL_MATRIX_LAYOUTS, /* padded, with the first two swapped; 2 or 3 dimensions */
    TL_APART,                      /* only the second dimension is padded; 2 or 3 dimensions */
    TL_STEP_MAJOR,                 /* the first two swapped and the outer of them padded; 2 or 3 dimensions */
    TL_ALL_LAYOUTS
} tl_layout;

typedef struct tl_guarded {
    tally_tensor tensor;  /* the view under test */
    tally_tensor storage; /* all of it, in one dimension */
    uint32_t *image;      /* what the storage has to hold */
    size_t elements;      /* of the view */
} tl_guarded;

/* An element that is not what it has to be. */
typedef struct tl_damage {
    bool found;
    size_t at;        /* in the storage */
    bool inside;      /* it is of the view: */
    size_t element;   /* which, row-major */
    uint32_t was, is; /* its bits */
} tl_damage;

const char *tl_layout_name(tl_layout layout);

/* A view that is made of guards, too, until it is written. first: it begins where its storage does, which may take another path of the
 * device's code. The caller frees it, also after a failure. */
tally_status tl_guarded_new(tally_device *device, tally_dtype dtype, tl_layout layout, bool first, int ndim,
                            const size_t *shape, tl_guarded *guarded);
void tl_guarded_free(tl_guarded *guarded);

/* These have to be the view's values from now on, row-major; what writes them is the caller's choice. */
void tl_guarded_expect(tl_guarded *guarded, const void *values);
/* Looks for the first element that has changed. Those of the view may have where it is a result; they go to values, row-major, unless that
 * is NULL, taken from the storage and not through the view. */
tally_status tl_guarded_check(const tl_guarded *guarded, bool result, void *values, tl_damage *damage);

#endif
