#include "train/slices.h"

#include "core/fail.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct tl_slices {
    unsigned workers, started;
    pthread_t *threads; /* of workers 1 on */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* All below under lock. */
    bool quit;
    size_t run;  /* number of the loop that is on */
    size_t busy; /* workers still in it */
    size_t count, next, merged;
    tl_slice_body *body, *merge;
    void *context;
    tally_status status;
    char text[4096];
};

typedef struct worker {
    tl_slices *slices;
    unsigned number;
} worker;

/* Takes slices until there is none left. Called and returns with the lock held. */
static void take_slices(tl_slices *s, unsigned number) {
    while (s->next < s->count && !s->status) {
        size_t slice = s->next++;
        pthread_mutex_unlock(&s->lock);
        tally_status status = s->body(s->context, number, slice);
        pthread_mutex_lock(&s->lock);
        while (s->merged != slice)
            pthread_cond_wait(&s->changed, &s->lock);
        if (!s->status && !status && s->merge)
            status = s->merge(s->context, number, slice);
        if (!s->status && status) {
            s->status = status;
            snprintf(s->text, sizeof s->text, "%s", tally_error_text());
        }
        s->merged = slice + 1;
        pthread_cond_broadcast(&s->changed);
    }
}

static void *work(void *argument) {
    worker *self = argument;
    tl_slices *s = self->slices;
    size_t done = 0;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        while (!s->quit && s->run == done)
            pthread_cond_wait(&s->changed, &s->lock);
        if (s->quit)
            break;
        done = s->run;
        take_slices(s, self->number);
        if (--s->busy == 0)
            pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->lock);
    free(self);
    return NULL;
}

tally_status tl_slices_new(unsigned workers, tl_slices **out) {
    tl_slices *s = calloc(1, sizeof *s);
    if (s)
        s->threads = calloc(workers, sizeof *s->threads);
    if (!s || !s->threads) {
        free(s);
        return tl_fail(TALLY_MEMORY, "no memory left for %u threads", workers);
    }
    s->workers = workers;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    for (unsigned i = 1; i < workers; i++) {
        worker *self = malloc(sizeof *self);
        if (self)
            *self = (worker){s, i};
        if (!self || pthread_create(&s->threads[s->started], NULL, work, self)) {
            free(self);
            tl_slices_free(s);
            return tl_fail(TALLY_MEMORY, "thread %u of %u could not be started", i + 1, workers);
        }
        s->started++;
    }
    *out = s;
    return TALLY_OK;
}

void tl_slices_free(tl_slices *s) {
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->quit = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; i < s->started; i++)
        pthread_join(s->threads[i], NULL);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s->threads);
    free(s);
}

tally_status tl_slices_run(tl_slices *s, size_t count, tl_slice_body *body, tl_slice_body *merge, void *context) {
    pthread_mutex_lock(&s->lock);
    s->count = count;
    s->next = s->merged = 0;
    s->body = body;
    s->merge = merge;
    s->context = context;
    s->status = TALLY_OK;
    s->busy = s->started;
    s->run++;
    pthread_cond_broadcast(&s->changed);
    take_slices(s, 0);
    while (s->busy > 0)
        pthread_cond_wait(&s->changed, &s->lock);
    tally_status status = s->status;
    pthread_mutex_unlock(&s->lock);
    return status ? tl_fail(status, "%s", s->text) : TALLY_OK;
}
