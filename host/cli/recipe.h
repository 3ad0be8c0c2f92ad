/* recipe.h: what was trained and how, as written to and read from a model's notes. */
#ifndef TALLY_CLI_RECIPE_H
#define TALLY_CLI_RECIPE_H

#include <tally/tally.h>

#include "settings.h"
#include "value.h"

enum { RECIPE_MAX_LENGTH = 24, RECIPE_MAX_COUNTS = RECIPE_MAX_LENGTH + 1 };

typedef enum recipe_normalize { RECIPE_STANDARD, RECIPE_NONE } recipe_normalize;

/* settings.c has a row for each member. */
typedef struct recipe {
    recipe_task task;
    uint64_t train_size; /* 0: not given */
    /* Task count: */
    uint64_t shortest, length; /* the least and the most bits of a string */
    tally_draw draw;
    /* Tasks mnist and npy: */
    uint64_t time_steps; /* 0: any */
    recipe_normalize normalize;
    double mean, deviation;
    double hold_out; /* share of the sequences held out for testing; NaN: not given */
    /* All tasks: */
    double valid; /* share of train_size used for validation */
    tally_model_config model;
    tally_train_options train;
    /* Results: */
    const char *version;
    uint64_t epochs, kept_epoch, steps; /* completed */
    uint64_t valid_size, valid_mistakes;
    double valid_loss; /* mean per sequence, like loss */
    const char *device, *backend;
    tally_route route;
    uint64_t threads;
    double train_seconds;
    double loss; /* mean cross-entropy per sequence in the kept epoch */
    const char *digest;
    bool known[SETTINGS_MOST]; /* indexed like the rows of settings_all() */
} recipe;

/* Sets the defaults for a task and marks everything unknown. */
void recipe_reset(recipe *r, recipe_task of);

/* Overrides some of the defaults. */
void recipe_set_defaults(recipe *r, const setting_default *defaults);

/* Whether the setting belongs to the recipe's task. */
bool recipe_has(const recipe *r, const tally_setting *setting);

/* Whether a member's value is known, and setting that. */
#define RECIPE_KNOWS(r, member) recipe_knows(r, offsetof(recipe, member))
#define RECIPE_SET_KNOWN(r, member, known) recipe_set_known(r, offsetof(recipe, member), known)
bool recipe_knows(const recipe *r, size_t offset);
void recipe_set_known(recipe *r, size_t offset, bool known);

/* Marks the settings of the recipe's task as known, all others as unknown. */
void recipe_know_all(recipe *r);

/* Writes the known settings to the model's notes. */
tally_status recipe_store(const recipe *r, tally_model *model);

/* Reads the notes of a model loaded from path; texts are borrowed from the model. unless_noted is the task of a
 * model without notes, such as PyTorch's; if it is not count, the model is fed sequences of any length, unchanged.
 * TALLY_MODEL, reported on stderr: a note is invalid or contradicts the model. */
int recipe_load(recipe *r, const tally_model *model, const char *path, recipe_task unless_noted);

/* Whether the notes suffice to generate the strings of the counting experiment again; otherwise TALLY_MODEL,
 * reported on stderr. */
int recipe_need_strings(const recipe *r, const char *path);

/* The lengths of the strings: "20" or "5 to 20". */
typedef struct recipe_text {
    char text[48];
} recipe_text;
recipe_text recipe_lengths(const recipe *r);
/* How many strings of these lengths there are. */
uint64_t recipe_all_strings(const recipe *r);

tally_count_options recipe_strings(const recipe *r);

/* Adds the settings, named as in the notes; unknown ones are null. False if out of memory. */
bool recipe_json(const recipe *r, json_t *object);

/* How many sequences were processed in training; 0 if unknown. */
double recipe_sequences(const recipe *r);

#endif
