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

/* A model file's tensors, in the order of the model's parameters. H hidden units, I inputs, C classes. */
enum { HEAD_BIAS, HEAD_WEIGHT, BIAS_HH, BIAS_IH, WEIGHT_HH, WEIGHT_IH, PARTS };
static const struct {
    const char *name;
    size_t ndim;
    const char *shape;
} parts[PARTS] = {
    [HEAD_BIAS] = {"head.bias", 1, "[C]"},
    [HEAD_WEIGHT] = {"head.weight", 2, "[C, H]"},
    [BIAS_HH] = {"rnn.bias_hh_l0", 1, "[4H]"},
    [BIAS_IH] = {"rnn.bias_ih_l0", 1, "[4H]"},
    [WEIGHT_HH] = {"rnn.weight_hh_l0", 2, "[4H, H]"},
    [WEIGHT_IH] = {"rnn.weight_ih_l0", 2, "[4H, I]"},
};

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
    const tally_parameter parameter = tally_model_parameter(model, index);
    float *values = calloc(parameter.elements, sizeof *values);
    if (!values)
        return tl_fail(TALLY_MEMORY, "cannot write %s: no memory left", path);
    tally_status status = tally_model_get(model, index, values, parameter.elements);
    for (size_t i = 0; i < parameter.elements && !status; i++) {
        if (!isfinite(values[i]))
            status = tl_fail(TALLY_NUMBERS, "cannot write %s: element %zu of %s is %g", path, i, parameter.name,
                             (double)values[i]);
        put_f32(data + i * F32_BYTES, values[i]);
    }
    free(values);
    return status;
}

tally_status tally_model_save(const tally_model *model, const char *path) {
    if (!model || !path)
        return tl_fail(TALLY_USAGE, "tally_model_save: no model or no path given");
    tally_parameter parameters[PARTS];
    tl_saved_tensor tensors[PARTS];
    size_t bytes = 0;
    for (size_t i = 0; i < PARTS; i++) {
        parameters[i] = tally_model_parameter(model, i);
        bytes += parameters[i].elements * F32_BYTES; /* fits: the model is in memory */
    }
    json_t *metadata = NULL;
    unsigned char *data = malloc(bytes), *next = data;
    tally_status status =
        data ? make_metadata(model, path, &metadata) : tl_fail(TALLY_MEMORY, "cannot write %s: no memory left", path);
    for (size_t i = 0; i < PARTS && !status; i++) {
        const tally_parameter *p = &parameters[i];
        status = save_parameter(model, i, path, next);
        tensors[i] = (tl_saved_tensor){p->name, "F32", (size_t)p->ndim, p->shape, next, p->elements * F32_BYTES};
        next += tensors[i].bytes;
    }
    if (!status)
        status = tl_safetensors_write(path, tensors, PARTS, metadata);
    json_decref(metadata);
    free(data);
    return status;
}

/* All of the parts, none missing and nothing else. */
static tally_status find_parts(const char *path, const tl_safetensors *file, const tl_saved_tensor *found[PARTS]) {
    memset(found, 0, PARTS * sizeof *found);
    for (size_t i = 0; i < file->count; i++) {
        size_t part = 0;
        while (part < PARTS && strcmp(parts[part].name, file->tensors[i].name) != 0)
            part++;
        if (part == PARTS)
            return tl_fail(TALLY_MODEL, "%s: tensor %s is not part of a model", path,
                           tl_printable(file->tensors[i].name).text);
        found[part] = &file->tensors[i];
    }
    for (size_t part = 0; part < PARTS; part++)
        if (!found[part])
            return tl_fail(TALLY_MODEL, "%s: there is no tensor %s, which a model needs", path, parts[part].name);
    return TALLY_OK;
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

static tally_status check_shapes(const char *path, const tl_saved_tensor *const found[PARTS],
                                 tally_model_config *config) {
    for (size_t i = 0; i < PARTS; i++) {
        if (strcmp(found[i]->dtype, "F32") != 0)
            return tl_fail(TALLY_MODEL, "%s: tensor %s has dtype %s, expected F32", path, parts[i].name,
                           found[i]->dtype);
        if (found[i]->ndim != parts[i].ndim)
            return tl_fail(TALLY_MODEL, "%s: tensor %s has shape %s, expected %s", path, parts[i].name,
                           show_shape(found[i]->shape, found[i]->ndim).text, parts[i].shape);
    }
    const size_t hidden = found[WEIGHT_HH]->shape[1], inputs = found[WEIGHT_IH]->shape[1];
    const size_t classes = found[HEAD_WEIGHT]->shape[0];
    if (hidden < 1 || inputs < 1 || classes < 2)
        return tl_fail(
            TALLY_MODEL,
            "%s: its shapes are those of a model of %zu inputs, %zu hidden units and %zu classes; at least 1, "
            "1 and 2 are needed",
            path, inputs, hidden, classes);
    size_t gates;
    if (!tl_size_mul(4, hidden, &gates))
        gates = SIZE_MAX; /* no tensor in a file has that many rows */
    const size_t expected[PARTS][2] = {
        [HEAD_BIAS] = {classes}, [HEAD_WEIGHT] = {classes, hidden}, [BIAS_HH] = {gates},
        [BIAS_IH] = {gates},     [WEIGHT_HH] = {gates, hidden},     [WEIGHT_IH] = {gates, inputs},
    };
    for (size_t i = 0; i < PARTS; i++)
        if (memcmp(found[i]->shape, expected[i], parts[i].ndim * sizeof expected[i][0]) != 0)
            return tl_fail(TALLY_MODEL, "%s: tensor %s has shape %s, expected %s = %s", path, parts[i].name,
                           show_shape(found[i]->shape, found[i]->ndim).text, parts[i].shape,
                           show_shape(expected[i], parts[i].ndim).text);
    *config = (tally_model_config){inputs, hidden, classes};
    return TALLY_OK;
}

static tally_status check_numbers(const char *path, const tl_saved_tensor *const found[PARTS]) {
    for (size_t part = 0; part < PARTS; part++)
        for (size_t i = 0; i < found[part]->bytes / F32_BYTES; i++) {
            float value = get_f32(found[part]->data + i * F32_BYTES);
            if (!isfinite(value))
                return tl_fail(TALLY_MODEL, "%s: element %zu of tensor %s is %g", path, i, parts[part].name,
                               (double)value);
        }
    for (size_t i = 0; i < found[BIAS_IH]->bytes / F32_BYTES; i++) {
        float sum = get_f32(found[BIAS_IH]->data + i * F32_BYTES) + get_f32(found[BIAS_HH]->data + i * F32_BYTES);
        if (!isfinite(sum))
            return tl_fail(TALLY_MODEL, "%s: the sum of %s and %s is %g at element %zu", path, parts[BIAS_IH].name,
                           parts[BIAS_HH].name, (double)sum, i);
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
    const tl_saved_tensor *found[PARTS];
    tally_model_config config;
    tally_status status = find_parts(path, file, found);
    if (!status)
        status = check_shapes(path, found, &config);
    if (!status)
        status = check_numbers(path, found);
    if (status)
        return status;
    status = tally_model_new(device, &config, model);
    if (status)
        return tl_fail_within(status == TALLY_USAGE ? TALLY_MODEL : status, "%s: ", path);
    /* From the last on: bias_hh is added to bias_ih, which must be there. */
    for (size_t part = PARTS; part-- > 0 && !status;)
        status = set_parameter(*model, part, found[part]);
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
