/* test_digest CELL STRINGS BATCH EPOCHS LAYERS HIDDEN DIGEST: trains a counting model on the device under test and
 * compares the SHA-256 of its weights with DIGEST, which is the same for every device and compiler. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* TALLY_CELLS if no cell has this name. */
static tally_cell cell_of(const char *name) {
    int cell = 0;
    while (cell < TALLY_CELLS && strcmp(name, tally_cell_name((tally_cell)cell)) != 0)
        cell++;
    return (tally_cell)cell;
}

static tally_status train(tally_device *device, char **arguments, char hex[65]) {
    tally_count_options data = tally_count_defaults();
    data.train_size = strtoul(arguments[1], NULL, 10);
    tally_train_options options = tally_train_defaults();
    options.batch = strtoul(arguments[2], NULL, 10);
    options.epochs = strtoul(arguments[3], NULL, 10);
    tally_model_config config = {.inputs = 1,
                                 .hidden = strtoul(arguments[5], NULL, 10),
                                 .classes = data.length + 1,
                                 .layers = strtoul(arguments[4], NULL, 10),
                                 .cell = cell_of(arguments[0])};
    tally_count *strings = NULL;
    tally_model *model = NULL;
    tally_train_result result;
    tally_status status = tally_count_new(&data, &strings);
    if (!status)
        status = tally_model_new(device, &config, &model);
    if (!status)
        status = tally_model_init(model, data.seed);
    if (!status)
        status = tally_train(model, tally_count_train(strings), &options, NULL, &result);
    if (!status)
        status = tally_model_digest(model, hex);
    if (!status)
        printf("%zu steps, %.3f ms each, loss %.9g: %s\n", result.steps, 1e3 * result.seconds / (double)result.steps,
               result.loss, hex);
    tally_model_free(model);
    tally_count_free(strings);
    return status;
}

int main(int argc, char **argv) {
    char hex[65];
    if (argc != 8) {
        fprintf(stderr, "usage: test_digest CELL STRINGS BATCH EPOCHS LAYERS HIDDEN DIGEST\n");
        return TALLY_USAGE;
    }
    int status = suite_begin();
    if (status)
        return status;
    tally_status trained = train(the.device, argv + 1, hex);
    suite_end();
    if (trained) {
        fprintf(stderr, "%s\n", tally_error_text());
        return EXIT_FAILURE;
    }
    if (strcmp(hex, argv[7]) == 0)
        return EXIT_SUCCESS;
    fprintf(stderr, "the digest must be %s\n", argv[7]);
    return EXIT_FAILURE;
}
