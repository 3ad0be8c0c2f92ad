#include <tally/store.h>

#include "core/fail.h"
#include "core/size.h"
#include "store/model_file.h"
#include "store/printable.h"

#include <math.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

tl_extra_prefix tl_extra_prefix_of(size_t extra) {
    tl_extra_prefix prefix = {""};
    if (extra == TL_EXTRA_PRESENT)
        return (tl_extra_prefix){"train."};
    tally_optimizer kind = (tally_optimizer)(extra / TALLY_MAX_OPTIMIZER_STATES);
    const char *state = tally_optimizer_state_name(kind, extra % TALLY_MAX_OPTIMIZER_STATES);
    if (state)
        snprintf(prefix.text, sizeof prefix.text, "%s.%s.", tally_optimizer_name(kind), state);
    return prefix;
}

float tl_saved_f32(const tl_saved_tensor *tensor, size_t element) {
    return get_f32(tensor->data + element * F32_BYTES);
}

static tl_state_digest digest_state(const char *note, const unsigned char *const *parts, const size_t *bytes,
                                    size_t count) {
    tl_state_digest digest;
    SHA2_CTX context;
    SHA256Init(&context);
    SHA256Update(&context, (const uint8_t *)note, strlen(note));
    for (size_t i = 0; i < count; i++)
        SHA256Update(&context, parts[i], bytes[i]);
    SHA256End(&context, digest.hex);
    return digest;
}

/* Notes that are generated for each file. */
static bool is_generated(const char *key) {
    return strcmp(key, TALLY_TRAINING_NOTE) == 0 || strcmp(key, TL_TRAINING_DIGEST) == 0 ||
           strcmp(key, TALLY_CELL_NOTE) == 0;
}

/* state and digest may be NULL. Notes of an earlier training state are not copied. */
static tally_status make_metadata(const tally_model *model, const tl_model_state *state, const tl_state_digest *digest,
                                  const char *path, json_t **metadata) {
    *metadata = json_object();
    bool failed = !*metadata;
    for (size_t i = 0; i < model->note_count && !failed; i++) {
        json_error_t error;
        if (is_generated(model->notes[i].key))
            continue;
        json_t *note = json_pack_ex(&error, 0, "{s:s}", model->notes[i].key, model->notes[i].value);
        if (!note && json_error_code(&error) == json_error_invalid_utf8)
            return tl_fail(TALLY_USAGE, "cannot write %s: the note %s is not valid UTF-8", path,
                           tl_printable(model->notes[i].key).text);
        failed = !note || json_object_update(*metadata, note) != 0;
        json_decref(note);
    }
    if (state && !failed)
        failed = json_object_set_new(*metadata, TALLY_TRAINING_NOTE, json_string(state->note)) != 0 ||
                 json_object_set_new(*metadata, TL_TRAINING_DIGEST, json_string(digest->hex)) != 0;
    failed = failed ||
             json_object_set_new(*metadata, TALLY_CELL_NOTE, json_string(tally_cell_name(model->config.cell))) != 0;
    /* Tools that read PyTorch's files check this. */
    if (failed || json_object_set_new(*metadata, "format", json_string("pt")) != 0)
        return tl_fail(TALLY_MEMORY, "cannot write %s: no memory left", path);
    return TALLY_OK;
}

/* A file under construction: its tensors in the order of their data. */
typedef struct draft {
    const char *path;
    size_t count, bytes;
    tl_saved_tensor *tensors;
    char (*names)[64]; /* of the tensors */
    unsigned char *data;
} draft;

