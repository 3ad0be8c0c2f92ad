#include "compare.h"

#include "suite.h"

#include <math.h>
#include <string.h>

static bool holds(double value, double want, double bound) {
    if (isnan(want))
        return isnan(value);
    return isfinite(want) ? fabs(value - want) <= bound : value == want;
}

void compare_within(const char *name, const float *got, const double *want, const double *bound, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!holds((double)got[i], want[i], bound[i]))
            suite_fail("%s[%zu] is %.9g, not %.17g within %.3g (off by %.3g)", name, i, (double)got[i], want[i],
                       bound[i], fabs((double)got[i] - want[i]));
}

void compare_bounded(void *context, const char *name, const size_t index[3], float got, tl_bounded want) {
    (void)context;
    if (!holds((double)got, want.v, want.e))
        suite_fail("%s[%zu, %zu, %zu] is %.9g, not %.17g within %.3g (off by %.3g)", name, index[0], index[1], index[2],
                   (double)got, want.v, want.e, fabs((double)got - want.v));
}

static bool same_bits(float got, float want) {
    if (memcmp(&got, &want, sizeof got) == 0 || (isnan(got) && isnan(want)))
        return true;
    return !the.keeps_denormal && got == 0 && want == 0;
}

void compare_bits(const char *name, const float *got, const float *want, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!same_bits(got[i], want[i]))
            suite_fail("%s[%zu] is %a, but %a for the other", name, i, (double)got[i], (double)want[i]);
}
