/* Trains a small model to count the ones in strings of 8 bits, saves it to the given file, and predicts with it. */
#include <stdio.h>
#include <tally/tally.h>

static tally_status train_and_predict(const char *path, tally_device **device, tally_count **strings,
                                      tally_model **model) {
    tally_count_options data = {.length = 8, .train_size = 128, .seed = 1, .draw = TALLY_DRAW_EVEN};
    tally_model_config config = {.inputs = 1, .hidden = 16, .classes = 9, .layers = 1};
    tally_train_options training = tally_train_defaults();
    training.epochs = 400;
    training.batch = 32;
    training.optimizer.rate = 0.01;
    tally_status status = tally_device_open("cpu", NULL, device);
    if (!status)
        status = tally_count_new(&data, strings);
    if (!status)
        status = tally_model_new(*device, &config, model);
    if (!status)
        status = tally_model_init(*model, 1);
    if (!status)
        status = tally_train(*model, tally_count_train(*strings), &training, NULL, NULL);
    if (!status)
        status = tally_model_save(*model, path);
    float x[8] = {0, 1, 1, 0, 1, 0, 0, 1}, p[9];
    if (!status)
        status = tally_predict(*model, x, 1, 8, NULL, p);
    for (int ones = 0; ones < 9 && !status; ones++)
        printf("%d ones: probability %.4f\n", ones, (double)p[ones]);
    return status;
}

int main(int argc, char **argv) {
    tally_device *device = NULL;
    tally_count *strings = NULL;
    tally_model *model = NULL;
    tally_status status = train_and_predict(argc > 1 ? argv[1] : "example.safetensors", &device, &strings, &model);
    if (status)
        fprintf(stderr, "%s\n", tally_error_text());
    tally_model_free(model), tally_count_free(strings), tally_device_close(device);
    return (int)status;
}
