#include "backend/cpu/kernels.h"

#include "softmax.h"

tally_status TL_ISA_NAME(softmax_loss)(const tally_tensor *logits, const tally_tensor *labels,
                                       const tally_tensor *probabilities, const tally_tensor *loss) {
    size_t classes = logits->shape[0], columns = logits->shape[1];
    for (size_t column = 0; column < columns; column += TL_W) {
        size_t n = columns - column < TL_W ? columns - column : TL_W;
        const float *in = tl_view_floats(logits) + column * logits->stride[1];
        float *out = tl_view_floats(probabilities) + column * probabilities->stride[1];
        tl_softmax(classes, in, logits->stride[0], logits->stride[1], out, probabilities->stride[0],
                   probabilities->stride[1], n);
        tl_vf losses = tl_losses(classes, tl_view_ints(labels) + column * labels->stride[0], labels->stride[0], out,
                                 probabilities->stride[0], probabilities->stride[1], n);
        tl_v_store_some(tl_view_floats(loss) + column * loss->stride[0], loss->stride[0], n, losses);
    }
    return TALLY_OK;
}

tally_status TL_ISA_NAME(softmax_loss_backward)(const tally_tensor *probabilities, const tally_tensor *labels,
                                                const tally_tensor *dlogits) {
    for (size_t column = 0; column < probabilities->shape[1]; column++) {
        int32_t label = tl_view_ints(labels)[column * labels->stride[0]];
        for (size_t k = 0; k < probabilities->shape[0]; k++) {
            float p = tl_view_floats(probabilities)[k * probabilities->stride[0] + column * probabilities->stride[1]];
            tl_view_floats(dlogits)[k * dlogits->stride[0] + column * dlogits->stride[1]] =
                tl_logit_gradient(p, label, k);
        }
    }
    return TALLY_OK;
}
