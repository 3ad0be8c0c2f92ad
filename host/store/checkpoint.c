/* A run of training in a model's file. */
#include <tally/store.h>

#include "core/fail.h"
#include "core/size.h"
#include "store/model_file.h"
#include "store/printable.h"
#include "train/training.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION = 1 };

/* All that the note has. */
typedef struct record {
    size_t version;
    tally_train_options options;
    tally_cell cell;
    size_t sequences, valid_sequences;
    tl_training_place at;
} record;

typedef enum kind { SIZE, SEED, REAL, FLAG, CHOICE } kind;

typedef struct field {
    const char *name;
    kind kind;
    size_t offset;
    bool fixed; /* must be the same when the run goes on */
} field;

#define AT(member) offsetof(record, member)
static const field fields[] = {
    {"version", SIZE, AT(version), false},
    {"epochs", SIZE, AT(options.epochs), false},
    {"batch", SIZE, AT(options.batch), true},
    {"rate", REAL, AT(options.adam.rate), true},
    {"beta1", REAL, AT(options.adam.beta1), true},
    {"beta2", REAL, AT(options.adam.beta2), true},
    {"epsilon", REAL, AT(options.adam.epsilon), true},
    {"shuffle", FLAG, AT(options.shuffle), true},
    {"seed", SEED, AT(options.seed), true},
    {"keep", CHOICE, AT(options.keep), true},
    {"dropout", REAL, AT(options.dropout), true},
    {"decay", CHOICE, AT(options.decay), true},
    {"clip", REAL, AT(options.clip), true},
    {"patience", SIZE, AT(options.patience), false},
    {"cell", CHOICE, AT(cell), true},
    {"sequences", SIZE, AT(sequences), true},
    {"valid_sequences", SIZE, AT(valid_sequences), true},
    {"epochs_done", SIZE, AT(at.epoch), false},
    {"batches_done", SIZE, AT(at.batch), false},
    {"steps_done", SIZE, AT(at.step), false},
    {"epoch_loss", REAL, AT(at.epoch_loss), false},
    {"epoch_norm", REAL, AT(at.epoch_norm), false},
    {"kept_epoch", SIZE, AT(at.kept.epoch), false},
    {"kept_loss", REAL, AT(at.kept.loss), false},
    {"kept_valid_loss", REAL, AT(at.kept.valid_loss), false},
    {"kept_valid_mistakes", SIZE, AT(at.kept.valid_mistakes), false},
    {"best_epoch", SIZE, AT(at.best.epoch), false},
    {"best_loss", REAL, AT(at.best.loss), false},
    {"best_valid_loss", REAL, AT(at.best.valid_loss), false},
    {"best_valid_mistakes", SIZE, AT(at.best.valid_mistakes), false},
    {"seconds", REAL, AT(at.seconds), false},
};
enum { FIELDS = sizeof fields / sizeof *fields };

_Static_assert(sizeof(tally_keep) == sizeof(unsigned) && sizeof(tally_decay) == sizeof(unsigned) &&
                   sizeof(tally_cell) == sizeof(unsigned),
               "choices are read and written as unsigned");

/* JSON's integers end at 2^63: seeds, and sizes beyond that, are text. */
static json_t *pack_text(uint64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return json_string(text);
}

static json_t *pack_size(size_t size) {
    return size > INT64_MAX ? pack_text(size) : json_integer((json_int_t)size);
}

static json_t *pack_field(const field *f, const record *r) {
    const char *from = (const char *)r + f->offset;
    switch (f->kind) {
    case SIZE:
        return pack_size(*(const size_t *)(const void *)from);
    case SEED:
        return pack_text(*(const uint64_t *)(const void *)from);
    case REAL:
        return isfinite(*(const double *)(const void *)from) ? json_real(*(const double *)(const void *)from)
                                                             : json_null();
    case FLAG:
        return json_boolean(*(const bool *)(const void *)from);
    case CHOICE:
        return json_integer((json_int_t)(*(const unsigned *)(const void *)from));
    }
    return NULL;
}

static bool unpack_text(const char *text, uint64_t *number) {
    char again[24];
    if (!text)
        return false;
    *number = strtoull(text, NULL, 10);
    snprintf(again, sizeof again, "%llu", (unsigned long long)*number);
    return strcmp(text, again) == 0;
}

static bool unpack_size(const json_t *value, size_t *size) {
    json_int_t whole = json_integer_value(value);
    uint64_t large = (uint64_t)whole;
    bool right =
        json_is_integer(value) ? whole >= 0 : unpack_text(json_string_value(value), &large) && large > INT64_MAX;
    *size = (size_t)large;
    return right && large <= SIZE_MAX;
}

