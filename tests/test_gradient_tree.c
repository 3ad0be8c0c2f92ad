/* The worker pool and the gradient tree: in whatever order chunks finish, their sum is the one that
 * tally_accumulate defines, no worker waits, and the first failure is the one that is reported.
 *
 * test_gradient_tree profile: prints the share of merging in a step of simulated work. */
#include "core/fail.h"
#include "train/gradient_tree.h"
#include "train/worker_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/tally.h>
#include <time.h>

enum { ELEMENTS = 8, MAX_CHUNKS = 70, WORKERS = 8 };
static const unsigned worker_counts[] = {1, 2, 3, WORKERS};

/* The number of the allocation that fails, from 1; 0: none. */
static size_t fails_at, allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool fails_now(void) {
    return fails_at && ++allocations == fails_at;
}

void *__wrap_malloc(size_t size) {
    return fails_now() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size) {
    return fails_now() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size) {
    return fails_now() ? NULL : __real_realloc(memory, size);
}

static void assert_ok(tally_status status) {
    if (status)
        fail_msg("%s", tally_error_text());
}

/* SplitMix64. */
static uint64_t mixed(uint64_t number) {
    number *= 0x9E3779B97F4A7C15u;
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9u;
    number = (number ^ number >> 27) * 0x94D049BB133111EBu;
    return number ^ number >> 31;
}

/* An element of a chunk's gradient. Magnitudes differ by up to 2^24, so that other orders of addition give other
 * sums. */
static float leaf(size_t chunk, size_t element) {
    uint64_t word = mixed(chunk * ELEMENTS + element + 1);
    float value = (float)(word >> 40) * (word & 1 ? -0x1p-24f : 0x1p-24f);
    return value * (float)(1u << (word >> 8) % 24);
}

/* The definition of the sum. */
static float tree_sum(size_t element, size_t lo, size_t hi) {
    if (hi - lo == 1)
        return leaf(lo, element);
    size_t half = 1;
    while (2 * half < hi - lo)
        half *= 2;
    return tree_sum(element, lo, lo + half) + tree_sum(element, lo + half, hi);
}

static tally_device *device;

static int open_device(void **state) {
    (void)state;
    return (int)tally_device_open("cpu", &(tally_device_options){.threads = WORKERS}, &device);
}

static int close_device(void **state) {
    (void)state;
    tally_device_close(device);
    return 0;
}

static tally_status write_leaf(size_t chunk, const tally_tensor *gradient) {
    float values[ELEMENTS];
    for (size_t i = 0; i < ELEMENTS; i++)
        values[i] = leaf(chunk, i);
    return tally_tensor_write(gradient, values, ELEMENTS);
}

static void check_sum(const tl_gradient_tree *tree, size_t count) {
    float got[ELEMENTS];
    assert_non_null(tl_gradient_tree_sum(tree));
    assert_ok(tally_tensor_read(tl_gradient_tree_sum(tree), got, ELEMENTS));
    for (size_t i = 0; i < ELEMENTS; i++) {
        float want = tree_sum(i, 0, count);
        if (memcmp(&got[i], &want, sizeof want) != 0)
            fail_msg("%zu chunks: sum %zu is %a, not %a", count, i, (double)got[i], (double)want);
    }
}

/* The bound that train/gradient_tree.h states. */
static size_t max_tensors(size_t workers, size_t chunks) {
    size_t levels = 0;
    while ((size_t)1 << levels < chunks)
        levels++;
    return workers == 1 ? levels + 1 : workers * (levels + 1) + 1;
}

static void leaves_tell_orders_apart(void **state) {
    (void)state;
    size_t apart = 0;
    for (size_t count = 4; count <= MAX_CHUNKS; count++) {
        bool same = true;
        for (size_t i = 0; i < ELEMENTS; i++) {
            float chain = leaf(0, i);
            for (size_t chunk = 1; chunk < count; chunk++)
                chain += leaf(chunk, i);
            same = same && chain == tree_sum(i, 0, count);
        }
        apart += !same;
    }
    assert_int_equal(apart, MAX_CHUNKS - 3);
}

