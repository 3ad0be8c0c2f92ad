#include "options.h"

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "format.h"
#include "suggest.h"

enum { HELP_WIDTH = 79, HELP_INDENT = 22 };

void options_print_exit_codes(void) {
    printf("\nExit codes:\n"
           "  0  done                       5  device: not found, or it failed\n"
           "  1  out of memory              6  numbers: a NaN or infinity in training\n"
           "  2  usage: invalid option      7  reading or writing failed\n"
           "  3  data: invalid input        8  parity: a check failed\n"
           "  4  model file: invalid        130  stopped by Ctrl-C (128 + the signal)\n");
}

bool options_flag(const tally_setting *o, const void *base) {
    return *(const bool *)(const void *)((const char *)base + o->offset);
}

void options_reset(const tally_setting *options, void *base) {
    for (; options->option != NULL; options++)
        tally_settings_reset(options, 1, base);
}

static void print_option(const tally_setting *o, const void *base) {
    int column = printf("  --%s %s", o->option, o->metavar != NULL ? o->metavar : "");
    if (column + 1 > HELP_INDENT) {
        putchar('\n');
        column = 0;
    }
    printf("%*s", HELP_INDENT - column, "");
    char text[512], part[TALLY_SETTING_TEXT_SIZE];
    int used = snprintf(text, sizeof text, "%s", o->help);
    const char *fallback = o->fallback;
    if (o->metavar != NULL && o->type != TALLY_SETTING_TEXT) {
        tally_setting_describe_range(o, part);
        used += snprintf(text + used, sizeof text - (size_t)used, ": %s", part);
    }
    if (o->metavar != NULL && fallback == NULL)
        fallback = tally_setting_format(o, base, part);
    else if (o->metavar == NULL && base != NULL && options_flag(o, base) == !o->off)
        fallback = "yes";
    if (fallback != NULL && *fallback != '\0')
        snprintf(text + used, sizeof text - (size_t)used, " (default: %s)", fallback);
    format_print_wrapped(text, HELP_INDENT, HELP_WIDTH);
}

static void print_help(const tally_setting *options, const void *base, const command_help *help) {
    printf("usage: %s\n\n%s\n\n", help->usage, help->about);
    if (help->more != NULL)
        help->more(base);
    printf("Options:\n");
    for (const tally_setting *o = options; o->option != NULL; o++)
        print_option(o, base);
    print_option(&(tally_setting){.option = "help", .help = "print this and exit"}, NULL);
    printf("\nExamples:\n%s\n", help->examples);
    options_print_exit_codes();
}

static const tally_setting *find_option(const tally_setting *options, const char *name, size_t length) {
    for (const tally_setting *o = options; o->option != NULL; o++)
        if (strlen(o->option) == length && memcmp(o->option, name, length) == 0)
            return o;
    return NULL;
}

static int refuse_unknown_option(const tally_setting *options, const char *command, const char *name, size_t length) {
    char wrong[64];
    snprintf(wrong, sizeof wrong, "%.*s", (int)(length < sizeof wrong ? length : sizeof wrong - 1), name);
    suggest near;
    suggest_start(&near, wrong);
    for (const tally_setting *o = options; o->option != NULL; o++)
        suggest_offer(&near, o->option);
    suggest_offer(&near, "help");
    if (near.nearest != NULL)
        return command_misused(command, "unknown option --%s; did you mean --%s?", wrong, near.nearest);
    return command_misused(command, "unknown option --%s", wrong);
}

static int refuse_value(const tally_setting *o, const char *command, const char *given) {
    char range[TALLY_SETTING_TEXT_SIZE];
    tally_setting_describe_range(o, range);
    suggest near;
    suggest_start(&near, given);
    for (size_t i = 0; o->type == TALLY_SETTING_CHOICE && o->names[i] != NULL; i++)
        suggest_offer(&near, o->names[i]);
    bool close = near.nearest != NULL;
    return command_misused(command, "option --%s: '%s' is not %s%s%s%s", o->option, given, range,
                           close ? "; did you mean " : "", close ? near.nearest : "", close ? "?" : "");
}

/* Parses the option at argv[*at] and sets *at to the index of its last argument. */
static int parse_option(const tally_setting *options, void *base, const char *command, int argc, char **argv, int *at) {
    const char *name = argv[*at] + 2;
    size_t length = strcspn(name, "=");
    const char *given = name[length] == '=' ? name + length + 1 : NULL;
    const tally_setting *o = find_option(options, name, length);
    if (o == NULL)
        return refuse_unknown_option(options, command, name, length);
    if (o->metavar == NULL) {
        if (given != NULL)
            return command_misused(command, "option --%s takes no value", o->option);
        *(bool *)(void *)((char *)base + o->offset) = !o->off;
        return TALLY_OK;
    }
    if (given == NULL) {
        if (*at + 1 == argc || strncmp(argv[*at + 1], "--", 2) == 0)
            return command_misused(command, "option --%s needs a value", o->option);
        given = argv[++*at];
    }
    return tally_setting_parse(o, base, given) ? TALLY_OK : refuse_value(o, command, given);
}

static bool asks_help(const char *argument) {
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

bool options_ask_help(int argc, char **argv) {
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (asks_help(argv[i]))
            return true;
    return false;
}

const char *options_first_operand(const tally_setting *options, int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0)
            return i + 1 < argc ? argv[i + 1] : NULL;
        if (argv[i][0] != '-' || argv[i][1] == '\0')
            return argv[i];
        if (asks_help(argv[i]))
            continue;
        size_t length = strcspn(argv[i], "=");
        const tally_setting *o = length > 2 && argv[i][1] == '-' ? find_option(options, argv[i] + 2, length - 2) : NULL;
        if (o == NULL)
            return NULL;
        if (o->metavar != NULL && argv[i][length] == '\0')
            i++;
    }
    return NULL;
}

const char *options_value(const tally_setting *options, int argc, char **argv, const char *name) {
    const char *last = NULL;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        size_t length = strcspn(argv[i], "=");
        const tally_setting *o =
            length > 2 && strncmp(argv[i], "--", 2) == 0 ? find_option(options, argv[i] + 2, length - 2) : NULL;
        if (o == NULL || o->metavar == NULL)
            continue;
        bool apart = argv[i][length] != '=', there = i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0;
        const char *given = !apart ? argv[i] + length + 1 : there ? argv[++i] : NULL;
        if (strcmp(o->option, name) == 0)
            last = given;
    }
    return last;
}

int options_parse(const tally_setting *options, void *base, const command_help *help, int argc, char **argv,
                  int *operands) {
    if (options_ask_help(argc, argv)) {
        print_help(options, base, help);
        return -1;
    }
    *operands = 0;
    bool ended = false;
    for (int i = 0; i < argc; i++) {
        if (ended || argv[i][0] != '-' || strcmp(argv[i], "-") == 0) {
            argv[(*operands)++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            ended = true;
        } else if (argv[i][1] != '-') {
            return command_misused(help->command, "unknown option %s; options are written in full, as in --help",
                                   argv[i]);
        } else {
            int status = parse_option(options, base, help->command, argc, argv, &i);
            if (status != TALLY_OK)
                return status;
        }
    }
    return TALLY_OK;
}
