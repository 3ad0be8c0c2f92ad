#include "recipe.h"

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "format.h"
#include "task.h"

bool recipe_has(const recipe *r, const tally_setting *s) {
    return s->name != NULL && settings_has_task(s, r->task);
}

void recipe_set_defaults(recipe *r, const setting_default *defaults) {
    for (; defaults != NULL && defaults->name != NULL; defaults++)
        tally_setting_parse(settings_find(defaults->name), r, defaults->text);
}

void recipe_reset(recipe *r, recipe_task of) {
    size_t count;
    const tally_setting *all = settings_all(&count);
    *r = (recipe){.task = of};
    for (size_t i = 0; i < count; i++)
        if (all[i].name != NULL)
            tally_settings_reset(&all[i], 1, r);
    r->task = of;
    recipe_set_defaults(r, task_get(of)->defaults);
}

/* The row of a member. Within a task, every member has one row. */
static size_t row_of(const recipe *r, size_t offset) {
    size_t count, i = 0;
    const tally_setting *all = settings_all(&count);
    while (i < count && (all[i].offset != offset || !recipe_has(r, &all[i])))
        i++;
    return i;
}

bool recipe_knows(const recipe *r, size_t offset) {
    size_t row = row_of(r, offset);
    return row < SETTINGS_MOST && r->known[row];
}

void recipe_set_known(recipe *r, size_t offset, bool known) {
    size_t row = row_of(r, offset);
    if (row < SETTINGS_MOST)
        r->known[row] = known;
}

void recipe_know_all(recipe *r) {
    size_t count;
    const tally_setting *all = settings_all(&count);
    for (size_t i = 0; i < count; i++)
        r->known[i] = recipe_has(r, &all[i]);
}

tally_status recipe_store(const recipe *r, tally_model *model) {
    size_t count;
    const tally_setting *all = settings_all(&count);
    tally_status status = TALLY_OK;
    for (size_t i = 0; i < count && status == TALLY_OK; i++) {
        char buffer[TALLY_SETTING_TEXT_SIZE];
        if (r->known[i] && (all[i].groups & SETTING_MODEL) == 0)
            status = tally_model_set_note(model, all[i].name, tally_setting_format(&all[i], r, buffer));
    }
    return status;
}

/* If the weights do not have the digest in the notes, the file is damaged or the weights were replaced. */
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

static int load_note(recipe *r, const tally_model *model, const char *path, size_t number) {
    size_t count;
    const tally_setting *s = &settings_all(&count)[number];
    const char *text = tally_model_note(model, s->name);
    if (text == NULL)
        return TALLY_OK;
    r->known[number] = tally_setting_parse(s, r, text);
    if (r->known[number])
        return TALLY_OK;
    char range[TALLY_SETTING_TEXT_SIZE];
    tally_setting_describe_range(s, range);
    return command_fail(TALLY_MODEL, "%s: its note %s is '%s', not %s", path, s->name, format_printable(text).text,
                        range);
}

/* count: checks that the model matches its strings, as far as the notes tell. */
static int check_strings(recipe *r, const tally_model_config *config, const char *path) {
    if (RECIPE_KNOWS(r, length) && config->classes != r->length + 1)
        return command_fail(TALLY_MODEL, "%s: its note length is %llu, which makes %llu counts, but it has %zu classes",
                            path, (unsigned long long)r->length, (unsigned long long)r->length + 1, config->classes);
    if (!RECIPE_KNOWS(r, shortest)) /* all strings have the same length */
        r->shortest = r->length;
    if (r->shortest > r->length)
        return command_fail(TALLY_MODEL, "%s: its note shortest is %llu, but its note length is %llu", path,
                            (unsigned long long)r->shortest, (unsigned long long)r->length);
    if (config->inputs != 1)
        return command_fail(TALLY_MODEL, "%s: it takes %zu inputs a step, but a string has one bit a step", path,
                            config->inputs);
    return TALLY_OK;
}

/* The name of the first unknown member; NULL if all are known. */
static const char *first_unknown(const recipe *r, const size_t *offsets, size_t some) {
    size_t count;
    const tally_setting *all = settings_all(&count);
    for (size_t i = 0; i < some; i++)
        if (!recipe_knows(r, offsets[i]))
            return all[row_of(r, offsets[i])].name;
    return NULL;
}

