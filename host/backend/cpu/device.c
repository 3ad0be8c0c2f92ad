#include "backend/backend.h"
#include "backend/registry.h"
#include "core/fail.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_THREADS = 1024 };
static const char NAME[] = "cpu";

extern const tl_backend tl_baseline_backend;
#if defined(__x86_64__)
extern const tl_backend tl_avx2_backend, tl_avx512_backend;
#endif

typedef struct instruction_set {
    const char *name;
    const tl_backend *backend;
    bool available; /* on this processor */
} instruction_set;

/* Best first. */
static instruction_set sets[] = {
#if defined(__x86_64__)
    {"avx512", &tl_avx512_backend, false},
    {"avx2", &tl_avx2_backend, false},
#endif
    {"baseline", &tl_baseline_backend, true},
};
enum { SETS = sizeof sets / sizeof *sets };

/* Set once, by detect_sets(). */
static pthread_once_t detected = PTHREAD_ONCE_INIT;
static char from_environment[64];                         /* TALLY_CPU, "" where it is not set */
static const instruction_set *standard = &sets[SETS - 1]; /* of devices opened without a wish, and of the reference */

static const instruction_set *set_named(const char *name) {
    for (size_t i = 0; i < SETS; i++)
        if (strcmp(name, sets[i].name) == 0)
            return &sets[i];
    return NULL;
}

static void detect_sets(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    sets[0].available = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    sets[1].available = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    const char *text = getenv("TALLY_CPU");
    snprintf(from_environment, sizeof from_environment, "%s", text ? text : "");
    for (size_t i = SETS; i-- > 0;)
        if (sets[i].available && (!*from_environment || strcmp(from_environment, sets[i].name) == 0))
            standard = &sets[i];
}

/* The one of that name; NULL: the one that TALLY_CPU names, else the best that this processor has. */
static tally_status choose(const char *name, const instruction_set **chosen) {
    pthread_once(&detected, detect_sets);
    const char *source = name ? "instruction set " : "TALLY_CPU=";
    if (!name)
        name = from_environment;
    *chosen = *name ? set_named(name) : standard;
    if (!*chosen)
        return tl_fail(TALLY_DEVICE, "%s%s: there are baseline, avx2 and avx512", source, name);
    if (!(*chosen)->available)
        return tl_fail(TALLY_DEVICE, "%s%s: this processor does not have it", source, name);
    return TALLY_OK;
}

const tl_backend *tl_cpu_backend(void) {
    pthread_once(&detected, detect_sets);
    return standard->backend;
}

static unsigned processors(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) ? 0 : CPU_COUNT(&set);
    if (count < 1)
        count = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > MAX_THREADS ? MAX_THREADS : (unsigned)count;
}

/* The processor's name as the kernel gives it, "CPU" where it does not. */
static void processor_name(char *name, size_t size) {
    snprintf(name, size, "CPU");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file)
        return;
    char line[256];
    while (fgets(line, sizeof line, file)) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value || value[1] == '\0')
            continue;
        value += 2;
        value[strcspn(value, "\n")] = '\0';
        snprintf(name, size, "%s", value);
        break;
    }
    fclose(file);
}

static tally_status describe(tally_device_info *info, unsigned threads, const char *set) {
    if (threads > MAX_THREADS)
        return tl_fail(TALLY_USAGE, "%u threads: at most %d", threads, MAX_THREADS);
    *info = (tally_device_info){.type = TALLY_DEVICE_CPU, .compute_units = threads ? threads : processors()};
    snprintf(info->selector, sizeof info->selector, "%s", NAME);
    snprintf(info->backend, sizeof info->backend, "%s", NAME);
    snprintf(info->platform, sizeof info->platform, "C, %s", set);
    processor_name(info->name, sizeof info->name);
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0)
        info->memory_bytes = (uint64_t)pages * (uint64_t)page;
    return TALLY_OK;
}

static tally_status list_devices(tally_device_info **infos, size_t *count, char *note, size_t note_size) {
    (void)note, (void)note_size; /* there always is one */
    const instruction_set *chosen;
    tally_device_info info;
    tally_status status = choose(NULL, &chosen);
    if (!status)
        status = describe(&info, 0, chosen->name);
    if (status)
        return status;
    *infos = malloc(sizeof info);
    if (!*infos)
        return tl_fail(TALLY_MEMORY, "no memory left for the list of devices");
    **infos = info;
    *count = 1;
    return TALLY_OK;
}

static tally_status open_device(const char *selector, const tally_device_options *options, tally_device **device) {
    (void)selector;
    if (options->route == TALLY_ROUTE_CLBLAST)
        return tl_fail(TALLY_USAGE, "the cpu device has the exact route only: CLBlast is for OpenCL devices");
    const instruction_set *chosen;
    tally_status status = choose(options->instruction_set, &chosen);
    if (status)
        return status;
    tally_device *made = calloc(1, sizeof *made);
    if (!made)
        return tl_fail(TALLY_MEMORY, "no memory left for a device");
    status = describe(&made->info, options->threads, chosen->name);
    if (status) {
        free(made);
        return status;
    }
    made->backend = chosen->backend;
    made->workers = made->info.compute_units;
    made->chunk_columns = TALLY_MICRO_BATCH; /* its activations fit in a core's cache */
    made->route = TALLY_ROUTE_EXACT;
    *device = made;
    return TALLY_OK;
}

const tl_registration tl_cpu_registration = {.name = NAME, .list = list_devices, .open = open_device};
