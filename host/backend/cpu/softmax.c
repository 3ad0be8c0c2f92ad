#include "backend/cpu/kernels.h"

static const float CLIP = 1e-10f; /* the guide's */

/* exp(logit - max) / sum, classes ascending. */
static void softmax_columns(const tally_tensor *logits, const tally_tensor *probabilities, size_t column,
                            size_t valid) {
    size_t classes = logits->shape[0];
    const float *in = tl_view_floats(logits) + column * logits->stride[1];
    float *out = tl_view_floats(probabilities) + column * probabilities->stride[1];
    size_t in_step = logits->stride[1], out_step = probabilities->stride[1];

    tl_vf largest = tl_v_load_some(in, in_step, valid);
    for (size_t k = 1; k < classes; k++) {
        tl_vf logit = tl_v_load_some(in + k * logits->stride[0], in_step, valid);
        largest = TL_PICK_LESS(largest, logit, logit, largest);
    }
    tl_vf sum = TL_SPLAT(0.0f);
    for (size_t k = 0; k < classes; k++) {
        tl_vf e = tl_v_exp_negative(tl_v_load_some(in + k * logits->stride[0], in_step, valid) - largest);
        tl_v_store_some(out + k * probabilities->stride[0], out_step, valid, e);
        sum = sum + e;
    }
    for (size_t k = 0; k < classes; k++) {
        float *p = out + k * probabilities->stride[0];
        tl_v_store_some(p, out_step, valid, TL_DIV(tl_v_load_some(p, out_step, valid), sum));
    }
}

tally_status TL_ISA_NAME(softmax_loss)(const tally_tensor *logits, const tally_tensor *labels,
                                       const tally_tensor *probabilities, const tally_tensor *loss) {
    size_t classes = logits->shape[0], n = logits->shape[1];
    for (size_t column = 0; column < n; column += TL_W) {
        size_t valid = n - column < TL_W ? n - column : TL_W;
        softmax_columns(logits, probabilities, column, valid);
        float chosen[TL_W], losses[TL_W];
        for (size_t l = 0; l < TL_W; l++) {
            int32_t label = l < valid ? tl_view_ints(labels)[(column + l) * labels->stride[0]] : -1;
            chosen[l] = 1.0f;
            if (label >= 0 && (size_t)label < classes)
                chosen[l] = tl_view_floats(
                    probabilities)[(size_t)label * probabilities->stride[0] + (column + l) * probabilities->stride[1]];
            else if (label >= 0)
                chosen[l] = __builtin_nanf("");
        }
        tl_vf p = tl_v_load(chosen);
        p = TL_PICK_LESS(p, TL_SPLAT(CLIP), TL_SPLAT(CLIP), p);
        tl_v_store(losses, tl_v_abs(tl_v_log(p))); /* p is at most 1 */
        for (size_t l = 0; l < valid; l++)
            tl_view_floats(loss)[(column + l) * loss->stride[0]] = losses[l];
    }
    return TALLY_OK;
}

tally_status TL_ISA_NAME(softmax_loss_backward)(const tally_tensor *probabilities, const tally_tensor *labels,
                                                const tally_tensor *dlogits) {
    size_t classes = probabilities->shape[0], n = probabilities->shape[1];
    for (size_t column = 0; column < n; column++) {
        int32_t label = tl_view_ints(labels)[column * labels->stride[0]];
        for (size_t k = 0; k < classes; k++) {
            float p = tl_view_floats(probabilities)[k * probabilities->stride[0] + column * probabilities->stride[1]];
            float target = label >= 0 && k == (size_t)label ? 1.0f : 0.0f;
            tl_view_floats(dlogits)[k * dlogits->stride[0] + column * dlogits->stride[1]] =
                label < 0 ? 0.0f : p - target;
        }
    }
    return TALLY_OK;
}
