/* What mnist and npy share: sequences from files. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "tasks.h"

static int no_memory(void) {
    return command_fail(TALLY_MEMORY, "no memory left for the name of a file");
}

/* Finds a file, plain or compressed with gzip, and sets *path; returns the exit code. */
static int find_file(const char *folder, const char *part, const char *kind, char **path) {
    for (int packed = 0; packed < 2; packed++) {
        if (asprintf(path, "%s/%s-%s%s", folder, part, kind, packed ? ".gz" : "") < 0) {
            *path = NULL;
            return no_memory();
        }
        if (access(*path, F_OK) == 0)
            return TALLY_OK;
        free(*path);
        *path = NULL;
    }
    if (access(folder, X_OK) != 0)
        return command_fail(TALLY_IO, "cannot read %s: %s", folder, strerror(errno));
    return command_fail(TALLY_IO, "cannot read %s: there is neither %s-%s nor %s-%s.gz", folder, part, kind, part,
                        kind);
}

int task_open_mnist(const char *folder, const char *part, tally_sequences **sequences, char **images) {
    char *labels = NULL;
    int result = find_file(folder, part, "images-idx3-ubyte", images);
    if (result == TALLY_OK)
        result = find_file(folder, part, "labels-idx1-ubyte", &labels);
    if (result == TALLY_OK) {
        tally_status status = tally_sequences_read_idx(*images, labels, sequences);
        result = status == TALLY_OK ? TALLY_OK : command_fail_library(status);
    }
    free(labels);
    return result;
}

int task_describe(recipe *r, tally_sequences *sequences) {
    const tally_dataset *data = tally_sequences_kept(sequences);
    r->train_size = data->size;
    r->time_steps = data->steps;
    r->model.inputs = data->inputs;
    r->model.classes = data->classes;
    if (r->normalize == RECIPE_STANDARD) {
        tally_normalization measured = tally_sequences_measure(sequences);
        r->mean = measured.mean;
        r->deviation = measured.deviation;
    }
    tally_status status = tally_sequences_normalize(sequences, (tally_normalization){r->mean, r->deviation});
    return status == TALLY_OK ? TALLY_OK : command_fail_library(status);
}

int task_adopt(const recipe *r, const char *whose, const char *path, tally_sequences *sequences) {
    const tally_dataset *data = tally_sequences_kept(sequences);
    if ((r->time_steps > 0 && data->steps != r->time_steps) || data->inputs != r->model.inputs)
        return r->time_steps > 0
                   ? command_fail(TALLY_DATA,
                                  "%s: its sequences have %zu steps of %zu inputs, but %s %llu steps of %zu", path,
                                  data->steps, data->inputs, whose, (unsigned long long)r->time_steps, r->model.inputs)
                   : command_fail(TALLY_DATA, "%s: its sequences have %zu inputs a step, but %s %zu", path,
                                  data->inputs, whose, r->model.inputs);
    tally_status status = tally_sequences_set_classes(sequences, r->model.classes);
    if (status == TALLY_OK)
        status = tally_sequences_normalize(sequences, (tally_normalization){r->mean, r->deviation});
    return status == TALLY_OK ? TALLY_OK : command_fail_library(status);
}

int task_open_test_files(const recipe *r, const char *model, const task_files *files, task_data *data) {
    bool npy = files->x != NULL && files->y != NULL;
    bool some = files->x != NULL || files->y != NULL || files->lengths != NULL;
    if (files->folder != NULL ? some : !npy)
        return command_misused("eval", "%s is tested on --data DIR, or on --x X.npy and --y Y.npy", model);
    char *images = NULL;
    int result = TALLY_OK;
    if (files->folder != NULL) {
        result = task_open_mnist(files->folder, "t10k", &data->test_sequences, &images);
    } else {
        tally_status status = tally_sequences_read_npy(files->x, files->y, files->lengths, &data->test_sequences);
        result = status == TALLY_OK ? TALLY_OK : command_fail_library(status);
    }
    if (result == TALLY_OK)
        result = task_adopt(r, "the model takes", npy ? files->x : images, data->test_sequences);
    free(images);
    if (result == TALLY_OK)
        data->test = tally_sequences_kept(data->test_sequences);
    return result;
}

const setting_default task_files_defaults[] = {
    {"hidden", "128"}, {"epochs_wanted", "12"}, {"batch", "128"}, {"shuffle", "true"}, {NULL, NULL}};
