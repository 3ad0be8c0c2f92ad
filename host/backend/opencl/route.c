/* Which route auto takes: by trying both when a device is opened. */
#include "backend/opencl/route.h"
#include "backend/opencl/opencl.h"
#include "core/fail.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

tally_route tl_cl_faster_route(tl_cl_route_times times) {
    bool saves_a_tenth = times.clblast < times.exact && times.exact - times.clblast > times.exact / 10;
    return saves_a_tenth ? TALLY_ROUTE_CLBLAST : TALLY_ROUTE_EXACT;
}

uint64_t tl_cl_median_of_three(const uint64_t v[3]) {
    uint64_t low = v[0] < v[1] ? v[0] : v[1], high = v[0] < v[1] ? v[1] : v[0];
    return v[2] < low ? low : v[2] > high ? high : v[2];
}

void tl_cl_write_route_times(tl_cl_route_times times, char text[TL_CL_ROUTE_TEXT]) {
    snprintf(text, TL_CL_ROUTE_TEXT, "exact %" PRIu64 " ns, clblast %" PRIu64 " ns\n", times.exact, times.clblast);
}

bool tl_cl_read_route_times(const char *text, size_t length, tl_cl_route_times *times) {
    char again[TL_CL_ROUTE_TEXT];
    if (sscanf(text, "exact %20" SCNu64 " ns, clblast %20" SCNu64, &times->exact, &times->clblast) != 2)
        return false;
    tl_cl_write_route_times(*times, again);
    return times->exact > 0 && times->clblast > 0 && length == strlen(again) && memcmp(text, again, length) == 0;
}

/* A training step of the counting experiment's LSTM. */
enum { INPUTS = 1, HIDDEN = 24, STEPS = 20, COLUMNS = 1024 };
#define WORK "one sequence of 20 steps, forward and backward: 1 input, 24 hidden, 1024 columns"

typedef struct work {
    tl_storage *storage;
    size_t used; /* elements */
    tally_layer_weights weights, gradients;
    tally_layer_state state;
    tally_tensor x;
} work;

static tally_tensor next(work *w, int ndim, size_t a, size_t b, size_t c) {
    tally_tensor t = {.dtype = TALLY_F32, .ndim = ndim, .shape = {a, b, c}, .offset = w->used};
    size_t elements = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        t.stride[d] = elements;
        elements *= t.shape[d];
    }
    w->used += (elements + 63) / 64 * 64;
    return t;
}

static tally_layer_weights next_weights(work *w) {
    tally_layer_weights weights = {.cell = TALLY_LSTM};
    weights.w_ih = next(w, 2, 4 * HIDDEN, INPUTS, 0);
    weights.w_hh = next(w, 2, 4 * HIDDEN, HIDDEN, 0);
    weights.bias = next(w, 1, 4 * HIDDEN, 0, 0);
    return weights;
}

/* Zeros will do: no operation's time depends on its values. */
static tally_status new_work(tl_cl_device *device, work *w) {
    tally_device *base = &device->base;
    *w = (work){.used = 0};
    w->weights = next_weights(w);
    w->gradients = next_weights(w);
    w->state.gates = next(w, 3, 4 * HIDDEN, STEPS, COLUMNS);
    w->state.c = next(w, 3, HIDDEN, STEPS + 1, COLUMNS);
    w->state.h = next(w, 3, HIDDEN, STEPS + 1, COLUMNS);
    w->state.tanh_c = next(w, 3, HIDDEN, STEPS, COLUMNS);
    w->state.dh = next(w, 2, HIDDEN, COLUMNS, 0);
    w->state.dc = next(w, 2, HIDDEN, COLUMNS, 0);
    w->state.scratch = next(w, 1, base->backend->layer_scratch(base, TALLY_LSTM, INPUTS, HIDDEN, STEPS, COLUMNS), 0, 0);
    w->x = next(w, 3, INPUTS, STEPS, COLUMNS);
    tally_status status = tl_cl_storage_new(base, w->used * sizeof(float), &w->storage);
    tally_tensor *tensors[] = {&w->weights.w_ih,   &w->weights.w_hh,
                               &w->weights.bias,   &w->gradients.w_ih,
                               &w->gradients.w_hh, &w->gradients.bias,
                               &w->state.gates,    &w->state.c,
                               &w->state.h,        &w->state.tanh_c,
                               &w->state.dh,       &w->state.dc,
                               &w->state.scratch,  &w->x};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        tensors[i]->device = base;
        tensors[i]->storage = w->storage;
    }
    return status;
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static tally_status time_route(tl_cl_device *device, const work *w, tally_route route, uint64_t *nanoseconds) {
    tl_cl_take_route(device, route);
    const tl_backend *table = device->base.backend;
    uint64_t start = now();
    tally_status status = table->layer_forward(&w->weights, &w->x, &w->state);
    if (!status)
        status = table->layer_backward(&w->weights, &w->x, NULL, &w->state, &w->gradients, NULL);
    if (!status)
        status = tl_cl_check(device, "clFinish", clFinish(device->queue));
    *nanoseconds = now() - start + 1;
    return status;
}

