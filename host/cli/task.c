#include "task.h"

#include <stdio.h>
#include <string.h>

#include "format.h"
#include "tasks.h"

static const task *const tasks[RECIPE_TASKS] = {
    [RECIPE_COUNT] = &task_count, [RECIPE_MNIST] = &task_mnist, [RECIPE_NPY] = &task_npy};

const task *task_get(recipe_task number) {
    return tasks[number];
}

const task *task_find(const char *name) {
    for (int i = 0; i < RECIPE_TASKS; i++)
        if (strcmp(settings_tasks[i], name) == 0)
            return tasks[i];
    return NULL;
}

void task_close(task_data *data) {
    tally_count_free(data->strings);
    tally_sequences_free(data->sequences);
    tally_sequences_free(data->test_sequences);
}

void task_print_fields(const void *arguments) {
    const recipe *r = arguments;
    const task_words *words = &task_get(r->task)->words;
    const char *by = r->task == RECIPE_COUNT ? "count" : "class";
    char text[4096] = "The JSON object has ";
    size_t count, used = strlen(text);
    const tally_setting *all = settings_all(&count);
    for (size_t i = 0; i < count; i++)
        if (recipe_has(r, &all[i]))
            used += (size_t)snprintf(text + used, sizeof text - used, "%s, ", settings_key(&all[i]));
    snprintf(
        text + used, sizeof text - used,
        "selector, fallbacks (operations the C path executed for the device), ms_per_step, sequences_per_second, "
        "mistakes, tested, error (mistakes / tested), test_seconds, mistakes_by_%s, tested_by_%s, out (where the "
        "model is)%s and stopped (why it ended early). What is unknown or absent is null. seed is a "
        "string, since it may need 64 bits; epochs are those completed; loss is the mean cross-entropy of %s %s in the "
        "kept epoch; valid_loss and valid_mistakes are that epoch's on the valid_size %s held out.",
        by, by, r->task == RECIPE_COUNT ? ", example" : "", words->article, words->one, words->many);
    format_print_wrapped(text, 0, 79);
    putchar('\n');
}
