/* Training runs saved in a model's file. */
#include <tally/store.h>

#include "backend/optimizer.h"
#include "core/fail.h"
#include "core/size.h"
#include "store/model_file.h"
#include "store/printable.h"
#include "train/training.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of the state's format and of the order in which gradients are summed. A run must be resumed with the order it was
 * started with. */
enum { VERSION = 2 };

/* The contents of the note, apart from its version: the options, under the names of tally_train_settings, and the
 * progress of the run. */
typedef struct record {
    tally_train_options options;
    size_t sequences, valid_sequences;
    tl_training_place at;
} record;

#define COUNT(name_, member)                                                                                           \
    { .name = (name_), TALLY_SIZE_AT(record, member, 0, SIZE_MAX), .may_change = true }
#define NUMBER(name_, member)                                                                                          \
    { .name = (name_), TALLY_REAL_AT(record, member, 0, DBL_MAX), .may_change = true }
static const tally_setting progress[] = {
    {.name = "sequences", TALLY_SIZE_AT(record, sequences, 0, SIZE_MAX)},
    {.name = "valid_sequences", TALLY_SIZE_AT(record, valid_sequences, 0, SIZE_MAX)},
    COUNT("epochs_done", at.epoch),
    COUNT("batches_done", at.batch),
    COUNT("steps_done", at.step),
    NUMBER("epoch_loss", at.epoch_loss),
    NUMBER("epoch_norm", at.epoch_norm),
    COUNT("kept_epoch", at.kept.epoch),
    NUMBER("kept_loss", at.kept.loss),
    NUMBER("kept_valid_loss", at.kept.valid_loss),
    COUNT("kept_valid_mistakes", at.kept.valid_mistakes),
    COUNT("best_epoch", at.best.epoch),
    NUMBER("best_loss", at.best.loss),
    NUMBER("best_valid_loss", at.best.valid_loss),
    COUNT("best_valid_mistakes", at.best.valid_mistakes),
    NUMBER("seconds", at.seconds),
};
#undef COUNT
#undef NUMBER
enum { PROGRESS = sizeof progress / sizeof *progress };

/* Sets *field to a row for a member of record; false if number is past the last one. Options may exceed the ranges
 * that apply to command-line arguments. */
static bool field_at(size_t number, tally_setting *field) {
    size_t options;
    const tally_setting *rows = tally_train_settings(&options);
    if (number >= options + PROGRESS)
        return false;
    *field = number < options ? rows[number] : progress[number - options];
    if (number < options) {
        field->offset += offsetof(record, options);
        field->least = 0;
        field->most = UINT64_MAX;
        field->low = -INFINITY;
        field->high = INFINITY;
    }
    return true;
}

/* An unknown number is null. */
static json_t *pack_field(const tally_setting *f, const record *r) {
    char buffer[TALLY_SETTING_TEXT_SIZE];
    bool unknown =
        f->type == TALLY_SETTING_REAL && !isfinite(*(const double *)(const void *)((const char *)r + f->offset));
    return unknown ? json_null() : json_string(tally_setting_format(f, r, buffer));
}

static bool unpack_field(const tally_setting *f, const json_t *value, record *r) {
    if (json_is_null(value) && f->type == TALLY_SETTING_REAL)
        tally_settings_reset(f, 1, r);
    else
        return json_is_string(value) && tally_setting_parse(f, r, json_string_value(value));
    return true;
}

/* NULL if out of memory. */
static json_t *pack_record(const record *r) {
    json_t *object = json_pack("{s:i}", "version", VERSION);
    tally_setting field;
    for (size_t i = 0; object && field_at(i, &field); i++)
        if (json_object_set_new(object, field.name, pack_field(&field, r)) != 0) {
            json_decref(object);
            object = NULL;
        }
    return object;
}

static record record_of(const tally_training *t) {
    return (record){.options = t->options,
                    .sequences = t->data->size,
                    .valid_sequences = t->valid ? t->valid->size : 0,
                    .at = t->at};
}

/* Whether the kept weights are the current ones. */
static bool kept_is_current(const tl_training_place *at) {
    return at->kept.epoch == at->epoch && at->batch == 0;
}