/* One after the other, so that a clock that changes changes both; the first time is that of compiling. */
static tally_status measure(tl_cl_device *device, tl_cl_route_times *times) {
    work w;
    uint64_t exact[3], clblast[3];
    tally_status status = new_work(device, &w);
    if (status)
        return status;
    for (int i = -1; i < 3 && !status; i++) {
        status = time_route(device, &w, TALLY_ROUTE_EXACT, &exact[i < 0 ? 0 : i]);
        if (!status)
            status = time_route(device, &w, TALLY_ROUTE_CLBLAST, &clblast[i < 0 ? 0 : i]);
    }
    tl_cl_storage_free(w.storage);
    if (!status)
        *times = (tl_cl_route_times){tl_cl_median_of_three(exact), tl_cl_median_of_three(clblast)};
    return status;
}

/* Why the exact route is taken without measuring, or NULL. On a processor CLBlast, which is written for GPUs, takes
 * several times as long as tally's kernels. TALLY_MEASURE_ROUTE=any measures everywhere. */
static const char *not_measured(const tl_cl_device *device) {
    const char *wanted = getenv("TALLY_MEASURE_ROUTE");
    if (wanted && strcmp(wanted, "any") == 0)
        return NULL;
    if (tl_cl_is_simulator(device))
        return "a simulator's times say nothing";
    return device->base.info.type == TALLY_DEVICE_GPU ? NULL : "CLBlast is written for GPUs";
}

static bool kept_times(const char *name, tl_cl_route_times *times) {
    unsigned char *text;
    size_t length;
    if (!*name || !tl_cache_read(name, &text, &length))
        return false;
    bool good = tl_cl_read_route_times((const char *)text, length, times);
    free(text);
    if (!good)
        tl_cache_remove(name);
    return good;
}

/* What fails here fails again in the first step and is reported there, unless it is CLBlast's and the exact route does
 * without. */
static bool new_times(tl_cl_device *device, const char *name, tl_cl_route_times *times) {
    char text[TL_CL_ROUTE_TEXT], said[256];
    snprintf(said, sizeof said, "measuring which route is faster on %s%s", device->base.info.name,
             *name ? " (kept for the next start)" : "");
    tl_cl_notice(device, said);
    if (measure(device, times))
        return false;
    tl_cl_write_route_times(*times, text);
    if (*name)
        tl_cache_write(name, text, strlen(text));
    return true;
}

void tl_cl_choose_route(tl_cl_device *device) {
    char besides[sizeof WORK + 48], name[TL_CACHE_NAME], *reason = device->base.route_reason;
    const size_t size = sizeof device->base.route_reason;
    tl_cl_route_times times;
    if (not_measured(device)) {
        snprintf(reason, size, "%s", not_measured(device));
        return;
    }
    snprintf(besides, sizeof besides, WORK "; a work-item has %zu", device->width);
    tl_cl_cache_name(device, "route", tl_cell_text, besides, name);
    char *text = strdup(tally_error_text());
    if (kept_times(name, &times) || new_times(device, name, &times)) {
        tl_cl_take_route(device, tl_cl_faster_route(times));
        snprintf(reason, size, "measured: exact %.2f ms, CLBlast %.2f ms", 1e-6 * (double)times.exact,
                 1e-6 * (double)times.clblast);
    } else {
        tl_cl_take_route(device, TALLY_ROUTE_EXACT);
        snprintf(reason, size, "measuring failed: %s", tally_error_text());
        tl_fail(TALLY_OK, "%s", text ? text : ""); /* not the caller's failure */
    }
    free(text);
}
