#include "recipe.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "format.h"

static const char *const tasks[] = {
    [RECIPE_COUNT] = "count", [RECIPE_MNIST] = "mnist", [RECIPE_NPY] = "npy", [RECIPE_TASKS] = NULL};
static const char *const draws[] = {
    [TALLY_DRAW_RANDOM] = "random", [TALLY_DRAW_EVEN] = "even", [TALLY_DRAW_RUNS] = "runs", NULL};
static const char *const keeps[] = {[TALLY_KEEP_LAST] = "last", [TALLY_KEEP_BEST] = "best", NULL};
static const char *const decays[] = {
    [TALLY_DECAY_NONE] = "none", [TALLY_DECAY_COSINE] = "cosine", [TALLY_DECAY_STEP] = "step", NULL};
static const char *const normalizes[] = {[RECIPE_STANDARD] = "standard", [RECIPE_NONE] = "none", NULL};

static const char *const keys[RECIPE_FIELDS] = {
    [RECIPE_VERSION] = "tally.version",
    [RECIPE_TASK] = "task",
    [RECIPE_LENGTH] = "length",
    [RECIPE_SHORTEST] = "shortest",
    [RECIPE_TRAIN_SIZE] = "train_size",
    [RECIPE_DRAW] = "draw",
    [RECIPE_TIME_STEPS] = "time_steps",
    [RECIPE_INPUTS] = "inputs",
    [RECIPE_CLASSES] = "classes",
    [RECIPE_NORMALIZE] = "normalize",
    [RECIPE_MEAN] = "mean",
    [RECIPE_DEVIATION] = "deviation",
    [RECIPE_HOLD_OUT] = "hold_out",
    [RECIPE_SEED] = "seed",
    [RECIPE_EPOCHS] = "epochs",
    [RECIPE_EPOCHS_WANTED] = "epochs_wanted",
    [RECIPE_KEPT_EPOCH] = "kept_epoch",
    [RECIPE_STEPS] = "steps",
    [RECIPE_BATCH] = "batch",
    [RECIPE_RATE] = "learning_rate",
    [RECIPE_BETA1] = "beta1",
    [RECIPE_BETA2] = "beta2",
    [RECIPE_EPSILON] = "epsilon",
    [RECIPE_DROPOUT] = "dropout",
    [RECIPE_SHUFFLE] = "shuffle",
    [RECIPE_KEEP] = "keep",
    [RECIPE_PATIENCE] = "patience",
    [RECIPE_DECAY] = "lr_decay",
    [RECIPE_CLIP] = "clip",
    [RECIPE_VALID] = "valid",
    [RECIPE_VALID_SIZE] = "valid_size",
    [RECIPE_VALID_LOSS] = "valid_loss",
    [RECIPE_VALID_MISTAKES] = "valid_mistakes",
    [RECIPE_DEVICE] = "device",
    [RECIPE_BACKEND] = "backend",
    [RECIPE_ROUTE] = "route",
    [RECIPE_THREADS] = "threads",
    [RECIPE_TRAIN_SECONDS] = "train_seconds",
    [RECIPE_LOSS] = "loss",
    [RECIPE_DIGEST] = "weights_sha256",
};

const char *recipe_key(recipe_field field) {
    return keys[field];
}

bool recipe_has(const recipe *r, recipe_field field) {
    switch (field) {
    case RECIPE_LENGTH:
    case RECIPE_SHORTEST:
    case RECIPE_DRAW:
        return r->task == RECIPE_COUNT;
    case RECIPE_TIME_STEPS:
    case RECIPE_INPUTS:
    case RECIPE_CLASSES:
    case RECIPE_NORMALIZE:
    case RECIPE_MEAN:
    case RECIPE_DEVIATION:
        return r->task != RECIPE_COUNT;
    case RECIPE_HOLD_OUT:
        return r->task == RECIPE_NPY;
    default:
        return true;
    }
}