tally_status tally_training_save(const tally_training *t, const char *path, bool weights_only) {
    if (!t || !path)
        return tl_fail(TALLY_USAGE, "tally_training_save: no run or no path given");
    const tally_tensor *kept = tl_training_kept(t);
    if (weights_only)
        return tl_model_file_write(t->model, kept, NULL, path);
    if (t->failed)
        return tl_fail(t->failed, "cannot write %s: the run has failed and has no state to resume from", path);
    const record now = record_of(t);
    json_t *object = pack_record(&now);
    char *note = object ? json_dumps(object, JSON_COMPACT) : NULL;
    const tally_optimizer_options *optimizer = &t->options.optimizer;
    tl_model_state state = {.note = note,
                            .flats = {[TL_EXTRA_PRESENT] = kept_is_current(&t->at) ? NULL : tl_training_present(t)}};
    for (size_t s = 0; s < tally_optimizer_states(optimizer); s++)
        state.flats[tl_extra_state(optimizer->kind, s)] = &t->states[s];
    tally_status status = note ? tl_model_file_write(t->model, kept, &state, path)
                               : tl_fail(TALLY_MEMORY, "cannot write %s: no memory left", path);
    free(note);
    json_decref(object);
    return status;
}

static tally_status unpack_record(const char *path, const json_t *object, record *r) {
    tally_setting field;
    *r = (record){0};
    for (size_t i = 0; field_at(i, &field); i++) {
        const json_t *value = json_object_get(object, field.name);
        if (!value)
            return tl_fail(TALLY_MODEL, "%s: its note %s has no %s", path, TALLY_TRAINING_NOTE, field.name);
        if (unpack_field(&field, value, r))
            continue;
        const char *text = json_string_value(value);
        return tl_fail(TALLY_MODEL, "%s: its note %s has a wrong %s%s%s", path, TALLY_TRAINING_NOTE, field.name,
                       text ? ": " : "", text ? tl_printable(text).text : "");
    }
    return TALLY_OK;
}

/* The tensors of one kind are all present, or all absent if the state does not need them. */
static tally_status check_extra(const char *path, const tl_model_file *file, size_t extra, bool needed) {
    for (size_t part = 0; part < file->count; part++)
        if ((file->extra[extra][part] != NULL) != needed)
            return tl_fail(TALLY_MODEL, "%s: there is %s tensor %s%s, which its training state %s", path,
                           needed ? "no" : "a", tl_extra_prefix_of(extra).text, file->parameters[part].name,
                           needed ? "needs" : "does not have");
    return TALLY_OK;
}

static tally_status check_squares(const char *path, const tl_saved_tensor *tensor) {
    for (size_t i = 0; i < tensor->bytes / sizeof(float); i++)
        if (tl_saved_f32(tensor, i) < 0)
            return tl_fail(TALLY_MODEL, "%s: element %zu of tensor %s is %g, but squares are never negative", path, i,
                           tensor->name, (double)tl_saved_f32(tensor, i));
    return TALLY_OK;
}

/* There are the states of the run's optimizer and no other's, and the current weights unless they are the kept ones. */
static tally_status check_extras(const char *path, const tl_model_file *file, const record *r) {
    const tally_optimizer_options *optimizer = &r->options.optimizer;
    size_t first = tl_extra_state(optimizer->kind, 0), states = tally_optimizer_states(optimizer);
    tally_status status = check_extra(path, file, TL_EXTRA_PRESENT, !kept_is_current(&r->at));
    for (size_t extra = 0; extra < TL_EXTRA_PRESENT && !status; extra++)
        status = check_extra(path, file, extra, extra >= first && extra < first + states);
    for (size_t s = 0; s < states && !status; s++)
        for (size_t part = 0; part < file->count && !status && tl_optimizer_squares(optimizer->kind, s); part++)
            status = check_squares(path, file->extra[first + s][part]);
    return status;
}

