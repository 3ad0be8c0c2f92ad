/* The settings of a model. */
#include "backend/cells.h"

#include <tally/nn.h>

enum { MAX_HIDDEN = 4096 };

static const tally_setting rows[] = {
    {.name = "cell",
     .option = "cell",
     .metavar = "CELL",
     .help = "of every layer: an LSTM, PyTorch's GRU, or Elman's network with tanh or ReLU",
     .initial = "lstm",
     TALLY_CHOICE_AT(tally_model_config, cell, tl_cell_names)},
    {.name = "layers",
     .option = "layers",
     .metavar = "N",
     .help = "layers, each reading what the one before puts out",
     .initial = "1",
     TALLY_SIZE_AT(tally_model_config, layers, 1, TALLY_MAX_LAYERS)},
    {.name = "hidden",
     .option = "hidden",
     .metavar = "N",
     .help = "units of a layer",
     .initial = "24",
     TALLY_SIZE_AT(tally_model_config, hidden, 1, MAX_HIDDEN)},
};

const tally_setting *tally_model_settings(size_t *count) {
    *count = sizeof rows / sizeof *rows;
    return rows;
}
