/* options.h: parses long options, --name value or --name=value, by a table of settings. The last of several equal
 * options wins; -- ends the options. All rows of a table are members of the same struct, base, which holds the
 * defaults. A row without an option ends the table. */
#ifndef TALLY_CLI_OPTIONS_H
#define TALLY_CLI_OPTIONS_H

#include <tally/tally.h>

typedef struct command_help {
    const char *command;
    const char *usage;              /* the lines after "usage: " */
    const char *about;              /* one or more paragraphs, split into lines */
    void (*more)(const void *base); /* prints another paragraph; or NULL */
    const char *examples;           /* split into lines */
} command_help;

/* Sets everything that the options set to its default. */
void options_reset(const tally_setting *options, void *base);

/* Parses the options into base and moves the operands to the front of argv, in order. Returns -1 if help was
 * requested and has been printed on stdout; otherwise TALLY_OK, or TALLY_USAGE, reported on stderr. */
int options_parse(const tally_setting *options, void *base, const command_help *help, int argc, char **argv,
                  int *operands);

/* The value of a flag. */
bool options_flag(const tally_setting *option, const void *base);

/* Whether options_parse() would print help. */
bool options_ask_help(int argc, char **argv);

/* The first operand, for choosing among several tables; options is the union of their rows. NULL if there is none,
 * or if an unknown option precedes it. */
const char *options_first_operand(const tally_setting *options, int argc, char **argv);

/* The value of the last occurrence of an option, before options are parsed; NULL if it does not occur. */
const char *options_value(const tally_setting *options, int argc, char **argv, const char *name);

/* Prints the exit codes, which end every help text. */
void options_print_exit_codes(void);

#endif
