/* model_parts.h: everything that the loss of the classifier depends on, in one array. */
#ifndef TALLY_PARITY_MODEL_PARTS_H
#define TALLY_PARITY_MODEL_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/tensor.h>

/* The classifier: layers, linear layer on the last one's last output, softmax, cross-entropy summed over the columns. */
typedef struct tl_model_sizes {
    size_t inputs, hidden, steps, columns, classes, layers;
    tally_cell cell;
    const int32_t *starts; /* [N] as in tally_layer_state; NULL: 0 */
    const float *factors;  /* [layers - 1, H, T, N]: times what a layer hands to the next, as dropout does; NULL: 1 */
} tl_model_sizes;

/* Everything the loss depends on, in one array; a gradient is an array of the same shape. Of what every layer has, one layer's share
 * is behind the other's. */
typedef enum tl_model_part {
    TL_PART_W_IH,   /* of the first layer [WH, I], of each other [WH, H] */
    TL_PART_W_HH,   /* of each layer [WH, H] */
    TL_PART_BIAS,   /* of each layer [GH] */
    TL_PART_HEAD_W, /* [C, H] */
    TL_PART_HEAD_B, /* [C] */
    TL_PART_X,      /* [I, T, N] */
    TL_PART_H0,     /* of each layer [H, N] */
    TL_PART_C0,     /* of each layer [H, N]; the LSTM's, else nothing */
    TL_MODEL_PARTS
} tl_model_part;
extern const char *const tl_model_part_names[TL_MODEL_PARTS];
size_t tl_model_part_size(const tl_model_sizes *sizes, tl_model_part part);
/* Where a part begins; tl_model_part_at(sizes, TL_MODEL_PARTS) is the whole array's size. */
size_t tl_model_part_at(const tl_model_sizes *sizes, tl_model_part part);
/* Where a layer's share of a part that every layer has begins, in the whole array. */
size_t tl_model_layer_at(const tl_model_sizes *sizes, tl_model_part part, size_t layer);
/* Whether a column's sequence begins only after this step. */
bool tl_model_ahead(const tl_model_sizes *sizes, size_t step, size_t column);
/* What a layer's output is multiplied by on its way to the next. */
float tl_model_factor(const tl_model_sizes *sizes, size_t layer, size_t unit, size_t step, size_t column);
/* Inputs of a layer. */
size_t tl_model_inputs(const tl_model_sizes *sizes, size_t layer);

#endif
