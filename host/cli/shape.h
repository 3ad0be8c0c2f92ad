/* shape.h: what a model that is trained is made of. */
#ifndef TALLY_CLI_SHAPE_H
#define TALLY_CLI_SHAPE_H

#include <tally/tally.h>

#include "options.h"

typedef struct shape {
    uint64_t hidden, layers;
    int cell; /* a tally_cell */
} shape;

static inline shape shape_of(const tally_model *model) {
    const tally_model_config *c = tally_model_get_config(model);
    return (shape){c->hidden, c->layers, (int)c->cell};
}

/* Of all parameters. */
uint64_t shape_elements(const tally_model *model);

enum { SHAPE_OPTIONS = 3 };

/* SHAPE_OPTIONS of them; returns how many. */
size_t shape_options(shape *s, option *options);

#endif
