#include "suite.h"

#include "parity/bounded.h"
#include "test_device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

suite the;
static char case_text[512];
static uint64_t random_state;

static bool switched_on(const char *name) {
    const char *value = getenv(name);
    return value && *value && strcmp(value, "0") != 0;
}

int suite_begin(void) {
    const char *seed = getenv("TALLY_TEST_SEED");
    random_state = seed && *seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    uint64_t first = random_state;
    the.small = switched_on("TALLY_TEST_SMALL");
    const char *route = getenv("TALLY_TEST_ROUTE");
    the.exact = !route || strcmp(route, "clblast") != 0;
    const char *threads = getenv("TALLY_TEST_THREADS");
    tally_device_options options = {.threads = threads ? (unsigned)strtoul(threads, NULL, 10) : 0,
                                    .route = the.exact ? TALLY_ROUTE_EXACT : TALLY_ROUTE_CLBLAST};
    int status = test_device_open(&options, &the.device);
    if (status)
        return status;
    if (tally_device_open("cpu", &(tally_device_options){.instruction_set = "baseline"}, &the.peer)) {
        fprintf(stderr, "%s\n", tally_error_text());
        suite_end();
        return EXIT_FAILURE;
    }
    const tally_device_info *info = tally_device_get_info(the.device);
    const char *inexact = tally_device_inexact(the.device);
    the.keeps_denormal = !*inexact;
    tl_bounded_flushes = !the.keeps_denormal;
    printf("device: %s, %s, %s%s%s; seed: TALLY_TEST_SEED=%llu\n", info->name, info->platform,
           the.exact ? "exact" : "clblast", *inexact ? ", within tolerance: " : "", inexact, (unsigned long long)first);
    return EXIT_SUCCESS;
}

void suite_end(void) {
    tally_device_close(the.peer);
    tally_device_close(the.device);
}

void suite_case(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(case_text, sizeof case_text, format, args);
    va_end(args);
}

void suite_fail(const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    fail_msg("%s: %s", case_text, text);
    abort(); /* fail_msg has left */
}

void suite_ok(tally_status status) {
    if (status)
        suite_fail("status %d: %s", (int)status, tally_error_text());
}

uint64_t suite_random(void) {
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t suite_pick(size_t count) {
    return (size_t)(suite_random() % count);
}

float suite_uniform(float low, float high) {
    return low + (high - low) * (float)(suite_random() >> 40) * 0x1p-24f;
}

void suite_uniforms(float *values, size_t count, float low, float high) {
    for (size_t i = 0; i < count; i++)
        values[i] = suite_uniform(low, high);
}

int32_t suite_label(size_t classes) {
    return suite_pick(8) == 0 ? -1 : (int32_t)suite_pick(classes);
}

void *suite_memory(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (!memory)
        suite_fail("no memory left");
    return memory;
}
