#include "backend/backend.h"
#include "core/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

tally_status tl_no_plan(tally_device *device, const tl_network *network, size_t columns, bool training,
                        tl_plan **plan) {
    (void)device, (void)network, (void)columns, (void)training;
    *plan = NULL;
    return TALLY_OK;
}

tally_status tally_device_list_new(tally_device_list *list) {
    if (!list)
        return tl_fail(TALLY_USAGE, "tally_device_list_new: no list given");
    memset(list, 0, sizeof *list);
    tally_device_info *opencl = NULL;
    size_t count = 0;
    tally_device_info cpu;
    tally_status status = tl_cpu_describe(&cpu, 0);
    if (!status)
        status = tl_opencl_list(&opencl, &count, list->opencl_note, sizeof list->opencl_note);
    if (status)
        return status;
    list->devices = calloc(count + 1, sizeof *list->devices);
    if (!list->devices) {
        free(opencl);
        return tl_fail(TALLY_MEMORY, "no memory left for the list of devices");
    }
    list->devices[0] = cpu;
    if (count)
        memcpy(list->devices + 1, opencl, count * sizeof *opencl);
    list->count = count + 1;
    free(opencl);
    return TALLY_OK;
}

void tally_device_list_free(tally_device_list *list) {
    if (!list)
        return;
    free(list->devices);
    memset(list, 0, sizeof *list);
}

static const tally_device_info *first_of_type(const tally_device_list *list, tally_device_type type) {
    for (size_t i = 1; i < list->count; i++)
        if (list->devices[i].type == type)
            return &list->devices[i];
    return NULL;
}

static bool names(const tally_device_info *info, const char *part) {
    return strcasestr(info->name, part) || strcasestr(info->platform, part);
}

/* The first of those that are meant; NULL where there is none. */
static const tally_device_info *choose(const tally_device_list *list, const char *selector) {
    const tally_device_info *gpu = first_of_type(list, TALLY_DEVICE_GPU);
    if (strcasecmp(selector, "auto") == 0)
        return gpu ? gpu : &list->devices[0];
    if (strcasecmp(selector, "opencl") == 0)
        return gpu ? gpu : list->count > 1 ? &list->devices[1] : NULL;
    for (size_t i = 0; i < list->count; i++)
        if (strcasecmp(selector, list->devices[i].selector) == 0)
            return &list->devices[i];
    for (size_t i = 1; i < list->count && *selector; i++)
        if (names(&list->devices[i], selector))
            return &list->devices[i];
    return NULL;
}

static tally_status not_there(const tally_device_list *list, const char *selector) {
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

static tally_status open_cpu(const tally_device_options *options, tally_device **device) {
    if (options->route == TALLY_ROUTE_CLBLAST)
        return tl_fail(TALLY_USAGE, "the cpu device has the exact route only: CLBlast is for OpenCL devices");
    return tl_cpu_open(options->threads, NULL, device);
}

tally_status tally_device_open(const char *selector, const tally_device_options *options, tally_device **device) {
    if (!selector || !device)
        return tl_fail(TALLY_USAGE, "tally_device_open: no selector or no device given");
    *device = NULL;
    static const tally_device_options defaults = {.route = TALLY_ROUTE_AUTO};
    if (!options)
        options = &defaults;
    if (strcasecmp(selector, "cpu") == 0) /* needs no driver asked */
        return open_cpu(options, device);
    tally_device_list list;
    tally_status status = tally_device_list_new(&list);
    if (status)
        return status;
    const tally_device_info *info = choose(&list, selector);
    unsigned platform, number;
    if (!info)
        status = not_there(&list, selector);
    else if (info == &list.devices[0])
        status = open_cpu(options, device);
    else if (sscanf(info->selector, "%u:%u", &platform, &number) == 2)
        status = tl_opencl_open(platform, number, options, device);
    else
        status = tl_fail(TALLY_DEVICE, "device %s has no number", info->name);
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

size_t tally_device_slice_columns(const tally_device *device) {
    return device->slice_columns;
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
