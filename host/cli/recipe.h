/* recipe.h: what was trained and how: what goes into a model's notes, and comes back from them. */
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
    /* Of count: */
    uint64_t shortest, length; /* bits of a string: at least, and at most */
    tally_draw draw;
    /* Of mnist and npy: */
    uint64_t time_steps; /* 0: any */
    recipe_normalize normalize;
    double mean, deviation;
    double hold_out; /* the share that was; NaN: not given */
    /* Of all: */
    double valid; /* the share of train_size that is validated on */
    tally_model_config model;
    tally_train_options train;
    /* What came out of it: */
    const char *version;
    uint64_t epochs, kept_epoch, steps; /* done */
    uint64_t valid_size, valid_mistakes;
    double valid_loss; /* as loss */
    const char *device, *backend;
    tally_route route;
    uint64_t threads;
    double train_seconds;
    double loss; /* cross-entropy a sequence, mean over the kept epoch */
    const char *digest;
    bool known[SETTINGS_MOST]; /* by the number of the row in settings_all() */
} recipe;

/* The defaults of training for a task, nothing known yet. */
void recipe_reset(recipe *r, recipe_task of);

/* Sets some to others. */
void recipe_set_defaults(recipe *r, const setting_default *defaults);

/* Whether a row's setting is of the recipe and its task. */
bool recipe_has(const recipe *r, const tally_setting *setting);

/* Whether a member is known, and making it so or not. */
#define RECIPE_KNOWS(r, member) recipe_knows(r, offsetof(recipe, member))
#define RECIPE_SET_KNOWN(r, member, known) recipe_set_known(r, offsetof(recipe, member), known)
bool recipe_knows(const recipe *r, size_t offset);
void recipe_set_known(recipe *r, size_t offset, bool known);

/* All of its task are, and not the others. */
void recipe_know_all(recipe *r);

/* Writes the known fields into the model's notes. */
tally_status recipe_store(const recipe *r, tally_model *model);

/* Reads the notes of a model that was loaded from path; texts are the model's. unless_noted: the task of one that has no
 * notes, as from PyTorch; not of count, it takes sequences of any length as they are. TALLY_MODEL, said on stderr, for a
 * note that cannot be, or that does not go with the model. */
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
bool recipe_json(const recipe *r, json_t *object);

/* How many sequences went through training; 0 if not known. */
double recipe_sequences(const recipe *r);

#endif
