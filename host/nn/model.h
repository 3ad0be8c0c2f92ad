/* model.h: what a model is made of. */
#ifndef TALLY_NN_MODEL_H
#define TALLY_NN_MODEL_H

#include <tally/nn.h>

typedef struct tl_note {
    char *key, *value;
} tl_note;

struct tally_model {
    tally_device *device;
    tally_model_config config;
    tally_tensor weights; /* all parameters in one storage, in the order of their names */
    tl_note *notes;
    size_t note_count;
};

/* The parameters as views of a flat tensor: of the weights, or of gradients laid out like them. */
typedef struct tl_parameters {
    tally_tensor head_bias;   /* [C] */
    tally_tensor head_weight; /* [C, H] */
    tally_lstm_weights lstm;  /* bias [4H], w_hh [4H, H], w_ih [4H, I] */
} tl_parameters;

tally_status tl_model_views(const tally_model *model, const tally_tensor *flat, tl_parameters *views);

/* A zeroed tensor laid out like the weights. The caller frees it. */
tally_status tl_model_flat_new(const tally_model *model, tally_tensor *flat);

/* The name of the parameter that has this element of a flat tensor, and the element's number in it. */
const char *tl_model_element(const tally_model *model, size_t element, size_t *number);

#endif
