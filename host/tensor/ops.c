#include "core/fail.h"
#include "tensor/dispatch.h"
#include "tensor/shapes.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static size_t rows_of(const tally_tensor *t) {
    return t ? t->shape[0] : 0;
}

static size_t columns_of(const tally_tensor *t) {
    return t ? t->shape[1] : 0;
}

/* A matrix whose rows lie along the inner dimension is its transpose read the other way. */
static tally_tensor normalised(const tally_tensor *matrix, bool *transpose) {
    tally_tensor view = *matrix;
    if (matrix->stride[1] != 1 && matrix->stride[0] == 1) {
        for (int d = 0; d < 2; d++) {
            view.shape[d] = matrix->shape[1 - d];
            view.stride[d] = matrix->stride[1 - d];
        }
        *transpose = !*transpose;
    }
    return view;
}

tally_status tally_gemm(bool transpose_a, bool transpose_b, float alpha, const tally_tensor *a, const tally_tensor *b,
                        float beta, const tally_tensor *c) {
    size_t m = c ? c->shape[0] : 0, n = columns_of(c), k = a ? a->shape[transpose_a ? 0 : 1] : 0;
    const tl_expected expected[] = {
        {"A", a, TALLY_F32, 2, {transpose_a ? k : m, transpose_a ? m : k}, TL_ANY},
        {"B", b, TALLY_F32, 2, {transpose_b ? n : k, transpose_b ? k : n}, TL_ANY},
        {"C", c, TALLY_F32, 2, {m, n}, TL_ANY},
    };
    tally_status status = tl_check_tensors("tally_gemm", expected, COUNT(expected));
    if (status)
        return status;
    tally_tensor a_view = normalised(a, &transpose_a), b_view = normalised(b, &transpose_b);
    return TL_DISPATCH_WITH(gemm, (.a = &a_view, .b = &b_view, .c = c),
                            (.transpose_a = transpose_a, .transpose_b = transpose_b), transpose_a, transpose_b, alpha,
                            &a_view, &b_view, beta, c);
}

tally_status tally_bias(const tally_tensor *bias, const tally_tensor *y) {
    const tl_expected expected[] = {
        {"bias", bias, TALLY_F32, 1, {rows_of(y)}, TL_ANY},
        {"Y", y, TALLY_F32, 2, {0, 0}, TL_ANY},
    };
    tally_status status = tl_check_tensors("tally_bias", expected, COUNT(expected));
    if (status)
        return status;
    return TL_DISPATCH(bias, (.bias = bias, .y = y), bias, y);
}

tally_status tally_reduce(const tally_tensor *x, float beta, const tally_tensor *out) {
    const tl_expected expected[] = {
        {"X", x, TALLY_F32, 2, {0, 0}, TL_ANY},
        {"out", out, TALLY_F32, 1, {rows_of(x)}, TL_ANY},
    };
    tally_status status = tl_check_tensors("tally_reduce", expected, COUNT(expected));
    if (status)
        return status;
    return TL_DISPATCH(reduce, (.x = x, .out = out), x, beta, out);
}

tally_status tally_accumulate(const tally_tensor *left, const tally_tensor *right, const tally_tensor *gradient) {
    const tl_expected expected[] = {
        {"left", left, TALLY_F32, 3, {0, 0, 0}, TL_ANY},
        {"gradient", gradient, TALLY_F32, right ? 2 : 1, {rows_of(left), right ? rows_of(right) : 0}, TL_ANY},
        {"right", right ? right : left, TALLY_F32, 3, {0, columns_of(left), left ? left->shape[2] : 0}, TL_ANY},
    };
    tally_status status = tl_check_tensors("tally_accumulate", expected, COUNT(expected));
    if (status)
        return status;
    return TL_DISPATCH(accumulate, (.left = left, .right = right, .gradient = gradient), left, right, gradient);
}

tally_status tally_apply(tally_function function, const tally_tensor *a, const tally_tensor *b, const tally_tensor *c,
                         const tally_tensor *out) {
    if ((int)function < 0 || function >= TALLY_FUNCTIONS)
        return tl_fail(TALLY_USAGE, "tally_apply: there is no function %d", (int)function);
    bool two = function == TALLY_FMA || (function >= TALLY_SUM && function <= TALLY_QUOTIENT);
    const tl_expected expected[] = {
        {"a", a, TALLY_F32, 1, {0}, TL_ANY},
        {"b", two ? b : a, TALLY_F32, 1, {rows_of(a)}, TL_ANY},
        {"c", function == TALLY_FMA ? c : a, TALLY_F32, 1, {rows_of(a)}, TL_ANY},
        {"out", out, TALLY_F32, 1, {rows_of(a)}, TL_ANY},
    };
    tally_status status = tl_check_tensors("tally_apply", expected, COUNT(expected));
    if (status)
        return status;
    return TL_DISPATCH(apply, (.a = a, .b = expected[1].tensor, .c = expected[2].tensor, .out = out), function, a,
                       expected[1].tensor, expected[2].tensor, out);
}

