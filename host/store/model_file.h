/* model_file.h: a model's file, and what it has beside the model: what a run of training goes on from. */
#ifndef TALLY_STORE_MODEL_FILE_H
#define TALLY_STORE_MODEL_FILE_H

#include "nn/model.h"
#include "store/safetensors.h"

#include <tally/optimizer.h>

/* Tensors beside those of the model, one for each of its parameters, of its shape and named after it behind a
 * prefix: each optimizer's states, "adam.m." and so on, and the present weights, "train.". */
enum { TL_EXTRA_PRESENT = TALLY_OPTIMIZERS * TALLY_MAX_OPTIMIZER_STATES, TL_EXTRAS };

static inline size_t tl_extra_state(tally_optimizer kind, size_t state) {
    return kind * TALLY_MAX_OPTIMIZER_STATES + state;
}

/* "" where there is no such state. */
typedef struct tl_extra_prefix {
    char text[24];
} tl_extra_prefix;
tl_extra_prefix tl_extra_prefix_of(size_t extra);

#define TL_TRAINING_DIGEST TALLY_TRAINING_NOTE "_sha256"

/* The digest of a state of training: over the note's text and the bytes of all tensors, for the kept weights are part of it: the model's,
 * then the extra ones in their order, each in that of the parameters. */
typedef struct tl_state_digest {
    char hex[65];
} tl_state_digest;

typedef struct tl_model_state {
    const char *note;                     /* of TALLY_TRAINING_NOTE */
    const tally_tensor *flats[TL_EXTRAS]; /* laid out like the weights; NULL: not there */
} tl_model_state;

/* tally_model_save with the weights that are in a flat tensor, and with a state unless that is NULL. */
tally_status tl_model_file_write(const tally_model *model, const tally_tensor *weights, const tl_model_state *state,
                                 const char *path);

/* A file that was read, all its tensors checked. */
typedef struct tl_model_file {
    tl_safetensors file;
    tally_model_config config;
    tl_parameter parameters[TL_MAX_PARAMETERS];
    size_t count;
    /* Beside the parameters, in their order; any of the extra ones may be missing. */
    const tl_saved_tensor *found[TL_MAX_PARAMETERS];
    const tl_saved_tensor *extra[TL_EXTRAS][TL_MAX_PARAMETERS];
} tl_model_file;
tally_status tl_model_file_read(const char *path, tl_model_file *file);
void tl_model_file_free(tl_model_file *file);

/* A text of the file's metadata; NULL if there is no such key. */
const char *tl_model_file_note(const tl_model_file *file, const char *key);
tl_state_digest tl_model_file_state_digest(const tl_model_file *file);

/* One tensor for each parameter into a flat tensor of a model of the file's sizes. */
tally_status tl_model_file_take(const tl_saved_tensor *const *tensors, const tally_model *model,
                                const tally_tensor *flat);

float tl_saved_f32(const tl_saved_tensor *tensor, size_t element);

#endif
