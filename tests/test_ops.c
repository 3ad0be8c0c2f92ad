/* test_ops [PATTERN]: every operation against double precision, and against the C path's baseline bit for bit, on one
 * device. PATTERN, with * and ?, picks tests by name. */
#include "ops.h"

#include "suite.h"

#include <stdio.h>

const size_t odd_sizes[ODD_SIZES] = {1, 2, 3, 7, 31, 33, 127};

size_t odd_sizes_used(void) {
    return the.small ? 5 : ODD_SIZES;
}

int main(int argc, char **argv) {
    int status = suite_begin();
    if (status)
        return status;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = ops_tensors() + ops_arguments() + ops_elementwise() + ops_gemm() + ops_cell() + ops_softmax() +
                 ops_adam() + ops_lstm() + ops_fallbacks();
    char names[256];
    uint64_t fallbacks = tally_device_fallbacks(the.device, names, sizeof names);
    printf("done by the C path instead: %llu operations%s%s\n", (unsigned long long)fallbacks, fallbacks ? ", of " : "",
           names);
    suite_end();
    return failed != 0;
}