static tally_status check_progress(const char *path, const tl_training_place *at, size_t batches) {
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

/* Checks that the options and data sizes that must not change have not changed. */
static tally_status check_unchanged(const char *path, const record *theirs, const tally_training *t) {
    const record ours = record_of(t);
    tally_setting field;
    for (size_t i = 0; field_at(i, &field); i++) {
        char before[TALLY_SETTING_TEXT_SIZE], now[TALLY_SETTING_TEXT_SIZE];
        const char *before_text = tally_setting_format(&field, theirs, before);
        const char *now_text = tally_setting_format(&field, &ours, now);
        if (!field.may_change && strcmp(before_text, now_text) != 0)
            return tl_fail(TALLY_USAGE, "%s: its training run has %s %s and cannot be resumed with %s", path,
                           field.name, before_text, now_text);
    }
    return TALLY_OK;
}

/* Loads everything but the options into the run. */
static tally_status load_run(const char *path, const tl_model_file *file, const record *r, tally_training *t) {
    tally_status status = check_progress(path, &r->at, t->batches);
    if (!status)
        status = check_extras(path, file, r);
    if (status)
        return status;
    const tl_saved_tensor *const *present = kept_is_current(&r->at) ? file->found : file->extra[TL_EXTRA_PRESENT];
    t->at = r->at;
    status = tl_model_file_load(file->found, t->model, tl_training_kept(t));
    if (!status)
        status = tl_model_file_load(present, t->model, tl_training_present(t));
    const tally_optimizer_options *optimizer = &r->options.optimizer;
    for (size_t s = 0; s < tally_optimizer_states(optimizer) && !status; s++)
        status = tl_model_file_load(file->extra[tl_extra_state(optimizer->kind, s)], t->model, &t->states[s]);
    return status;
}

static tally_status check_model(const char *path, const tl_model_file *file, const tally_model *model) {
    const tally_model_config *theirs = &file->config, *ours = &model->config;
    if (theirs->inputs != ours->inputs || theirs->hidden != ours->hidden || theirs->classes != ours->classes ||
        theirs->layers != ours->layers)
        return tl_fail(TALLY_USAGE, "%s: its model's sizes differ from those of the run to be resumed", path);
    if (theirs->cell != ours->cell)
        return tl_fail(TALLY_USAGE, "%s: its training run has cell %s and cannot be resumed with %s", path,
                       tally_cell_name(theirs->cell), tally_cell_name(ours->cell));
    return TALLY_OK;
}

/* Parses the note. The caller frees the object. TALLY_MODEL: the run cannot be resumed; the caller puts the file's
 * name in front of the text. */
static tally_status read_note(const char *note, json_t **object) {
    *object = NULL;
    if (!note)
        return tl_fail(TALLY_MODEL, "it has no training state to resume from: only weights were saved, or another "
                                    "program wrote it");
    *object = json_loads(note, JSON_REJECT_DUPLICATES, NULL);
    if (!*object)
        return tl_fail(TALLY_MODEL, "its note %s is not JSON", TALLY_TRAINING_NOTE);
    const json_t *version = json_object_get(*object, "version");
    if (!json_is_integer(version))
        return tl_fail(TALLY_MODEL, "its note %s has no version", TALLY_TRAINING_NOTE);
    if (json_integer_value(version) == 1)
        return tl_fail(
            TALLY_MODEL,
            "its training run was saved by an earlier tally, which added gradients in another order: it would not end "
            "with the weights of a run that was never stopped. Train from the beginning, or resume it with the tally "
            "that saved it; the model itself is used as before");
    if (json_integer_value(version) != VERSION)
        return tl_fail(TALLY_MODEL, "its training state has version %lld, expected %d",
                       (long long)json_integer_value(version), VERSION);
    return TALLY_OK;
}

tally_status tally_model_resumable(const tally_model *model) {
    json_t *object;
    tally_status status = read_note(tally_model_note(model, TALLY_TRAINING_NOTE), &object);
    json_decref(object);
    return status;
}

static tally_status read_state(const char *path, const tl_model_file *file, json_t **object) {
    const char *digest = tl_model_file_note(file, TL_TRAINING_DIGEST);
    tally_status status = read_note(tl_model_file_note(file, TALLY_TRAINING_NOTE), object);
    if (status)
        return tl_fail_within(status, "%s: ", path);
    tl_state_digest found = tl_model_file_state_digest(file);
    if (!digest || strcmp(digest, found.hex) != 0)
        return tl_fail(TALLY_MODEL, "%s: its training state is damaged: it has SHA-256 %s, but its note %s says %s",
                       path, found.hex, TL_TRAINING_DIGEST, digest ? tl_printable(digest).text : "nothing");
    return TALLY_OK;
}

static tally_status resume_run(tally_model *model, const tally_dataset *data, const tally_dataset *valid,
                               const tally_train_options *options, const char *path, const tl_model_file *file,
                               const json_t *object, tally_training **training) {
    record r;
    tally_status status = unpack_record(path, object, &r);
    if (!status)
        status = check_model(path, file, model);
    if (!status)
        status = tally_training_new(model, data, valid, options ? options : &r.options, training);
    if (!status)
        status = check_unchanged(path, &r, *training);
    return status ? status : load_run(path, file, &r, *training);
}

tally_status tally_training_resume(tally_model *model, const tally_dataset *data, const tally_dataset *valid,
                                   const tally_train_options *options, const char *path, tally_training **training) {
    if (!model || !path || !training)
        return tl_fail(TALLY_USAGE, "tally_training_resume: no model, no path or no pointer for the run");
    *training = NULL;
    tl_model_file file;
    tally_status status = tl_model_file_read(path, &file);
    if (status)
        return status;
    json_t *object = NULL;
    status = read_state(path, &file, &object);
    if (!status)
        status = resume_run(model, data, valid, options, path, &file, object, training);
    json_decref(object);
    tl_model_file_free(&file);
    if (status) {
        tally_training_free(*training);
        *training = NULL;
    }
    return status;
}
