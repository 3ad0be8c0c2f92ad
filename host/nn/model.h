/* model.h: what a model is made of. */
#ifndef TALLY_NN_MODEL_H
#define TALLY_NN_MODEL_H

#include "backend/cells.h"
#include "backend/executor.h"

#include <tally/nn.h>

typedef struct tl_note {
    char *key, *value;
} tl_note;

/* What a parameter is. */
typedef enum tl_role {
    TL_HEAD_BIAS,
    TL_HEAD_WEIGHT,
    TL_BIAS_HH,
    TL_BIAS_IH,
    TL_WEIGHT_HH,
    TL_WEIGHT_IH,
    TL_ROLES
} tl_role;
enum { TL_MAX_PARAMETERS = TL_BIAS_HH + (TL_ROLES - TL_BIAS_HH) * TALLY_MAX_LAYERS };

typedef struct tl_parameter {
    char name[40]; /* for any number */
    tl_role role;
    size_t layer; /* 0 for the head */
    int ndim;
    size_t shape[2];
    size_t elements; /* set in a model; so are the next two */
    size_t start,
        stored; /* where it is in a flat tensor, and how much: bias_ih has both biases there, bias_hh nothing */
} tl_parameter;

/* All parameters of such a model in the order of their names' bytes; returns how many, at most TL_MAX_PARAMETERS.
 * layers must be a number that a model may have; a layer's rows are SIZE_MAX if they do not fit. */
size_t tl_model_list(const tally_model_config *config, tl_parameter *list);

struct tally_model {
    tally_device *device;
    tally_model_config config;
    tl_parameter parameters[TL_MAX_PARAMETERS];
    size_t parameter_count;
    tally_tensor weights; /* all parameters in one storage, in the order of their names */
    tl_note *notes;
    size_t note_count;
};

/* Parameters as views of a flat tensor: of the weights, or of gradients laid out like them. */
typedef struct tl_head {
    tally_tensor bias;   /* [C] */
    tally_tensor weight; /* [C, H] */
} tl_head;
tally_status tl_model_head(const tally_model *model, const tally_tensor *flat, tl_head *head);
tally_status tl_model_layer(const tally_model *model, const tally_tensor *flat, size_t layer,
                            tally_layer_weights *views);

/* The model's sizes and where its parameters are. offsets: 2 + 3 layers, for the network to borrow. */
tl_network tl_model_network(const tally_model *model, size_t steps, size_t *offsets);

/* A parameter's elements in a flat tensor, as tally_model_get and tally_model_set have them. */
tally_status tl_model_read(const tally_model *model, const tally_tensor *flat, size_t index, float *values);
tally_status tl_model_write(const tally_model *model, const tally_tensor *flat, size_t index, const float *values);

/* A zeroed tensor laid out like the weights. The caller frees it. */
tally_status tl_model_flat_new(const tally_model *model, tally_tensor *flat);

/* tally_model_digest of a flat tensor. */
tally_status tl_model_digest(const tally_model *model, const tally_tensor *flat, char hex[65]);

/* Whether bias_ih and bias_hh of a block of rows, in PyTorch's order, are added to one bias: where the gate has
 * products with x and h. */
bool tl_model_shares_bias(tally_cell cell, size_t block);

/* The name of the parameter that has this element of a flat tensor, and the element's number in it. */
const char *tl_model_element(const tally_model *model, size_t element, size_t *number);

#endif
