#include "task.h"

#include <string.h>

#include "tasks.h"

static const task *const tasks[RECIPE_TASKS] = {
    [RECIPE_COUNT] = &task_count, [RECIPE_MNIST] = &task_mnist, [RECIPE_NPY] = &task_npy};

const task *task_get(int number) {
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
