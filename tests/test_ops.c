/* test_ops [DOMAIN...]: compares the operations of the device under test with double precision, and with the C
 * path's baseline bit for bit; all domains, or those that are named. */
#include "ops.h"

#include "suite.h"

#include <stdio.h>
#include <string.h>

const size_t odd_sizes[ODD_SIZES] = {1, 2, 3, 7, 31, 33, 127};

size_t odd_sizes_used(void) {
    return the.small ? 5 : ODD_SIZES;
}

static const struct {
    const char *name;
    int (*run)(void);
} domains[] = {
    {"tensors", ops_tensors},     {"arguments", ops_arguments}, {"elementwise", ops_elementwise},
    {"gemm", ops_gemm},           {"sums", ops_sums},           {"functions", ops_functions},
    {"cell", ops_cell},           {"softmax", ops_softmax},     {"optimizers", ops_optimizers},
    {"layer", ops_layer},         {"starts", ops_starts},       {"dropout", ops_dropout},
    {"fallbacks", ops_fallbacks},
};
enum { DOMAINS = sizeof domains / sizeof *domains };

static bool named(int argc, char **argv, const char *name) {
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return true;
    return argc == 1;
}

int main(int argc, char **argv) {
    int status = suite_begin();
    if (status)
        return status;
    int failed = 0, found = 0;
    for (int d = 0; d < DOMAINS; d++)
        if (named(argc, argv, domains[d].name)) {
            failed += domains[d].run();
            found++;
        }
    if (found < (argc == 1 ? DOMAINS : argc - 1)) {
        fprintf(stderr, "a domain is not known; there are:");
        for (int d = 0; d < DOMAINS; d++)
            fprintf(stderr, " %s", domains[d].name);
        fprintf(stderr, "\n");
        failed++;
    }
    char names[256];
    uint64_t fallbacks = tally_device_fallbacks(the.device, names, sizeof names);
    printf("done by the C path instead: %llu operations%s%s\n", (unsigned long long)fallbacks, fallbacks ? ", of " : "",
           names);
    suite_end();
    return failed != 0;
}