/* Keeps up to workers chunks in progress and finishes a random one. */
static void finish_in_random_order(tl_gradient_tree *tree, size_t workers, size_t count, uint64_t seed) {
    size_t chunk[WORKERS], in_progress = 0, next = 0;
    tally_tensor *gradient[WORKERS];
    tl_gradient_tree_begin(tree, count);
    for (size_t done = 0; done < count; done++) {
        for (; in_progress < workers && next < count; in_progress++) {
            chunk[in_progress] = next++;
            assert_ok(tl_gradient_tree_gradient(tree, &gradient[in_progress]));
            assert_ok(write_leaf(chunk[in_progress], gradient[in_progress]));
        }
        size_t drawn = mixed(seed + done) % in_progress--;
        assert_ok(tl_gradient_tree_add(tree, chunk[drawn], gradient[drawn]));
        chunk[drawn] = chunk[in_progress];
        gradient[drawn] = gradient[in_progress];
    }
    check_sum(tree, count);
}

static void any_order_has_the_sum_of_the_tree(void **state) {
    (void)state;
    for (size_t w = 0; w < 4; w++)
        for (size_t count = 1; count <= MAX_CHUNKS; count++) {
            tl_gradient_tree *tree;
            assert_ok(tl_gradient_tree_new(device, ELEMENTS, count, &tree));
            for (uint64_t seed = 0; seed < 4; seed++)
                finish_in_random_order(tree, worker_counts[w], count, 1000 * seed + count);
            tl_gradient_tree_use used = tl_gradient_tree_used(tree);
            assert_int_equal(used.additions, 4 * (count - 1));
            assert_in_range(used.tensors, 1, max_tensors(worker_counts[w], count));
            tl_gradient_tree_free(tree);
        }
}

/* State shared by the functions of a pool's chunks. */
typedef struct shared_run {
    tl_gradient_tree *tree;
    tally_tensor *gradients[WORKERS];
    size_t count;
    uint64_t seed;
    size_t fails, fails_too, merge_fails; /* the chunks that fail; MAX_CHUNKS: none */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t computed, merged[MAX_CHUNKS];
    bool waits; /* whether the first chunk waits for all others */
} shared_run;

static void sleep_microseconds(uint64_t microseconds) {
    nanosleep(&(struct timespec){0, (long)(1000 * microseconds)}, NULL);
}

/* Waits until all chunks but the first are finished. */
static tally_status wait_for_others(shared_run *run) {
    struct timespec limit;
    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 20;
    int late = 0;
    pthread_mutex_lock(&run->lock);
    while (run->computed + 1 < run->count && !late)
        late = pthread_cond_timedwait(&run->changed, &run->lock, &limit);
    pthread_mutex_unlock(&run->lock);
    return late ? tl_fail(TALLY_STOPPED, "the others wait for the first chunk") : TALLY_OK;
}

static tally_status compute(void *context, unsigned worker, size_t chunk) {
    shared_run *run = context;
    tally_status status = tl_gradient_tree_gradient(run->tree, &run->gradients[worker]);
    if (!status)
        status = write_leaf(chunk, run->gradients[worker]);
    if (!status && run->waits && chunk == 0)
        status = wait_for_others(run);
    if (!run->waits)
        sleep_microseconds(chunk == run->fails ? 500 : mixed(run->seed + chunk) % 60);
    if (chunk == run->fails || chunk == run->fails_too)
        return tl_fail(TALLY_DATA, "chunk %zu failed", chunk);
    pthread_mutex_lock(&run->lock);
    run->computed++;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
    return status;
}

static tally_status merge(void *context, unsigned worker, size_t chunk) {
    shared_run *run = context;
    run->merged[chunk]++;
    if (chunk == run->merge_fails)
        return tl_fail(TALLY_DEVICE, "merging %zu failed", chunk);
    return tl_gradient_tree_add(run->tree, chunk, run->gradients[worker]);
}

static tally_status run_pool(tl_worker_pool *pool, shared_run *run) {
    memset(run->merged, 0, sizeof run->merged);
    run->computed = 0;
    tl_gradient_tree_begin(run->tree, run->count);
    return tl_worker_pool_run(pool, run->count, compute, merge, run);
}

static shared_run start_run(tl_gradient_tree *tree) {
    return (shared_run){.tree = tree,
                        .fails = MAX_CHUNKS,
                        .fails_too = MAX_CHUNKS,
                        .merge_fails = MAX_CHUNKS,
                        .lock = PTHREAD_MUTEX_INITIALIZER,
                        .changed = PTHREAD_COND_INITIALIZER};
}

