/* command.h: what the commands share: how they are called and how they fail. */
#ifndef TALLY_CLI_COMMAND_H
#define TALLY_CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <tally/tally.h>

enum { COMMAND_MAX_THREADS = 1024 };

/* Each takes the arguments behind its name and returns the exit code, a tally_status. */
int command_train(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_predict(int argc, char **argv);
int command_info(int argc, char **argv);
int command_devices(int argc, char **argv);
int command_parity(int argc, char **argv);
int command_bench(int argc, char **argv);

/* Says why on stderr, in one line behind "tally: ", and returns status. */
__attribute__((format(printf, 2, 3))) int command_fail(int status, const char *format, ...);

/* The same with the text of the library's last error. */
int command_fail_library(tally_status status);

/* The same, of what an option wanted; its name. */
int command_fail_option(tally_status status, const char *name);

/* A wrong command line: adds where help is. command is NULL outside of any. Returns TALLY_USAGE. */
__attribute__((format(printf, 2, 3))) int command_misused(const char *command, const char *format, ...);

/* Flushes stdout. TALLY_IO, said on stderr once, if anything written to it was lost. */
int command_flush(void);

/* By a clock that nobody sets. */
double command_seconds(void);

/* How the device that does the work is chosen. */
typedef struct command_device {
    const char *selector;
    tally_route route;
    uint64_t threads; /* 0 for all */
    bool verbose;     /* say what was opened */
    bool quiet;       /* do not say what takes long */
} command_device;

/* The names of routes, NULL at the end. */
extern const char *const command_routes[];

/* Opens a device, and loads a model onto one. They say why if they cannot. */
int command_open_device(const command_device *wanted, tally_device **device);
int command_open_model(const char *path, const command_device *wanted, tally_device **device, tally_model **model);

/* Closes it behind what was printed: keeping compiled kernels for the next start may take seconds. */
void command_close_device(tally_device *device);

/* A device's notice: says on stderr what takes long. */
void command_notice(void *context, const char *text);

/* Says on stderr what the C path did in the device's place. For --verbose. */
void command_describe_fallbacks(const tally_device *device);

/* What --device takes, for help. */
#define COMMAND_SELECTORS                                                                                              \
    "auto (a GPU if there is one, else cpu), cpu, opencl (the first GPU, else the first device), P:D (platform and "   \
    "device number, see 'tally devices'), or a part of a device's name"

/* Options that several commands have: what they set is a member of a struct. */
#define OPTION_DEVICE(type, member)                                                                                    \
    {                                                                                                                  \
        .option = "device", .metavar = "D", .help = "where to compute: " COMMAND_SELECTORS, .initial = "auto",         \
        .may_change = true, TALLY_TEXT_AT(type, member)                                                                \
    }
#define OPTION_ROUTE(type, member)                                                                                     \
    {                                                                                                                  \
        .option = "route", .metavar = "R",                                                                             \
        .help = "who does matrix products: exact is tally's own kernels, the same bits on every device; clblast sums " \
                "in its own order, for OpenCL only; auto is exact, on a GPU the faster one by measuring",              \
        .initial = "auto", TALLY_CHOICE_AT(type, member, command_routes)                                               \
    }
#define OPTION_THREADS(type, member)                                                                                   \
    {                                                                                                                  \
        .option = "threads", .metavar = "N",                                                                           \
        .help = "threads of the cpu device; they change the time it takes and no bit of the result",                   \
        .fallback = "all processors", .may_change = true, TALLY_WHOLE_AT(type, member, 1, COMMAND_MAX_THREADS)         \
    }
#define OPTION_JSON(type, member)                                                                                      \
    {                                                                                                                  \
        .option = "json", .help = "print one JSON object on stdout and nothing else", .may_change = true,              \
        TALLY_FLAG_AT(type, member)                                                                                    \
    }
#define OPTION_VERBOSE(type, member)                                                                                   \
    {                                                                                                                  \
        .option = "verbose", .help = "say on stderr what was opened and what fell back", .may_change = true,           \
        TALLY_FLAG_AT(type, member)                                                                                    \
    }
#define OPTION_QUIET(type, member)                                                                                     \
    { .option = "quiet", .help = "no progress on stderr", .may_change = true, TALLY_FLAG_AT(type, member) }

#endif