/* src and dst of one type, number of dimensions and shape. */
static tally_status check_pair(const char *operation, const tally_tensor *src, const tally_tensor *dst,
                               tally_dtype dtype) {
    if (!src || !src->storage)
        return tl_fail(TALLY_USAGE, "%s: no source given", operation);
    tl_expected expected[] = {
        {"the source", src, dtype, src->ndim, {0}, TL_ANY},
        {"the destination", dst, dtype, src->ndim, {0}, TL_ANY},
    };
    for (int d = 0; d < src->ndim; d++)
        expected[1].shape[d] = src->shape[d];
    return tl_check_tensors(operation, expected, COUNT(expected));
}

tally_status tally_add(const tally_tensor *src, const tally_tensor *dst) {
    tally_status status = check_pair("tally_add", src, dst, TALLY_F32);
    if (status)
        return status;
    return TL_DISPATCH(add, (.src = src, .dst = dst), src, dst);
}

tally_status tally_copy(const tally_tensor *src, const tally_tensor *dst) {
    tally_status status = check_pair("tally_copy", src, dst, src ? src->dtype : TALLY_F32);
    if (status)
        return status;
    return TL_DISPATCH(copy, (.src = src, .dst = dst), src, dst);
}

tally_status tally_dropout(const tally_dropout_options *options, const tally_tensor *x, const tally_tensor *out) {
    if (!options || !(options->probability >= 0 && options->probability < 1))
        return tl_fail(TALLY_USAGE, "tally_dropout: no options, or a probability that is not in [0, 1)");
    const tl_expected expected[] = {
        {"x", x, TALLY_F32, 3, {0, 0, 0}, TL_ANY},
        {"out", out, TALLY_F32, 3, {x ? x->shape[0] : 0, x ? x->shape[1] : 0, x ? x->shape[2] : 0}, TL_ANY},
    };
    tally_status status = tl_check_tensors("tally_dropout", expected, COUNT(expected));
    if (status)
        return status;
    /* Places are counted in 32 bits. */
    if (x->shape[0] > INT32_MAX || x->shape[1] > INT32_MAX || x->shape[2] > UINT32_MAX - options->first)
        return tl_fail(TALLY_USAGE, "tally_dropout: %zu features, %zu steps and %zu columns from %u on are too many",
                       x->shape[0], x->shape[1], x->shape[2], (unsigned)options->first);
    return TL_DISPATCH(dropout, (.x = x, .out = out), options, x, out);
}

tally_status tally_fill(const tally_tensor *tensor, float value) {
    const tl_expected expected[] = {{"tensor", tensor, TALLY_F32, tensor ? tensor->ndim : 1, {0}, TL_ANY}};
    tally_status status = tl_check_tensors("tally_fill", expected, COUNT(expected));
    if (status)
        return status;
    return TL_DISPATCH(fill, (.tensor = tensor), tensor, value);
}

tally_status tally_softmax_loss(const tally_tensor *logits, const tally_tensor *labels,
                                const tally_tensor *probabilities, const tally_tensor *loss) {
    size_t classes = rows_of(logits), n = columns_of(logits);
    const tl_expected expected[] = {
        {"logits", logits, TALLY_F32, 2, {0, 0}, TL_ANY},
        {"labels", labels, TALLY_I32, 1, {n}, TL_ANY},
        {"probabilities", probabilities, TALLY_F32, 2, {classes, n}, TL_ANY},
        {"loss", loss, TALLY_F32, 1, {n}, TL_ANY},
    };
    tally_status status = tl_check_tensors("tally_softmax_loss", expected, COUNT(expected));
    if (status)
        return status;
    return TL_DISPATCH(softmax_loss, (.logits = logits, .labels = labels, .probabilities = probabilities, .loss = loss),
                       logits, labels, probabilities, loss);
}

tally_status tally_softmax_loss_backward(const tally_tensor *probabilities, const tally_tensor *labels,
                                         const tally_tensor *dlogits) {
    size_t classes = rows_of(probabilities), n = columns_of(probabilities);
    const tl_expected expected[] = {
        {"probabilities", probabilities, TALLY_F32, 2, {0, 0}, TL_ANY},
        {"labels", labels, TALLY_I32, 1, {n}, TL_ANY},
        {"dlogits", dlogits, TALLY_F32, 2, {classes, n}, TL_ANY},
    };
    tally_status status = tl_check_tensors("tally_softmax_loss_backward", expected, COUNT(expected));
    if (status)
        return status;
    return TL_DISPATCH(softmax_loss_backward, (.probabilities = probabilities, .labels = labels, .dlogits = dlogits),
                       probabilities, labels, dlogits);
}
