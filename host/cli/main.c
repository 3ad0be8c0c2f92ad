#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "options.h"
#include "suggest.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"train", command_train},     {"eval", command_eval},     {"predict", command_predict}, {"info", command_info},
    {"devices", command_devices}, {"parity", command_parity}, {"bench", command_bench},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const char usage[] = "usage: tally train count [OPTION...]\n"
                            "       tally train mnist --data DIR [OPTION...]\n"
                            "       tally train npy --x X.npy --y Y.npy [OPTION...]\n"
                            "       tally eval FILE [OPTION...]\n"
                            "       tally predict FILE [STRING...|-] [OPTION...]\n"
                            "       tally predict FILE --idx IMAGES|--npy X.npy [OPTION...]\n"
                            "       tally info FILE [--json]\n"
                            "       tally devices [OPTION...]\n"
                            "       tally parity [OPTION...]\n"
                            "       tally bench [OPTION...]\n"
                            "       tally help [COMMAND]\n"
                            "       tally --version\n";

static void print_help(void) {
    printf("%s\n"
           "Trains, tests and uses small recurrent networks, on OpenCL devices or on the CPU\n"
           "without any driver: one that counts the ones in strings of bits, or one that\n"
           "classifies the images or sequences in files.\n"
           "\n"
           "Commands:\n"
           "  train     train a model and test it on data it was not trained on\n"
           "  eval      test a saved model again, with mistakes by class\n"
           "  predict   use a saved model\n"
           "  info      say what a model file is, and how it was trained\n"
           "  devices   list the devices that --device takes\n"
           "  parity    compare a device with the C path and with double precision\n"
           "  bench     measure how fast devices are\n"
           "\n"
           "'tally COMMAND --help' shows the options of a command, with their defaults;\n"
           "'tally train TASK --help' those of the tasks mnist and npy.\n"
           "\n"
           "Examples:\n"
           "  tally train count --out count.safetensors\n"
           "  tally eval count.safetensors\n"
           "  tally predict count.safetensors 01100110011001100110\n"
           "  tally info count.safetensors\n"
           "  tally train mnist --data DIR --out mnist.safetensors\n"
           "  tally parity --device all\n"
           "  tally bench --device all\n",
           usage);
    options_print_exit_codes();
}

/* If a standard stream is closed, the next file to be opened would get its descriptor, and output would be written
 * to that file. Opens /dev/null in its place, read-only for stdout so that writing to it is still an error. */
static void open_closed_streams(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) < 0)
            return;
}

static int run_command(int argc, char **argv) {
    if (argc < 2) {
        fputs(usage, stderr);
        return TALLY_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        printf("tally %s\n", tally_version());
        return TALLY_OK;
    }
    bool help = strcmp(name, "help") == 0;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (help && argc == 2)) {
        print_help();
        return TALLY_OK;
    }
    char ask[] = "--help";
    char *help_arguments[] = {ask, NULL};
    if (help)
        name = argv[2];
    suggest near;
    suggest_start(&near, name);
    bool dashed = !help && name[0] == '-';
    if (dashed) {
        suggest_offer(&near, "--help");
        suggest_offer(&near, "--version");
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0)
            return help ? commands[i].run(1, help_arguments) : commands[i].run(argc - 2, argv + 2);
        suggest_offer(&near, commands[i].name);
    }
    fprintf(stderr, "tally: unknown %s '%s'", dashed ? "option" : "command", name);
    if (near.nearest != NULL)
        fprintf(stderr, "; did you mean %s?", near.nearest);
    fprintf(stderr, "\n%s", usage);
    return TALLY_USAGE;
}

int main(int argc, char **argv) {
    open_closed_streams();
    /* Large enough for everything printed between two flushes, so that a failing write happens in the flush, with
     * its errno. */
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    int result = run_command(argc, argv);
    int flushed = command_flush();
    return result != TALLY_OK ? result : flushed;
}
