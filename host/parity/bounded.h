/* bounded.h: running error analysis. A number in double, with a bound on how far the device's float may be from it.
 *
 * Each function stands for one float operation, rounded once. With u = 2^-24, the float result of exact operands is
 * within u |v| of v, plus what is lost below the normal range; operands that are off by e shift the exact result by
 * at most what the formula at each function says. The double's own error, 2^-53 |v|, is covered by the slack in u:
 * half a unit in the last place is at most u / (1 + u) |v|.
 */
#ifndef TALLY_PARITY_BOUNDED_H
#define TALLY_PARITY_BOUNDED_H

#include <math.h>
#include <stdbool.h>

/* The largest errors that cl/arith.h states, in units in the last place; tests/test_arith.c measures them. */
#define TL_EXP_ULPS 1.06
#define TL_SIGMOID_ULPS 2.41
#define TL_TANH_ULPS 2.50
#define TL_LOG_ULPS 0.83

/* Whether the device under analysis flushes numbers below 2^-126 to zero. Per thread. */
extern _Thread_local bool tl_bounded_flushes;

typedef struct tl_bounded {
    double v, e;
} tl_bounded;

#define TL_UNIT 0x1p-24

/* The largest error of a rounding near zero: half the smallest denormal or, with flushing, the smallest normal
 * number. */
static inline double tl_bounded_tiny(void) {
    return tl_bounded_flushes ? 0x1p-126 : 0x1p-150;
}

/* gamma(n) = n u / (1 - n u) bounds the effect of n roundings (Higham 2002, lemma 3.1). */
static inline double tl_bounded_gamma(double n) {
    return n * TL_UNIT / (1.0 - n * TL_UNIT);
}

/* An operand as it is stored. */
static inline tl_bounded tl_bounded_of(double v) {
    return (tl_bounded){v, !tl_bounded_flushes || fabs(v) >= 0x1p-126 ? 0.0 : fabs(v)};
}

/* A result that is not finite is not rounded; it must be matched exactly. */
static inline tl_bounded tl_bounded_rounded(double v, double e) {
    if (!isfinite(v))
        return (tl_bounded){v, 0};
    return (tl_bounded){v, e + TL_UNIT * (fabs(v) + e) + tl_bounded_tiny()};
}

static inline tl_bounded tl_bounded_add(tl_bounded a, tl_bounded b) {
    return tl_bounded_rounded(a.v + b.v, a.e + b.e);
}

static inline tl_bounded tl_bounded_sub(tl_bounded a, tl_bounded b) {
    return tl_bounded_rounded(a.v - b.v, a.e + b.e);
}

static inline double tl_bounded_product_error(tl_bounded a, tl_bounded b) {
    return fabs(a.v) * b.e + fabs(b.v) * a.e + a.e * b.e;
}

static inline bool tl_bounded_is(tl_bounded a, double v) {
    return a.v == v && a.e == 0.0;
}

/* Multiplying by an exact 1 returns the other operand, without a rounding. */
static inline tl_bounded tl_bounded_mul(tl_bounded a, tl_bounded b) {
    if (tl_bounded_is(a, 1.0))
        return b;
    return tl_bounded_rounded(a.v * b.v, tl_bounded_product_error(a, b));
}

/* With an exact 0 as the first factor, the result is the addend. */
static inline tl_bounded tl_bounded_fma(tl_bounded a, tl_bounded b, tl_bounded c) {
    if (tl_bounded_is(a, 0.0) && isfinite(b.v))
        return c;
    return tl_bounded_rounded(a.v * b.v + c.v, tl_bounded_product_error(a, b) + c.e);
}

/* |a'/b' - a/b| = |a' - (a/b) b'| / |b'| <= (ea + |a/b| eb) / (|b| - eb) */
static inline tl_bounded tl_bounded_div(tl_bounded a, tl_bounded b) {
    double v = a.v / b.v;
    double e = b.e < fabs(b.v) ? (a.e + fabs(v) * b.e) / (fabs(b.v) - b.e) : (double)INFINITY;
    return tl_bounded_rounded(v, e);
}

/* |sqrt(a') - sqrt(a)| <= e / sqrt(a), and <= sqrt(e) */
static inline tl_bounded tl_bounded_sqrt(tl_bounded a) {
    double v = sqrt(a.v);
    return tl_bounded_rounded(v, a.e == 0.0 ? 0.0 : fmin(sqrt(a.e), v > 0.0 ? a.e / v : (double)INFINITY));
}

/* The distance between neighbouring floats at v. */
static inline double tl_bounded_ulp(double v) {
    int exponent;
    frexp(fabs(v), &exponent);
    return ldexp(1.0, (exponent < -125 ? -125 : exponent) - 24);
}

/* A function of cl/arith.h: its stated error in ULP, plus moved, the effect of the argument's own error. */
static inline tl_bounded tl_bounded_function(double v, double moved, double ulps) {
    return (tl_bounded){v, moved + ulps * tl_bounded_ulp(fabs(v) + moved) + (tl_bounded_flushes ? 0x1p-126 : 0.0)};
}

/* e^x for float arguments that are not above 0: e^(x + e) - e^x = e^x (e^e - 1), and never more than e^0. */
static inline tl_bounded tl_bounded_exp_negative(tl_bounded x) {
    double v = exp(x.v);
    return tl_bounded_function(v, x.e < 1 ? v * expm1(x.e) : exp(fmin(x.v + x.e, 0)), TL_EXP_ULPS);
}

/* The slope of the sigmoid is sigmoid (1 - sigmoid), at most 1/4; over [x - e, x + e] it is at most its value where
 * |x| is smallest. */
static inline tl_bounded tl_bounded_sigmoid(tl_bounded x) {
    double t = exp(-fabs(x.v)), v = x.v < 0 ? t / (1 + t) : 1 / (1 + t);
    double s = exp(-fmax(fabs(x.v) - x.e, 0.0)), slope = s / ((1 + s) * (1 + s));
    return tl_bounded_function(v, fmin(slope * x.e, 1.0), TL_SIGMOID_ULPS);
}

/* The slope of tanh is 1 / cosh^2, at most 1; it is largest where |x| is smallest. */
static inline tl_bounded tl_bounded_tanh(tl_bounded x) {
    double v = tanh(x.v), c = cosh(fmin(fmax(fabs(x.v) - x.e, 0.0), 300.0));
    return tl_bounded_function(v, fmin(x.e / (c * c), 2.0), TL_TANH_ULPS);
}

/* |ln x' - ln x| <= e / (x - e) */
static inline tl_bounded tl_bounded_log(tl_bounded x) {
    return tl_bounded_function(log(x.v),
                               x.e == 0.0  ? 0.0
                               : x.e < x.v ? x.e / (x.v - x.e)
                                           : (double)INFINITY,
                               TL_LOG_ULPS);
}

#endif
