#include <math.h>

#include "command.h"
#include "tasks.h"

static int check_npy(recipe *r, const task_files *files) {
    const char *command = task_npy.help.command;
    if (files->x == NULL || files->y == NULL)
        return command_misused(command, "no sequences and labels given: use --x FILE and --y FILE");
    if ((files->test_x == NULL) != (files->test_y == NULL))
        return command_misused(command, "--test-x and --test-y go together");
    if (files->test_x == NULL && files->test_lengths != NULL)
        return command_misused(command, "--test-lengths needs --test-x and --test-y");
    if (files->test_x != NULL && !isnan(r->hold_out))
        return command_misused(command, "--hold-out takes the test set from --x, but --test-x is given");
    if (files->test_x == NULL && isnan(r->hold_out))
        tally_setting_parse(settings_find("hold_out"), r, SETTINGS_HOLD_OUT);
    return TALLY_OK;
}

static int open_sequences(const char *x, const char *y, const char *lengths, tally_sequences **sequences) {
    tally_status status = tally_sequences_read_npy(x, y, lengths, sequences);
    return status == TALLY_OK ? TALLY_OK : command_fail_library(status);
}

static int hold_out(const recipe *r, tally_sequences *sequences) {
    if (isnan(r->hold_out))
        return TALLY_OK;
    tally_status status = tally_sequences_hold_out(sequences, r->hold_out, r->train.seed);
    return status == TALLY_OK ? TALLY_OK : command_fail_option(status, "hold-out");
}

static int open_npy(recipe *r, const task_files *files, task_data *data) {
    int result = open_sequences(files->x, files->y, files->lengths, &data->sequences);
    if (result == TALLY_OK)
        result = hold_out(r, data->sequences);
    if (result == TALLY_OK)
        result = task_describe(r, data->sequences);
    if (result == TALLY_OK && files->test_x != NULL) {
        result = open_sequences(files->test_x, files->test_y, files->test_lengths, &data->test_sequences);
        if (result == TALLY_OK)
            result = task_adopt(r, "those to train on have", files->test_x, data->test_sequences);
    }
    if (result != TALLY_OK)
        return result;
    data->train = tally_sequences_kept(data->sequences);
    data->test =
        files->test_x != NULL ? tally_sequences_kept(data->test_sequences) : tally_sequences_held_out(data->sequences);
    return TALLY_OK;
}

const task task_npy = {
    .number = RECIPE_NPY,
    .words = {"a", "sequence", "sequences", "steps"},
    .defaults = task_files_defaults,
    .help =
        {
            .command = "train npy",
            .usage = "tally train npy --x X.npy --y Y.npy [OPTION...]",
            .about = "Trains a network to classify sequences that NumPy saved (numpy.save, versions\n"
                     "1.0, 2.0 and 3.0, C order): x is [sequences, time steps, inputs] of float32,\n"
                     "float64 or uint8, y their labels, whole numbers from 0 on. Classes are the\n"
                     "largest label in y + 1. The same options give the same weights, whatever the\n"
                     "number of threads.\n"
                     "\n"
                     "Without a test set a share of the sequences is held out: exactly share * N,\n"
                     "rounded, chosen at random by the seed with Philox 4x32-10, the same on every\n"
                     "machine. They are tested at the end, and take no part in the mean and deviation\n"
                     "that values are normalized by.\n"
                     "\n" TASK_FILES_HELP,
            .more = task_print_fields,
            .examples = "  tally train npy --x x.npy --y y.npy --out own.safetensors\n"
                        "  tally train npy --x x.npy --y y.npy --test-x tx.npy --test-y ty.npy --json",
        },
    .check = check_npy,
    .open = open_npy,
    .open_test = task_open_test_files,
};
