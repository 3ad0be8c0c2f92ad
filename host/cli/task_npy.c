#include <math.h>

#include "command.h"
#include "tasks.h"

static option file_option(const char *name, const char **target, const char *help) {
    return (option){.name = name, .argument = "FILE", .value = value_text(target), .help = help, .fallback = ""};
}

static size_t npy_options(task_choice *choice, const value values[RECIPE_FIELDS], option *options) {
    task_files *files = &choice->files;
    value hold_out = values[RECIPE_HOLD_OUT];
    hold_out.real = &choice->hold_out;
    size_t n = 0;
    options[n++] = file_option("x", &files->x, "sequences to train on, [sequences, time steps, inputs]");
    options[n++] = file_option("y", &files->y, "their labels, [sequences], from 0 on");
    options[n++] = file_option("lengths", &files->lengths, "how many steps each has, [sequences], if not all");
    options[n++] = file_option("test-x", &files->test_x, "sequences to test at the end");
    options[n++] = file_option("test-y", &files->test_y, "their labels");
    options[n++] = file_option("test-lengths", &files->test_lengths, "how many steps each has, if not all");
    options[n++] = (option){.name = "hold-out",
                            .argument = "SHARE",
                            .value = hold_out,
                            .help = "without --test-x: the share of the sequences that is tested and not trained on, "
                                    "chosen at random by the seed",
                            .fallback = "0.1"};
    return n + task_file_options(choice, values, options + n);
}

static int check_npy(task_choice *choice) {
    const char *command = task_npy.help.command;
    const task_files *files = &choice->files;
    recipe *r = choice->recipe;
    if (files->x == NULL || files->y == NULL)
        return command_misused(command, "where are the sequences and their labels? Give --x FILE and --y FILE");
    if ((files->test_x == NULL) != (files->test_y == NULL))
        return command_misused(command, "--test-x and --test-y go together");
    if (files->test_x == NULL && files->test_lengths != NULL)
        return command_misused(command, "--test-lengths needs --test-x and --test-y");
    if (files->test_x != NULL && !isnan(choice->hold_out))
        return command_misused(command, "--hold-out makes a test of --x, but there is --test-x");
    r->known[RECIPE_HOLD_OUT] = files->test_x == NULL;
    if (!isnan(choice->hold_out))
        r->hold_out = choice->hold_out;
    return TALLY_OK;
}

static int open_sequences(const char *x, const char *y, const char *lengths, tally_sequences **sequences) {
    tally_status status = tally_sequences_read_npy(x, y, lengths, sequences);
    return status == TALLY_OK ? TALLY_OK : command_fail_library(status);
}

static int hold_out(const recipe *r, tally_sequences *sequences) {
    if (!r->known[RECIPE_HOLD_OUT])
        return TALLY_OK;
    tally_status status = tally_sequences_hold_out(sequences, r->hold_out, r->seed);
    return status == TALLY_OK ? TALLY_OK : command_fail_option(status, "hold-out");
}

static int open_npy(const task_choice *choice, task_data *data) {
    const task_files *files = &choice->files;
    recipe *r = choice->recipe;
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
    .name = "npy",
    .words = {"a", "sequence", "sequences", "steps"},
    .hidden = 128,
    .help =
        {
            .command = "train npy",
            .usage = "tally train npy --x X.npy --y Y.npy [OPTION...]",
            .about =
                "Trains a network to classify sequences that NumPy saved (numpy.save, versions\n"
                "1.0, 2.0 and 3.0, C order): x is [sequences, time steps, inputs] of float32,\n"
                "float64 or uint8, y their labels, whole numbers from 0 on. Classes are the\n"
                "largest label in y + 1. The same options give the same weights, whatever the\n"
                "number of threads.\n"
                "\n"
                "Without a test set a share of the sequences is held out: exactly share * N,\n"
                "rounded, chosen at random by the seed with Philox 4x32-10, the same on every\n"
                "machine. They are tested at the end, and take no part in the mean and deviation\n"
                "that values are normalized by.\n"
                "\n" TASK_FILES_HELP "time_steps and inputs (of a sequence), classes, normalize, mean, deviation and\n"
                "hold_out (null with a test set).",
            .examples = "  tally train npy --x x.npy --y y.npy --out own.safetensors\n"
                        "  tally train npy --x x.npy --y y.npy --test-x tx.npy --test-y ty.npy --json",
        },
    .options = npy_options,
    .check = check_npy,
    .open = open_npy,
    .open_test = task_open_test_files,
};