recipe recipe_defaults(recipe_task task) {
    tally_count_options strings = tally_count_defaults();
    tally_train_options train = tally_train_defaults();
    recipe r = {
        .task = (int)task,
        .length = strings.length,
        .shortest = strings.length,
        .train_size = strings.train_size,
        .seed = strings.seed,
        .draw = (int)strings.draw,
        .epochs_wanted = train.epochs,
        .batch = train.batch,
        .rate = train.optimizer.rate,
        .beta1 = train.optimizer.beta1,
        .beta2 = train.optimizer.beta2,
        .epsilon = train.optimizer.epsilon,
        .shuffle = train.shuffle,
        .keep = (int)train.keep,
        .patience = train.patience,
        .decay = (int)train.decay,
        .clip = train.clip,
        .deviation = 1,
        .hold_out = 0.1,
    };
    if (task != RECIPE_COUNT) {
        r.epochs_wanted = 12;
        r.batch = 128;
        r.shuffle = true;
    }
    return r;
}

void recipe_values(recipe *r, value values[RECIPE_FIELDS]) {
    values[RECIPE_VERSION] = value_text(&r->version);
    values[RECIPE_TASK] = value_choice(&r->task, tasks);
    values[RECIPE_LENGTH] = value_whole(&r->length, 1, RECIPE_MAX_LENGTH);
    values[RECIPE_SHORTEST] = value_whole(&r->shortest, 1, RECIPE_MAX_LENGTH);
    values[RECIPE_TRAIN_SIZE] =
        value_whole(&r->train_size, 1, r->task == RECIPE_COUNT ? (2u << RECIPE_MAX_LENGTH) - 2 : UINT32_MAX);
    values[RECIPE_DRAW] = value_choice(&r->draw, draws);
    values[RECIPE_TIME_STEPS] = value_whole(&r->time_steps, 1, INT32_MAX);
    values[RECIPE_INPUTS] = value_whole(&r->inputs, 1, INT64_MAX);
    values[RECIPE_CLASSES] = value_whole(&r->classes, 2, TALLY_MAX_CLASSES);
    values[RECIPE_NORMALIZE] = value_choice(&r->normalize, normalizes);
    values[RECIPE_MEAN] = value_real(&r->mean, -(double)FLT_MAX, (double)FLT_MAX);
    values[RECIPE_DEVIATION] = value_real(&r->deviation, (double)FLT_MIN, (double)FLT_MAX);
    values[RECIPE_HOLD_OUT] = value_fraction(&r->hold_out);
    values[RECIPE_SEED] = value_whole(&r->seed, 0, UINT64_MAX);
    values[RECIPE_EPOCHS] = value_whole(&r->epochs, 0, RECIPE_MAX_EPOCHS);
    values[RECIPE_EPOCHS_WANTED] = value_whole(&r->epochs_wanted, 1, RECIPE_MAX_EPOCHS);
    values[RECIPE_KEPT_EPOCH] = value_whole(&r->kept_epoch, 1, RECIPE_MAX_EPOCHS);
    values[RECIPE_STEPS] = value_whole(&r->steps, 1, INT64_MAX);
    values[RECIPE_BATCH] = value_whole(&r->batch, 1, RECIPE_MAX_BATCH);
    values[RECIPE_RATE] = value_real(&r->rate, 0, (double)FLT_MAX);
    values[RECIPE_BETA1] = value_fraction(&r->beta1);
    values[RECIPE_BETA2] = value_fraction(&r->beta2);
    values[RECIPE_EPSILON] = value_real(&r->epsilon, 0, (double)FLT_MAX);
    values[RECIPE_DROPOUT] = value_fraction(&r->dropout);
    values[RECIPE_SHUFFLE] = value_flag(&r->shuffle);
    values[RECIPE_KEEP] = value_choice(&r->keep, keeps);
    values[RECIPE_PATIENCE] = value_whole(&r->patience, 0, RECIPE_MAX_EPOCHS);
    values[RECIPE_DECAY] = value_choice(&r->decay, decays);
    values[RECIPE_CLIP] = value_real(&r->clip, 0, DBL_MAX);
    values[RECIPE_VALID] = value_fraction(&r->valid);
    values[RECIPE_VALID_SIZE] = value_whole(&r->valid_size, 0, UINT32_MAX);
    values[RECIPE_VALID_LOSS] = value_real(&r->valid_loss, 0, DBL_MAX);
    values[RECIPE_VALID_MISTAKES] = value_whole(&r->valid_mistakes, 0, UINT32_MAX);
    values[RECIPE_DEVICE] = value_text(&r->device);
    values[RECIPE_BACKEND] = value_text(&r->backend);
    values[RECIPE_ROUTE] = value_choice(&r->route, command_routes);
    values[RECIPE_THREADS] = value_whole(&r->threads, 1, RECIPE_MAX_THREADS);
    values[RECIPE_TRAIN_SECONDS] = value_real(&r->train_seconds, 0, DBL_MAX);
    values[RECIPE_LOSS] = value_real(&r->loss, 0, DBL_MAX);
    values[RECIPE_DIGEST] = value_text(&r->digest);
}

