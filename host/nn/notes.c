#include "core/fail.h"
#include "core/size.h"
#include "nn/model.h"

#include <stdlib.h>
#include <string.h>

static tl_note *find(const tally_model *model, const char *key) {
    for (size_t i = 0; i < model->note_count; i++)
        if (strcmp(model->notes[i].key, key) == 0)
            return &model->notes[i];
    return NULL;
}

tally_status tally_model_set_note(tally_model *model, const char *key, const char *value) {
    if (!model || !key || !value)
        return tl_fail(TALLY_USAGE, "tally_model_set_note: no model, no key or no value given");
    char *copy = strdup(value), *key_copy = NULL;
    tl_note *note = find(model, key), *grown = NULL;
    if (copy && note) {
        free(note->value);
        note->value = copy;
        return TALLY_OK;
    }
    size_t bytes;
    key_copy = strdup(key);
    if (copy && key_copy && tl_size_mul(model->note_count + 1, sizeof *grown, &bytes))
        grown = realloc(model->notes, bytes);
    if (!grown) {
        free(copy);
        free(key_copy);
        return tl_fail(TALLY_MEMORY, "no memory left for the note %s", key);
    }
    model->notes = grown;
    model->notes[model->note_count++] = (tl_note){key_copy, copy};
    return TALLY_OK;
}

const char *tally_model_note(const tally_model *model, const char *key) {
    const tl_note *note = model && key ? find(model, key) : NULL;
    return note ? note->value : NULL;
}
