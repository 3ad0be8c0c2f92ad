/* arith_opencl.h: arith.h over TL_W neighbouring columns in the hands of one work-item: a vector of 4, 8 or 16 where the device computes with
 * vectors, one where it has a work-item for each. The build sets TL_W; every width gives the same bits. */
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

#define TL_FN static
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

/* A function that is part of every kernel that calls it, so that what it is called with may be constants. */
#define TEMPLATE static inline __attribute__((always_inline))

/* Sums over columns always have 16 lanes, in TL_PARTS values. */
#define TL_LANES 16
#define TL_PARTS (TL_LANES / TL_W)

/* Neighbours of a flat tensor a work-item: a processor wants more than a vector. */
#define TL_FLAT (TL_W == 1 ? 1 : 64 * TL_W)

/* TL_W neighbours in memory. */
#if TL_W == 1
#define TL_GET(p) (*(p))
#define TL_PUT(value, p) (*(p) = (value))
#else
#define TL_GET(p) TL_JOIN(vload, TL_W)(0, p)
#define TL_PUT(value, p) TL_JOIN(vstore, TL_W)(value, 0, p)
#endif

/* n lanes from p on, step apart; the others 0. */
static TL_F tl_load(global const float *p, ulong step, ulong n) {
    if (TL_W == 1 || (step == 1 && n >= TL_W))
        return TL_GET(p);
    float lanes[TL_W];
    #pragma unroll
    for (uint l = 0; l < TL_W; l++)
        lanes[l] = l < n ? p[l * step] : 0.0f;
    return TL_GET(lanes);
}

static void tl_store(global float *p, ulong step, ulong n, TL_F value) {
    if (TL_W == 1 || (step == 1 && n >= TL_W)) {
        TL_PUT(value, p);
        return;
    }
    float lanes[TL_W];
    TL_PUT(value, lanes);
    for (uint l = 0; l < TL_W && l < n; l++)
        p[l * step] = lanes[l];
}

/* The 16 lanes of a sum one by one, and back. */
static void tl_lanes_get(const TL_F part[TL_PARTS], float lanes[TL_LANES]) {
    #pragma unroll
    for (int q = 0; q < TL_PARTS; q++)
        TL_PUT(part[q], lanes + q * TL_W);
}

static void tl_lanes_set(TL_F part[TL_PARTS], const float lanes[TL_LANES]) {
    #pragma unroll
    for (int q = 0; q < TL_PARTS; q++)
        part[q] = TL_GET(lanes + q * TL_W);
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
