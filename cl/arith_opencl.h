/* arith_opencl.h: arith.h over TL_W neighbouring columns in the hands of one work-item: a vector of 4, 8 or 16 where
 * the device computes with vectors, one where it has a work-item for each. The build sets TL_W; every width gives the
 * same bits. */
#pragma OPENCL FP_CONTRACT OFF

#define TL_JOIN_(a, b) a##b
#define TL_JOIN(a, b) TL_JOIN_(a, b)
#if TL_W == 1
#define TL_TYPE(name) name
#else
#define TL_TYPE(name) TL_JOIN(name, TL_W) /* float16 */
#endif
#define TL_F TL_TYPE(float)
#define TL_I TL_TYPE(int)
#define TL_U TL_TYPE(uint)
#define TL_AS_I(f) TL_TYPE(as_int)(f)
#define TL_AS_F(i) TL_TYPE(as_float)(i)
#define TL_AS_U(i) TL_TYPE(as_uint)(i)
#define TL_TO_F(i) TL_TYPE(convert_float)(i)

#define TL_FN static __attribute__((always_inline))
#define TL_NAME(name) tl_##name
#define TL_FMA(a, b, c) fma(a, b, c)
#define TL_ADD(a, b) ((a) + (b))
#define TL_SUB(a, b) ((a) - (b))
#define TL_MUL(a, b) ((a) * (b))
#define TL_DIV(a, b) ((a) / (b))
#define TL_SQRT(a) sqrt(a)
#define TL_PICK_LESS(x, y, a, b) select(b, a, (x) < (y))
#define TL_EXPONENT(i, bias) TL_AS_I((TL_AS_U(i) + (TL_U)(bias)) << 23)
#define TL_SPLAT(c) ((TL_F)(c))
#define TL_SPLAT_I(c) ((TL_I)(c))
#include "arith.h"
#include "constants.h"

/* What the algorithms shared with the host need of a compiler; see recurrent.h. */
typedef ulong tl_size;
typedef ulong tl_u64;
#define TL_GLOBAL global
#define TL_TEMPLATE static inline __attribute__((always_inline))
#define TL_FUNCTION static
#define TL_NOINLINE static __attribute__((noinline))
/* Completely: where a loop over registers is only partly unrolled, PoCL keeps the registers in memory. */
#ifdef __clang__
#define TL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TL_UNROLL _Pragma("unroll")
#endif
#define TL_NAN NAN
#define TL_SUMS_IN_MEMORY (TL_W > 1)

#define TL_PARTS (TL_LANES / TL_W)
#define TL_FLAT TL_FLAT_OF(TL_W)

/* TL_W neighbours in memory, of any alignment. PoCL makes four stores of vstore16, but one of this. */
typedef TL_F tl_unaligned __attribute__((aligned(4)));
#define TL_GET(p) (*(global const tl_unaligned *)(p))
#define TL_PUT(value, p) (*(global tl_unaligned *)(p) = (value))
#define TL_LOAD(p, stride, n) tl_load(p, stride, n)
#define TL_STORE(p, stride, n, value) tl_store(p, stride, n, value)
/* The same of a private array. */
#define TL_GET_LANES(p) (*(const tl_unaligned *)(p))
#define TL_PUT_LANES(value, p) (*(tl_unaligned *)(p) = (value))
typedef TL_U tl_unaligned_words __attribute__((aligned(4)));
#define TL_GET_WORDS(p) (*(const tl_unaligned_words *)(p))
#define TL_PUT_WORDS(value, p) (*(tl_unaligned_words *)(p) = (value))

/* For dropout.h. */
#define TL_SPLAT_WORD(c) ((TL_U)(uint)(c))
#define TL_HIGH(a, b) mul_hi((TL_U)(a), b)
#define TL_PICK_BELOW(x, limit, a, b) select(b, a, (x) < (TL_U)(limit))

/* The first n of TL_W floats, stride apart; the others are 0. */
TL_TEMPLATE TL_F tl_load(global const float *p, tl_size stride, tl_size n) {
    if (TL_W == 1 || (stride == 1 && n >= TL_W))
        return TL_GET(p);
    float lanes[TL_W];
    TL_UNROLL
    for (tl_size l = 0; l < TL_W; l++)
        lanes[l] = l < n ? p[l * stride] : 0.0f;
    return TL_GET_LANES(lanes);
}

TL_TEMPLATE void tl_store(global float *p, tl_size stride, tl_size n, TL_F value) {
    if (TL_W == 1 || (stride == 1 && n >= TL_W)) {
        TL_PUT(value, p);
        return;
    }
    float lanes[TL_W];
    TL_PUT_LANES(value, lanes);
    for (tl_size l = 0; l < TL_W && l < n; l++)
        p[l * stride] = lanes[l];
}

/* The 16 lanes of a sum one by one, and back. */
static void tl_lanes_get(const TL_F part[TL_PARTS], float lanes[TL_LANES]) {
    TL_UNROLL
    for (int q = 0; q < TL_PARTS; q++)
        TL_PUT_LANES(part[q], lanes + q * TL_W);
}

static void tl_lanes_set(TL_F part[TL_PARTS], const float lanes[TL_LANES]) {
    TL_UNROLL
    for (int q = 0; q < TL_PARTS; q++)
        part[q] = TL_GET_LANES(lanes + q * TL_W);
}

/* The 16 lanes of a sum, halved 8, 4, 2, 1. */
static float tl_lanes_sum(const TL_F part[TL_PARTS]) {
#if TL_W == 16
    float8 eight = part[0].lo + part[0].hi;
    float4 four = eight.lo + eight.hi;
    float2 two = four.lo + four.hi;
    return two.lo + two.hi;
#else
    float lanes[TL_LANES];
    tl_lanes_get(part, lanes);
    for (uint half_lanes = TL_LANES / 2; half_lanes > 0; half_lanes /= 2)
        for (uint l = 0; l < half_lanes; l++)
            lanes[l] += lanes[l + half_lanes];
    return lanes[0];
#endif
}