tally_status recipe_store(recipe *r, tally_model *model) {
    value values[RECIPE_FIELDS];
    recipe_values(r, values);
    for (int i = 0; i < RECIPE_FIELDS; i++) {
        if (!r->known[i])
            continue;
        char buffer[VALUE_TEXT_SIZE];
        const char *text = buffer;
        if (values[i].kind == VALUE_TEXT)
            text = *values[i].text;
        else
            value_format(&values[i], buffer);
        tally_status status = tally_model_set_note(model, keys[i], text);
        if (status != TALLY_OK)
            return status;
    }
    return TALLY_OK;
}

/* Weights that are not those the notes speak of are damaged, or somebody else's. */
static int check_digest(const recipe *r, const tally_model *model, const char *path) {
    char digest[65];
    tally_status status = tally_model_digest(model, digest);
    if (status != TALLY_OK)
        return command_fail_library(status);
    if (strcmp(digest, r->digest) != 0)
        return command_fail(TALLY_MODEL, "%s: the weights have SHA-256 %s, but its note weights_sha256 says %s", path,
                            digest, format_printable(r->digest).text);
    return TALLY_OK;
}

static int load_field(recipe *r, const tally_model *model, const char *path, recipe_field field) {
    value values[RECIPE_FIELDS];
    recipe_values(r, values);
    const char *text = tally_model_note(model, keys[field]);
    if (text == NULL)
        return TALLY_OK;
    r->known[field] = value_parse(&values[field], text);
    if (r->known[field])
        return TALLY_OK;
    char range[VALUE_TEXT_SIZE];
    value_describe_range(&values[field], range);
    return command_fail(TALLY_MODEL, "%s: its note %s is '%s', not %s", path, keys[field], format_printable(text).text,
                        range);
}

/* Of count: the model goes with its strings, as far as they are known. */
static int check_strings(recipe *r, const tally_model_config *config, const char *path) {
    if (r->known[RECIPE_LENGTH] && config->classes != r->length + 1)
        return command_fail(TALLY_MODEL, "%s: its note length is %llu, which makes %llu counts, but it has %zu classes",
                            path, (unsigned long long)r->length, (unsigned long long)r->length + 1, config->classes);
    if (!r->known[RECIPE_SHORTEST]) /* all have as many bits */
        r->shortest = r->length;
    if (r->shortest > r->length)
        return command_fail(TALLY_MODEL, "%s: its note shortest is %llu, but its note length is %llu", path,
                            (unsigned long long)r->shortest, (unsigned long long)r->length);
    if (config->inputs != 1)
        return command_fail(TALLY_MODEL, "%s: it takes %zu inputs a step, but a string has one bit a step", path,
                            config->inputs);
    return TALLY_OK;
}

/* Of mnist and npy: it is known what is to be fed to the model, and goes with it. */
static int check_files(const recipe *r, const tally_model_config *config, const char *path) {
    static const recipe_field needed[] = {RECIPE_TIME_STEPS, RECIPE_INPUTS, RECIPE_CLASSES, RECIPE_MEAN,
                                          RECIPE_DEVIATION};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!r->known[needed[i]])
            return command_fail(TALLY_MODEL, "%s: it has no note %s, so it is not known what it takes", path,
                                keys[needed[i]]);
    if (r->inputs != config->inputs)
        return command_fail(TALLY_MODEL, "%s: its note inputs is %llu, but it takes %zu inputs a step", path,
                            (unsigned long long)r->inputs, config->inputs);
    if (r->classes != config->classes)
        return command_fail(TALLY_MODEL, "%s: its note classes is %llu, but it has %zu classes", path,
                            (unsigned long long)r->classes, config->classes);
    return TALLY_OK;
}

