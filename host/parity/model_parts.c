#include "parity/model_parts.h"
#include "backend/cells.h"

const char *const tl_model_part_names[TL_MODEL_PARTS] = {"w_ih", "w_hh", "bias", "head w", "head b", "x", "h0", "c0"};

size_t tl_model_inputs(const tl_model_sizes *s, size_t layer) {
    return layer == 0 ? s->inputs : s->hidden;
}

/* The size of a part for the first layers of the model. */
static size_t part_size(const tl_model_sizes *s, tl_model_part part, size_t layers) {
    size_t rows = tally_cell_weights(s->cell) * s->hidden;
    switch (part) {
    case TL_PART_W_IH:
        return layers == 0 ? 0 : rows * (s->inputs + (layers - 1) * s->hidden);
    case TL_PART_W_HH:
        return layers * rows * s->hidden;
    case TL_PART_BIAS:
        return layers * tally_cell_gates(s->cell) * s->hidden;
    case TL_PART_HEAD_W:
        return s->classes * s->hidden;
    case TL_PART_HEAD_B:
        return s->classes;
    case TL_PART_X:
        return s->inputs * s->steps * s->columns;
    case TL_PART_C0:
        return tl_cell_state(s->cell) ? layers * s->hidden * s->columns : 0;
    default:
        return layers * s->hidden * s->columns;
    }
}

size_t tl_model_part_size(const tl_model_sizes *s, tl_model_part part) {
    return part_size(s, part, s->layers);
}

size_t tl_model_part_at(const tl_model_sizes *s, tl_model_part part) {
    size_t at = 0;
    for (int before = 0; before < (int)part; before++)
        at += tl_model_part_size(s, (tl_model_part)before);
    return at;
}

size_t tl_model_layer_at(const tl_model_sizes *s, tl_model_part part, size_t layer) {
    return tl_model_part_at(s, part) + part_size(s, part, layer);
}

bool tl_model_ahead(const tl_model_sizes *s, size_t step, size_t column) {
    return s->starts && (int32_t)step < s->starts[column];
}

float tl_model_factor(const tl_model_sizes *s, size_t layer, size_t unit, size_t step, size_t column) {
    return s->factors ? s->factors[((layer * s->hidden + unit) * s->steps + step) * s->columns + column] : 1;
}