static void any_number_of_workers_has_the_sum_of_the_tree(void **state) {
    (void)state;
    for (size_t w = 0; w < 4; w++) {
        tl_gradient_tree *tree;
        tl_worker_pool *pool;
        assert_ok(tl_gradient_tree_new(device, ELEMENTS, MAX_CHUNKS, &tree));
        assert_ok(tl_worker_pool_new(worker_counts[w], &pool));
        shared_run run = start_run(tree);
        size_t additions = 0;
        for (run.count = 1; run.count <= MAX_CHUNKS; run.count++) {
            run.seed = 100 * run.count;
            assert_ok(run_pool(pool, &run));
            check_sum(tree, run.count);
            additions += run.count - 1;
            for (size_t chunk = 0; chunk < run.count; chunk++)
                assert_int_equal(run.merged[chunk], 1);
        }
        tl_gradient_tree_use used = tl_gradient_tree_used(tree);
        assert_int_equal(used.additions, additions);
        assert_in_range(used.tensors, 1, max_tensors(worker_counts[w], MAX_CHUNKS));
        tl_worker_pool_free(pool);
        tl_gradient_tree_free(tree);
    }
}

static void nobody_waits_for_a_slow_chunk(void **state) {
    (void)state;
    for (size_t w = 1; w < 4; w++) {
        tl_gradient_tree *tree;
        tl_worker_pool *pool;
        assert_ok(tl_gradient_tree_new(device, ELEMENTS, MAX_CHUNKS, &tree));
        assert_ok(tl_worker_pool_new(worker_counts[w], &pool));
        shared_run run = start_run(tree);
        run.waits = true;
        for (run.count = 2; run.count <= MAX_CHUNKS; run.count += 17) {
            assert_ok(run_pool(pool, &run));
            check_sum(tree, run.count);
        }
        assert_in_range(tl_gradient_tree_used(tree).tensors, 1, max_tensors(worker_counts[w], MAX_CHUNKS));
        tl_worker_pool_free(pool);
        tl_gradient_tree_free(tree);
    }
}

/* The first chunk that fails takes longer than the next one, which fails as well. */
static void check_failure(tl_worker_pool *pool, unsigned workers, shared_run *run, size_t chunk) {
    char text[64];
    run->fails = chunk;
    run->fails_too = chunk + 1;
    assert_int_equal(run_pool(pool, run), TALLY_DATA);
    snprintf(text, sizeof text, "chunk %zu failed", chunk);
    assert_string_equal(tally_error_text(), text);
    assert_int_equal(tl_worker_pool_failed(pool), chunk);
    for (size_t c = 0; c < chunk; c++)
        assert_int_equal(run->merged[c], 1);
    assert_int_equal(run->merged[chunk], 0);
    assert_true(chunk + 1 >= MAX_CHUNKS || run->merged[chunk + 1] == 0);
    assert_true(workers > 1 || run->computed == chunk);
    run->fails = run->fails_too = MAX_CHUNKS;

    run->merge_fails = chunk;
    assert_int_equal(run_pool(pool, run), TALLY_DEVICE);
    snprintf(text, sizeof text, "merging %zu failed", chunk);
    assert_string_equal(tally_error_text(), text);
    assert_int_equal(tl_worker_pool_failed(pool), chunk);
    run->merge_fails = MAX_CHUNKS;
}

static void the_first_failure_is_reported(void **state) {
    (void)state;
    for (size_t w = 0; w < 4; w++) {
        tl_gradient_tree *tree;
        tl_worker_pool *pool;
        assert_ok(tl_gradient_tree_new(device, ELEMENTS, MAX_CHUNKS, &tree));
        assert_ok(tl_worker_pool_new(worker_counts[w], &pool));
        shared_run run = start_run(tree);
        for (run.count = 1; run.count <= MAX_CHUNKS; run.count += 23)
            for (size_t chunk = 0; chunk < run.count; chunk += 1 + run.count / 5)
                check_failure(pool, worker_counts[w], &run, chunk);
        run.count = MAX_CHUNKS; /* the failures have left nothing behind */
        assert_ok(run_pool(pool, &run));
        check_sum(tree, run.count);
        assert_in_range(tl_gradient_tree_used(tree).tensors, 1, max_tensors(worker_counts[w], MAX_CHUNKS));
        tl_worker_pool_free(pool);
        tl_gradient_tree_free(tree);
    }
}

static tally_status sum_of_nine(void) {
    tl_gradient_tree *tree;
    tally_status status = tl_gradient_tree_new(device, ELEMENTS, 9, &tree);
    if (status)
        return status;
    tl_gradient_tree_begin(tree, 9);
    tally_tensor *gradients[9];
    for (size_t chunk = 0; chunk < 9 && !status; chunk++)
        status = tl_gradient_tree_gradient(tree, &gradients[chunk]);
    for (size_t chunk = 0; chunk < 9 && !status; chunk++) {
        status = write_leaf(chunk, gradients[chunk]);
        if (!status)
            status = tl_gradient_tree_add(tree, chunk, gradients[chunk]);
    }
    if (!status)
        check_sum(tree, 9);
    tl_gradient_tree_free(tree);
    return status;
}

