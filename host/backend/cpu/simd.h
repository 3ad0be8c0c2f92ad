/* simd.h: float vectors of the instruction set this file is compiled for, and cl/arith.h over them.
 *
 * The kernels of the C path are compiled once for each set (host/meson.build), with TL_ISA naming it. Every lane gives
 * the same bits in all of them: only the number of lanes differs.
 */
#ifndef TALLY_BACKEND_CPU_SIMD_H
#define TALLY_BACKEND_CPU_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TL_JOIN_(a, b, c) a##b##_##c
#define TL_JOIN(a, b, c) TL_JOIN_(a, b, c)
/* The name of a function of this instruction set: tl_avx2_gemm. */
#define TL_ISA_NAME(name) TL_JOIN(tl_, TL_ISA, name)

#define TL_INLINE static inline __attribute__((always_inline, unused))

#include "constants.h"

/* What the shared algorithms of cl/ need of a compiler; see cl/recurrent.h. */
typedef size_t tl_size;
#define TL_GLOBAL
#define TL_TEMPLATE TL_INLINE
#define TL_FUNCTION static __attribute__((unused))
#define TL_NAN __builtin_nanf("")
#ifdef __clang__
#define TL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define TL_UNROLL _Pragma("GCC unroll 32")
#endif
#define TL_SUMS_IN_MEMORY 0
#define TL_GET(p) tl_v_load(p)
#define TL_GET_LANES(p) tl_v_load(p)
#define TL_PUT(value, p) tl_v_store(p, value)
#define TL_LOAD(p, stride, n) tl_v_load_some(p, stride, n)
#define TL_STORE(p, stride, n, value) tl_v_store_some(p, stride, n, value)

#if defined(__AVX512F__)

#include <immintrin.h>
#define TL_W 16
typedef __m512 tl_vf;
typedef int32_t tl_vi __attribute__((vector_size(64)));
TL_INLINE tl_vf tl_v_load(const float *p) {
    return _mm512_loadu_ps(p);
}
TL_INLINE void tl_v_store(float *p, tl_vf v) {
    _mm512_storeu_ps(p, v);
}
#define TL_SPLAT(c) _mm512_set1_ps(c)
#define TL_SPLAT_I(c) ((tl_vi)_mm512_set1_epi32(c))
#define TL_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define TL_SQRT(a) _mm512_sqrt_ps(a)
#define TL_PICK_LESS(x, y, a, b) _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), b, a)

#elif defined(__AVX2__) && defined(__FMA__)

#include <immintrin.h>
#define TL_W 8
typedef __m256 tl_vf;
typedef int32_t tl_vi __attribute__((vector_size(32)));
TL_INLINE tl_vf tl_v_load(const float *p) {
    return _mm256_loadu_ps(p);
}
TL_INLINE void tl_v_store(float *p, tl_vf v) {
    _mm256_storeu_ps(p, v);
}
#define TL_SPLAT(c) _mm256_set1_ps(c)
#define TL_SPLAT_I(c) ((tl_vi)_mm256_set1_epi32(c))
#define TL_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define TL_SQRT(a) _mm256_sqrt_ps(a)
#define TL_PICK_LESS(x, y, a, b) _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, y, _CMP_LT_OQ))

#else

/* Any machine: vectors of four; x86-64 alone has no fused multiply-add. */
#define TL_W 4
typedef float tl_vf __attribute__((vector_size(16)));
typedef int32_t tl_vi __attribute__((vector_size(16)));
TL_INLINE tl_vf tl_v_load(const float *p) {
    tl_vf v;
    memcpy(&v, p, sizeof v);
    return v;
}
TL_INLINE void tl_v_store(float *p, tl_vf v) {
    memcpy(p, &v, sizeof v);
}
TL_INLINE tl_vf tl_v_splat(float c) {
    return (tl_vf){c, c, c, c};
}
TL_INLINE tl_vi tl_v_splat_i(int c) {
    return (tl_vi){c, c, c, c};
}
#if defined(__SSE2__)
#include <emmintrin.h>
/* Two lanes of a b + c. The product is exact in double. The sum is rounded to odd there (Boldo & Melquiond 2008): the
 * exact error of the sum says which neighbour is odd and nearer, so that rounding it to float is the only rounding. */
