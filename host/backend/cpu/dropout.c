#include "backend/cpu/kernels.h"
#include "backend/dropout_words.h"
#include "core/philox.h"

tally_status TL_ISA_NAME(dropout)(const tally_dropout_options *options, const tally_tensor *x,
                                  const tally_tensor *out) {
    const tl_dropout_words with = tl_dropout_words_of(options);
    const size_t features = x->shape[0], steps = x->shape[1], columns = x->shape[2];
    for (size_t t = 0; t < steps; t++)
        for (size_t group = 0; 4 * group < features; group++)
            for (size_t n = 0; n < columns; n++) {
                const uint32_t counter[4] = {options->first + (uint32_t)n, (uint32_t)t, (uint32_t)group, 0};
                uint32_t word[4];
                tl_philox(counter, with.key, word);
                for (size_t i = 0; i < 4 && 4 * group + i < features; i++) {
                    size_t f = 4 * group + i;
                    float value =
                        tl_view_floats(x)[f * x->stride[0] + t * x->stride[1] + n * x->stride[2]] * with.scale;
                    tl_view_floats(out)[f * out->stride[0] + t * out->stride[1] + n * out->stride[2]] =
                        word[i] < with.threshold ? 0.0f : value;
                }
            }
    return TALLY_OK;
}
