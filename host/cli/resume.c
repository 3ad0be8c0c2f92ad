#include "resume.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command.h"

static int read_recipe(resume *r, const tally_model *model) {
    if (tally_model_note(model, TALLY_TRAINING_NOTE) == NULL)
        return command_fail(TALLY_MODEL,
                            "%s: it has no state of training to go on from: it was saved with --weights-only, or not "
                            "by tally train",
                            r->path);
    tally_status status = tally_model_resumable(model);
    if (status != TALLY_OK)
        return command_fail((int)status, "%s: %s", r->path, tally_error_text());
    int result = recipe_load(&r->recipe, model, r->path, RECIPE_COUNT);
    if (result == TALLY_OK && r->recipe.task == RECIPE_COUNT)
        result = recipe_need_strings(&r->recipe, r->path);
    r->shape = shape_of(model);
    /* The texts are the model's. */
    static const recipe_field texts[] = {RECIPE_VERSION, RECIPE_DEVICE, RECIPE_BACKEND, RECIPE_DIGEST};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        r->recipe.known[texts[i]] = false;
    r->recipe.version = r->recipe.device = r->recipe.backend = r->recipe.digest = NULL;
    return result;
}

int resume_read(resume *r, const char *path) {
    *r = (resume){.path = path};
    /* Which device is meant is not known yet: that, too, is in the file, as far as the route goes. */
    tally_device *device;
    tally_model *model = NULL;
    tally_status status = tally_device_open("cpu", &(tally_device_options){.threads = 1}, &device);
    if (status != TALLY_OK)
        return command_fail_library(status);
    status = tally_model_load(device, path, &model);
    int result = status == TALLY_OK ? read_recipe(r, model) : command_fail_library(status);
    tally_model_free(model);
    tally_device_close(device);
    return result;
}

static void show(const value *v, char text[VALUE_TEXT_SIZE]) {
    text[0] = '\0';
    if (v->kind == VALUE_REAL && isnan(*v->real)) /* not given */
        snprintf(text, VALUE_TEXT_SIZE, "none");
    else if (v->kind != VALUE_TEXT) /* files and devices: they may be others */
        value_format(v, text);
}

void resume_remember(resume_values *values, const option *options) {
    for (size_t i = 0; options[i].name != NULL; i++)
        show(&options[i].value, values->text[i]);
}

static bool may_differ(const char *name) {
    static const char *const names[] = {"epochs",       "patience", "threads", "save-every",
                                        "weights-only", "json",     "verbose", "quiet"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

int resume_check_options(const resume *r, const resume_values *values, const option *options, const char *command) {
    for (size_t i = 0; options[i].name != NULL; i++) {
        const option *o = &options[i];
        char text[VALUE_TEXT_SIZE];
        show(&o->value, text);
        if (may_differ(o->name) || strcmp(text, values->text[i]) == 0)
            continue;
        if (o->argument == NULL && *o->value.flag == o->value.off) /* its opposite was given */
            continue;
        if (o->argument == NULL)
            return command_misused(command, "option --%s: the run in %s was begun without it", o->name, r->path);
        return command_misused(command, "option --%s: %s, but the run in %s was begun with %s", o->name, text, r->path,
                               values->text[i]);
    }
    return TALLY_OK;
}

int resume_check_data(const resume *r, recipe *now) {
    static const recipe_field fields[] = {RECIPE_TRAIN_SIZE, RECIPE_TIME_STEPS, RECIPE_INPUTS,
                                          RECIPE_CLASSES,    RECIPE_MEAN,       RECIPE_DEVIATION};
    recipe then = r->recipe;
    value before[RECIPE_FIELDS], after[RECIPE_FIELDS];
    recipe_values(&then, before);
    recipe_values(now, after);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char was[VALUE_TEXT_SIZE], is[VALUE_TEXT_SIZE];
        if (!recipe_has(now, fields[i]))
            continue;
        value_format(&before[fields[i]], was);
        value_format(&after[fields[i]], is);
        if (strcmp(was, is) != 0)
            return command_fail(TALLY_DATA, "%s: its run was begun on other data: their %s is %s there, %s here",
                                r->path, recipe_key(fields[i]), was, is);
    }
    return TALLY_OK;
}
