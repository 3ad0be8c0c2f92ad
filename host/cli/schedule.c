#include "schedule.h"

#include <string.h>

size_t schedule_options(schedule *s, const value v[RECIPE_FIELDS], option *options) {
    const option all[] = {
        {.name = "valid",
         .argument = "SHARE",
         .value = v[RECIPE_VALID],
         .help =
             "share of what is to be trained on that is held out, chosen at random by the seed, and tested after each "
             "epoch instead"},
        {.name = "patience",
         .argument = "N",
         .value = v[RECIPE_PATIENCE],
         .help = "end after so many epochs without a better one (see --keep), 0 for never"},
        {.name = "lr-decay",
         .argument = "HOW",
         .value = v[RECIPE_DECAY],
         .help =
             "how the learning rate falls: not, along a cosine to 0 at the last step, or to a tenth after half of the "
             "epochs and a hundredth after three quarters"},
        {.name = "clip",
         .argument = "NORM",
         .value = v[RECIPE_CLIP],
         .help =
             "scale a step's gradient (of the loss summed over the batch) to this norm if it is longer, 0 for never"},
        {.name = "save-every",
         .argument = "N",
         .value = value_whole(&s->save_every, 0, RECIPE_MAX_EPOCHS),
         .help = "save to --out after each N epochs, too, 0 for only at the end"},
        {.name = "resume",
         .argument = "FILE",
         .value = value_text(&s->resume),
         .help = "go on with the run that was saved in FILE, to the same weights as if it had not been stopped",
         .fallback = ""},
        {.name = "weights-only",
         .value = value_flag(&s->weights_only),
         .help = "save without what --resume needs, in a third of the space"},
        {.name = "log",
         .argument = "FILE",
         .value = value_text(&s->log),
         .help = "write a line of JSON for each epoch here, behind what is there with --resume",
         .fallback = ""},
    };
    _Static_assert(sizeof all == SCHEDULE_OPTIONS * sizeof *all, "as many as there are said to be");
    memcpy(options, all, sizeof all);
    return SCHEDULE_OPTIONS;
}
