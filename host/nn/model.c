#include "nn/model.h"

#include "core/fail.h"
#include "core/size.h"

#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b) {
    return strcmp(((const tl_parameter *)a)->name, ((const tl_parameter *)b)->name);
}

size_t tl_model_list(const tally_model_config *config, tl_parameter *list) {
    size_t hidden = config->hidden, classes = config->classes, rows, count = 0;
    if (!tl_size_mul(tl_cell_weights(config->cell), hidden, &rows))
        rows = SIZE_MAX;
    list[count++] = (tl_parameter){.name = "head.bias", .role = TL_HEAD_BIAS, .ndim = 1, .shape = {classes, 1}};
    list[count++] =
        (tl_parameter){.name = "head.weight", .role = TL_HEAD_WEIGHT, .ndim = 2, .shape = {classes, hidden}};
    for (size_t layer = 0; layer < config->layers; layer++) {
        size_t inputs = layer == 0 ? config->inputs : hidden;
        const struct {
            const char *name;
            tl_role role;
            size_t columns; /* 0: a vector */
        } parts[] = {{"bias_hh", TL_BIAS_HH, 0},
                     {"bias_ih", TL_BIAS_IH, 0},
                     {"weight_hh", TL_WEIGHT_HH, hidden},
                     {"weight_ih", TL_WEIGHT_IH, inputs}};
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            bool vector = parts[i].role < TL_WEIGHT_HH;
            tl_parameter *p = &list[count++];
            *p = (tl_parameter){.role = parts[i].role, .layer = layer, .ndim = vector ? 1 : 2};
            p->shape[0] = rows;
            p->shape[1] = vector ? 1 : parts[i].columns;
            snprintf(p->name, sizeof p->name, "rnn.%s_l%zu", parts[i].name, layer);
        }
    }
    qsort(list, count, sizeof *list, by_name);
    return count;
}

/* The sizes fit. */
static void lay_out(tally_model *model) {
    size_t start = 0;
    model->parameter_count = tl_model_list(&model->config, model->parameters);
    for (size_t i = 0; i < model->parameter_count; i++) {
        tl_parameter *p = &model->parameters[i];
        p->elements = p->shape[0] * p->shape[1];
        p->start = start;
        p->stored = p->role == TL_BIAS_HH   ? 0
                    : p->role == TL_BIAS_IH ? tl_cell_gates(model->config.cell) * model->config.hidden
                                            : p->elements;
        start += p->stored;
    }
}

size_t tally_model_parameters(const tally_model *model) {
    return model->parameter_count;
}

tally_parameter tally_model_parameter(const tally_model *model, size_t index) {
    const tl_parameter *p = &model->parameters[index];
    return (tally_parameter){p->name, p->ndim, {p->shape[0], p->shape[1]}, p->elements};
}

static tally_status flat_view(const tl_parameter *p, const tally_tensor *flat, tally_tensor *view) {
    tally_tensor part;
    size_t shape[2] = {p->ndim == 1 ? p->stored : p->shape[0], p->shape[1]};
    tally_status status = tally_tensor_slice(flat, 0, p->start, p->stored, &part);
    return status ? status : tally_tensor_reshape(&part, p->ndim, shape, view);
}

/* Every model has it. */
static const tl_parameter *find(const tally_model *model, tl_role role, size_t layer) {
    const tl_parameter *p = model->parameters;
    while (p->role != role || p->layer != layer)
        p++;
    return p;
}

tl_network tl_model_network(const tally_model *model, size_t steps, size_t *offsets) {
    const tally_model_config *c = &model->config;
    const tl_role roles[] = {TL_BIAS_IH, TL_WEIGHT_IH, TL_WEIGHT_HH};
    offsets[0] = find(model, TL_HEAD_BIAS, 0)->start;
    offsets[1] = find(model, TL_HEAD_WEIGHT, 0)->start;
    for (size_t layer = 0; layer < c->layers; layer++)
        for (size_t i = 0; i < 3; i++)
            offsets[2 + 3 * layer + i] = find(model, roles[i], layer)->start;
    return (tl_network){.cell = c->cell,
                        .layers = c->layers,
                        .inputs = c->inputs,
                        .hidden = c->hidden,
                        .classes = c->classes,
                        .steps = steps,
                        .offsets = offsets,
                        .parameters = tally_tensor_elements(&model->weights)};
}

tally_status tl_model_head(const tally_model *model, const tally_tensor *flat, tl_head *head) {
    tally_status status = flat_view(find(model, TL_HEAD_BIAS, 0), flat, &head->bias);
    return status ? status : flat_view(find(model, TL_HEAD_WEIGHT, 0), flat, &head->weight);
}

tally_status tl_model_layer(const tally_model *model, const tally_tensor *flat, size_t layer,
                            tally_layer_weights *views) {
    views->cell = model->config.cell;
    tally_status status = flat_view(find(model, TL_BIAS_IH, layer), flat, &views->bias);
    if (!status)
        status = flat_view(find(model, TL_WEIGHT_HH, layer), flat, &views->w_hh);
    return status ? status : flat_view(find(model, TL_WEIGHT_IH, layer), flat, &views->w_ih);
}

