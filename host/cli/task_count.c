#include <string.h>

#include "command.h"
#include "tasks.h"

/* The default is the guide's recipe. */
enum { PRESET_GUIDE, PRESET_ZERO };
const char *const task_presets[] = {[PRESET_GUIDE] = "guide", [PRESET_ZERO] = "zero", NULL};

static const setting_default guide[] = {{NULL, NULL}};
/* Makes no mistake on any string, with seeds 1 to 10. It trains on all strings of few long runs of equal bits, which
 * are almost absent from a random sample, in small shuffled batches, with a learning rate that decays to 0. */
static const setting_default zero[] = {
    {"draw", "runs"},    {"batch", "64"}, {"epochs_wanted", "1000"}, {"learning_rate", "3e-3"}, {"lr_decay", "cosine"},
    {"shuffle", "true"}, {NULL, NULL}};
static const setting_default *const presets[] = {[PRESET_GUIDE] = guide, [PRESET_ZERO] = zero};

/* The guide's number, or half of the strings if there are few, so that some are left to test. */
static uint64_t default_train_size(const recipe *r) {
    uint64_t half = recipe_all_strings(r) / 2, usual = tally_count_defaults().train_size;
    return half < usual ? half : usual;
}

static int check_count(recipe *r, const task_files *files) {
    (void)files;
    uint64_t train_size = r->train_size;
    if (train_size > recipe_all_strings(r))
        return command_misused("train", "option --train-size: %llu is more than the %llu strings of %s bits",
                               (unsigned long long)train_size, (unsigned long long)recipe_all_strings(r),
                               recipe_lengths(r).text);
    r->train_size = train_size > 0 ? train_size : default_train_size(r);
    return TALLY_OK;
}

static int open_strings(const recipe *r, task_data *data) {
    tally_count_options options = recipe_strings(r);
    tally_status status = tally_count_new(&options, &data->strings);
    if (status != TALLY_OK)
        return command_fail_library(status);
    data->train = tally_count_train(data->strings);
    data->test = tally_count_test(data->strings);
    return TALLY_OK;
}

static int open_count(recipe *r, const task_files *files, task_data *data) {
    (void)files;
    return open_strings(r, data);
}

static int open_count_test(const recipe *r, const char *model, const task_files *files, task_data *data) {
    if (files->folder != NULL || files->x != NULL || files->y != NULL || files->lengths != NULL)
        return command_misused("eval", "%s counts ones: its strings are made from its notes, not read from files",
                               model);
    int result = recipe_need_strings(r, model);
    return result == TALLY_OK ? open_strings(r, data) : result;
}

const task task_count = {
    .number = RECIPE_COUNT,
    .words = {"a", "string", "strings", "bits"},
    .help =
        {
            .command = "train",
            .usage = "tally train count [OPTION...]\n"
                     "       tally train --resume FILE [OPTION...]",
            .about = "Trains a network to count the ones in strings of bits. Of all strings of that\n"
                     "length, or of those lengths, shuffled by the seed, the first ones are trained\n"
                     "on; all others are tested at the end and never trained on. The same options\n"
                     "give the same weights, whatever the number of threads.\n"
                     "\n"
                     "Other tasks have data from files and options of their own: see\n"
                     "'tally train mnist --help' and 'tally train npy --help'.\n"
                     "\n"
                     "The model is kept only with --out. Ctrl-C stops after the step that is on, and\n"
                     "the model of the last whole epoch is saved; a second Ctrl-C ends at once. The\n"
                     "same is saved when a NaN or an infinity stops training.\n"
                     "\n"
                     "The file has beside the model what the run can go on from, on any device (but\n"
                     "with --weights-only, or after a NaN). With --resume FILE it ends with the same\n"
                     "weights as if it had not been stopped. Options come from FILE; to give one that\n"
                     "would change the result is an error, but --epochs and --patience may say\n"
                     "another end (with --lr-decay, the rate then follows the new --epochs). Files of\n"
                     "data are named again. A killed run has lost what came after the last\n"
                     "--save-every; a file that cannot be written meanwhile does not end it.\n"
                     "\n"
                     "--log has epoch, steps, loss, learning_rate (of the last step), seconds (spent\n"
                     "in steps since the run began), with --valid valid_loss, valid_mistakes and\n"
                     "valid_tested, with --clip gradient_norm, the largest before clipping. Losses are\n"
                     "means over sequences.\n"
                     "\n"
                     "--compare lstm,gru,rnn trains a network of each of these cells, as --cell would,\n"
                     "and prints cell, parameters, test error, mistakes and seconds of training of\n"
                     "each; no model is saved. --curves has the columns cell, epoch, steps, loss and\n"
                     "learning_rate, with --valid also valid_loss and valid_mistakes. The JSON object\n"
                     "then has runs, an array of the objects below, and stopped. Ctrl-C ends it with\n"
                     "what is whole.",
            .more = task_print_fields,
            .examples = "  tally train count --out count.safetensors\n"
                        "  tally train count --draw even --keep best --seed 3 --json\n"
                        "  tally train count --valid 0.1 --patience 50 --keep best --lr-decay cosine\n"
                        "  tally train count --out count.safetensors --save-every 100 --log log\n"
                        "  tally train --resume count.safetensors --save-every 100 --log log\n"
                        "  tally train count --length 12 --epochs 500 --device cpu --threads 1\n"
                        "  tally train count --length 5..12 --cell gru --layers 2 --dropout 0.1\n"
                        "  tally train count --epochs 500 --compare lstm,gru,rnn --curves curves.csv",
        },
    .presets = presets,
    .check = check_count,
    .open = open_count,
    .open_test = open_count_test,
};
