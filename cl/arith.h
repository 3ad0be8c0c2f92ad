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

/* e^x for x <= 0, down to the smallest denormal: 2^n in two factors, so that the result is rounded once. At most 1.06 ULP. */
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

/* What is carried back through time: 0 below 2^-95. A million such gradients together are below 2^-75, whose square
 * is 0 for an optimizer. Where gradients vanish, in long sequences, they would otherwise end as denormals and stay,
 * which many processors compute with a hundred times as slowly. */
TL_FN TL_F TL_NAME(carried)(TL_F gradient) {
    return TL_PICK_LESS(TL_NAME(abs)(gradient), TL_SPLAT(0x1p-95f), TL_SPLAT(0.0f), gradient);
}

/* The LSTM cell. gate[0..3]: pre-activations of i, f, g, o, replaced by the activated gates. */
TL_FN void TL_NAME(lstm_cell)(TL_F gate[4], TL_F c_prev, TL_F *c, TL_F *tanh_c, TL_F *h) {
    gate[0] = TL_NAME(sigmoid)(gate[0]);
    gate[1] = TL_NAME(sigmoid)(gate[1]);
    gate[2] = TL_NAME(tanh)(gate[2]);
    gate[3] = TL_NAME(sigmoid)(gate[3]);
    *c = TL_FMA(gate[1], c_prev, gate[0] * gate[2]);
    *tanh_c = TL_NAME(tanh)(*c);
    *h = gate[3] * *tanh_c;
}

/* Its backward. gate[0..3]: activated gates, replaced by the gradients of their pre-activations; dc: gradient of c
 * from later steps, replaced by the gradient of c_prev. */
TL_FN void TL_NAME(lstm_cell_backward)(TL_F gate[4], TL_F c_prev, TL_F tanh_c, TL_F dh, TL_F *dc) {
    TL_F one = TL_SPLAT(1.0f);
    TL_F i = gate[0], f = gate[1], g = gate[2], o = gate[3];
    dh = TL_NAME(carried)(dh);
    TL_F dcell = TL_NAME(carried)(TL_FMA(dh * o, TL_FMA(-tanh_c, tanh_c, one), *dc));
    gate[0] = dcell * g * TL_FMA(-i, i, i);
    gate[1] = dcell * c_prev * TL_FMA(-f, f, f);
    gate[2] = dcell * i * TL_FMA(-g, g, one);
    gate[3] = dh * tanh_c * TL_FMA(-o, o, o);
    *dc = dcell * f;
}

/* The GRU cell, its reset gate inside. gate[0..3]: pre-activations of n, r, z and a, of which n has none of h and a none of x;
 * replaced by n, r, z and a. */
TL_FN void TL_NAME(gru_cell)(TL_F gate[4], TL_F h_prev, TL_F *h) {
    gate[1] = TL_NAME(sigmoid)(gate[1]);
    gate[2] = TL_NAME(sigmoid)(gate[2]);
    gate[0] = TL_NAME(tanh)(TL_FMA(gate[1], gate[3], gate[0]));
    *h = TL_FMA(gate[2], h_prev - gate[0], gate[0]);
}

/* Its backward; dh is replaced by what of it goes to h_prev past the gates. */
TL_FN void TL_NAME(gru_cell_backward)(TL_F gate[4], TL_F h_prev, TL_F *dh) {
    TL_F one = TL_SPLAT(1.0f);
    TL_F n = gate[0], r = gate[1], z = gate[2], a = gate[3];
    *dh = TL_NAME(carried)(*dh);
    gate[0] = *dh * (one - z) * TL_FMA(-n, n, one);
    gate[1] = gate[0] * a * TL_FMA(-r, r, r);
    gate[2] = *dh * (h_prev - n) * TL_FMA(-z, z, z);
    gate[3] = gate[0] * r;
    *dh = *dh * z;
}

/* Elman's cell backward; forward it is tanh. gate[0]: h, replaced by the gradient of its pre-activation. */
TL_FN void TL_NAME(rnn_cell_backward)(TL_F gate[1], TL_F dh) {
    gate[0] = TL_NAME(carried)(dh) * TL_FMA(-gate[0], gate[0], TL_SPLAT(1.0f));
}
