/* What the processor's vector units do at most: chains of fused multiply-adds that never leave their registers, in all
 * threads. */
#include "backend/cpu/kernels.h"
#include "core/clock.h"
#include "core/fail.h"

#include <pthread.h>
#include <stdlib.h>

/* Chains enough to hide an addition's latency on two units, few enough for 16 registers with the two constants. */
enum { CHAINS = 12, ITERATIONS = 4096, ROUNDS = 8 };
static const double ROUND_SECONDS = 0.02;

/* x86-64 alone has no fused multiply-add, and the one that stands in for it says nothing of the processor. */
#if defined(__SSE2__) && !defined(__FMA__)
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#else
#define MULTIPLY_ADD(a, b, c) TL_FMA(a, b, c)
#endif

typedef struct loop {
    pthread_t thread;
    double rate; /* operations a second */
    volatile float result;
} loop;

static void *run(void *argument) {
    loop *l = argument;
    tl_vf chain[CHAINS], factor = TL_SPLAT(0.5f), term = TL_SPLAT(1.0f);
    for (int c = 0; c < CHAINS; c++)
        chain[c] = TL_SPLAT((float)c);
    double start = tl_seconds(), seconds = 0.0, loops = 0.0;
    while (seconds < ROUND_SECONDS) {
        for (int i = 0; i < ITERATIONS; i++) {
#pragma GCC unroll 12
            for (int c = 0; c < CHAINS; c++)
                chain[c] = MULTIPLY_ADD(chain[c], factor, term);
        }
        loops += 1.0;
        seconds = tl_seconds() - start;
    }
    for (int c = 1; c < CHAINS; c++)
        chain[0] += chain[c];
    l->result = chain[0][0];
    l->rate = loops * ITERATIONS * CHAINS * TL_W * 2.0 / seconds;
    return NULL;
}

/* All threads at once, so that they share what the processor's threads share. */
static tally_status run_all(loop *loops, unsigned threads, double *rate) {
    unsigned started = 0;
    while (started < threads && pthread_create(&loops[started].thread, NULL, run, &loops[started]) == 0)
        started++;
    *rate = 0.0;
    for (unsigned i = 0; i < started; i++) {
        pthread_join(loops[i].thread, NULL);
        *rate += loops[i].rate;
    }
    return started == threads ? TALLY_OK
                              : tl_fail(TALLY_MEMORY, "thread %u of %u could not be started", started + 1, threads);
}

tally_status TL_ISA_NAME(peak)(tally_device *device, double *flops) {
    loop *loops = calloc(device->workers, sizeof *loops);
    if (!loops)
        return tl_fail(TALLY_MEMORY, "no memory left for %u threads", device->workers);
    tally_status status = TALLY_OK;
    *flops = 0.0;
    for (int r = 0; r < ROUNDS && !status; r++) {
        double rate;
        status = run_all(loops, device->workers, &rate);
        if (!status && rate > *flops)
            *flops = rate;
    }
    free(loops);
    return status;
}
