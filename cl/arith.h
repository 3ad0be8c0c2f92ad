/* arith.h: the arithmetic that host and device share, read by the C compiler and by the OpenCL compiler.
 *
 * Whoever includes this defines, for vectors TL_F of float and TL_I of int with the same number of lanes (or scalars):
 *   TL_FN, TL_NAME(x)            how a function is declared, and its name for this kind of vector
 *   TL_FMA(a, b, c)              fused multiply-add, rounded once
 *   TL_DIV(a, b), TL_SQRT(a)     correctly rounded
 *   TL_PICK_LESS(x, y, a, b)     x < y ? a : b in each lane; b where x or y is NaN
 *   TL_AS_I(f), TL_AS_F(i)       the same bits
 *   TL_EXPONENT(i, bias)         (i + bias) << 23, wrapping around
 *   TL_TO_F(i)                   small integers, exact
 *   TL_SPLAT(c), TL_SPLAT_I(c)   all lanes
 * + - * are single roundings: contraction is off wherever this is compiled. NaN in gives NaN out.
 * The largest errors stated here are in units of the last place over every float; tests/test_arith.c measures them.
 */

/* Polynomials: minimax by Lawson's iteration, |x| <= ln(2)/2 for exp, [sqrt(1/2) - 1, sqrt(2) - 1] for log. */
#define TL_LOG2_E 0x1.715476p+0f
#define TL_LN2_HI 0x1.62e43p-1f
#define TL_LN2_LO -0x1.05c61p-29f
#define TL_ROUNDER 0x1.8p+23f /* adding it leaves the nearest integer in the low bits */

TL_FN TL_F TL_NAME(abs)(TL_F x) {
    return TL_AS_F(TL_AS_I(x) & TL_SPLAT_I(0x7fffffff));
}

/* e^r - 1 for r = x - n ln 2; rounded is n + TL_ROUNDER. */
TL_FN TL_F TL_NAME(exp_reduced)(TL_F x, TL_F rounded) {
    TL_F n = rounded - TL_SPLAT(TL_ROUNDER);
    TL_F r = TL_FMA(n, TL_SPLAT(-TL_LN2_HI), x);
    r = TL_FMA(n, TL_SPLAT(-TL_LN2_LO), r);
    TL_F q = TL_SPLAT(0x1.6db5bcp-10f);
    q = TL_FMA(q, r, TL_SPLAT(0x1.123c78p-7f));
    q = TL_FMA(q, r, TL_SPLAT(0x1.55545cp-5f));
    q = TL_FMA(q, r, TL_SPLAT(0x1.55548ep-3f));
    q = TL_FMA(q, r, TL_SPLAT(0.5f));
    return TL_FMA(q * r, r, r);
}

/* e^x for x <= 0, down to the smallest denormal: 2^n in two factors, so that the result is rounded once. At most 1.06
 * ULP. */
TL_FN TL_F TL_NAME(exp_negative)(TL_F x) {
    x = TL_PICK_LESS(x, TL_SPLAT(-104.0f), TL_SPLAT(-104.0f), x);
    TL_F rounded = TL_FMA(x, TL_SPLAT(TL_LOG2_E), TL_SPLAT(TL_ROUNDER));
    TL_F p = TL_NAME(exp_reduced)(x, rounded) + TL_SPLAT(1.0f);
    TL_F up = TL_AS_F(TL_EXPONENT(TL_AS_I(rounded), 127 + 64));
    return p * up * TL_SPLAT(0x1p-64f);
}

/* 1 / (1 + e^-x), from the side that does not overflow. At most 2.41 ULP. */
TL_FN TL_F TL_NAME(sigmoid)(TL_F x) {
    TL_F e = TL_NAME(exp_negative)(TL_AS_F(TL_AS_I(x) | TL_SPLAT_I((int)0x80000000)));
    TL_F numerator = TL_PICK_LESS(x, TL_SPLAT(0.0f), e, TL_SPLAT(1.0f));
    return TL_DIV(numerator, e + TL_SPLAT(1.0f));
}

/* -m / (2 + m) with m = e^(-2|x|) - 1 kept to its own precision, and the sign of x. At most 2.50 ULP. */
TL_FN TL_F TL_NAME(tanh)(TL_F x) {
    TL_F y = TL_NAME(abs)(x) * TL_SPLAT(-2.0f);
    y = TL_PICK_LESS(y, TL_SPLAT(-20.0f), TL_SPLAT(-20.0f), y);
    TL_F rounded = TL_FMA(y, TL_SPLAT(TL_LOG2_E), TL_SPLAT(TL_ROUNDER));
    TL_F p = TL_NAME(exp_reduced)(y, rounded);
    TL_F scale = TL_AS_F(TL_EXPONENT(TL_AS_I(rounded), 127));
    TL_F m = TL_FMA(scale, p, scale - TL_SPLAT(1.0f));
    TL_F t = TL_DIV(m, TL_SPLAT(-2.0f) - m);
    return TL_AS_F((TL_AS_I(t) & TL_SPLAT_I(0x7fffffff)) | (TL_AS_I(x) & TL_SPLAT_I((int)0x80000000)));
}

/* ln x for normal x > 0. At most 0.83 ULP. */
TL_FN TL_F TL_NAME(log)(TL_F x) {
    /* x = 2^n (1 + f), 1 + f in [sqrt(1/2), sqrt(2)) */
    TL_I shifted = TL_AS_I(x) - TL_SPLAT_I(0x3f3504f3);
    TL_F n = TL_TO_F(shifted >> 23);
    TL_F f = TL_AS_F((shifted & TL_SPLAT_I(0x007fffff)) + TL_SPLAT_I(0x3f3504f3)) - TL_SPLAT(1.0f);
    TL_F q = TL_SPLAT(0.06746643f);
    q = TL_FMA(q, f, TL_SPLAT(-0.116756536f));
    q = TL_FMA(q, f, TL_SPLAT(0.11888162f));
    q = TL_FMA(q, f, TL_SPLAT(-0.124055885f));
    q = TL_FMA(q, f, TL_SPLAT(0.14219552f));
    q = TL_FMA(q, f, TL_SPLAT(-0.16667996f));
    q = TL_FMA(q, f, TL_SPLAT(0.20002119f));
    q = TL_FMA(q, f, TL_SPLAT(-0.2500001f));
    q = TL_FMA(q, f, TL_SPLAT(0.33333313f));
    TL_F square = f * f;
    q = q * f;
    TL_F small = TL_FMA(n, TL_SPLAT(TL_LN2_LO), TL_FMA(square, TL_SPLAT(-0.5f), q * square));
    TL_F result = TL_FMA(n, TL_SPLAT(TL_LN2_HI), f + small);
    return result + (x - x); /* NaN stays NaN */
}
