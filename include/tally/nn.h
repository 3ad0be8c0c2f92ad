/* nn.h: the classifier of sequences: recurrent layers, each reading what the one before put out at every step; the last output of the last
 * one goes through a linear layer and a softmax.
 *
 * A model owns its parameters on one device. A model may be used from one thread at a time.
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
    size_t inputs;   /* features a time step */
    size_t hidden;   /* units of each layer */
    size_t classes;  /* at least 2 */
    size_t layers;   /* 1 to TALLY_MAX_LAYERS */
    tally_cell cell; /* of every layer */
} tally_model_config;

/* A row for each of hidden, layers and cell, with its offset in tally_model_config; data say the other two. */
TALLY_API const tally_setting *tally_model_settings(size_t *count);

/* Parameters, all zero; the caller frees the model before its device. TALLY_USAGE for a size of 0, too many layers or a size that
 * overflows. */
TALLY_API tally_status tally_model_new(tally_device *device, const tally_model_config *config, tally_model **model);
TALLY_API void tally_model_free(tally_model *model);

/* The guide's initialisers, from the seed alone, the same on every machine: recurrent weights Glorot uniform over the
 * joint [I + H, WH] kernel as TensorFlow's LSTM cell has it (limit sqrt(6 / (I + H + WH)), I being the layer's own inputs, W the
 * rows that the cell's weights have for a unit), biases 0 but 1 for the LSTM's forget gate; head weights normal(0, 1) cut off at two standard deviations, head bias 0.1. */
TALLY_API tally_status tally_model_init(tally_model *model, uint64_t seed);

TALLY_API const tally_model_config *tally_model_get_config(const tally_model *model);
TALLY_API tally_device *tally_model_device(const tally_model *model);

/* Parameters by number: head.bias [C], head.weight [C, H], and of each layer, here the first, rnn.bias_hh_l0 [WH],
 * rnn.bias_ih_l0 [WH], rnn.weight_hh_l0 [WH, H], rnn.weight_ih_l0 [WH, I]; [WH, H] in the layers after it. W is 4 for the LSTM, 3 for
 * the GRU, 1 for the RNN; rows are PyTorch's: i, f, g, o, or r, z, n. Their order is
 * that of the names' bytes, with rnn.bias_hh_l1 behind rnn.bias_hh_l0, and rnn.bias_hh_l10 before rnn.bias_hh_l2. */
typedef struct tally_parameter {
    const char *name; /* the model's own */
    int ndim;
    size_t shape[2];
    size_t elements;
} tally_parameter;
TALLY_API size_t tally_model_parameters(const tally_model *model);
/* index must be below tally_model_parameters(). */
TALLY_API tally_parameter tally_model_parameter(const tally_model *model, size_t index);
/* Row-major; count must be the parameter's elements. A gate has one bias: setting bias_ih replaces it, setting bias_hh adds to it,
 * getting bias_hh gives zeros. The GRU's n alone has two, which both replace. */
TALLY_API tally_status tally_model_get(const tally_model *model, size_t index, float *values, size_t count);
TALLY_API tally_status tally_model_set(tally_model *model, size_t index, const float *values, size_t count);

/* SHA-256 over all parameters as little-endian float32, in the order above; hex and a NUL. */
TALLY_API tally_status tally_model_digest(const tally_model *model, char hex[65]);

/* What is known about a model, as text: kept in its file's metadata. NULL if there is no such key. */
TALLY_API tally_status tally_model_set_note(tally_model *model, const char *key, const char *value);
TALLY_API const char *tally_model_note(const tally_model *model, const char *key);

#ifdef __cplusplus
}
#endif
#endif