/* mnist and npy: checks that the notes tell what the model's inputs are, and match the model. */
static int check_files(const recipe *r, const tally_model_config *config, const char *path) {
    static const size_t needed[] = {offsetof(recipe, time_steps), offsetof(recipe, model.inputs),
                                    offsetof(recipe, model.classes), offsetof(recipe, mean),
                                    offsetof(recipe, deviation)};
    const char *unknown = first_unknown(r, needed, sizeof needed / sizeof *needed);
    if (unknown != NULL)
        return command_fail(TALLY_MODEL, "%s: it has no note %s, so it is not known what it takes", path, unknown);
    if (r->model.inputs != config->inputs)
        return command_fail(TALLY_MODEL, "%s: its note inputs is %zu, but it takes %zu inputs a step", path,
                            r->model.inputs, config->inputs);
    if (r->model.classes != config->classes)
        return command_fail(TALLY_MODEL, "%s: its note classes is %zu, but it has %zu classes", path, r->model.classes,
                            config->classes);
    return TALLY_OK;
}

/* Loads the task and everything that the model itself determines. */
static int load_model(recipe *r, const tally_model *model, const char *path, recipe_task unless_noted) {
    size_t count;
    const tally_setting *all = settings_all(&count);
    recipe_reset(r, unless_noted);
    int result = load_note(r, model, path, row_of(r, offsetof(recipe, task)));
    bool known = RECIPE_KNOWS(r, task);
    recipe_reset(r, r->task);
    RECIPE_SET_KNOWN(r, task, known);
    r->model = *tally_model_get_config(model);
    for (size_t i = 0; i < count; i++)
        r->known[i] |= (all[i].groups & SETTING_MODEL) != 0;
    return result;
}

int recipe_load(recipe *r, const tally_model *model, const char *path, recipe_task unless_noted) {
    size_t count;
    const tally_setting *all = settings_all(&count);
    int result = load_model(r, model, path, unless_noted);
    if (result == TALLY_OK && !RECIPE_KNOWS(r, task) && r->task != RECIPE_COUNT) {
        r->normalize = RECIPE_NONE; /* feed the model any values unchanged */
        return TALLY_OK;
    }
    for (size_t i = 0; i < count && result == TALLY_OK; i++)
        if (recipe_has(r, &all[i]) && !r->known[i])
            result = load_note(r, model, path, i);
    if (result != TALLY_OK)
        return result;
    const tally_model_config *config = tally_model_get_config(model);
    result = r->task == RECIPE_COUNT ? check_strings(r, config, path) : check_files(r, config, path);
    if (result != TALLY_OK)
        return result;
    return RECIPE_KNOWS(r, digest) ? check_digest(r, model, path) : TALLY_OK;
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
    static const size_t needed[] = {offsetof(recipe, task), offsetof(recipe, length), offsetof(recipe, train_size),
                                    offsetof(recipe, draw), offsetof(recipe, train.seed)};
    const char *unknown = first_unknown(r, needed, sizeof needed / sizeof *needed);
    if (unknown != NULL)
        return command_fail(TALLY_MODEL,
                            "%s: it has no note %s, so it is not known which strings it was not trained on", path,
                            unknown);
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
                                 .seed = r->train.seed,
                                 .draw = r->draw};
}

bool recipe_json(const recipe *r, json_t *object) {
    size_t count;
    const tally_setting *all = settings_all(&count);
    for (size_t i = 0; i < count; i++) {
        if (!recipe_has(r, &all[i]))
            continue;
        json_t *value = r->known[i] ? value_json(&all[i], r) : json_null();
        if (json_object_set_new(object, settings_key(&all[i]), value) != 0)
            return false;
    }
    return true;
}

double recipe_sequences(const recipe *r) {
    if (!RECIPE_KNOWS(r, steps) || !RECIPE_KNOWS(r, train.batch) || !RECIPE_KNOWS(r, train_size))
        return 0;
    uint64_t trained = r->train_size - (r->valid_size < r->train_size ? r->valid_size : 0);
    uint64_t steps_an_epoch = (trained + r->train.batch - 1) / r->train.batch;
    /* Only the last batch of an epoch can be smaller. */
    return (double)(r->steps / steps_an_epoch) * (double)trained +
           (double)(r->steps % steps_an_epoch) * (double)r->train.batch;
}
