#include <stdio.h>
#include <string.h>

#include "command.h"
#include "format.h"
#include "options.h"
#include "report.h"

static const command_help help = {
    .command = "devices",
    .usage = "tally devices [--json] [--verbose]",
    .about = "Lists every device of every platform, by what --device takes: the C path, which\n"
             "is always there, and what OpenCL drivers are installed for. An asterisk marks\n"
             "the one that --device auto opens.",
    .examples = "  tally devices\n"
                "  tally devices --json",
};

static const char *type_name(tally_device_type type) {
    switch (type) {
    case TALLY_DEVICE_CPU:
        return "cpu";
    case TALLY_DEVICE_GPU:
        return "gpu";
    case TALLY_DEVICE_ACCELERATOR:
        return "accelerator";
    case TALLY_DEVICE_OTHER:
        break;
    }
    return "other";
}

enum { COLUMNS = 6 };

static void fill_row(const tally_device_info *info, const char *cells[COLUMNS]) {
    cells[0] = info->selector;
    cells[1] = info->backend;
    cells[2] = type_name(info->type);
    cells[3] = info->name;
    cells[4] = info->platform;
    cells[5] = info->driver[0] != '\0' ? info->driver : "-";
}

static void print_row(const char *const cells[COLUMNS], const int widths[COLUMNS], bool marked) {
    putchar(marked ? '*' : ' ');
    for (int i = 0; i < COLUMNS; i++)
        if (i + 1 < COLUMNS)
            printf(" %-*s ", widths[i], cells[i]);
        else
            printf(" %s\n", cells[i]);
}

static void print_details(const tally_device_info *info) {
    printf("     %u compute units", info->compute_units);
    if (info->memory_bytes > 0)
        printf(", %s MiB", format_whole(info->memory_bytes >> 20).text);
    if (info->version[0] != '\0')
        printf(", %s", info->version);
    putchar('\n');
    tally_device *device; /* the state of its arithmetic is known only once it is opened */
    const tally_device_options options = {.notice = command_notice};
    if (tally_device_open(info->selector, &options, &device) != TALLY_OK) {
        printf("     cannot be opened: %s\n", tally_error_text());
        return;
    }
    const char *reason = tally_device_route_reason(device), *inexact = tally_device_inexact(device);
    printf("     route: %s%s%s%s\n", command_routes[tally_device_route(device)], reason[0] != '\0' ? " (" : "", reason,
           reason[0] != '\0' ? ")" : "");
    printf("     arithmetic: %s%s\n", inexact[0] != '\0' ? "within tolerance: " : "exact", inexact);
    command_close_device(device);
}

static void print_table(const tally_device_list *list, const char *chosen, bool verbose) {
    static const char *const titles[COLUMNS] = {"device", "backend", "type", "name", "platform", "driver"};
    int widths[COLUMNS];
    for (int i = 0; i < COLUMNS; i++)
        widths[i] = (int)strlen(titles[i]);
    for (size_t d = 0; d < list->count; d++) {
        const char *cells[COLUMNS];
        fill_row(&list->devices[d], cells);
        for (int i = 0; i < COLUMNS; i++)
            if ((int)strlen(cells[i]) > widths[i])
                widths[i] = (int)strlen(cells[i]);
    }
    print_row(titles, widths, false);
    for (size_t d = 0; d < list->count; d++) {
        const char *cells[COLUMNS];
        fill_row(&list->devices[d], cells);
        print_row(cells, widths, strcmp(cells[0], chosen) == 0);
        if (verbose)
            print_details(&list->devices[d]);
    }
    if (list->opencl_note[0] != '\0')
        printf("No OpenCL device: %s\n", list->opencl_note);
}

static json_t *device_json(const tally_device_info *info, const char *chosen) {
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:b}", "selector", info->selector, "backend",
                     info->backend, "type", type_name(info->type), "name", value_json_text(info->name), "platform",
                     value_json_text(info->platform), "driver", value_json_text(info->driver), "version",
                     value_json_text(info->version), "compute_units", (json_int_t)info->compute_units, "memory_bytes",
                     (json_int_t)info->memory_bytes, "auto", strcmp(info->selector, chosen) == 0);
}

static json_t *list_json(const tally_device_list *list, const char *chosen) {
    json_t *devices = json_array();
    for (size_t d = 0; d < list->count; d++)
        if (json_array_append_new(devices, device_json(&list->devices[d], chosen)) != 0) {
            json_decref(devices);
            return NULL;
        }
    const char *note = list->opencl_note;
    return json_pack("{s:o, s:o}", "devices", devices, "opencl_note",
                     note[0] != '\0' ? value_json_text(note) : json_null());
}

/* Finds the device that --device auto opens by opening it; "" if that fails, which is reported but does not prevent
 * the list. */
static void find_auto(bool quiet, char *selector, size_t size) {
    selector[0] = '\0';
    tally_device *device;
    /* The exact route needs no timing. */
    const tally_device_options options = {.route = TALLY_ROUTE_EXACT, .notice = quiet ? NULL : command_notice};
    tally_status status = tally_device_open("auto", &options, &device);
    if (status != TALLY_OK) {
        command_fail((int)status, "--device auto cannot open a device: %s", tally_error_text());
        return;
    }
    snprintf(selector, size, "%s", tally_device_get_info(device)->selector);
    tally_device_close(device);
}

int command_devices(int argc, char **argv) {
    typedef struct arguments {
        bool json, verbose;
    } arguments;
    static const tally_setting options[] = {
        {.option = "json", .help = "print one JSON object on stdout", TALLY_FLAG_AT(arguments, json)},
        {.option = "verbose",
         .help = "add compute units, memory, OpenCL version and what opening each device shows: its route and its "
                 "arithmetic",
         TALLY_FLAG_AT(arguments, verbose)},
        {.option = NULL},
    };
    arguments a = {false, false};
    int operands;
    int parsed = options_parse(options, &a, &help, argc, argv, &operands);
    if (parsed != TALLY_OK)
        return parsed < 0 ? TALLY_OK : parsed;
    if (operands > 0)
        return command_misused(help.command, "unexpected argument '%s': the command takes only options", argv[0]);

    tally_device_list list;
    tally_status status = tally_device_list_new(&list);
    if (status != TALLY_OK)
        return command_fail_library(status);
    char chosen[sizeof list.devices->selector];
    find_auto(a.json, chosen, sizeof chosen);
    int result = TALLY_OK;
    if (a.json)
        result = report_dump_json(list_json(&list, chosen));
    else
        print_table(&list, chosen, a.verbose);
    tally_device_list_free(&list);
    return result;
}
