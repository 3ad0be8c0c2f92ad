#include "backend/backend.h"
#include "backend/registry.h"
#include "core/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Adds a backend's devices to the list. */
static tally_status list_backend(const tl_registration *backend, tally_device_list *list) {
    tally_device_info *infos = NULL, *grown;
    size_t count = 0;
    tally_status status = backend->list(&infos, &count, list->opencl_note, sizeof list->opencl_note);
    if (status || count == 0)
        return status;
    grown = realloc(list->devices, (list->count + count) * sizeof *grown);
    if (grown) {
        memcpy(grown + list->count, infos, count * sizeof *infos);
        list->devices = grown;
        list->count += count;
    }
    free(infos);
    return grown ? TALLY_OK : tl_fail(TALLY_MEMORY, "no memory left for the list of devices");
}

tally_status tally_device_list_new(tally_device_list *list) {
    if (!list)
        return tl_fail(TALLY_USAGE, "tally_device_list_new: no list given");
    memset(list, 0, sizeof *list);
    snprintf(list->opencl_note, sizeof list->opencl_note, "%s", tl_registry_note);
    tally_status status = TALLY_OK;
    for (size_t b = 0; tl_registry[b] && !status; b++)
        status = list_backend(tl_registry[b], list);
    if (status)
        tally_device_list_free(list);
    return status;
}

void tally_device_list_free(tally_device_list *list) {
    if (!list)
        return;
    free(list->devices);
    memset(list, 0, sizeof *list);
}

static const tl_registration *backend_named(const char *name) {
    for (size_t b = 0; tl_registry[b]; b++)
        if (strcasecmp(name, tl_registry[b]->name) == 0)
            return tl_registry[b];
    return NULL;
}

/* backend NULL: of any. */
static const tally_device_info *first_gpu(const tally_device_list *list, const tl_registration *backend) {
    for (size_t i = 0; i < list->count; i++)
        if (list->devices[i].type == TALLY_DEVICE_GPU &&
            (!backend || strcmp(list->devices[i].backend, backend->name) == 0))
            return &list->devices[i];
    return NULL;
}

static const tally_device_info *first_device(const tally_device_list *list, const tl_registration *backend) {
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->devices[i].backend, backend->name) == 0)
            return &list->devices[i];
    return NULL;
}

/* Parts of names are those of accelerated devices. */
static bool has_in_name(const tally_device_info *info, const char *part) {
    return strcmp(info->backend, tl_registry[0]->name) != 0 &&
           (strcasestr(info->name, part) || strcasestr(info->platform, part));
}

/* The first of those that are meant; NULL where there is none. */
static const tally_device_info *choose(const tally_device_list *list, const char *selector) {
    const tl_registration *backend = backend_named(selector);
    bool any = strcasecmp(selector, "auto") == 0;
    if (any || backend) {
        const tally_device_info *gpu = first_gpu(list, backend);
        return gpu ? gpu : first_device(list, any ? tl_registry[0] : backend);
    }
    for (size_t i = 0; i < list->count; i++)
        if (strcasecmp(selector, list->devices[i].selector) == 0)
            return &list->devices[i];
    for (size_t i = 0; i < list->count && *selector; i++)
        if (has_in_name(&list->devices[i], selector))
            return &list->devices[i];
    return NULL;
}

static tally_status no_such_device(const tally_device_list *list, const char *selector) {
    char text[3072];
    size_t used = (size_t)snprintf(text, sizeof text, "no device \"%s\"; there are: ", selector);
    for (size_t i = 0; i < list->count && used < sizeof text; i++) {
        const tally_device_info *info = &list->devices[i];
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%s (%s)", i ? ", " : "", info->selector, info->name);
    }
    const char *note = list->opencl_note;
    return tl_fail(TALLY_DEVICE, "%s%s%s", text, *note ? "; OpenCL: " : "", note);
}

tally_status tally_device_open(const char *selector, const tally_device_options *options, tally_device **device) {
    if (!selector || !device)
        return tl_fail(TALLY_USAGE, "tally_device_open: no selector or no device given");
    *device = NULL;
    static const tally_device_options defaults = {.route = TALLY_ROUTE_AUTO};
    if (!options)
        options = &defaults;
    if (strcasecmp(selector, tl_registry[0]->name) == 0) /* needs no driver asked */
        return tl_registry[0]->open(tl_registry[0]->name, options, device);
    tally_device_list list;
    tally_status status = tally_device_list_new(&list);
    if (status)
        return status;
    const tally_device_info *info = choose(&list, selector);
    status =
        info ? backend_named(info->backend)->open(info->selector, options, device) : no_such_device(&list, selector);
    tally_device_list_free(&list);
    return status;
}

void tally_device_close(tally_device *device) {
    if (device)
        device->backend->close(device);
}

const tally_device_info *tally_device_get_info(const tally_device *device) {
    return &device->info;
}

tally_route tally_device_route(const tally_device *device) {
    return device->route;
}

const char *tally_device_route_reason(const tally_device *device) {
    return device->route_reason;
}

const char *tally_device_inexact(const tally_device *device) {
    return device->inexact;
}

unsigned tally_device_workers(const tally_device *device) {
    return device->workers;
}

size_t tally_device_chunk_columns(const tally_device *device) {
    return device->chunk_columns;
}

tally_status tally_device_peak(tally_device *device, double *flops) {
    if (!device || !flops)
        return tl_fail(TALLY_USAGE, "tally_device_peak: no device or no place for the result given");
    return device->backend->peak(device, flops);
}

static const char *const OP_NAMES[TL_OP_COUNT] = {
#define NAME(name, ...) [TL_OP_##name] = #name,
    TL_OPERATIONS(NAME)
#undef NAME
};

uint64_t tally_device_fallbacks(const tally_device *device, char *names_out, size_t size) {
    unsigned ops = atomic_load(&device->fallback_ops);
    size_t used = 0;
    if (names_out && size)
        names_out[0] = '\0';
    for (int op = 0; op < TL_OP_COUNT && names_out; op++)
        if (ops & (1u << op) && used < size)
            used += (size_t)snprintf(names_out + used, size - used, "%s%s", used ? ", " : "", OP_NAMES[op]);
    return atomic_load(&device->fallbacks);
}
