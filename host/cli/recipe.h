/* recipe.h: what was trained and how: what goes into a model's notes, and comes back from them. */
#ifndef TALLY_CLI_RECIPE_H
#define TALLY_CLI_RECIPE_H

#include <tally/tally.h>

#include "value.h"

enum {
    RECIPE_MAX_LENGTH = 24,
    RECIPE_MAX_COUNTS = RECIPE_MAX_LENGTH + 1,
    RECIPE_MAX_BATCH = 1 << 24,
    RECIPE_MAX_EPOCHS = 1000000000,
    RECIPE_MAX_THREADS = 1024
};

typedef enum recipe_task { RECIPE_COUNT, RECIPE_MNIST, RECIPE_NPY, RECIPE_TASKS } recipe_task;

typedef enum recipe_field {
    RECIPE_VERSION,
    RECIPE_TASK,
    RECIPE_LENGTH,
    RECIPE_SHORTEST,
    RECIPE_TRAIN_SIZE,
    RECIPE_DRAW,
    RECIPE_TIME_STEPS,
    RECIPE_INPUTS,
    RECIPE_CLASSES,
    RECIPE_NORMALIZE,
    RECIPE_MEAN,
    RECIPE_DEVIATION,
    RECIPE_HOLD_OUT,
    RECIPE_SEED,
    RECIPE_EPOCHS,
    RECIPE_EPOCHS_WANTED,
    RECIPE_KEPT_EPOCH,
    RECIPE_STEPS,
    RECIPE_BATCH,
    RECIPE_RATE,
    RECIPE_BETA1,
    RECIPE_BETA2,
    RECIPE_EPSILON,
    RECIPE_DROPOUT,
    RECIPE_SHUFFLE,
    RECIPE_KEEP,
    RECIPE_PATIENCE,
    RECIPE_DECAY,
    RECIPE_CLIP,
    RECIPE_VALID,
    RECIPE_VALID_SIZE,
    RECIPE_VALID_LOSS,
    RECIPE_VALID_MISTAKES,
    RECIPE_DEVICE,
    RECIPE_BACKEND,
    RECIPE_ROUTE,
    RECIPE_THREADS,
    RECIPE_TRAIN_SECONDS,
    RECIPE_LOSS,
    RECIPE_DIGEST,
    RECIPE_FIELDS
} recipe_field;

typedef enum recipe_normalize { RECIPE_STANDARD, RECIPE_NONE } recipe_normalize;

typedef struct recipe {
    const char *version;
    int task; /* a recipe_task */
    uint64_t train_size, seed;
    /* Of count: */
    uint64_t length, shortest; /* bits of a string: at most, and at least */
    int draw;                  /* a tally_draw */
    /* Of mnist and npy: */
    uint64_t time_steps, inputs, classes; /* time_steps 0: any */
    int normalize;                        /* a recipe_normalize */
    double mean, deviation;
    double hold_out; /* the share that was, known if any was to be */
    /* Of all: */
    uint64_t epochs, epochs_wanted, kept_epoch, steps, batch; /* epochs: done */
    double rate, beta1, beta2, epsilon, dropout;
    bool shuffle;
    int keep; /* a tally_keep */
    uint64_t patience;
    int decay; /* a tally_decay */
    double clip;
    double valid; /* the share of train_size that is validated on */
    uint64_t valid_size, valid_mistakes;
    double valid_loss; /* as loss */
    const char *device, *backend;
    int route; /* a tally_route */
    uint64_t threads;
    double train_seconds;
    double loss; /* cross-entropy a sequence, mean over the kept epoch */
    const char *digest;
    bool known[RECIPE_FIELDS];
} recipe;

/* The defaults of training for a task, nothing known yet. */
recipe recipe_defaults(recipe_task task);

/* Whether a task has such a field. */
bool recipe_has(const recipe *r, recipe_field field);

/* Its name in the notes. */
const char *recipe_key(recipe_field field);

/* Each field's text form and range. */
void recipe_values(recipe *r, value values[RECIPE_FIELDS]);

/* Writes the known fields into the model's notes. */
tally_status recipe_store(recipe *r, tally_model *model);

/* Reads the notes of a model that was loaded from path; texts are the model's. unless_noted: the task of one
 * that has no notes, as from PyTorch; not of count, it takes sequences of any length as they are. TALLY_MODEL, said on stderr, for a note
 * that cannot be, or that does not go with the model. */
int recipe_load(recipe *r, const tally_model *model, const char *path, recipe_task unless_noted);

/* Whether the strings of a counting experiment can be made again; else TALLY_MODEL, said on stderr. */
int recipe_need_strings(const recipe *r, const char *path);

/* The lengths of the strings: "20" or "5 to 20". */
typedef struct recipe_text {
    char text[48];
} recipe_text;
recipe_text recipe_lengths(const recipe *r);
/* How many strings there are of them. */
uint64_t recipe_all_strings(const recipe *r);

tally_count_options recipe_strings(const recipe *r);

/* Fields under the names they have in the notes; null for what is not known. False without memory. */
bool recipe_json(recipe *r, json_t *object);

/* How many sequences went through training; 0 if not known. */
double recipe_sequences(const recipe *r);

#endif