/* Whatever the model takes, as it is. */
static void take_anything(recipe *r, const tally_model_config *config) {
    r->time_steps = 0;
    r->inputs = config->inputs;
    r->classes = config->classes;
    r->normalize = RECIPE_NONE;
    r->mean = 0;
    r->deviation = 1;
}

int recipe_load(recipe *r, const tally_model *model, const char *path, recipe_task unless_noted) {
    *r = recipe_defaults(unless_noted);
    int result = load_field(r, model, path, RECIPE_TASK);
    if (result == TALLY_OK && !r->known[RECIPE_TASK] && r->task != RECIPE_COUNT) {
        take_anything(r, tally_model_get_config(model));
        return TALLY_OK;
    }
    for (int i = 0; i < RECIPE_FIELDS && result == TALLY_OK; i++)
        if (i != RECIPE_TASK && recipe_has(r, (recipe_field)i))
            result = load_field(r, model, path, (recipe_field)i);
    if (result != TALLY_OK)
        return result;
    const tally_model_config *config = tally_model_get_config(model);
    result = r->task == RECIPE_COUNT ? check_strings(r, config, path) : check_files(r, config, path);
    if (result != TALLY_OK)
        return result;
    return r->known[RECIPE_DIGEST] ? check_digest(r, model, path) : TALLY_OK;
}

recipe_text recipe_lengths(const recipe *r) {
    recipe_text shown;
    if (r->shortest == r->length)
        snprintf(shown.text, sizeof shown.text, "%llu", (unsigned long long)r->length);
    else
        snprintf(shown.text, sizeof shown.text, "%llu to %llu", (unsigned long long)r->shortest,
                 (unsigned long long)r->length);
    return shown;
}

int recipe_need_strings(const recipe *r, const char *path) {
    static const recipe_field needed[] = {RECIPE_TASK, RECIPE_LENGTH, RECIPE_TRAIN_SIZE, RECIPE_DRAW, RECIPE_SEED};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!r->known[needed[i]])
            return command_fail(TALLY_MODEL,
                                "%s: it has no note %s, so it is not known which strings it was not trained on", path,
                                keys[needed[i]]);
    if (r->train_size > recipe_all_strings(r))
        return command_fail(TALLY_MODEL, "%s: its note train_size is %llu, but there are %llu strings of %s bits", path,
                            (unsigned long long)r->train_size, (unsigned long long)recipe_all_strings(r),
                            recipe_lengths(r).text);
    return TALLY_OK;
}

uint64_t recipe_all_strings(const recipe *r) {
    return (2ull << r->length) - (1ull << r->shortest);
}

tally_count_options recipe_strings(const recipe *r) {
    return (tally_count_options){.length = (unsigned)r->length,
                                 .shortest = (unsigned)r->shortest,
                                 .train_size = (size_t)r->train_size,
                                 .seed = r->seed,
                                 .draw = (tally_draw)r->draw};
}

bool recipe_json(recipe *r, json_t *object) {
    value values[RECIPE_FIELDS];
    recipe_values(r, values);
    for (int i = 0; i < RECIPE_FIELDS; i++) {
        if (!recipe_has(r, (recipe_field)i))
            continue;
        const char *key = i == RECIPE_VERSION ? "version" : keys[i];
        if (json_object_set_new(object, key, r->known[i] ? value_json(&values[i]) : json_null()) != 0)
            return false;
    }
    return true;
}

double recipe_sequences(const recipe *r) {
    if (!r->known[RECIPE_STEPS] || !r->known[RECIPE_BATCH] || !r->known[RECIPE_TRAIN_SIZE])
        return 0;
    uint64_t trained = r->train_size - (r->valid_size < r->train_size ? r->valid_size : 0);
    uint64_t steps_an_epoch = (trained + r->batch - 1) / r->batch;
    /* Only the last batch of an epoch is smaller. */
    return (double)(r->steps / steps_an_epoch) * (double)trained +
           (double)(r->steps % steps_an_epoch) * (double)r->batch;
}