/* Takes only what pack_field gives. */
static bool unpack_field(const field *f, const json_t *value, record *r) {
    char *to = (char *)r + f->offset;
    json_int_t whole = json_integer_value(value);
    switch (f->kind) {
    case SIZE:
        return unpack_size(value, (size_t *)(void *)to);
    case SEED:
        return unpack_text(json_string_value(value), (uint64_t *)(void *)to);
    case REAL:
        *(double *)(void *)to = json_is_null(value) ? NAN : json_real_value(value);
        return json_is_null(value) || json_is_real(value);
    case FLAG:
        *(bool *)(void *)to = json_is_true(value);
        return json_is_boolean(value);
    case CHOICE:
        *(unsigned *)(void *)to = (unsigned)whole;
        return json_is_integer(value) && whole >= 0 && whole <= INT32_MAX;
    }
    return false;
}

/* NULL without memory. */
static json_t *pack(const record *r) {
    json_t *object = json_object();
    for (size_t i = 0; i < FIELDS && object; i++)
        if (json_object_set_new(object, fields[i].name, pack_field(&fields[i], r)) != 0) {
            json_decref(object);
            object = NULL;
        }
    return object;
}

static record describe(const tally_training *t) {
    return (record){.version = VERSION,
                    .options = t->options,
                    .cell = t->model->config.cell,
                    .sequences = t->data->size,
                    .valid_sequences = t->valid ? t->valid->size : 0,
                    .at = t->at};
}

/* Whether the kept weights are the present ones. */
static bool is_at_kept(const tl_training_place *at) {
    return at->kept.epoch == at->epoch && at->batch == 0;
}

tally_status tally_training_save(const tally_training *t, const char *path, bool weights_only) {
    if (!t || !path)
        return tl_fail(TALLY_USAGE, "tally_training_save: no run or no path given");
    const tally_tensor *kept = tl_training_kept(t);
    if (weights_only)
        return tl_model_file_write(t->model, kept, NULL, path);
    if (t->failed)
        return tl_fail(t->failed, "cannot write %s: the run has failed and has no state to go on from", path);
    const record now = describe(t);
    json_t *object = pack(&now);
    char *note = object ? json_dumps(object, JSON_COMPACT) : NULL;
    tl_model_state state = {.note = note,
                            .flats = {[TL_EXTRA_M] = &t->m,
                                      [TL_EXTRA_V] = &t->v,
                                      [TL_EXTRA_PRESENT] = is_at_kept(&t->at) ? NULL : tl_training_present(t)}};
    tally_status status = note ? tl_model_file_write(t->model, kept, &state, path)
                               : tl_fail(TALLY_MEMORY, "cannot write %s: no memory left", path);
    free(note);
    json_decref(object);
    return status;
}

static tally_status unpack(const char *path, const json_t *object, record *r) {
    *r = (record){0};
    for (size_t i = 0; i < FIELDS; i++) {
        const json_t *value = json_object_get(object, fields[i].name);
        if (!value)
            return tl_fail(TALLY_MODEL, "%s: its note %s has no %s", path, TALLY_TRAINING_NOTE, fields[i].name);
        if (!unpack_field(&fields[i], value, r))
            return tl_fail(TALLY_MODEL, "%s: its note %s has a wrong %s", path, TALLY_TRAINING_NOTE, fields[i].name);
        if (r->version != VERSION)
            return tl_fail(TALLY_MODEL, "%s: its state of training has version %zu, expected %d", path, r->version,
                           VERSION);
    }
    return TALLY_OK;
}

static tally_status check_moments(const char *path, const tl_model_file *file) {
    for (size_t part = 0; part < file->count; part++) {
        const tl_saved_tensor *v = file->extra[TL_EXTRA_V][part];
        if (!file->extra[TL_EXTRA_M][part] || !v)
            return tl_fail(TALLY_MODEL, "%s: there is no tensor %s%s, which its state of training needs", path,
                           v ? "adam.m." : "adam.v.", file->parameters[part].name);
        for (size_t i = 0; i < file->parameters[part].shape[0] * file->parameters[part].shape[1]; i++)
            if (tl_saved_f32(v, i) < 0)
                return tl_fail(TALLY_MODEL, "%s: element %zu of tensor %s is %g, but it is a mean of squares", path, i,
                               v->name, (double)tl_saved_f32(v, i));
    }
    return TALLY_OK;
}

/* The present weights are all there, or none is where they are the kept ones. */
static tally_status check_present(const char *path, const tl_model_file *file, const tl_training_place *at) {
    bool needed = !is_at_kept(at);
    for (size_t part = 0; part < file->count; part++)
        if ((file->extra[TL_EXTRA_PRESENT][part] != NULL) != needed)
            return tl_fail(TALLY_MODEL, "%s: there is %s tensor train.%s, which its state of training %s", path,
                           needed ? "no" : "a", file->parameters[part].name, needed ? "needs" : "does not have");
    return TALLY_OK;
}

static tally_status check_place(const char *path, const tl_training_place *at, size_t batches) {
    size_t steps;
    bool right = tl_size_mul(at->epoch, batches, &steps) && tl_size_add(steps, at->batch, &steps) &&
                 steps == at->step && at->batch < batches && at->kept.epoch <= at->epoch &&
                 at->best.epoch <= at->epoch && (at->epoch == 0) == (at->kept.epoch == 0) &&
                 (at->epoch == 0) == (at->best.epoch == 0);
    return right ? TALLY_OK
                 : tl_fail(TALLY_MODEL,
                           "%s: its note %s says epoch %zu, batch %zu of %zu, step %zu, best epoch %zu, "
                           "which cannot be",
                           path, TALLY_TRAINING_NOTE, at->epoch, at->batch, batches, at->step, at->best.epoch);
}