/* Adds a parameter in a flat tensor, named after the parameter with a prefix. */
static tally_status add_tensor(draft *d, const tally_model *model, const tally_tensor *flat, size_t index,
                               const char *prefix) {
    const tl_parameter *p = &model->parameters[index];
    unsigned char *data = d->data + d->bytes;
    char *name = d->names[d->count];
    snprintf(name, sizeof d->names[0], "%s%s", prefix, p->name);
    float *values = calloc(p->elements, sizeof *values);
    if (!values)
        return tl_fail(TALLY_MEMORY, "cannot write %s: no memory left", d->path);
    tally_status status = tl_model_read(model, flat, index, values);
    for (size_t i = 0; i < p->elements && !status; i++) {
        if (!isfinite(values[i]))
            status =
                tl_fail(TALLY_NUMBERS, "cannot write %s: element %zu of %s is %g", d->path, i, name, (double)values[i]);
        put_f32(data + i * F32_BYTES, values[i]);
    }
    free(values);
    d->tensors[d->count++] = (tl_saved_tensor){name, "F32", (size_t)p->ndim, p->shape, data, p->elements * F32_BYTES};
    d->bytes += p->elements * F32_BYTES;
    return status;
}

static tally_status add_flat(draft *d, const tally_model *model, const tally_tensor *flat, const char *prefix) {
    tally_status status = TALLY_OK;
    for (size_t i = 0; i < model->parameter_count && !status; i++)
        status = add_tensor(d, model, flat, i, prefix);
    return status;
}

tally_status tl_model_file_write(const tally_model *model, const tally_tensor *weights, const tl_model_state *state,
                                 const char *path) {
    size_t bytes = 0, flats = 1;
    for (size_t extra = 0; extra < TL_EXTRAS && state; extra++)
        flats += state->flats[extra] != NULL;
    for (size_t i = 0; i < model->parameter_count; i++)
        bytes += model->parameters[i].elements * F32_BYTES; /* cannot overflow: the weights and states are in memory */
    draft d = {.path = path};
    json_t *metadata = NULL;
    d.tensors = calloc(flats * model->parameter_count, sizeof *d.tensors);
    d.names = calloc(flats * model->parameter_count, sizeof *d.names);
    d.data = malloc(flats * bytes);
    tally_status status =
        d.tensors && d.names && d.data ? TALLY_OK : tl_fail(TALLY_MEMORY, "cannot write %s: no memory left", path);
    if (!status)
        status = add_flat(&d, model, weights, "");
    for (size_t extra = 0; extra < TL_EXTRAS && state && !status; extra++)
        if (state->flats[extra])
            status = add_flat(&d, model, state->flats[extra], tl_extra_prefix_of(extra).text);
    if (!status) {
        const unsigned char *all = d.data;
        tl_state_digest digest = {""};
        if (state)
            digest = digest_state(state->note, &all, &d.bytes, 1);
        status = make_metadata(model, state, &digest, path, &metadata);
    }
    if (!status)
        status = tl_safetensors_write(path, d.tensors, d.count, metadata);
    json_decref(metadata);
    free(d.tensors);
    free(d.names);
    free(d.data);
    return status;
}

tally_status tally_model_save(const tally_model *model, const char *path) {
    if (!model || !path)
        return tl_fail(TALLY_USAGE, "tally_model_save: no model or no path given");
    return tl_model_file_write(model, &model->weights, NULL, path);
}

/* Parses the layer number at the end of a name, _lN; false if the name ends differently. */
static bool parse_layer(const char *name, size_t *layer) {
    const char *digits = name + strlen(name);
    while (digits > name && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    size_t length = strlen(digits);
    if (length < 1 || digits - name < 2 || strncmp(digits - 2, "_l", 2) != 0)
        return false;
    *layer = length > 9 ? SIZE_MAX : strtoul(digits, NULL, 10);
    return true;
}

/* Counts the layers by the tensors' names. There must be at least one. */
static tally_status count_layers(const char *path, const tl_safetensors *file, size_t *layers) {
    *layers = 1;
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->tensors[i].name;
        size_t layer = 0;
        if (strncmp(name, "rnn.", strlen("rnn.")) != 0 || !parse_layer(name, &layer))
            continue;
        if (layer >= TALLY_MAX_LAYERS)
            return tl_fail(TALLY_MODEL, "%s: tensor %s belongs to a layer beyond the %d that a model may have", path,
                           tl_printable(name).text, TALLY_MAX_LAYERS);
        if (layer >= *layers)
            *layers = layer + 1;
    }
    return TALLY_OK;
}