tally_status tl_model_flat_new(const tally_model *model, tally_tensor *flat) {
    const tl_parameter *last = &model->parameters[model->parameter_count - 1];
    size_t elements = last->start + last->stored;
    return tally_tensor_new(model->device, TALLY_F32, 1, &elements, flat);
}

/* Every product and sum that the sizes of a model go into. */
static bool sizes_fit(const tally_model_config *config) {
    size_t gates, w_hh, w_ih, head, sum, above;
    return tl_size_mul(4, config->hidden, &gates) && tl_size_mul(gates, config->hidden, &w_hh) &&
           tl_size_mul(gates, config->inputs, &w_ih) && tl_size_mul(config->classes, config->hidden, &head) &&
           tl_size_add(w_hh, w_hh, &above) && tl_size_add(above, gates, &above) &&
           tl_size_mul(above, config->layers, &above) && tl_size_add(above, w_ih, &sum) &&
           tl_size_add(sum, head, &sum) && tl_size_add(sum, config->classes, &sum) &&
           tl_size_mul(sum, sizeof(float), &sum) && config->classes <= INT32_MAX;
}

tally_status tally_model_new(tally_device *device, const tally_model_config *config, tally_model **out) {
    if (!device || !config || !out)
        return tl_fail(TALLY_USAGE, "tally_model_new: no device, no config or no place for the model given");
    *out = NULL;
    if (config->cell >= TALLY_CELLS)
        return tl_fail(TALLY_USAGE, "tally_model_new: there is no cell %d", (int)config->cell);
    if (config->inputs < 1 || config->hidden < 1 || config->classes < 2 || config->layers < 1 ||
        config->layers > TALLY_MAX_LAYERS || !sizes_fit(config))
        return tl_fail(
            TALLY_USAGE,
            "a model of %zu inputs, %zu hidden units, %zu classes and %zu layers: at least 1, 1, 2 and 1 are "
            "needed, at most %d layers, and its size must fit in memory",
            config->inputs, config->hidden, config->classes, config->layers, TALLY_MAX_LAYERS);
    tally_model *model = calloc(1, sizeof *model);
    if (!model)
        return tl_fail(TALLY_MEMORY, "no memory left for a model");
    model->device = device;
    model->config = *config;
    lay_out(model);
    tally_status status = tl_model_flat_new(model, &model->weights);
    if (status) {
        tally_model_free(model);
        return status;
    }
    *out = model;
    return TALLY_OK;
}

void tally_model_free(tally_model *model) {
    if (!model)
        return;
    tally_tensor_free(&model->weights);
    for (size_t i = 0; i < model->note_count; i++) {
        free(model->notes[i].key);
        free(model->notes[i].value);
    }
    free(model->notes);
    free(model);
}

const tally_model_config *tally_model_get_config(const tally_model *model) {
    return &model->config;
}

tally_device *tally_model_device(const tally_model *model) {
    return model->device;
}

static tally_status check_access(const char *what, const tally_model *model, size_t index, const void *values,
                                 size_t count) {
    if (!model || !values || index >= model->parameter_count)
        return tl_fail(TALLY_USAGE, "%s: no model, no values or no such parameter", what);
    tally_parameter parameter = tally_model_parameter(model, index);
    if (count != parameter.elements)
        return tl_fail(TALLY_USAGE, "%s: %s has %zu elements, not %zu", what, parameter.name, parameter.elements,
                       count);
    return TALLY_OK;
}

/* A parameter is read and written a gate at a time, the head's at once. In a flat tensor the gates have the cell's
 * order, in files and for the caller PyTorch's. */
static size_t blocks_of(const tally_model *model, const tl_parameter *p) {
    return p->role < TL_BIAS_HH ? 1 : tl_cell_weights(model->config.cell);
}

/* The cell's gate of a block of rows in PyTorch's order. */
static size_t gate_of(tally_cell cell, bool hh, size_t block) {
#define CELL_TORCH(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label)             \
    {torch_ih, torch_hh},
    static const char *const orders[TALLY_CELLS][2] = {TL_CELLS(CELL_TORCH)};
    return (size_t)(orders[cell][hh][block] - '0');
}

static size_t kept_at(const tally_model *model, const tl_parameter *p, size_t block) {
    tally_cell cell = model->config.cell;
    switch (p->role) {
    case TL_BIAS_HH:
        return gate_of(cell, true, block);
    case TL_WEIGHT_HH:
        return gate_of(cell, true, block) - tl_cell_first_hh(cell);
    case TL_BIAS_IH:
    case TL_WEIGHT_IH:
        return gate_of(cell, false, block);
    default:
        return block;
    }
}

