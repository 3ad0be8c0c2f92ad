#include "backend/backend.h"
#include "core/fail.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_THREADS = 1024 };

extern const tl_backend tl_baseline_backend;
#if defined(__x86_64__)
extern const tl_backend tl_avx2_backend, tl_avx512_backend;
#endif

typedef struct instruction_set {
    const char *name;
    const tl_backend *backend;
    bool here;
} instruction_set;

enum { SETS = 3 };

/* Best first. */
static int instruction_sets(instruction_set sets[SETS]) {
    int count = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    sets[count++] = (instruction_set){"avx512", &tl_avx512_backend,
                                      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")};
    sets[count++] =
        (instruction_set){"avx2", &tl_avx2_backend, __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")};
#endif
    sets[count++] = (instruction_set){"baseline", &tl_baseline_backend, true};
    return count;
}

/* The one that is wanted, or that TALLY_CPU names; else the best this processor has. */
static tally_status choose(const char *wanted, instruction_set *chosen) {
    instruction_set sets[SETS];
    int count = instruction_sets(sets);
    if (!wanted)
        wanted = getenv("TALLY_CPU");
    bool any = !wanted || !*wanted;
    for (int i = 0; i < count; i++)
        if (any ? sets[i].here : strcmp(wanted, sets[i].name) == 0) {
            if (!sets[i].here)
                return tl_fail(TALLY_DEVICE, "TALLY_CPU=%s: this processor does not have it", wanted);
            *chosen = sets[i];
            return TALLY_OK;
        }
    return tl_fail(TALLY_DEVICE, "TALLY_CPU=%s: there are baseline, avx2 and avx512", wanted);
}

const tl_backend *tl_cpu_backend(void) {
    instruction_set chosen = {0};
    return choose(NULL, &chosen) ? &tl_baseline_backend : chosen.backend;
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
    snprintf(info->selector, sizeof info->selector, "cpu");
    snprintf(info->backend, sizeof info->backend, "cpu");
    snprintf(info->platform, sizeof info->platform, "C, %s", set);
    processor_name(info->name, sizeof info->name);
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0)
        info->memory_bytes = (uint64_t)pages * (uint64_t)page;
    return TALLY_OK;
}

tally_status tl_cpu_describe(tally_device_info *info, unsigned threads) {
    instruction_set chosen = {0};
    tally_status status = choose(NULL, &chosen);
    return status ? status : describe(info, threads, chosen.name);
}

tally_status tl_cpu_open(unsigned threads, const char *instruction_set_name, tally_device **device) {
    instruction_set chosen = {0};
    tally_status status = choose(instruction_set_name, &chosen);
    if (status)
        return status;
    tally_device *made = calloc(1, sizeof *made);
    if (!made)
        return tl_fail(TALLY_MEMORY, "no memory left for a device");
    status = describe(&made->info, threads, chosen.name);
    if (status) {
        free(made);
        return status;
    }
    made->backend = chosen.backend;
    made->workers = made->info.compute_units;
    made->slice_columns = TALLY_SLICE_COLUMNS; /* its activations fit in a core's cache */
    made->route = TALLY_ROUTE_EXACT;
    *device = made;
    return TALLY_OK;
}