static void each_allocation_fails_once(void **state) {
    (void)state;
    tally_status status = TALLY_MEMORY;
    for (fails_at = 1; status; fails_at++) {
        allocations = 0;
        status = sum_of_nine();
        assert_true(status == TALLY_MEMORY || (!status && allocations < fails_at));
    }
    assert_true(fails_at > 9);
    fails_at = 0;
}

/* The product that gives the gradient of a 1,024 by 1,024 matrix over micro-batches of 20 time steps: a third of
 * such a layer's work in a step. */
enum { SIDE = 1024, STEPS = 20, MICRO_BATCHES = 64 };

typedef struct work {
    tl_gradient_tree *tree;
    tally_tensor left, right, *gradients[WORKERS];
} work;

static tally_status compute_product(void *context, unsigned worker, size_t chunk) {
    work *w = context;
    tally_tensor matrix;
    (void)chunk;
    tally_status status = tl_gradient_tree_gradient(w->tree, &w->gradients[worker]);
    if (!status)
        status = tally_fill(w->gradients[worker], 0.0f);
    if (!status)
        status = tally_tensor_reshape(w->gradients[worker], 2, (size_t[]){SIDE, SIDE}, &matrix);
    return status ? status : tally_accumulate(&w->left, &w->right, &matrix);
}

static tally_status merge_product(void *context, unsigned worker, size_t chunk) {
    work *w = context;
    return tl_gradient_tree_add(w->tree, chunk, w->gradients[worker]);
}

static void the_profile_of_a_step(void **state) {
    (void)state;
    const size_t shape[3] = {SIDE, STEPS, TALLY_MICRO_BATCH};
    work w;
    tl_worker_pool *pool;
    tl_worker_profile profile[WORKERS] = {{0, 0}};
    double computing = 0, merging = 0;
    assert_ok(tally_tensor_new(device, TALLY_F32, 3, shape, &w.left));
    assert_ok(tally_tensor_new(device, TALLY_F32, 3, shape, &w.right));
    assert_ok(tl_gradient_tree_new(device, (size_t)SIDE * SIDE, MICRO_BATCHES, &w.tree));
    assert_ok(tl_worker_pool_new(WORKERS, &pool));
    for (int step = 0; step < 2; step++) { /* memory is allocated in the first step */
        memset(profile, 0, sizeof profile);
        tl_worker_pool_profile(pool, profile);
        tl_gradient_tree_begin(w.tree, MICRO_BATCHES);
        assert_ok(tl_worker_pool_run(pool, MICRO_BATCHES, compute_product, merge_product, &w));
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        computing += profile[i].compute;
        merging += profile[i].merge;
    }
    tl_gradient_tree_use used = tl_gradient_tree_used(w.tree);
    assert_int_equal(used.additions, 2 * (MICRO_BATCHES - 1));
    assert_in_range(used.tensors, 1, max_tensors(WORKERS, MICRO_BATCHES));
    printf(
        "%d micro-batches, %d parameters, %d threads: %.1f ms of processor time computing, %.1f ms merging: %.2f %%; "
        "%zu gradients\n",
        MICRO_BATCHES, SIDE * SIDE, WORKERS, 1e3 * computing, 1e3 * merging, 100 * merging / (computing + merging),
        used.tensors);
    tl_worker_pool_free(pool);
    tl_gradient_tree_free(w.tree);
    tally_tensor_free(&w.left);
    tally_tensor_free(&w.right);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaves_tell_orders_apart),
        cmocka_unit_test(any_order_has_the_sum_of_the_tree),
        cmocka_unit_test(any_number_of_workers_has_the_sum_of_the_tree),
        cmocka_unit_test(nobody_waits_for_a_slow_chunk),
        cmocka_unit_test(the_first_failure_is_reported),
        cmocka_unit_test(each_allocation_fails_once),
    };
    const struct CMUnitTest profiles[] = {cmocka_unit_test(the_profile_of_a_step)};
    bool profiled = argc > 1 && strcmp(argv[1], "profile") == 0;
    int failed = profiled ? cmocka_run_group_tests(profiles, open_device, close_device)
                          : cmocka_run_group_tests(tests, open_device, close_device);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
