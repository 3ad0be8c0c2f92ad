#include "core/fail.h"
#include "core/philox.h"
#include "nn/model.h"

#include <math.h>
#include <stdlib.h>

/* FNV-1a. */
static uint32_t hash(const char *name) {
    uint32_t value = 2166136261u;
    for (; *name; name++)
        value = (value ^ (unsigned char)*name) * 16777619u;
    return value;
}

/* One random stream for each name, so that a parameter's numbers do not depend on which others the model has. */
static void fill_parameter(const tally_model_config *config, const tl_parameter *parameter, uint64_t seed,
                           float *values) {
    tl_random random;
    tl_random_start(&random, seed, TL_STREAM_INIT, hash(parameter->name));
    size_t hidden = config->hidden, inputs = parameter->layer == 0 ? config->inputs : hidden;
    float limit = (float)sqrt(6.0 / (double)(inputs + hidden + tl_cell_weights(config->cell) * hidden));
    for (size_t i = 0; i < parameter->elements; i++) {
        if (parameter->role == TL_HEAD_WEIGHT)
            values[i] = tl_random_truncated_normal(&random);
        else if (parameter->role == TL_HEAD_BIAS)
            values[i] = 0.1f;
        else if (parameter->ndim == 1) /* rows hidden to 2 hidden - 1 are the LSTM's forget gate's */
            values[i] = parameter->role == TL_BIAS_IH && config->cell == TALLY_LSTM && i / hidden == 1 ? 1.0f : 0.0f;
        else
            values[i] = (tl_random_unit(&random) * 2.0f - 1.0f) * limit;
    }
}

tally_status tally_model_init(tally_model *model, uint64_t seed) {
    if (!model)
        return tl_fail(TALLY_USAGE, "tally_model_init: no model given");
    tally_status status = TALLY_OK;
    for (size_t i = 0; i < model->parameter_count && !status; i++) {
        const tl_parameter *parameter = &model->parameters[i];
        float *values = malloc(parameter->elements * sizeof *values);
        if (!values)
            return tl_fail(TALLY_MEMORY, "no memory left for %zu weights", parameter->elements);
        fill_parameter(&model->config, parameter, seed, values);
        /* bias_hh comes before bias_ih, which replaces what it added to. */
        status = tally_model_set(model, i, values, parameter->elements);
        free(values);
    }
    return status;
}
