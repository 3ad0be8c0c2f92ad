/* shapes.h: checking the shapes of an operation's tensors, and naming them in errors. */
#ifndef TALLY_TENSOR_SHAPES_H
#define TALLY_TENSOR_SHAPES_H

#include <tally/tensor.h>

enum { TL_SHAPE_TEXT = 96 };

/* "[3, 4]" into text, of TL_SHAPE_TEXT bytes; returns it. */
const char *tl_shape_text(const tally_tensor *tensor, char *text);

typedef enum tl_layout {
    TL_ANY,
    TL_ROWS, /* the last dimension's elements are neighbours */
    TL_WHOLE /* contiguous */
} tl_layout;

/* One tensor of an operation and what it has to be. */
typedef struct tl_expected {
    const char *name;
    const tally_tensor *tensor;
    tally_dtype dtype;
    int ndim;
    size_t shape[TALLY_MAX_DIMS]; /* 0: any size */
    tl_layout layout;
} tl_expected;

/* Every tensor is there, on one device, of its type and shape. TALLY_USAGE names operation, tensor and shapes. */
tally_status tl_check_tensors(const char *operation, const tl_expected *expected, size_t count);

#endif