TL_INLINE __m128d tl_v_fma_odd(__m128d a, __m128d b, __m128d c) {
    __m128d p = a * b;
    __m128d s = p + c;
    __m128d back = s - p;
    __m128d error = (p - (s - back)) + (c - back);
    __m128i below = _mm_castpd_si128(_mm_cmplt_pd(error, _mm_setzero_pd()));
    __m128i above = _mm_castpd_si128(_mm_cmpgt_pd(error, _mm_setzero_pd())); /* neither where s is not finite */
    __m128i negative = _mm_castpd_si128(_mm_cmplt_pd(s, _mm_setzero_pd()));
    __m128i one = _mm_set1_epi64x(1), bits = _mm_castpd_si128(s);
    __m128i even = _mm_sub_epi64(_mm_and_si128(bits, one), one);
    __m128i outwards = _mm_or_si128(_mm_xor_si128(below, negative), one); /* 1 or -1 */
    __m128i step = _mm_and_si128(_mm_and_si128(_mm_or_si128(below, above), even), outwards);
    return _mm_castsi128_pd(_mm_add_epi64(bits, step));
}
TL_INLINE tl_vf tl_v_fma(tl_vf a, tl_vf b, tl_vf c) {
    __m128 low = _mm_cvtpd_ps(tl_v_fma_odd(_mm_cvtps_pd(a), _mm_cvtps_pd(b), _mm_cvtps_pd(c)));
    __m128 high = _mm_cvtpd_ps(tl_v_fma_odd(_mm_cvtps_pd(_mm_movehl_ps(a, a)), _mm_cvtps_pd(_mm_movehl_ps(b, b)),
                                            _mm_cvtps_pd(_mm_movehl_ps(c, c))));
    return _mm_movelh_ps(low, high);
}
#else
TL_INLINE tl_vf tl_v_fma(tl_vf a, tl_vf b, tl_vf c) {
    for (int l = 0; l < TL_W; l++)
        c[l] = __builtin_fmaf(a[l], b[l], c[l]);
    return c;
}
#endif
TL_INLINE tl_vf tl_v_sqrt(tl_vf a) {
    for (int l = 0; l < TL_W; l++)
        a[l] = __builtin_sqrtf(a[l]);
    return a;
}
TL_INLINE tl_vf tl_v_pick_less(tl_vf x, tl_vf y, tl_vf a, tl_vf b) {
    tl_vi mask = x < y;
    return (tl_vf)((mask & (tl_vi)a) | (~mask & (tl_vi)b));
}
#define TL_SPLAT(c) tl_v_splat(c)
#define TL_SPLAT_I(c) tl_v_splat_i(c)
#define TL_FMA(a, b, c) tl_v_fma(a, b, c)
#define TL_SQRT(a) tl_v_sqrt(a)
#define TL_PICK_LESS(x, y, a, b) tl_v_pick_less(x, y, a, b)

#endif

/* For what wraps around. */
typedef uint32_t tl_vu __attribute__((vector_size(TL_W * sizeof(uint32_t))));

#define TL_F tl_vf
#define TL_I tl_vi
#define TL_FN TL_INLINE
#define TL_NAME(name) tl_v_##name
#define TL_ADD(a, b) ((a) + (b))
#define TL_SUB(a, b) ((a) - (b))
#define TL_MUL(a, b) ((a) * (b))
#define TL_DIV(a, b) ((a) / (b))
#define TL_AS_I(f) ((tl_vi)(f))
#define TL_AS_F(i) ((tl_vf)(i))
#define TL_U tl_vu
#define TL_EXPONENT(i, bias) ((tl_vi)(((tl_vu)(i) + (uint32_t)(bias)) << 23))
#define TL_TO_F(i) __builtin_convertvector(i, tl_vf)
#include "arith.h"

#define TL_PARTS (TL_LANES / TL_W)

/* The upper half of the product of an unsigned int and a vector of them. */
TL_INLINE tl_vu tl_v_high(uint32_t a, tl_vu b) {
    typedef uint64_t wide __attribute__((vector_size(TL_W * sizeof(uint64_t))));
    return __builtin_convertvector(__builtin_convertvector(b, wide) * (uint64_t)a >> 32, tl_vu);
}

TL_INLINE tl_vu tl_v_load_words(const uint32_t *p) {
    tl_vu v;
    memcpy(&v, p, sizeof v);
    return v;
}

TL_INLINE tl_vf tl_v_pick_below(tl_vu x, uint32_t limit, tl_vf a, tl_vf b) {
    tl_vi mask = (tl_vi)(x < limit);
    return (tl_vf)((mask & (tl_vi)a) | (~mask & (tl_vi)b));
}

#define TL_SPLAT_WORD(c) ((tl_vu)TL_SPLAT_I((int)(uint32_t)(c)))
#define TL_HIGH(a, b) tl_v_high(a, b)
#define TL_GET_WORDS(p) tl_v_load_words(p)
#define TL_PICK_BELOW(x, limit, a, b) tl_v_pick_below(x, limit, a, b)

/* n lanes from p on, stride apart; the others 0. */
TL_INLINE tl_vf tl_v_load_some(const float *p, size_t stride, size_t n) {
    if (stride == 1 && n >= TL_W)
        return tl_v_load(p);
    float lanes[TL_W] = {0};
    for (size_t l = 0; l < n && l < TL_W; l++)
        lanes[l] = p[l * stride];
    return tl_v_load(lanes);
}

TL_INLINE void tl_v_store_some(float *p, size_t stride, size_t n, tl_vf v) {
    if (stride == 1 && n >= TL_W) {
        tl_v_store(p, v);
        return;
    }
    float lanes[TL_W];
    tl_v_store(lanes, v);
    for (size_t l = 0; l < n && l < TL_W; l++)
        p[l * stride] = lanes[l];
}

/* One multiply-add of scalars, in a lane. */
TL_INLINE float tl_scalar_fma(float a, float b, float c) {
    return TL_FMA(TL_SPLAT(a), TL_SPLAT(b), TL_SPLAT(c))[0];
}

/* The 16 lanes of a sum, halved 8, 4, 2, 1. */
TL_INLINE float tl_lanes_sum(const tl_vf part[TL_PARTS]) {
#if defined(__AVX512F__)
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(part[0]),
                                 _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(part[0]), 1)));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
#else
    float lanes[TL_LANES];
    for (int p = 0; p < TL_PARTS; p++)
        tl_v_store(lanes + p * TL_W, part[p]);
    for (int half = TL_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lanes[l] += lanes[l + half];
    return lanes[0];
#endif
}

#endif
