/* options.h: long options from a table of settings: --name value or --name=value; the last of several counts; -- ends
 * them. A table's rows are over one struct, base, that holds the defaults; a row without an option ends it. */
#ifndef TALLY_CLI_OPTIONS_H
#define TALLY_CLI_OPTIONS_H

#include <tally/tally.h>

typedef struct command_help {
    const char *command;
    const char *usage;              /* the lines behind "usage: " */
    const char *about;              /* a paragraph or several, in lines */
    void (*more)(const void *base); /* prints another one; or NULL */
    const char *examples;           /* in lines */
} command_help;

/* Sets what the options set to their defaults. */
void options_reset(const tally_setting *options, void *base);

/* Parses into the struct and moves the operands to the front of argv, in their order; -1 where help was asked for: it
 * has been printed on stdout. Otherwise TALLY_OK, or TALLY_USAGE, said on stderr. */
int options_parse(const tally_setting *options, void *base, const command_help *help, int argc, char **argv,
                  int *operands);

/* Of an option without a value: what it sets is. */
bool options_flag(const tally_setting *option, const void *base);

/* Whether options_parse() would print help. */
bool options_ask_help(int argc, char **argv);

/* The first operand, before it is known which of several tables is meant; options has all of them. NULL if there is none,
 * or only behind an unknown option. */
const char *options_first_operand(const tally_setting *options, int argc, char **argv);

/* The value of an option, as it stands there last, before options are parsed; NULL if it is not there. */
const char *options_value(const tally_setting *options, int argc, char **argv, const char *name);

/* The exit codes, as every help text ends. */
void options_print_exit_codes(void);

#endif