/* What must be as it was. */
static tally_status check_same(const char *path, const json_t *theirs, const tally_training *t) {
    const record ours = describe(t);
    tally_status status = TALLY_OK;
    for (size_t i = 0; i < FIELDS && !status; i++) {
        if (!fields[i].fixed)
            continue;
        const json_t *before = json_object_get(theirs, fields[i].name);
        json_t *now = pack_field(&fields[i], &ours);
        char *before_text = json_dumps(before, JSON_ENCODE_ANY), *now_text = json_dumps(now, JSON_ENCODE_ANY);
        if (!before_text || !now_text)
            status = tl_fail(TALLY_MEMORY, "%s: no memory left", path);
        else if (strcmp(before_text, now_text) != 0)
            status = tl_fail(TALLY_USAGE, "%s: its run of training has %s %s and cannot go on with %s", path,
                             fields[i].name, before_text, now_text);
        free(before_text);
        free(now_text);
        json_decref(now);
    }
    return status;
}

/* Everything but the run's options is in place. */
static tally_status take(const char *path, const tl_model_file *file, const record *r, tally_training *t) {
    tally_status status = check_place(path, &r->at, t->batches);
    if (!status)
        status = check_moments(path, file);
    if (!status)
        status = check_present(path, file, &r->at);
    if (status)
        return status;
    const tl_saved_tensor *const *present = is_at_kept(&r->at) ? file->found : file->extra[TL_EXTRA_PRESENT];
    t->at = r->at;
    status = tl_model_file_take(file->found, t->model, tl_training_kept(t));
    if (!status)
        status = tl_model_file_take(present, t->model, tl_training_present(t));
    if (!status)
        status = tl_model_file_take(file->extra[TL_EXTRA_M], t->model, &t->m);
    return status ? status : tl_model_file_take(file->extra[TL_EXTRA_V], t->model, &t->v);
}

static tally_status check_model(const char *path, const tl_model_file *file, const tally_model *model) {
    const tally_model_config *theirs = &file->config, *ours = &model->config;
    if (theirs->inputs != ours->inputs || theirs->hidden != ours->hidden || theirs->classes != ours->classes ||
        theirs->layers != ours->layers || tally_cell_weights(theirs->cell) != tally_cell_weights(ours->cell))
        return tl_fail(TALLY_USAGE, "%s: it has another model's sizes than the run that is to go on", path);
    return TALLY_OK;
}

static tally_status read_state(const char *path, const tl_model_file *file, json_t **object) {
    const char *note = tl_model_file_note(file, TALLY_TRAINING_NOTE);
    const char *digest = tl_model_file_note(file, TL_TRAINING_DIGEST);
    if (!note)
        return tl_fail(TALLY_MODEL,
                       "%s: it has no state of training to go on from: only weights were saved, or another "
                       "program wrote it",
                       path);
    tl_state_digest found = tl_model_file_state_digest(file);
    if (!digest || strcmp(digest, found.hex) != 0)
        return tl_fail(TALLY_MODEL, "%s: its state of training is damaged: it has SHA-256 %s, but its note %s says %s",
                       path, found.hex, TL_TRAINING_DIGEST, digest ? tl_printable(digest).text : "nothing");
    *object = json_loads(note, JSON_REJECT_DUPLICATES, NULL);
    return *object ? TALLY_OK : tl_fail(TALLY_MODEL, "%s: its note %s is not JSON", path, TALLY_TRAINING_NOTE);
}

static tally_status resume(tally_model *model, const tally_dataset *data, const tally_dataset *valid,
                           const tally_train_options *options, const char *path, const tl_model_file *file,
                           const json_t *object, tally_training **training) {
    record r;
    tally_status status = unpack(path, object, &r);
    if (!status)
        status = check_model(path, file, model);
    if (!status)
        status = tally_training_new(model, data, valid, options ? options : &r.options, training);
    if (!status)
        status = check_same(path, object, *training);
    return status ? status : take(path, file, &r, *training);
}

tally_status tally_training_resume(tally_model *model, const tally_dataset *data, const tally_dataset *valid,
                                   const tally_train_options *options, const char *path, tally_training **training) {
    if (!model || !path || !training)
        return tl_fail(TALLY_USAGE, "tally_training_resume: no model, no path or no place for the run given");
    *training = NULL;
    tl_model_file file;
    tally_status status = tl_model_file_read(path, &file);
    if (status)
        return status;
    json_t *object = NULL;
    status = read_state(path, &file, &object);
    if (!status)
        status = resume(model, data, valid, options, path, &file, object, training);
    json_decref(object);
    tl_model_file_free(&file);
    if (status) {
        tally_training_free(*training);
        *training = NULL;
    }
    return status;
}
