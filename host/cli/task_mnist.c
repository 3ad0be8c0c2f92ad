#include <stdlib.h>

#include "command.h"
#include "tasks.h"

static int check_mnist(recipe *r, const task_files *files) {
    (void)r;
    if (files->folder == NULL)
        return command_misused(task_mnist.help.command, "no images given: use --data DIR");
    return TALLY_OK;
}

static int open_mnist(recipe *r, const task_files *files, task_data *data) {
    char *images = NULL, *test_images = NULL;
    int result = task_open_mnist(files->folder, "train", &data->sequences, &images);
    if (result == TALLY_OK)
        result = task_describe(r, data->sequences);
    if (result == TALLY_OK)
        result = task_open_mnist(files->folder, "t10k", &data->test_sequences, &test_images);
    if (result == TALLY_OK)
        result = task_adopt(r, "those to train on have", test_images, data->test_sequences);
    if (result == TALLY_OK) {
        data->train = tally_sequences_kept(data->sequences);
        data->test = tally_sequences_kept(data->test_sequences);
    }
    free(images);
    free(test_images);
    return result;
}

const task task_mnist = {
    .number = RECIPE_MNIST,
    .words = {"an", "image", "images", "rows"},
    .defaults = task_files_defaults,
    .help =
        {
            .command = "train mnist",
            .usage = "tally train mnist --data DIR [OPTION...]",
            .about = "Trains a network to classify images, row by row: a row of pixels is a time step.\n"
                     "DIR has the four files of MNIST, or of a data set in the same form, such as\n"
                     "Fashion-MNIST, of any size of image and number of classes:\n"
                     "\n"
                     "  train-images-idx3-ubyte, train-labels-idx1-ubyte\n"
                     "  t10k-images-idx3-ubyte,  t10k-labels-idx1-ubyte\n"
                     "\n"
                     "each as it is or packed by gzip, with .gz behind its name. Training is on the\n"
                     "train files, the t10k files are tested at the end. Classes are the largest\n"
                     "training label + 1. The same options give the same weights, whatever the\n"
                     "number of threads.\n"
                     "\n" TASK_FILES_HELP,
            .more = task_print_fields,
            .examples = "  tally train mnist --data mnist --out mnist.safetensors\n"
                        "  tally train mnist --data fashion --epochs 20 --hidden 256 --keep best --json",
        },
    .check = check_mnist,
    .open = open_mnist,
    .open_test = task_open_test_files,
};
