/* scalar_arith.h: cl/arith.h for single floats on the host. */
#ifndef TALLY_CORE_SCALAR_ARITH_H
#define TALLY_CORE_SCALAR_ARITH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline int32_t tl_s_as_i(float f) {
    int32_t i;
    memcpy(&i, &f, sizeof i);
    return i;
}

static inline float tl_s_as_f(int32_t i) {
    float f;
    memcpy(&f, &i, sizeof f);
    return f;
}

#define TL_F float
#define TL_I int32_t
#define TL_FN static inline __attribute__((unused))
#define TL_NAME(name) tl_s_##name
#define TL_FMA(a, b, c) fmaf(a, b, c)
#define TL_DIV(a, b) ((a) / (b))
#define TL_SQRT(a) sqrtf(a)
#define TL_PICK_LESS(x, y, a, b) ((x) < (y) ? (a) : (b))
#define TL_AS_I(f) tl_s_as_i(f)
#define TL_AS_F(i) tl_s_as_f(i)
#define TL_EXPONENT(i, bias) ((int32_t)(((uint32_t)(i) + (bias)) << 23))
#define TL_TO_F(i) ((float)(i))
#define TL_SPLAT(c) (c)
#define TL_SPLAT_I(c) (c)
#include "arith.h"
#undef TL_F
#undef TL_I
#undef TL_FN
#undef TL_NAME
#undef TL_FMA
#undef TL_DIV
#undef TL_SQRT
#undef TL_PICK_LESS
#undef TL_AS_I
#undef TL_AS_F
#undef TL_EXPONENT
#undef TL_TO_F
#undef TL_SPLAT
#undef TL_SPLAT_I

#endif
