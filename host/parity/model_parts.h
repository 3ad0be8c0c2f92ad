/* model_parts.h: the layout of one array with everything that the classifier's loss depends on. */
#ifndef TALLY_PARITY_MODEL_PARTS_H
#define TALLY_PARITY_MODEL_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/tensor.h>

/* The classifier: recurrent layers, a linear layer on the last one's last output, softmax, and cross-entropy summed
 * over the columns. */
typedef struct tl_model_sizes {
    size_t inputs, hidden, steps, columns, classes, layers;
    tally_cell cell;
    const int32_t *starts; /* [N] as in tally_layer_state; NULL: all 0 */
    /* [layers - 1, H, T, N]: multipliers of a layer's output on its way to the next, as with dropout; NULL: 1 */
    const float *factors;
} tl_model_sizes;

/* The parts of the array; a gradient is an array of the same shape. In a part that every layer has, the layers'
 * shares follow each other. */
typedef enum tl_model_part {
    TL_PART_W_IH,   /* first layer [WH, I], each other layer [WH, H] */
    TL_PART_W_HH,   /* each layer [WH, H] */
    TL_PART_BIAS,   /* each layer [GH] */
    TL_PART_HEAD_W, /* [C, H] */
    TL_PART_HEAD_B, /* [C] */
    TL_PART_X,      /* [I, T, N] */
    TL_PART_H0,     /* each layer [H, N] */
    TL_PART_C0,     /* each layer [H, N]; empty unless the cell is the LSTM */
    TL_MODEL_PARTS
} tl_model_part;
extern const char *const tl_model_part_names[TL_MODEL_PARTS];
size_t tl_model_part_size(const tl_model_sizes *sizes, tl_model_part part);
/* The offset of a part; tl_model_part_at(sizes, TL_MODEL_PARTS) is the size of the whole array. */
size_t tl_model_part_at(const tl_model_sizes *sizes, tl_model_part part);
/* The offset of a layer's share of a part that every layer has, from the start of the whole array. */
size_t tl_model_layer_at(const tl_model_sizes *sizes, tl_model_part part, size_t layer);
/* Whether the column's sequence starts after this time step. */
bool tl_model_ahead(const tl_model_sizes *sizes, size_t step, size_t column);
/* The multiplier of a layer's output on its way to the next layer. */
float tl_model_factor(const tl_model_sizes *sizes, size_t layer, size_t unit, size_t step, size_t column);
/* The number of inputs of a layer. */
size_t tl_model_inputs(const tl_model_sizes *sizes, size_t layer);

#endif
