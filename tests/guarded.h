/* guarded.h: a tensor inside a larger storage whose other elements hold a signalling NaN: reading one shows in the
 * results, writing one is found.
 */
#ifndef TALLY_TESTS_GUARDED_H
#define TALLY_TESTS_GUARDED_H

#include "suite.h"

/* How the tensor lies in its storage. Guards are before, behind and, but for FLAT, between its rows. */
typedef enum layout {
    FLAT,       /* contiguous, at an offset */
    PADDED,     /* each dimension cut out of a larger one */
    STRIDED,    /* every third element of a row; 1 or 2 dimensions */
    TRANSPOSED, /* the last two dimensions the other way round; 2 or 3 */
    LAYOUTS,
    APART = LAYOUTS, /* 3 dimensions: as FLAT, but guards are between the parts that the first one numbers */
    STEP_MAJOR,      /* 3 dimensions: the second one outermost, guards before and behind */
    ALL_LAYOUTS
} layout;
extern const char *const layout_names[ALL_LAYOUTS];

typedef struct guarded {
    tally_tensor tensor; /* the view under test */
    tally_tensor all;    /* its storage, contiguous */
    uint32_t *image;     /* what the storage held when it was last written */
    size_t elements;     /* of the view */
} guarded;

/* A tensor with these values, row-major (NULL: it has guards inside, too). */
guarded guarded_vector(tally_device *device, layout how, size_t n, const float *values);
guarded guarded_matrix(tally_device *device, layout how, size_t rows, size_t columns, const float *values);
guarded guarded_cube(tally_device *device, layout how, const size_t shape[3], const float *values);
guarded guarded_ints(tally_device *device, layout how, size_t n, const int32_t *values);
void guarded_free(guarded *g);

/* The view's values into out, row-major, after checking that nothing around it has changed. */
void guarded_read(const guarded *g, const char *name, void *out);
/* Checks that nothing at all has changed. */
void guarded_unchanged(const guarded *g, const char *name);

#endif
