#include "train/gradient_tree.h"

#include "core/fail.h"
#include "core/size.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct tl_gradient_tree {
    tally_device *device;
    size_t elements, most; /* chunks */
    size_t count;          /* of the batch */
    pthread_mutex_t lock;
    /* All below under lock. */
    tally_tensor *
        *waiting; /* [most]: the half that is complete of the sum whose second half begins with this chunk, or NULL */
    tally_tensor **tensors, **free; /* all that have been made, and those that nobody has */
    size_t made, free_count, capacity;
    size_t additions;
    tally_tensor *sum;
};

tally_status tl_gradient_tree_new(tally_device *device, size_t elements, size_t chunks, tl_gradient_tree **out) {
    tl_gradient_tree *t = calloc(1, sizeof *t);
    if (t)
        t->waiting = calloc(chunks, sizeof(tally_tensor *));
    if (!t || !t->waiting) {
        free(t);
        return tl_fail(TALLY_MEMORY, "no memory left for the sums of %zu chunks", chunks);
    }
    t->device = device;
    t->elements = elements;
    t->most = chunks;
    pthread_mutex_init(&t->lock, NULL);
    *out = t;
    return TALLY_OK;
}

void tl_gradient_tree_free(tl_gradient_tree *t) {
    if (!t)
        return;
    for (size_t i = 0; i < t->made; i++) {
        tally_tensor_free(t->tensors[i]);
        free(t->tensors[i]);
    }
    pthread_mutex_destroy(&t->lock);
    free(t->tensors);
    free(t->free);
    free(t->waiting);
    free(t);
}

void tl_gradient_tree_begin(tl_gradient_tree *t, size_t count) {
    t->count = count;
    t->sum = NULL;
    for (size_t i = 0; i < t->most; i++)
        t->waiting[i] = NULL;
    for (size_t i = 0; i < t->made; i++)
        t->free[i] = t->tensors[i];
    t->free_count = t->made;
}

/* Both lists can have one tensor more. Called with the lock held; false: no memory. */
static bool grow_lists(tl_gradient_tree *t) {
    if (t->made < t->capacity)
        return true;
    size_t capacity = t->capacity ? 2 * t->capacity : 8;
    tally_tensor **tensors = realloc(t->tensors, capacity * sizeof *tensors);
    if (tensors)
        t->tensors = tensors;
    tally_tensor **unused = realloc(t->free, capacity * sizeof *unused);
    if (unused)
        t->free = unused;
    if (!tensors || !unused)
        return false;
    t->capacity = capacity;
    return true;
}

/* Called with the lock held: the tensor is given to the caller. */
static tally_status make_tensor(tl_gradient_tree *t, tally_tensor **gradient) {
    tally_tensor *made = grow_lists(t) ? calloc(1, sizeof *made) : NULL;
    if (!made)
        return tl_fail(TALLY_MEMORY, "no memory left for one gradient more");
    tally_status status = tally_tensor_new(t->device, TALLY_F32, 1, &t->elements, made);
    if (status) {
        free(made);
        return status;
    }
    t->tensors[t->made++] = made;
    *gradient = made;
    return TALLY_OK;
}

tally_status tl_gradient_tree_gradient(tl_gradient_tree *t, tally_tensor **gradient) {
    tally_status status = TALLY_OK;
    pthread_mutex_lock(&t->lock);
    if (t->free_count)
        *gradient = t->free[--t->free_count];
    else
        status = make_tensor(t, gradient);
    pthread_mutex_unlock(&t->lock);
    return status;
}

/* The half that waits for this one, or NULL: this one waits now. */
static tally_tensor *exchange_halves(tl_gradient_tree *t, size_t middle, tally_tensor *half) {
    pthread_mutex_lock(&t->lock);
    tally_tensor *other = t->waiting[middle];
    t->waiting[middle] = other ? NULL : half;
    pthread_mutex_unlock(&t->lock);
    return other;
}

/* first += second, which is free then. */
static tally_status add_halves(tl_gradient_tree *t, tally_tensor *second, const tally_tensor *first) {
    tally_status status = tally_add(second, first);
    pthread_mutex_lock(&t->lock);
    t->additions++;
    t->free[t->free_count++] = second;
    pthread_mutex_unlock(&t->lock);
    return status;
}

tally_status tl_gradient_tree_add(tl_gradient_tree *t, size_t chunk, tally_tensor *gradient) {
    /* gradient is the sum of the chunks from first on, size of them or as many as there are. */
    size_t first = chunk, size = 1;
    for (; first > 0 || size < t->count; size *= 2) {
        bool is_second = first & size;
        size_t middle = is_second ? first : first + size;
        if (middle >= t->count)
            continue; /* there is no second half: this is the sum already */
        tally_tensor *other = exchange_halves(t, middle, gradient);
        if (!other)
            return TALLY_OK;
        tally_tensor *sum = is_second ? other : gradient;
        tally_status status = add_halves(t, is_second ? gradient : other, sum);
        if (status)
            return status;
        gradient = sum;
        first &= ~size;
    }
    t->sum = gradient;
    return TALLY_OK;
}

const tally_tensor *tl_gradient_tree_sum(const tl_gradient_tree *t) {
    return t->sum;
}

tl_gradient_tree_use tl_gradient_tree_used(tl_gradient_tree *t) {
    pthread_mutex_lock(&t->lock);
    tl_gradient_tree_use use = {t->made, t->additions};
    pthread_mutex_unlock(&t->lock);
    return use;
}
