#include "resume.h"

#include <stdio.h>
#include <string.h>

#include "command.h"

static int read_recipe(recipe *r, const tally_model *model, const char *path) {
    if (tally_model_note(model, TALLY_TRAINING_NOTE) == NULL)
        return command_fail(TALLY_MODEL,
                            "%s: it has no training state to resume from: it was saved with --weights-only, or not "
                            "by tally train",
                            path);
    tally_status status = tally_model_resumable(model);
    if (status != TALLY_OK)
        return command_fail((int)status, "%s: %s", path, tally_error_text());
    int result = recipe_load(r, model, path, RECIPE_COUNT);
    if (result == TALLY_OK && r->task == RECIPE_COUNT)
        result = recipe_need_strings(r, path);
    r->version = r->device = r->backend = r->digest = NULL; /* these texts are borrowed from the model */
    return result;
}

int resume_read(recipe *r, const char *path) {
    /* The file also determines the route, so the device is not known yet. */
    tally_device *device;
    tally_model *model = NULL;
    tally_status status = tally_device_open("cpu", &(tally_device_options){.threads = 1}, &device);
    if (status != TALLY_OK)
        return command_fail_library(status);
    status = tally_model_load(device, path, &model);
    int result = status == TALLY_OK ? read_recipe(r, model, path) : command_fail_library(status);
    tally_model_free(model);
    tally_device_close(device);
    return result;
}

int resume_check_options(const train_arguments *before, const train_arguments *now, const tally_setting *options) {
    const char *command = now->task->help.command, *path = now->resume_from;
    for (const tally_setting *o = options; o->option != NULL; o++) {
        char was_buffer[TALLY_SETTING_TEXT_SIZE], is_buffer[TALLY_SETTING_TEXT_SIZE];
        const char *was = tally_setting_format(o, before, was_buffer), *is = tally_setting_format(o, now, is_buffer);
        if (o->may_change || strcmp(was, is) == 0)
            continue;
        if (o->metavar == NULL && options_flag(o, now) == o->off) /* the opposite was given */
            continue;
        if (o->metavar == NULL)
            return command_misused(command, "option --%s: the run in %s was started without it", o->option, path);
        return command_misused(command, "option --%s: %s, but the run in %s was started with %s", o->option, is, path,
                               was);
    }
    return TALLY_OK;
}

int resume_check_data(const recipe *before, const recipe *now, const char *path) {
    size_t count;
    const tally_setting *all = settings_all(&count);
    for (size_t i = 0; i < count; i++) {
        const tally_setting *s = &all[i];
        char was_buffer[TALLY_SETTING_TEXT_SIZE], is_buffer[TALLY_SETTING_TEXT_SIZE];
        if (!recipe_has(now, s) || s->may_change || (s->groups & SETTING_RESULT) != 0)
            continue;
        const char *was = tally_setting_format(s, before, was_buffer), *is = tally_setting_format(s, now, is_buffer);
        if (strcmp(was, is) != 0)
            return command_fail(TALLY_DATA, "%s: its run was started on other data: their %s was %s and is now %s",
                                path, s->name, was, is);
    }
    return TALLY_OK;
}
