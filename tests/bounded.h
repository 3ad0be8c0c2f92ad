/* bounded.h: running error analysis. A number in double, and how far the float that an operation gives may be from it.
 *
 * Each function stands for one float operation, rounded once: with u = 2^-24 the float result of exact operands is
 * within u |v| of v, plus what is lost below the normal range; operands that are off by e shift the exact result by at
 * most what the formula beside says. The double's own error, 2^-53 |v|, is inside the slack of u: half a unit in the last place is
 * at most u / (1 + u) |v|.
 */
#ifndef TALLY_TESTS_BOUNDED_H
#define TALLY_TESTS_BOUNDED_H

#include "arith_bounds.h"
#include "suite.h"

#include <math.h>

typedef struct bounded {
    double v, e;
} bounded;

#define UNIT 0x1p-24

/* The largest error of a rounding near zero: half the smallest denormal, or, where denormals are flushed, all of one. */
static inline double bounded_tiny(void) {
    return the.keeps_denormal ? 0x1p-150 : 0x1p-126;
}

/* gamma(n) = n u / (1 - n u): what n roundings come to (Higham 2002, lemma 3.1). */
static inline double bounded_gamma(double n) {
    return n * UNIT / (1.0 - n * UNIT);
}

/* An operand as it is stored. */
static inline bounded bounded_of(double v) {
    return (bounded){v, the.keeps_denormal || fabs(v) >= 0x1p-126 ? 0.0 : fabs(v)};
}

/* What is not finite has no rounding, and compare.h wants it exactly. */
static inline bounded bounded_rounded(double v, double e) {
    if (!isfinite(v))
        return (bounded){v, 0};
    return (bounded){v, e + UNIT * (fabs(v) + e) + bounded_tiny()};
}

static inline bounded bounded_add(bounded a, bounded b) {
    return bounded_rounded(a.v + b.v, a.e + b.e);
}

static inline bounded bounded_sub(bounded a, bounded b) {
    return bounded_rounded(a.v - b.v, a.e + b.e);
}

static inline double bounded_product_error(bounded a, bounded b) {
    return fabs(a.v) * b.e + fabs(b.v) * a.e + a.e * b.e;
}

static inline bounded bounded_mul(bounded a, bounded b) {
    return bounded_rounded(a.v * b.v, bounded_product_error(a, b));
}

static inline bounded bounded_fma(bounded a, bounded b, bounded c) {
    return bounded_rounded(a.v * b.v + c.v, bounded_product_error(a, b) + c.e);
}

/* |a'/b' - a/b| = |a' - (a/b) b'| / |b'| <= (ea + |a/b| eb) / (|b| - eb) */
static inline bounded bounded_div(bounded a, bounded b) {
    double v = a.v / b.v;
    double e = b.e < fabs(b.v) ? (a.e + fabs(v) * b.e) / (fabs(b.v) - b.e) : (double)INFINITY;
    return bounded_rounded(v, e);
}

/* |sqrt(a') - sqrt(a)| <= e / sqrt(a), and <= sqrt(e) */
static inline bounded bounded_sqrt(bounded a) {
    double v = sqrt(a.v);
    return bounded_rounded(v, a.e == 0.0 ? 0.0 : fmin(sqrt(a.e), v > 0.0 ? a.e / v : (double)INFINITY));
}

/* The distance of floats at v. */
static inline double bounded_ulp(double v) {
    int exponent;
    frexp(fabs(v), &exponent);
    return ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
}

/* A function of cl/arith.h: its stated error in ULP at the argument it got, and how far that argument moves its value. */
static inline bounded bounded_function(double v, double moved, double ulps) {
    return (bounded){v, moved + ulps * bounded_ulp(fabs(v) + moved) + (the.keeps_denormal ? 0.0 : 0x1p-126)};
}

/* e^x where the float argument is not above 0 either: e^(x + e) - e^x = e^x (e^e - 1), and never more than e^0. */
static inline bounded bounded_exp_negative(bounded x) {
    double v = exp(x.v);
    return bounded_function(v, x.e < 1 ? v * expm1(x.e) : exp(fmin(x.v + x.e, 0)), EXP_ULPS);
}

/* The slope of the sigmoid is sigmoid (1 - sigmoid), at most 1/4; over [x - e, x + e] at most its value where |x| is least. */
static inline bounded bounded_sigmoid(bounded x) {
    double t = exp(-fabs(x.v)), v = x.v < 0 ? t / (1 + t) : 1 / (1 + t);
    double s = exp(-fmax(fabs(x.v) - x.e, 0.0)), slope = s / ((1 + s) * (1 + s));
    return bounded_function(v, fmin(slope * x.e, 1.0), SIGMOID_ULPS);
}

/* The slope of tanh is 1 / cosh^2, at most 1, largest where |x| is least. */
static inline bounded bounded_tanh(bounded x) {
    double v = tanh(x.v), c = cosh(fmin(fmax(fabs(x.v) - x.e, 0.0), 300.0));
    return bounded_function(v, fmin(x.e / (c * c), 2.0), TANH_ULPS);
}

/* |ln x' - ln x| <= e / (x - e) */
static inline bounded bounded_log(bounded x) {
    return bounded_function(log(x.v), x.e == 0.0 ? 0.0 : x.e < x.v ? x.e / (x.v - x.e) : (double)INFINITY, LOG_ULPS);
}

#endif
