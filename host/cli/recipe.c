#include "recipe.h"

#include <float.h>
#include <string.h>

#include "command.h"

static const char *const tasks[] = {"count", NULL};
static const char *const draws[] = {[TALLY_DRAW_RANDOM] = "random", [TALLY_DRAW_EVEN] = "even", NULL};
static const char *const keeps[] = {[TALLY_KEEP_LAST] = "last", [TALLY_KEEP_BEST] = "best", NULL};

static const char *const keys[RECIPE_FIELDS] = {
    [RECIPE_VERSION] = "tally.version",
    [RECIPE_TASK] = "task",
    [RECIPE_LENGTH] = "length",
    [RECIPE_TRAIN_SIZE] = "train_size",
    [RECIPE_DRAW] = "draw",
    [RECIPE_SEED] = "seed",
    [RECIPE_EPOCHS] = "epochs",
    [RECIPE_KEPT_EPOCH] = "kept_epoch",
    [RECIPE_STEPS] = "steps",
    [RECIPE_BATCH] = "batch",
    [RECIPE_RATE] = "learning_rate",
    [RECIPE_BETA1] = "beta1",
    [RECIPE_BETA2] = "beta2",
    [RECIPE_EPSILON] = "epsilon",
    [RECIPE_SHUFFLE] = "shuffle",
    [RECIPE_KEEP] = "keep",
    [RECIPE_DEVICE] = "device",
    [RECIPE_BACKEND] = "backend",
    [RECIPE_ROUTE] = "route",
    [RECIPE_THREADS] = "threads",
    [RECIPE_TRAIN_SECONDS] = "train_seconds",
    [RECIPE_LOSS] = "loss",
    [RECIPE_DIGEST] = "weights_sha256",
};

recipe recipe_defaults(void) {
    tally_count_options strings = tally_count_defaults();
    tally_train_options train = tally_train_defaults();
    return (recipe){
        .length = strings.length,
        .train_size = strings.train_size,
        .seed = strings.seed,
        .draw = (int)strings.draw,
        .epochs = train.epochs,
        .batch = train.batch,
        .rate = train.adam.rate,
        .beta1 = train.adam.beta1,
        .beta2 = train.adam.beta2,
        .epsilon = train.adam.epsilon,
        .shuffle = train.shuffle,
        .keep = (int)train.keep,
    };
}

void recipe_values(recipe *r, value values[RECIPE_FIELDS]) {
    values[RECIPE_VERSION] = value_text(&r->version);
    values[RECIPE_TASK] = value_choice(&r->task, tasks);
    values[RECIPE_LENGTH] = value_whole(&r->length, 1, RECIPE_MAX_LENGTH);
    values[RECIPE_TRAIN_SIZE] = value_whole(&r->train_size, 1, 1u << RECIPE_MAX_LENGTH);
    values[RECIPE_DRAW] = value_choice(&r->draw, draws);
    values[RECIPE_SEED] = value_whole(&r->seed, 0, UINT64_MAX);
    values[RECIPE_EPOCHS] = value_whole(&r->epochs, 1, RECIPE_MAX_EPOCHS);
    values[RECIPE_KEPT_EPOCH] = value_whole(&r->kept_epoch, 1, RECIPE_MAX_EPOCHS);
    values[RECIPE_STEPS] = value_whole(&r->steps, 1, INT64_MAX);
    values[RECIPE_BATCH] = value_whole(&r->batch, 1, RECIPE_MAX_BATCH);
    values[RECIPE_RATE] = value_real(&r->rate, 0, (double)FLT_MAX);
    values[RECIPE_BETA1] = value_fraction(&r->beta1);
    values[RECIPE_BETA2] = value_fraction(&r->beta2);
    values[RECIPE_EPSILON] = value_real(&r->epsilon, 0, (double)FLT_MAX);
    values[RECIPE_SHUFFLE] = value_flag(&r->shuffle);
    values[RECIPE_KEEP] = value_choice(&r->keep, keeps);
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
                            digest, r->digest);
    return TALLY_OK;
}

int recipe_load(recipe *r, const tally_model *model, const char *path) {
    *r = recipe_defaults();
    value values[RECIPE_FIELDS];
    recipe_values(r, values);
    for (int i = 0; i < RECIPE_FIELDS; i++) {
        const char *text = tally_model_note(model, keys[i]);
        if (text == NULL)
            continue;
        if (!value_parse(&values[i], text)) {
            char range[VALUE_TEXT_SIZE];
            value_describe_range(&values[i], range);
            return command_fail(TALLY_MODEL, "%s: its note %s is '%.64s', not %s", path, keys[i], text, range);
        }
        r->known[i] = true;
    }
    const tally_model_config *config = tally_model_get_config(model);
    if (r->known[RECIPE_LENGTH] && config->classes != r->length + 1)
        return command_fail(TALLY_MODEL, "%s: its note length is %llu, which makes %llu counts, but it has %zu classes",
                            path, (unsigned long long)r->length, (unsigned long long)r->length + 1, config->classes);
    if (config->inputs != 1)
        return command_fail(TALLY_MODEL, "%s: it takes %zu inputs a step, but a string has one bit a step", path,
                            config->inputs);
    return r->known[RECIPE_DIGEST] ? check_digest(r, model, path) : TALLY_OK;
}

int recipe_need_strings(const recipe *r, const char *path) {
    static const recipe_field needed[] = {RECIPE_TASK, RECIPE_LENGTH, RECIPE_TRAIN_SIZE, RECIPE_DRAW, RECIPE_SEED};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!r->known[needed[i]])
            return command_fail(TALLY_MODEL,
                                "%s: it has no note %s, so it is not known which strings it was not trained on", path,
                                keys[needed[i]]);
    if (r->train_size > 1ull << r->length)
        return command_fail(TALLY_MODEL, "%s: its note train_size is %llu, but there are %llu strings of %llu bits",
                            path, (unsigned long long)r->train_size, 1ull << r->length, (unsigned long long)r->length);
    return TALLY_OK;
}

tally_count_options recipe_strings(const recipe *r) {
    return (tally_count_options){.length = (unsigned)r->length,
                                 .train_size = (size_t)r->train_size,
                                 .seed = r->seed,
                                 .draw = (tally_draw)r->draw};
}

bool recipe_json(recipe *r, json_t *object) {
    value values[RECIPE_FIELDS];
    recipe_values(r, values);
    for (int i = 0; i < RECIPE_FIELDS; i++) {
        const char *key = i == RECIPE_VERSION ? "version" : keys[i];
        if (json_object_set_new(object, key, r->known[i] ? value_json(&values[i]) : json_null()) != 0)
            return false;
    }
    return true;
}

uint64_t recipe_sequences(const recipe *r) {
    if (!r->known[RECIPE_STEPS] || !r->known[RECIPE_BATCH] || !r->known[RECIPE_TRAIN_SIZE])
        return 0;
    uint64_t steps_an_epoch = (r->train_size + r->batch - 1) / r->batch;
    /* Only the last batch of an epoch is smaller. */
    return r->steps / steps_an_epoch * r->train_size + r->steps % steps_an_epoch * r->batch;
}
