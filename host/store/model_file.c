#include <tally/store.h>

#include "core/fail.h"
#include "core/size.h"
#include "nn/model.h"
#include "store/printable.h"
#include "store/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A model file's tensors beside the parameters they are, in the order of these. */
typedef struct parts {
    tl_parameter parameters[TL_MAX_PARAMETERS];
    const tl_saved_tensor *found[TL_MAX_PARAMETERS];
    size_t count;
} parts;

enum { F32_BYTES = 4 };

static void put_f32(unsigned char *bytes, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (int i = 0; i < F32_BYTES; i++)
        bytes[i] = (unsigned char)(bits >> 8 * i);
}

static float get_f32(const unsigned char *bytes) {
    uint32_t bits = 0;
    for (int i = 0; i < F32_BYTES; i++)
        bits |= (uint32_t)bytes[i] << 8 * i;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static tally_status make_metadata(const tally_model *model, const char *path, json_t **metadata) {
    *metadata = json_object();
    bool failed = !*metadata;
    for (size_t i = 0; i < model->note_count && !failed; i++) {
        json_error_t error;
        json_t *note = json_pack_ex(&error, 0, "{s:s}", model->notes[i].key, model->notes[i].value);
        if (!note && json_error_code(&error) == json_error_invalid_utf8)
            return tl_fail(TALLY_USAGE, "cannot write %s: the note %s is not valid UTF-8", path,
                           tl_printable(model->notes[i].key).text);
        failed = !note || json_object_update(*metadata, note) != 0;
        json_decref(note);
    }
    /* What tools that read PyTorch's files look for. */
    if (failed || json_object_set_new(*metadata, "format", json_string("pt")) != 0)
        return tl_fail(TALLY_MEMORY, "cannot write %s: no memory left", path);
    return TALLY_OK;
}

/* The parameter's bytes into data. */
static tally_status save_parameter(const tally_model *model, size_t index, const char *path, unsigned char *data) {
    const tl_parameter *parameter = &model->parameters[index];
    float *values = calloc(parameter->elements, sizeof *values);
    if (!values)
        return tl_fail(TALLY_MEMORY, "cannot write %s: no memory left", path);
    tally_status status = tally_model_get(model, index, values, parameter->elements);
    for (size_t i = 0; i < parameter->elements && !status; i++) {
        if (!isfinite(values[i]))
            status = tl_fail(TALLY_NUMBERS, "cannot write %s: element %zu of %s is %g", path, i, parameter->name,
                             (double)values[i]);
        put_f32(data + i * F32_BYTES, values[i]);
    }
    free(values);
    return status;
}

tally_status tally_model_save(const tally_model *model, const char *path) {
    if (!model || !path)
        return tl_fail(TALLY_USAGE, "tally_model_save: no model or no path given");
    tl_saved_tensor tensors[TL_MAX_PARAMETERS];
    size_t bytes = 0;
    for (size_t i = 0; i < model->parameter_count; i++)
        bytes += model->parameters[i].elements * F32_BYTES; /* fits: the model is in memory */
    json_t *metadata = NULL;
    unsigned char *data = malloc(bytes), *next = data;
    tally_status status =
        data ? make_metadata(model, path, &metadata) : tl_fail(TALLY_MEMORY, "cannot write %s: no memory left", path);
    for (size_t i = 0; i < model->parameter_count && !status; i++) {
        const tl_parameter *p = &model->parameters[i];
        status = save_parameter(model, i, path, next);
        tensors[i] = (tl_saved_tensor){p->name, "F32", (size_t)p->ndim, p->shape, next, p->elements * F32_BYTES};
        next += tensors[i].bytes;
    }
    if (!status)
        status = tl_safetensors_write(path, tensors, model->parameter_count, metadata);
    json_decref(metadata);
    free(data);
    return status;
}

/* The layer that a name ends with, _l and its number; false for another ending. */
static bool layer_of(const char *name, size_t *layer) {
    const char *digits = name + strlen(name);
    while (digits > name && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    size_t length = strlen(digits);
    if (length < 1 || digits - name < 2 || strncmp(digits - 2, "_l", 2) != 0)
        return false;
    *layer = length > 9 ? SIZE_MAX : strtoul(digits, NULL, 10);
    return true;
}

/* How many layers the names say that there are; at least one is needed. */
static tally_status count_layers(const char *path, const tl_safetensors *file, size_t *layers) {
    *layers = 1;
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->tensors[i].name;
        size_t layer = 0;
        if (strncmp(name, "rnn.", strlen("rnn.")) != 0 || !layer_of(name, &layer))
            continue;
        if (layer >= TALLY_MAX_LAYERS)
            return tl_fail(TALLY_MODEL, "%s: tensor %s is of a layer beyond the %d that a model may have", path,
                           tl_printable(name).text, TALLY_MAX_LAYERS);
        if (layer >= *layers)
            *layers = layer + 1;
    }
    return TALLY_OK;
}

/* All of the parts, none missing and nothing else. Their shapes are not known yet. */
static tally_status find_parts(const char *path, const tl_safetensors *file, parts *p) {
    tally_model_config names = {0};
    tally_status status = count_layers(path, file, &names.layers);
    if (status)
        return status;
    memset(p, 0, sizeof *p);
    p->count = tl_model_list(&names, p->parameters);
    for (size_t i = 0; i < file->count; i++) {
        size_t part = 0;
        while (part < p->count && strcmp(p->parameters[part].name, file->tensors[i].name) != 0)
            part++;
        if (part == p->count)
            return tl_fail(TALLY_MODEL, "%s: tensor %s is not part of a model", path,
                           tl_printable(file->tensors[i].name).text);
        p->found[part] = &file->tensors[i];
    }
    for (size_t part = 0; part < p->count; part++)
        if (!p->found[part])
            return tl_fail(TALLY_MODEL, "%s: there is no tensor %s, which a model needs", path,
                           p->parameters[part].name);
    return TALLY_OK;
}

static const tl_saved_tensor *tensor_of(const parts *p, tl_role role, size_t layer) {
    size_t i = 0;
    while (p->parameters[i].role != role || p->parameters[i].layer != layer)
        i++;
    return p->found[i];
}

typedef struct shape_text {
    char text[160];
} shape_text;

static shape_text show_shape(const size_t *shape, size_t ndim) {
    shape_text shown = {"["};
    size_t used = 1, room = sizeof shown.text - sizeof "...]";
    for (size_t i = 0; i < ndim; i++) {
        char size[32];
        int length = snprintf(size, sizeof size, i ? ", %zu" : "%zu", shape[i]);
        if (length < 0 || used + (size_t)length > room) {
            memcpy(shown.text + used, "...", sizeof "...");
            break;
        }
        memcpy(shown.text + used, size, (size_t)length + 1);
        used += (size_t)length;
    }
    strcat(shown.text, "]");
    return shown;
}

/* The cell whose weights have as many rows as weight_hh; the LSTM if there is none, and its shape will be found wrong. */
static tally_cell cell_of(const parts *p) {
    const tl_saved_tensor *first = tensor_of(p, TL_WEIGHT_HH, 0);
    for (int cell = 0; cell < TALLY_CELLS && first->ndim == 2 && first->shape[1] > 0; cell++)
        if (first->shape[0] % first->shape[1] == 0 &&
            first->shape[0] / first->shape[1] == tally_cell_weights((tally_cell)cell))
            return (tally_cell)cell;
    return TALLY_LSTM;
}

/* H hidden units, I inputs, C classes. */
static const char *shape_name(tally_cell cell, const tl_parameter *p) {
    static const char *const head[] = {"[C]", "[C, H]"};
    static const char *const rows[TALLY_CELLS][3] = {
        {"[4H]", "[4H, H]", "[4H, I]"}, {"[3H]", "[3H, H]", "[3H, I]"}, {"[H]", "[H, H]", "[H, I]"}};
    if (p->role < TL_BIAS_HH)
        return head[p->role];
    return rows[cell][p->ndim == 1 ? 0 : p->role == TL_WEIGHT_IH && p->layer == 0 ? 2 : 1];
}

/* Of one type, and of as many dimensions as they must be. */
static tally_status check_types(const char *path, const parts *p) {
    for (size_t i = 0; i < p->count; i++) {
        const tl_saved_tensor *found = p->found[i];
        if (strcmp(found->dtype, "F32") != 0)
            return tl_fail(TALLY_MODEL, "%s: tensor %s has dtype %s, expected F32", path, found->name, found->dtype);
        if (found->ndim != (size_t)p->parameters[i].ndim)
            return tl_fail(TALLY_MODEL, "%s: tensor %s has shape %s, expected %s", path, found->name,
                           show_shape(found->shape, found->ndim).text, shape_name(cell_of(p), &p->parameters[i]));
    }
    return TALLY_OK;
}

static tally_status check_shapes(const char *path, parts *p, tally_model_config *config) {
    tally_status status = check_types(path, p);
    if (status)
        return status;
    const tl_saved_tensor *first = tensor_of(p, TL_WEIGHT_HH, 0);
    const size_t hidden = first->shape[1], inputs = tensor_of(p, TL_WEIGHT_IH, 0)->shape[1];
    const size_t classes = tensor_of(p, TL_HEAD_WEIGHT, 0)->shape[0];
    const size_t layers = (p->count - TL_BIAS_HH) / (TL_ROLES - TL_BIAS_HH);
    if (hidden < 1 || inputs < 1 || classes < 2)
        return tl_fail(
            TALLY_MODEL,
            "%s: its shapes are those of a model of %zu inputs, %zu hidden units and %zu classes; at least 1, "
            "1 and 2 are needed",
            path, inputs, hidden, classes);
    const tally_cell cell = cell_of(p);
    for (size_t layer = 1; layer < layers; layer++) {
        const tl_saved_tensor *other = tensor_of(p, TL_WEIGHT_HH, layer);
        if (other->shape[1] != hidden)
            return tl_fail(TALLY_MODEL, "%s: tensor %s has shape %s, but %s %s: layers must have as many units", path,
                           other->name, show_shape(other->shape, 2).text, first->name,
                           show_shape(first->shape, 2).text);
    }
    *config = (tally_model_config){inputs, hidden, classes, layers, cell};
    tl_model_list(config, p->parameters);
    for (size_t i = 0; i < p->count; i++) {
        const tl_parameter *expected = &p->parameters[i];
        size_t ndim = (size_t)expected->ndim;
        if (memcmp(p->found[i]->shape, expected->shape, ndim * sizeof expected->shape[0]) != 0)
            return tl_fail(TALLY_MODEL, "%s: tensor %s has shape %s, expected %s = %s", path, expected->name,
                           show_shape(p->found[i]->shape, ndim).text, shape_name(cell, expected),
                           show_shape(expected->shape, ndim).text);
    }
    return TALLY_OK;
}

static tally_status check_numbers(const char *path, const parts *p) {
    for (size_t part = 0; part < p->count; part++)
        for (size_t i = 0; i < p->found[part]->bytes / F32_BYTES; i++) {
            float value = get_f32(p->found[part]->data + i * F32_BYTES);
            if (!isfinite(value))
                return tl_fail(TALLY_MODEL, "%s: element %zu of tensor %s is %g", path, i, p->found[part]->name,
                               (double)value);
        }
    for (size_t part = 0; part < p->count; part++) {
        if (p->parameters[part].role != TL_BIAS_IH)
            continue;
        const tl_saved_tensor *ih = p->found[part], *hh = tensor_of(p, TL_BIAS_HH, p->parameters[part].layer);
        for (size_t i = 0; i < ih->bytes / F32_BYTES; i++) {
            float sum = get_f32(ih->data + i * F32_BYTES) + get_f32(hh->data + i * F32_BYTES);
            if (!isfinite(sum))
                return tl_fail(TALLY_MODEL, "%s: the sum of %s and %s is %g at element %zu", path, ih->name, hh->name,
                               (double)sum, i);
        }
    }
    return TALLY_OK;
}

static tally_status set_parameter(tally_model *model, size_t index, const tl_saved_tensor *tensor) {
    size_t count = tensor->bytes / F32_BYTES;
    float *values = calloc(count, sizeof *values);
    if (!values)
        return tl_fail(TALLY_MEMORY, "no memory left for %zu weights", count);
    for (size_t i = 0; i < count; i++)
        values[i] = get_f32(tensor->data + i * F32_BYTES);
    tally_status status = tally_model_set(model, index, values, count);
    free(values);
    return status;
}

static tally_status build_model(tally_device *device, const char *path, const tl_safetensors *file,
                                tally_model **model) {
    parts p;
    tally_model_config config;
    tally_status status = find_parts(path, file, &p);
    if (!status)
        status = check_shapes(path, &p, &config);
    if (!status)
        status = check_numbers(path, &p);
    if (status)
        return status;
    status = tally_model_new(device, &config, model);
    if (status)
        return tl_fail_within(status == TALLY_USAGE ? TALLY_MODEL : status, "%s: ", path);
    /* From the last on: bias_hh is added to bias_ih, which must be there. */
    for (size_t part = p.count; part-- > 0 && !status;)
        status = set_parameter(*model, part, p.found[part]);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)file->metadata, key, value) {
        if (!status)
            status = tally_model_set_note(*model, key, json_string_value(value));
    }
    return status ? tl_fail_within(status, "%s: ", path) : TALLY_OK;
}

tally_status tally_model_load(tally_device *device, const char *path, tally_model **model) {
    if (!device || !path || !model)
        return tl_fail(TALLY_USAGE, "tally_model_load: no device, no path or no place for the model given");
    *model = NULL;
    tl_safetensors file;
    tally_status status = tl_safetensors_read(path, &file);
    if (status)
        return status;
    status = build_model(device, path, &file, model);
    tl_safetensors_free(&file);
    if (status) {
        tally_model_free(*model);
        *model = NULL;
    }
    return status;
}
