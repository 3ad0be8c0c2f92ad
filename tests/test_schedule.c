/* The learning-rate schedule: the error and the bits of the cosine, and the steps at which the rate falls. */
#include "train/schedule.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

/* One rounding is at most 2^-53 of a number. The sum's term k, of magnitude c (pi/2)^(2k+1) / (2k+1)!, is rounded
 * once as a coefficient and passes k times the square's rounding, k products and k + 1 sums, and the product with
 * x: (3k + 3) roundings. All terms together give 9.4 of the sine at x = 1, and less for smaller x, where higher
 * terms weigh less. left itself is rounded once, which moves the sine by no more than that, relatively. Squared:
 * twice that and one more. */
static const double BOUND = 22 * 0x1p-53;

static void check_cosine(size_t step, size_t steps) {
    double left = (double)(steps - step) / (double)steps;
    /* 64 bits of fraction, and no cancellation */
    long double half = sinl(1.57079632679489661923132169163975144L * (long double)(steps - step) / (long double)steps);
    long double want = half * half, error = fabsl(tl_cosine(left) - want) / want;
    if (!(error <= (long double)BOUND))
        fail_msg("step %zu of %zu: %.20g, off by %.3g units of 2^-53", step, steps, tl_cosine(left),
                 (double)error * 0x1p53);
}

static void the_cosine_is_within_its_bound(void **state) {
    (void)state;
    const size_t all[] = {1, 2, 3, 7, 10, 1000, 50000, 65537};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t step = 0; step < all[i]; step++)
            check_cosine(step, all[i]);
    for (size_t step = 0; step < 4000000000; step += 99991)
        check_cosine(step, 4000000000);
    check_cosine(3999999999, 4000000000);
    assert_true(tl_cosine(0) == 0);
}

/* Every machine must compute these bits. */
static void the_cosine_has_these_bits(void **state) {
    (void)state;
    assert_true(tl_cosine(1) == 0x1.ffffffffffffep-1);
    assert_true(tl_cosine(0.5) == 0x1.ffffffffffffep-2);
    assert_true(tl_cosine(1.0 / 3.0) == 0x1.0000000000000p-2);
    uint64_t all = 0xcbf29ce484222325; /* FNV-1a over whole numbers instead of bytes */
    for (int i = 0; i <= 10000; i++) {
        double factor = tl_cosine(i / 10000.0);
        uint64_t bits;
        memcpy(&bits, &factor, sizeof bits);
        all = (all ^ bits) * 0x100000001b3;
    }
    assert_true(all == 0x6c02eafc90fdb54);
    assert_true(tl_cosine(0.001) == 0x1.4b2b2fc02d8cbp-19);
}

static void where_the_rate_falls(void **state) {
    (void)state;
    tally_train_options o = {.optimizer.rate = 0.5};
    for (o.epochs = 1; o.epochs <= 41; o.epochs++)
        for (size_t epoch = 0; epoch < o.epochs; epoch++) {
            o.decay = TALLY_DECAY_NONE;
            assert_true(tl_learning_rate(&o, 3, epoch, 3 * epoch + 1) == 0.5);
            o.decay = TALLY_DECAY_STEP;
            double want = 4 * epoch >= 3 * o.epochs ? 0.5 / 10 / 10 : 2 * epoch >= o.epochs ? 0.5 / 10 : 0.5;
            assert_true(tl_learning_rate(&o, 3, epoch, 3 * epoch + 1) == want);
            o.decay = TALLY_DECAY_COSINE;
            double left = (double)(3 * o.epochs - 3 * epoch - 1) / (double)(3 * o.epochs);
            assert_true(tl_learning_rate(&o, 3, epoch, 3 * epoch + 1) == 0.5 * tl_cosine(left));
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cosine_is_within_its_bound),
        cmocka_unit_test(the_cosine_has_these_bits),
        cmocka_unit_test(where_the_rate_falls),
    };
    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
