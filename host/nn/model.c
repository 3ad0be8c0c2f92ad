#include "nn/model.h"

#include "core/fail.h"
#include "core/size.h"

#include <sha2.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_BIAS, HEAD_WEIGHT, BIAS_HH, BIAS_IH, WEIGHT_HH, WEIGHT_IH, PARAMETERS };

size_t tally_model_parameters(const tally_model *model) {
    (void)model;
    return PARAMETERS;
}

tally_parameter tally_model_parameter(const tally_model *model, size_t index) {
    const tally_model_config *c = &model->config;
    const tally_parameter all[PARAMETERS] = {
        [HEAD_BIAS] = {"head.bias", 1, {c->classes, 1}, c->classes},
        [HEAD_WEIGHT] = {"head.weight", 2, {c->classes, c->hidden}, c->classes * c->hidden},
        [BIAS_HH] = {"rnn.bias_hh_l0", 1, {4 * c->hidden, 1}, 4 * c->hidden},
        [BIAS_IH] = {"rnn.bias_ih_l0", 1, {4 * c->hidden, 1}, 4 * c->hidden},
        [WEIGHT_HH] = {"rnn.weight_hh_l0", 2, {4 * c->hidden, c->hidden}, 4 * c->hidden * c->hidden},
        [WEIGHT_IH] = {"rnn.weight_ih_l0", 2, {4 * c->hidden, c->inputs}, 4 * c->hidden * c->inputs},
    };
    return all[index];
}

/* Where a parameter starts in a flat tensor; bias_hh is not stored. */
static size_t start_of(const tally_model *model, size_t index) {
    size_t start = 0;
    for (size_t i = 0; i < index; i++)
        if (i != BIAS_HH)
            start += tally_model_parameter(model, i).elements;
    return start;
}

const char *tl_model_element(const tally_model *model, size_t element, size_t *number) {
    size_t index = PARAMETERS - 1;
    while (index > 0 && (index == BIAS_HH || start_of(model, index) > element))
        index--;
    *number = element - start_of(model, index);
    return tally_model_parameter(model, index).name;
}

static tally_status flat_view(const tally_model *model, const tally_tensor *flat, size_t index, tally_tensor *view) {
    tally_parameter parameter = tally_model_parameter(model, index);
    tally_tensor part;
    tally_status status = tally_tensor_slice(flat, 0, start_of(model, index), parameter.elements, &part);
    return status ? status : tally_tensor_reshape(&part, parameter.ndim, parameter.shape, view);
}

tally_status tl_model_views(const tally_model *model, const tally_tensor *flat, tl_parameters *views) {
    tally_status status = flat_view(model, flat, HEAD_BIAS, &views->head_bias);
    if (!status)
        status = flat_view(model, flat, HEAD_WEIGHT, &views->head_weight);
    if (!status)
        status = flat_view(model, flat, BIAS_IH, &views->lstm.bias);
    if (!status)
        status = flat_view(model, flat, WEIGHT_HH, &views->lstm.w_hh);
    if (!status)
        status = flat_view(model, flat, WEIGHT_IH, &views->lstm.w_ih);
    return status;
}

tally_status tl_model_flat_new(const tally_model *model, tally_tensor *flat) {
    size_t elements = start_of(model, PARAMETERS);
    return tally_tensor_new(model->device, TALLY_F32, 1, &elements, flat);
}

/* Every product and sum that the sizes of a model go into. */
static bool sizes_fit(const tally_model_config *config) {
    size_t gates, w_hh, w_ih, head, sum;
    return tl_size_mul(4, config->hidden, &gates) && tl_size_mul(gates, config->hidden, &w_hh) &&
           tl_size_mul(gates, config->inputs, &w_ih) && tl_size_mul(config->classes, config->hidden, &head) &&
           tl_size_add(w_hh, w_ih, &sum) && tl_size_add(sum, head, &sum) && tl_size_add(sum, gates, &sum) &&
           tl_size_add(sum, config->classes, &sum) && tl_size_mul(sum, sizeof(float), &sum) &&
           config->classes <= INT32_MAX;
}

tally_status tally_model_new(tally_device *device, const tally_model_config *config, tally_model **out) {
    if (!device || !config || !out)
        return tl_fail(TALLY_USAGE, "tally_model_new: no device, no config or no place for the model given");
    *out = NULL;
    if (config->inputs < 1 || config->hidden < 1 || config->classes < 2 || !sizes_fit(config))
        return tl_fail(TALLY_USAGE,
                       "a model of %zu inputs, %zu hidden units and %zu classes: at least 1, 1 and 2 are needed, and "
                       "its size must fit in memory",
                       config->inputs, config->hidden, config->classes);
    tally_model *model = calloc(1, sizeof *model);
    if (!model)
        return tl_fail(TALLY_MEMORY, "no memory left for a model");
    model->device = device;
    model->config = *config;
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
    if (!model || !values || index >= PARAMETERS)
        return tl_fail(TALLY_USAGE, "%s: no model, no values or no such parameter", what);
    tally_parameter parameter = tally_model_parameter(model, index);
    if (count != parameter.elements)
        return tl_fail(TALLY_USAGE, "%s: %s has %zu elements, not %zu", what, parameter.name, parameter.elements,
                       count);
    return TALLY_OK;
}

tally_status tally_model_get(const tally_model *model, size_t index, float *values, size_t count) {
    tally_status status = check_access("tally_model_get", model, index, values, count);
    if (status)
        return status;
    if (index == BIAS_HH) {
        memset(values, 0, count * sizeof *values);
        return TALLY_OK;
    }
    tally_tensor view;
    status = flat_view(model, &model->weights, index, &view);
    return status ? status : tally_tensor_read(&view, values, count);
}

tally_status tally_model_set(tally_model *model, size_t index, const float *values, size_t count) {
    tally_status status = check_access("tally_model_set", model, index, values, count);
    if (status)
        return status;
    tally_tensor view;
    if (index != BIAS_HH) {
        status = flat_view(model, &model->weights, index, &view);
        return status ? status : tally_tensor_write(&view, values, count);
    }
    float *sum = malloc(count * sizeof *sum);
    if (!sum)
        return tl_fail(TALLY_MEMORY, "no memory left for %zu biases", count);
    status = flat_view(model, &model->weights, BIAS_IH, &view);
    if (!status)
        status = tally_tensor_read(&view, sum, count);
    for (size_t i = 0; i < count && !status; i++)
        sum[i] += values[i];
    if (!status)
        status = tally_tensor_write(&view, sum, count);
    free(sum);
    return status;
}

tally_status tally_model_digest(const tally_model *model, char hex[65]) {
    if (!model || !hex)
        return tl_fail(TALLY_USAGE, "tally_model_digest: no model or no place for the digest given");
    SHA2_CTX context;
    SHA256Init(&context);
    for (size_t index = 0; index < PARAMETERS; index++) {
        size_t count = tally_model_parameter(model, index).elements;
        float *values = malloc(count * sizeof *values);
        if (!values)
            return tl_fail(TALLY_MEMORY, "no memory left for %zu weights", count);
        tally_status status = tally_model_get(model, index, values, count);
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
