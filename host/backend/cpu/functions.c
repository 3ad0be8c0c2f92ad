#include "backend/cpu/kernels.h"

TL_INLINE tl_vf apply(tally_function function, tl_vf a, tl_vf b, tl_vf c) {
    switch (function) {
    case TALLY_EXP:
        return tl_v_exp_negative(a);
    case TALLY_LOG:
        return tl_v_log(a);
    case TALLY_SIGMOID:
        return tl_v_sigmoid(a);
    case TALLY_TANH:
        return tl_v_tanh(a);
    case TALLY_SUM:
        return a + b;
    case TALLY_PRODUCT:
        return a * b;
    case TALLY_QUOTIENT:
        return TL_DIV(a, b);
    case TALLY_ROOT:
        return TL_SQRT(a);
    default:
        return TL_FMA(a, b, c);
    }
}

tally_status TL_ISA_NAME(apply)(tally_function function, const tally_tensor *a, const tally_tensor *b,
                                const tally_tensor *c, const tally_tensor *out) {
    size_t n = out->shape[0];
    for (size_t i = 0; i < n; i += TL_W) {
        const tally_tensor *operands[3] = {a, b, c};
        tl_vf value[3];
        for (int o = 0; o < 3; o++)
            value[o] =
                tl_v_load_some(tl_view_floats(operands[o]) + i * operands[o]->stride[0], operands[o]->stride[0], n - i);
        tl_v_store_some(tl_view_floats(out) + i * out->stride[0], out->stride[0], n - i,
                        apply(function, value[0], value[1], value[2]));
    }
    return TALLY_OK;
}
