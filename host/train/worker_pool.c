#include "train/worker_pool.h"

#include "core/clock.h"
#include "core/fail.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* What is done with the chunks of a batch. */
typedef struct job {
    size_t count;
    tl_chunk_function *compute, *merge;
    void *context;
    tl_worker_profile *profile; /* one for each worker, or NULL */
} job;

struct tl_worker_pool {
    unsigned started;
    pthread_t *threads; /* of workers 1 on */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* All below under lock. */
    bool quit;
    size_t jobs; /* so far, the present one counted in */
    size_t busy; /* workers still at it */
    job job;
    size_t next;         /* chunk to be handed out */
    tally_status status; /* of the lowest chunk that failed, and its number and text */
    size_t failed;
    char text[4096];
};

typedef struct thread_start {
    tl_worker_pool *pool;
    unsigned number;
} thread_start;

static tally_status compute_chunk(const job *j, unsigned worker, size_t chunk) {
    if (!j->profile)
        return j->compute(j->context, worker, chunk);
    double start = tl_thread_seconds();
    tally_status status = j->compute(j->context, worker, chunk);
    j->profile[worker].compute += tl_thread_seconds() - start;
    return status;
}

/* Runs chunks until none is left. Called and returns with the lock held. */
static void run_chunks(tl_worker_pool *p, unsigned worker) {
    const job j = p->job;
    double start = j.profile ? tl_thread_seconds() : 0, before = j.profile ? j.profile[worker].compute : 0;
    while (p->next < j.count && !p->status) {
        size_t chunk = p->next++;
        pthread_mutex_unlock(&p->lock);
        tally_status status = compute_chunk(&j, worker, chunk);
        if (!status && j.merge)
            status = j.merge(j.context, worker, chunk);
        pthread_mutex_lock(&p->lock);
        if (status && (!p->status || chunk < p->failed)) {
            p->status = status;
            p->failed = chunk;
            snprintf(p->text, sizeof p->text, "%s", tally_error_text());
        }
    }
    if (j.profile)
        j.profile[worker].merge += tl_thread_seconds() - start - (j.profile[worker].compute - before);
}

static void *worker_thread(void *argument) {
    thread_start self = *(thread_start *)argument;
    free(argument);
    tl_worker_pool *p = self.pool;
    size_t done = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->quit && p->jobs == done)
            pthread_cond_wait(&p->changed, &p->lock);
        if (p->quit)
            break;
        done = p->jobs;
        run_chunks(p, self.number);
        if (--p->busy == 0)
            pthread_cond_broadcast(&p->changed);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

tally_status tl_worker_pool_new(unsigned workers, tl_worker_pool **out) {
    tl_worker_pool *p = calloc(1, sizeof *p);
    if (p)
        p->threads = calloc(workers, sizeof *p->threads);
    if (!p || !p->threads) {
        free(p);
        return tl_fail(TALLY_MEMORY, "no memory left for %u threads", workers);
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->changed, NULL);
    for (unsigned i = 1; i < workers; i++) {
        thread_start *start = malloc(sizeof *start);
        if (start)
            *start = (thread_start){p, i};
        if (!start || pthread_create(&p->threads[p->started], NULL, worker_thread, start)) {
            free(start);
            tl_worker_pool_free(p);
            return tl_fail(TALLY_MEMORY, "thread %u of %u could not be started", i + 1, workers);
        }
        p->started++;
    }
    *out = p;
    return TALLY_OK;
}

void tl_worker_pool_free(tl_worker_pool *p) {
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->started; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
}

void tl_worker_pool_profile(tl_worker_pool *p, tl_worker_profile *profile) {
    p->job.profile = profile;
}

size_t tl_worker_pool_failed(const tl_worker_pool *p) {
    return p->failed;
}

tally_status tl_worker_pool_run(tl_worker_pool *p, size_t count, tl_chunk_function *compute, tl_chunk_function *merge,
                                void *context) {
    pthread_mutex_lock(&p->lock);
    p->job = (job){count, compute, merge, context, p->job.profile};
    p->next = 0;
    p->status = TALLY_OK;
    p->busy = p->started;
    p->jobs++;
    pthread_cond_broadcast(&p->changed);
    run_chunks(p, 0);
    while (p->busy > 0)
        pthread_cond_wait(&p->changed, &p->lock);
    tally_status status = p->status;
    pthread_mutex_unlock(&p->lock);
    return status ? tl_fail(status, "%s", p->text) : TALLY_OK;
}
