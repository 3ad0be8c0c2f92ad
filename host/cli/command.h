/* command.h: what the commands share: their entry points, error reporting and device options. */
#ifndef TALLY_CLI_COMMAND_H
#define TALLY_CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <tally/tally.h>

enum { COMMAND_MAX_THREADS = 1024 };

/* Each gets the arguments after its name and returns the exit code, a tally_status. */
int command_train(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_predict(int argc, char **argv);
int command_info(int argc, char **argv);
int command_devices(int argc, char **argv);
int command_parity(int argc, char **argv);
int command_bench(int argc, char **argv);

/* Prints a line on stderr, prefixed with "tally: ", and returns status. */
__attribute__((format(printf, 2, 3))) int command_fail(int status, const char *format, ...);

/* command_fail with the library's last error text. */
int command_fail_library(tally_status status);

/* command_fail with the library's last error text, attributed to the option of this name. */
int command_fail_option(tally_status status, const char *name);

/* Reports a wrong command line, with a hint on how to get help. command is NULL if none was given. Returns
 * TALLY_USAGE. */
__attribute__((format(printf, 2, 3))) int command_misused(const char *command, const char *format, ...);

/* Flushes stdout. Returns TALLY_IO, reported on stderr once, if any output was lost. */
int command_flush(void);

/* Seconds on the monotonic clock. */
double command_seconds(void);

/* The options that choose the device. */
typedef struct command_device {
    const char *selector;
    tally_route route;
    uint64_t threads; /* 0: all processors */
    bool verbose;     /* report the opened device on stderr */
    bool quiet;       /* do not report slow operations, such as compiling kernels */
} command_device;

/* The names of the routes, terminated by NULL. */
extern const char *const command_routes[];

/* Opens a device; opens a device and loads a model onto it. Errors are reported on stderr and their status returned. */
int command_open_device(const command_device *wanted, tally_device **device);
int command_open_model(const char *path, const command_device *wanted, tally_device **device, tally_model **model);

/* Flushes stdout and closes the device, in this order because writing compiled kernels to the cache may take
 * seconds. */
void command_close_device(tally_device *device);

/* A tally_device_options.notice that prints on stderr. */
void command_notice(void *context, const char *text);

/* Prints on stderr which operations the C path executed for the device. */
void command_describe_fallbacks(const tally_device *device);

/* The values of --device, for help texts. */
#define COMMAND_SELECTORS                                                                                              \
    "auto (a GPU if there is one, else cpu), cpu, opencl (the first GPU, else the first device), P:D (platform and "   \
    "device number, see 'tally devices'), or a part of a device's name"

/* Options that several commands have, as rows for the given struct member. */
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