/* Where to store a tensor of this name; NULL if it is not part of a model. */
static const tl_saved_tensor **slot_of(tl_model_file *m, const char *name) {
    const tl_saved_tensor **row = m->found;
    for (size_t extra = 0; extra < TL_EXTRAS; extra++) {
        tl_extra_prefix prefix = tl_extra_prefix_of(extra);
        size_t length = strlen(prefix.text);
        if (length > 0 && strncmp(name, prefix.text, length) == 0) {
            row = m->extra[extra];
            name += length;
            break;
        }
    }
    for (size_t part = 0; part < m->count; part++)
        if (strcmp(m->parameters[part].name, name) == 0)
            return &row[part];
    return NULL;
}

/* Finds all parts. None may be missing, and there may be no others except the extra ones. Their shapes are not known
 * yet. */
static tally_status find_parts(const char *path, tl_model_file *m) {
    tally_model_config names = {0};
    tally_status status = count_layers(path, &m->file, &names.layers);
    if (status)
        return status;
    m->count = tl_model_list(&names, m->parameters);
    for (size_t i = 0; i < m->file.count; i++) {
        const tl_saved_tensor **slot = slot_of(m, m->file.tensors[i].name);
        if (!slot)
            return tl_fail(TALLY_MODEL, "%s: tensor %s is not part of a model", path,
                           tl_printable(m->file.tensors[i].name).text);
        *slot = &m->file.tensors[i];
    }
    for (size_t part = 0; part < m->count; part++)
        if (!m->found[part])
            return tl_fail(TALLY_MODEL, "%s: there is no tensor %s, which a model needs", path,
                           m->parameters[part].name);
    return TALLY_OK;
}