/* Of a bias_hh, where it is added or has its own place. */
static size_t block_start(const tally_model *model, const tl_parameter *p, size_t block) {
    size_t start = p->role == TL_BIAS_HH ? find(model, TL_BIAS_IH, p->layer)->start : p->start;
    return start + kept_at(model, p, block) * (p->elements / blocks_of(model, p));
}

static tally_status block_view(const tally_model *model, const tl_parameter *p, const tally_tensor *flat, size_t block,
                               tally_tensor *view) {
    return tally_tensor_slice(flat, 0, block_start(model, p, block), p->elements / blocks_of(model, p), view);
}

bool tl_model_shares_bias(tally_cell cell, size_t block) {
    return gate_of(cell, true, block) == gate_of(cell, false, block);
}

static bool is_added(const tally_model *model, const tl_parameter *p, size_t block) {
    return p->role == TL_BIAS_HH && tl_model_shares_bias(model->config.cell, block);
}

const char *tl_model_element(const tally_model *model, size_t element, size_t *number) {
    for (size_t i = 0; i < model->parameter_count; i++) {
        const tl_parameter *p = &model->parameters[i];
        size_t blocks = blocks_of(model, p), count = p->elements / blocks;
        for (size_t block = 0; block < blocks; block++) {
            size_t start = block_start(model, p, block);
            if (is_added(model, p, block) || element < start || element - start >= count)
                continue;
            *number = block * count + (element - start);
            return p->name;
        }
    }
    *number = element;
    return "beyond the last";
}

tally_status tl_model_read(const tally_model *model, const tally_tensor *flat, size_t index, float *values) {
    const tl_parameter *p = &model->parameters[index];
    size_t blocks = blocks_of(model, p), count = p->elements / blocks;
    tally_status status = TALLY_OK;
    for (size_t block = 0; block < blocks && !status; block++) {
        tally_tensor view;
        if (is_added(model, p, block)) {
            memset(values + block * count, 0, count * sizeof *values);
            continue;
        }
        status = block_view(model, p, flat, block, &view);
        if (!status)
            status = tally_tensor_read(&view, values + block * count, count);
    }
    return status;
}

static tally_status add_block(const tally_tensor *view, const float *values, float *sum, size_t count) {
    tally_status status = tally_tensor_read(view, sum, count);
    for (size_t i = 0; i < count && !status; i++)
        sum[i] += values[i];
    return status ? status : tally_tensor_write(view, sum, count);
}

tally_status tl_model_write(const tally_model *model, const tally_tensor *flat, size_t index, const float *values) {
    const tl_parameter *p = &model->parameters[index];
    size_t blocks = blocks_of(model, p), count = p->elements / blocks;
    float *sum = malloc(count * sizeof *sum);
    if (!sum)
        return tl_fail(TALLY_MEMORY, "no memory left for %zu weights", count);
    tally_status status = TALLY_OK;
    for (size_t block = 0; block < blocks && !status; block++) {
        tally_tensor view;
        status = block_view(model, p, flat, block, &view);
        if (status)
            break;
        status = is_added(model, p, block) ? add_block(&view, values + block * count, sum, count)
                                           : tally_tensor_write(&view, values + block * count, count);
    }
    free(sum);
    return status;
}

tally_status tally_model_get(const tally_model *model, size_t index, float *values, size_t count) {
    tally_status status = check_access("tally_model_get", model, index, values, count);
    return status ? status : tl_model_read(model, &model->weights, index, values);
}

tally_status tally_model_set(tally_model *model, size_t index, const float *values, size_t count) {
    tally_status status = check_access("tally_model_set", model, index, values, count);
    return status ? status : tl_model_write(model, &model->weights, index, values);
}

tally_status tl_model_digest(const tally_model *model, const tally_tensor *flat, char hex[65]) {
    SHA2_CTX context;
    SHA256Init(&context);
    for (size_t index = 0; index < model->parameter_count; index++) {
        size_t count = tally_model_parameter(model, index).elements;
        float *values = malloc(count * sizeof *values);
        if (!values)
            return tl_fail(TALLY_MEMORY, "no memory left for %zu weights", count);
        tally_status status = tl_model_read(model, flat, index, values);
        for (size_t i = 0; i < count && !status; i++) {
            uint32_t bits;
            memcpy(&bits, &values[i], sizeof bits);
            const uint8_t bytes[4] = {(uint8_t)bits, (uint8_t)(bits >> 8), (uint8_t)(bits >> 16),
                                      (uint8_t)(bits >> 24)};
            SHA256Update(&context, bytes, sizeof bytes);
        }
        free(values);
        if (status)
            return status;
    }
    SHA256End(&context, hex);
    return TALLY_OK;
}

tally_status tally_model_digest(const tally_model *model, char hex[65]) {
    if (!model || !hex)
        return tl_fail(TALLY_USAGE, "tally_model_digest: no model or no place for the digest given");
    return tl_model_digest(model, &model->weights, hex);
}
