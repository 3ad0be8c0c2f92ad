#include "shape.h"

#include <string.h>

enum { MAX_HIDDEN = 4096 };

static const char *const cells[] = {[TALLY_LSTM] = "lstm", [TALLY_GRU] = "gru", [TALLY_RNN] = "rnn", NULL};

size_t shape_options(shape *s, option *options) {
    const option all[] = {
        {.name = "cell",
         .argument = "CELL",
         .value = value_choice(&s->cell, cells),
         .help = "of every layer: an LSTM, PyTorch's GRU, or Elman's network with tanh"},
        {.name = "layers",
         .argument = "N",
         .value = value_whole(&s->layers, 1, TALLY_MAX_LAYERS),
         .help = "layers, each reading what the one before puts out"},
        {.name = "hidden",
         .argument = "N",
         .value = value_whole(&s->hidden, 1, MAX_HIDDEN),
         .help = "units of a layer"},
    };
    _Static_assert(sizeof all == SHAPE_OPTIONS * sizeof *all, "as many as there are said to be");
    memcpy(options, all, sizeof all);
    return SHAPE_OPTIONS;
}

uint64_t shape_elements(const tally_model *model) {
    uint64_t elements = 0;
    for (size_t i = 0; i < tally_model_parameters(model); i++)
        elements += tally_model_parameter(model, i).elements;
    return elements;
}