static const tl_saved_tensor *tensor_of(const tl_model_file *p, tl_role role, size_t layer) {
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

/* The first cell whose weights have the number of rows of weight_hh. If there is none, the LSTM, whose shape will
 * then be reported as wrong. */
static tally_cell cell_of_shape(const tl_saved_tensor *weight_hh) {
    for (int cell = 0; cell < TALLY_CELLS && weight_hh->ndim == 2 && weight_hh->shape[1] > 0; cell++)
        if (weight_hh->shape[0] % weight_hh->shape[1] == 0 &&
            weight_hh->shape[0] / weight_hh->shape[1] == tally_cell_weights((tally_cell)cell))
            return (tally_cell)cell;
    return TALLY_LSTM;
}

/* The cell that the note names. Without the note, the cell that the shapes suggest. */
static tally_status find_cell(const char *path, tl_model_file *p) {
    static const tally_setting setting = {TALLY_CHOICE_AT(tally_model_config, cell, tl_cell_names)};
    const char *name = tl_model_file_note(p, TALLY_CELL_NOTE);
    const tl_saved_tensor *weight_hh = tensor_of(p, TL_WEIGHT_HH, 0);
    p->config.cell = cell_of_shape(weight_hh);
    if (!name)
        return TALLY_OK;
    char known[TALLY_SETTING_TEXT_SIZE];
    tally_setting_describe_range(&setting, known);
    size_t rows = tally_cell_weights(p->config.cell);
    if (!tally_setting_parse(&setting, &p->config, name))
        return tl_fail(TALLY_MODEL, "%s: its note %s is '%s', not %s", path, TALLY_CELL_NOTE, tl_printable(name).text,
                       known);
    if (rows != tally_cell_weights(p->config.cell))
        return tl_fail(TALLY_MODEL, "%s: its note %s is %s, but tensor %s has shape %s", path, TALLY_CELL_NOTE, name,
                       weight_hh->name, show_shape(weight_hh->shape, weight_hh->ndim).text);
    return TALLY_OK;
}

/* A shape in terms of H hidden units, I inputs and C classes, such as "[4H, H]". */
static shape_text name_shape(tally_cell cell, const tl_parameter *p) {
    shape_text shown;
    char rows[24] = "C";
    size_t weights = tally_cell_weights(cell);
    if (p->role >= TL_BIAS_HH && weights > 1)
        snprintf(rows, sizeof rows, "%zuH", weights);
    else if (p->role >= TL_BIAS_HH)
        strcpy(rows, "H");
    const char *columns = p->ndim == 1 ? "" : p->role == TL_WEIGHT_IH && p->layer == 0 ? ", I" : ", H";
    snprintf(shown.text, sizeof shown.text, "[%s%s]", rows, columns);
    return shown;
}

/* Checks the dtypes and numbers of dimensions. */
static tally_status check_types(const char *path, const tl_model_file *p) {
    for (size_t i = 0; i < p->count; i++) {
        const tl_saved_tensor *found = p->found[i];
        if (strcmp(found->dtype, "F32") != 0)
            return tl_fail(TALLY_MODEL, "%s: tensor %s has dtype %s, expected F32", path, found->name, found->dtype);
        if (found->ndim != (size_t)p->parameters[i].ndim)
            return tl_fail(TALLY_MODEL, "%s: tensor %s has shape %s, expected %s", path, found->name,
                           show_shape(found->shape, found->ndim).text,
                           name_shape(p->config.cell, &p->parameters[i]).text);
    }
    return TALLY_OK;
}

static tally_status check_shapes(const char *path, tl_model_file *p) {
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
    const tally_cell cell = p->config.cell;
    for (size_t layer = 1; layer < layers; layer++) {
        const tl_saved_tensor *other = tensor_of(p, TL_WEIGHT_HH, layer);
        if (other->shape[1] != hidden)
            return tl_fail(
                TALLY_MODEL, "%s: tensor %s has shape %s, but %s %s: all layers must have the same number of units",
                path, other->name, show_shape(other->shape, 2).text, first->name, show_shape(first->shape, 2).text);
    }
    p->config = (tally_model_config){inputs, hidden, classes, layers, cell};
    tl_model_list(&p->config, p->parameters);
    for (size_t i = 0; i < p->count; i++) {
        const tl_parameter *expected = &p->parameters[i];
        size_t ndim = (size_t)expected->ndim;
        if (memcmp(p->found[i]->shape, expected->shape, ndim * sizeof expected->shape[0]) != 0)
            return tl_fail(TALLY_MODEL, "%s: tensor %s has shape %s, expected %s = %s", path, expected->name,
                           show_shape(p->found[i]->shape, ndim).text, name_shape(cell, expected).text,
                           show_shape(expected->shape, ndim).text);
    }
    return TALLY_OK;
}

static tally_status check_finite(const char *path, const tl_saved_tensor *tensor) {
    for (size_t i = 0; i < tensor->bytes / F32_BYTES; i++) {
        float value = tl_saved_f32(tensor, i);
        if (!isfinite(value))
            return tl_fail(TALLY_MODEL, "%s: element %zu of tensor %s is %g", path, i, tensor->name, (double)value);
    }
    return TALLY_OK;
}

static tally_status check_numbers(const char *path, const tl_model_file *p) {
    for (size_t part = 0; part < p->count; part++) {
        tally_status status = check_finite(path, p->found[part]);
        if (status)
            return status;
    }
    const size_t elements = tally_cell_weights(p->config.cell) * p->config.hidden;
    for (size_t part = 0; part < p->count; part++) {
        if (p->parameters[part].role != TL_BIAS_IH)
            continue;
        const tl_saved_tensor *ih = p->found[part], *hh = tensor_of(p, TL_BIAS_HH, p->parameters[part].layer);
        for (size_t i = 0; i < elements; i++) {
            if (!tl_model_shares_bias(p->config.cell, i / p->config.hidden))
                continue;
            float sum = tl_saved_f32(ih, i) + tl_saved_f32(hh, i);
            if (!isfinite(sum))
                return tl_fail(TALLY_MODEL, "%s: the sum of %s and %s is %g at element %zu", path, ih->name, hh->name,
                               (double)sum, i);
        }
    }
    return TALLY_OK;
}

static tally_status check_extra(const char *path, const tl_model_file *p) {
    for (size_t extra = 0; extra < TL_EXTRAS; extra++)
        for (size_t part = 0; part < p->count; part++) {
            const tl_saved_tensor *found = p->extra[extra][part], *like = p->found[part];
            if (!found)
                continue;
            if (strcmp(found->dtype, "F32") != 0)
                return tl_fail(TALLY_MODEL, "%s: tensor %s has dtype %s, expected F32", path, found->name,
                               found->dtype);
            if (found->ndim != like->ndim || memcmp(found->shape, like->shape, like->ndim * sizeof like->shape[0]) != 0)
                return tl_fail(TALLY_MODEL, "%s: tensor %s has shape %s, expected %s", path, found->name,
                               show_shape(found->shape, found->ndim).text, show_shape(like->shape, like->ndim).text);
            tally_status status = check_finite(path, found);
            if (status)
                return status;
        }
    return TALLY_OK;
}

tally_status tl_model_file_read(const char *path, tl_model_file *m) {
    memset(m, 0, sizeof *m);
    tally_status status = tl_safetensors_read(path, &m->file);
    if (status)
        return status;
    status = find_parts(path, m);
    if (!status)
        status = find_cell(path, m);
    if (!status)
        status = check_shapes(path, m);
    if (!status)
        status = check_numbers(path, m);
    if (!status)
        status = check_extra(path, m);
    if (status)
        tl_model_file_free(m);
    return status;
}

void tl_model_file_free(tl_model_file *m) {
    tl_safetensors_free(&m->file);
}

const char *tl_model_file_note(const tl_model_file *m, const char *key) {
    return json_string_value(json_object_get(m->file.metadata, key));
}

tl_state_digest tl_model_file_state_digest(const tl_model_file *m) {
    const char *note = tl_model_file_note(m, TALLY_TRAINING_NOTE);
    const unsigned char *parts[(1 + TL_EXTRAS) * TL_MAX_PARAMETERS];
    size_t bytes[(1 + TL_EXTRAS) * TL_MAX_PARAMETERS], count = 0;
    for (int row = 0; row < 1 + TL_EXTRAS; row++)
        for (size_t part = 0; part < m->count; part++) {
            const tl_saved_tensor *tensor = row == 0 ? m->found[part] : m->extra[row - 1][part];
            if (!tensor)
                continue;
            parts[count] = tensor->data;
            bytes[count++] = tensor->bytes;
        }
    return digest_state(note ? note : "", parts, bytes, count);
}

static tally_status load_parameter(const tl_saved_tensor *tensor, const tally_model *model, const tally_tensor *flat,
                                   size_t index) {
    size_t count = tensor->bytes / F32_BYTES;
    float *values = calloc(count, sizeof *values);
    if (!values)
        return tl_fail(TALLY_MEMORY, "no memory left for %zu weights", count);
    for (size_t i = 0; i < count; i++)
        values[i] = tl_saved_f32(tensor, i);
    tally_status status = tl_model_write(model, flat, index, values);
    free(values);
    return status;
}

/* Backwards, because bias_hh is added to bias_ih, which must be set first. */
tally_status tl_model_file_load(const tl_saved_tensor *const *tensors, const tally_model *model,
                                const tally_tensor *flat) {
    tally_status status = TALLY_OK;
    for (size_t part = model->parameter_count; part-- > 0 && !status;)
        status = load_parameter(tensors[part], model, flat, part);
    return status;
}

static tally_status build_model(tally_device *device, const char *path, const tl_model_file *m, tally_model **model) {
    tally_status status = tally_model_new(device, &m->config, model);
    if (status)
        return tl_fail_within(status == TALLY_USAGE ? TALLY_MODEL : status, "%s: ", path);
    status = tl_model_file_load(m->found, *model, &(*model)->weights);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)m->file.metadata, key, value) {
        if (!status)
            status = tally_model_set_note(*model, key, json_string_value(value));
    }
    return status ? tl_fail_within(status, "%s: ", path) : TALLY_OK;
}

tally_status tally_model_load(tally_device *device, const char *path, tally_model **model) {
    if (!device || !path || !model)
        return tl_fail(TALLY_USAGE, "tally_model_load: no device, no path or no pointer for the model");
    *model = NULL;
    tl_model_file file;
    tally_status status = tl_model_file_read(path, &file);
    if (status)
        return status;
    status = build_model(device, path, &file, model);
    tl_model_file_free(&file);
    if (status) {
        tally_model_free(*model);
        *model = NULL;
    }
    return status;
}
