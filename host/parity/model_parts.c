#include "parity/model_parts.h"

const char *const tl_model_part_names[TL_MODEL_PARTS] = {"w_ih", "w_hh", "bias", "head w", "head b", "x", "h0", "c0"};

size_t tl_model_part_size(const tl_model_sizes *s, tl_model_part part) {
    switch (part) {
    case TL_PART_W_IH:
        return 4 * s->hidden * s->inputs;
    case TL_PART_W_HH:
        return 4 * s->hidden * s->hidden;
    case TL_PART_BIAS:
        return 4 * s->hidden;
    case TL_PART_HEAD_W:
        return s->classes * s->hidden;
    case TL_PART_HEAD_B:
        return s->classes;
    case TL_PART_X:
        return s->inputs * s->steps * s->columns;
    default:
        return s->hidden * s->columns;
    }
}

size_t tl_model_part_at(const tl_model_sizes *s, tl_model_part part) {
    size_t at = 0;
    for (int before = 0; before < (int)part; before++)
        at += tl_model_part_size(s, (tl_model_part)before);
    return at;
}
