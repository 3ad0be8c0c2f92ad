/* model_file.h: model files, and the training state that may be saved in them. */
#ifndef TALLY_STORE_MODEL_FILE_H
#define TALLY_STORE_MODEL_FILE_H

#include "nn/model.h"
#include "store/safetensors.h"

#include <tally/optimizer.h>

/* Tensors in addition to those of the model, one per parameter, with the parameter's shape and with its name after a
 * prefix: each optimizer's states ("adam.m." and so on) and the current weights ("train."). */
enum { TL_EXTRA_PRESENT = TALLY_OPTIMIZERS * TALLY_MAX_OPTIMIZER_STATES, TL_EXTRAS };

static inline size_t tl_extra_state(tally_optimizer kind, size_t state) {
    return kind * TALLY_MAX_OPTIMIZER_STATES + state;
}

/* The prefix is "" if there is no such state. */
typedef struct tl_extra_prefix {
    char text[24];
} tl_extra_prefix;
tl_extra_prefix tl_extra_prefix_of(size_t extra);

#define TL_TRAINING_DIGEST TALLY_TRAINING_NOTE "_sha256"

/* The SHA-256 of a training state: of the note's text and the bytes of all tensors, the model's first because the
 * kept weights belong to the state, then the extra ones in their order, each in the order of the parameters. */
typedef struct tl_state_digest {
    char hex[65];
} tl_state_digest;

typedef struct tl_model_state {
    const char *note;                     /* of TALLY_TRAINING_NOTE */
    const tally_tensor *flats[TL_EXTRAS]; /* laid out like the weights; NULL: absent */
} tl_model_state;

/* tally_model_save with the weights in a flat tensor and, unless it is NULL, a training state. */
tally_status tl_model_file_write(const tally_model *model, const tally_tensor *weights, const tl_model_state *state,
                                 const char *path);

/* A file that has been read and whose tensors have been checked. */
typedef struct tl_model_file {
    tl_safetensors file;
    tally_model_config config;
    tl_parameter parameters[TL_MAX_PARAMETERS];
    size_t count;
    /* Ordered like the parameters. Extra tensors may be missing. */
    const tl_saved_tensor *found[TL_MAX_PARAMETERS];
    const tl_saved_tensor *extra[TL_EXTRAS][TL_MAX_PARAMETERS];
} tl_model_file;
tally_status tl_model_file_read(const char *path, tl_model_file *file);
void tl_model_file_free(tl_model_file *file);

/* A note in the file's metadata; NULL if there is none with this key. */
const char *tl_model_file_note(const tl_model_file *file, const char *key);
tl_state_digest tl_model_file_state_digest(const tl_model_file *file);

/* Copies one tensor per parameter to a flat tensor of a model with the file's sizes. */
tally_status tl_model_file_load(const tl_saved_tensor *const *tensors, const tally_model *model,
                                const tally_tensor *flat);

float tl_saved_f32(const tl_saved_tensor *tensor, size_t element);

#endif
