/* The settings of a run of training: one row for each member of tally_train_options. */
#include <tally/train.h>

#include "backend/optimizer_settings.h"

#include <float.h>

enum { MAX_BATCH = 1 << 24 };

static const char *const keeps[] = {[TALLY_KEEP_LAST] = "last", [TALLY_KEEP_BEST] = "best", NULL};
static const char *const decays[] = {
    [TALLY_DECAY_NONE] = "none", [TALLY_DECAY_COSINE] = "cosine", [TALLY_DECAY_STEP] = "step", NULL};

static const tally_setting rows[] = {
    {.name = "epochs_wanted",
     .option = "epochs",
     .metavar = "N",
     .help = "passes over what is trained on, with --resume counted from the very beginning",
     .initial = "5000",
     .may_change = true,
     TALLY_SIZE_AT(tally_train_options, epochs, 1, TALLY_MAX_EPOCHS)},
    {.name = "batch",
     .option = "batch",
     .metavar = "N",
     .help = "sequences a training step",
     .initial = "1000",
     TALLY_SIZE_AT(tally_train_options, batch, 1, MAX_BATCH)},
    TL_OPTIMIZER_SETTINGS(tally_train_options, optimizer.),
    {.name = "dropout",
     .option = "dropout",
     .metavar = "SHARE",
     .help = "share of what a layer hands to the next that is left out in training",
     .initial = "0",
     TALLY_FRACTION_AT(tally_train_options, dropout)},
    {.name = "seed",
     .option = "seed",
     .metavar = "N",
     .help = "of all that is random: which sequences are trained on where that is drawn, the first weights and the "
             "shuffling; a seed means the same everywhere",
     .initial = "1",
     TALLY_WHOLE_AT(tally_train_options, seed, 0, UINT64_MAX)},
    {.name = "shuffle",
     .option = "shuffle",
     .help = "a new order of what is trained on in each epoch",
     .initial = "false",
     TALLY_FLAG_AT(tally_train_options, shuffle)},
    {.name = "keep",
     .option = "keep",
     .metavar = "WHICH",
     .help = "weights of the last epoch, or of the best one: the fewest mistakes, and of as many the lowest loss, on "
             "what --valid holds out, else the lowest training loss",
     .initial = "last",
     TALLY_CHOICE_AT(tally_train_options, keep, keeps)},
    {.name = "patience",
     .option = "patience",
     .metavar = "N",
     .help = "end after so many epochs without a better one (see --keep), 0 for never",
     .initial = "0",
     .may_change = true,
     TALLY_SIZE_AT(tally_train_options, patience, 0, TALLY_MAX_EPOCHS)},
    {.name = "lr_decay",
     .option = "lr-decay",
     .metavar = "HOW",
     .help = "how the learning rate falls: not, along a cosine to 0 at the last step, or to a tenth after half of the "
             "epochs and a hundredth after three quarters",
     .initial = "none",
     TALLY_CHOICE_AT(tally_train_options, decay, decays)},
    {.name = "clip",
     .option = "clip",
     .metavar = "NORM",
     .help = "scale a step's gradient (of the loss summed over the batch) to this norm if it is longer, 0 for never",
     .initial = "0",
     TALLY_REAL_AT(tally_train_options, clip, 0, DBL_MAX)},
};
enum { ROWS = sizeof rows / sizeof *rows };

const tally_setting *tally_train_settings(size_t *count) {
    *count = ROWS;
    return rows;
}

tally_train_options tally_train_defaults(void) {
    tally_train_options options = {0};
    tally_settings_reset(rows, ROWS, &options);
    return options;
}
