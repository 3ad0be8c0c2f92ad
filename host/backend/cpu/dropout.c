#include "backend/cpu/kernels.h"
#include "backend/dropout_words.h"

#include "dropout.h"

tally_status TL_ISA_NAME(dropout)(const tally_dropout_options *options, const tally_tensor *x,
                                  const tally_tensor *out) {
    const tl_dropout_words with = tl_dropout_words_of(options);
    const tl_dropout d = {with.key[0], with.key[1], options->first, with.threshold, with.scale};
    const size_t features = x->shape[0], columns = x->shape[2];
    for (size_t t = 0; t < x->shape[1]; t++)
        for (size_t group = 0; 4 * group < features; group++)
            for (size_t n = 0; n < columns; n += TL_W)
                tl_drop(&d, features, group, t, tl_view_floats(x) + t * x->stride[1], x->stride[0], x->stride[2],
                        tl_view_floats(out) + t * out->stride[1], out->stride[0], out->stride[2], n, columns - n);
    return TALLY_OK;
}
