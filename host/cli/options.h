/* options.h: long options from a table: --name value or --name=value; the last of several counts; -- ends them. */
#ifndef TALLY_CLI_OPTIONS_H
#define TALLY_CLI_OPTIONS_H

#include "value.h"

typedef struct option {
    const char *name;     /* without the dashes; NULL ends a table */
    const char *argument; /* how help calls the value; NULL for a flag */
    value value;          /* the target holds the default */
    const char *help;
    const char *fallback; /* how help calls the default where the target cannot say; "": there is none to tell */
} option;

typedef struct command_help {
    const char *command;
    const char *usage;    /* the lines behind "usage: " */
    const char *about;    /* a paragraph or several, in lines */
    const char *examples; /* in lines */
} command_help;

/* Parses into the targets and moves the operands to the front of argv, in their order; -1 where help was asked for: it
 * has been printed on stdout. Otherwise TALLY_OK, or TALLY_USAGE, said on stderr. */
int options_parse(const option *options, const command_help *help, int argc, char **argv, int *operands);

/* Whether options_parse() would print help. */
bool options_ask_help(int argc, char **argv);

/* The first operand there is, NULL if none, or behind an unknown option: before it is known which of several tables is meant; options has all of them. */
const char *options_first_operand(const option *options, int argc, char **argv);

/* The value of an option with an argument, as it stands there last; NULL if it is not there: before options are parsed. */
const char *options_value(const option *options, int argc, char **argv, const char *name);

/* The exit codes, as every help text ends. */
void options_print_exit_codes(void);

#endif
