/* arith_opencl.h: arith.h for one column a work-item. */
#pragma OPENCL FP_CONTRACT OFF

#define TL_F float
#define TL_I int
#define TL_FN static
#define TL_NAME(name) tl_##name
#define TL_FMA(a, b, c) fma(a, b, c)
#define TL_DIV(a, b) ((a) / (b))
#define TL_SQRT(a) sqrt(a)
#define TL_PICK_LESS(x, y, a, b) ((x) < (y) ? (a) : (b))
#define TL_AS_I(f) as_int(f)
#define TL_AS_F(i) as_float(i)
#define TL_EXPONENT(i, bias) as_int((as_uint(i) + (uint)(bias)) << 23)
#define TL_TO_F(i) convert_float(i)
#define TL_SPLAT(c) (c)
#define TL_SPLAT_I(c) (c)
#include "arith.h"
