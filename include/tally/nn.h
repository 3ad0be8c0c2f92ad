/* nn.h: a sequence classifier: recurrent layers, each reading the previous layer's output at every time step, then a
 * linear layer and a softmax on the last layer's output at the last time step.
 *
 * A model owns its parameters on one device. Use a model from one thread at a time.
 */
#ifndef TALLY_NN_H
#define TALLY_NN_H

#include <tally/settings.h>
#include <tally/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tally_model tally_model;

enum { TALLY_MAX_LAYERS = 64 };

typedef struct tally_model_config {
    size_t inputs;   /* features per time step */
    size_t hidden;   /* units of each layer */
    size_t classes;  /* at least 2 */
    size_t layers;   /* 1 to TALLY_MAX_LAYERS */
    tally_cell cell; /* of every layer */
} tally_model_config;

/* The rows for hidden, layers and cell, with their offsets in tally_model_config. The data determine inputs and
 * classes. */
TALLY_API const tally_setting *tally_model_settings(size_t *count);

/* A model whose parameters are all zero. The caller frees it, before its device. TALLY_USAGE: a size is 0 or
 * overflows, or there are too many layers. */
TALLY_API tally_status tally_model_new(tally_device *device, const tally_model_config *config, tally_model **model);
TALLY_API void tally_model_free(tally_model *model);

/* Initialises the parameters as the guide does, from the seed alone and the same on every machine. Recurrent
 * weights: Glorot uniform over the joint [I + H, WH] kernel of TensorFlow's LSTM cell, limit sqrt(6 / (I + H + WH)),
 * I being the layer's own inputs and W the rows of weights per unit (tally_cell_weights). Biases: 0, but 1 for the
 * LSTM's forget gate. Head weights: normal(0, 1) truncated at two standard deviations; head bias: 0.1. */
TALLY_API tally_status tally_model_init(tally_model *model, uint64_t seed);

TALLY_API const tally_model_config *tally_model_get_config(const tally_model *model);
TALLY_API tally_device *tally_model_device(const tally_model *model);

/* Parameters are numbered in this order: head.bias [C], head.weight [C, H], then for each layer, shown for the
 * first, rnn.bias_hh_l0 [WH], rnn.bias_ih_l0 [WH], rnn.weight_hh_l0 [WH, H], rnn.weight_ih_l0 [WH, I]; in later
 * layers, the last is [WH, H]. W is 4 for the LSTM, 3 for the GRU and 1 for the RNN. Rows are in PyTorch's order: i,
 * f, g, o, or r, z, n. Parameters are sorted by the bytes of their names: rnn.bias_hh_l1 follows rnn.bias_hh_l0, and
 * rnn.bias_hh_l10 precedes rnn.bias_hh_l2. */
typedef struct tally_parameter {
    const char *name; /* owned by the model */
    int ndim;
    size_t shape[2];
    size_t elements;
} tally_parameter;
TALLY_API size_t tally_model_parameters(const tally_model *model);
/* index must be below tally_model_parameters(). */
TALLY_API tally_parameter tally_model_parameter(const tally_model *model, size_t index);
/* Values are row-major; count must equal the parameter's elements. A gate has one bias: setting bias_ih replaces it,
 * setting bias_hh adds to it, and getting bias_hh returns zeros. Only the GRU's n has two, which are set separately. */
TALLY_API tally_status tally_model_get(const tally_model *model, size_t index, float *values, size_t count);
TALLY_API tally_status tally_model_set(tally_model *model, size_t index, const float *values, size_t count);

/* SHA-256 of all parameters as little-endian float32, in the order above, in hexadecimal with a final NUL. */
TALLY_API tally_status tally_model_digest(const tally_model *model, char hex[65]);

/* Notes: key-value texts about a model, stored as metadata in its file. NULL if there is no such key. */
TALLY_API tally_status tally_model_set_note(tally_model *model, const char *key, const char *value);
TALLY_API const char *tally_model_note(const tally_model *model, const char *key);

#ifdef __cplusplus
}
#endif
#endif
