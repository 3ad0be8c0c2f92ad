#include "arith_opencl.h"

#define AT(t, k) (t##_offset + (k) * t##_row + column * t##_column)
#define VIEW(t) ulong t##_offset, ulong t##_row, ulong t##_column

/* One column a work-item; see tally_softmax_loss. */
kernel void tally_softmax_loss(ulong classes, global const float *logits, VIEW(logits), global const int *labels,
                               ulong labels_offset, ulong labels_stride, global float *probabilities,
                               VIEW(probabilities), global float *loss, ulong loss_offset, ulong loss_stride,
                               ulong columns) {
    size_t column = get_global_id(0);
    if (column >= columns)
        return;
    float largest = logits[AT(logits, 0)];
    for (ulong k = 1; k < classes; k++) {
        float logit = logits[AT(logits, k)];
        largest = TL_PICK_LESS(largest, logit, logit, largest);
    }
    float sum = 0.0f;
    for (ulong k = 0; k < classes; k++) {
        float e = tl_exp_negative(logits[AT(logits, k)] - largest);
        probabilities[AT(probabilities, k)] = e;
        sum = sum + e;
    }
    for (ulong k = 0; k < classes; k++)
        probabilities[AT(probabilities, k)] = TL_DIV(probabilities[AT(probabilities, k)], sum);

    int label = labels[labels_offset + column * labels_stride];
    float p = 1.0f;
    if (label >= 0)
        p = (ulong)label < classes ? probabilities[AT(probabilities, label)] : NAN;
    p = TL_PICK_LESS(p, 1e-10f, 1e-10f, p);
    loss[loss_offset + column * loss_stride] = tl_abs(tl_log(p)); /* not 0 - ln 1, which a compiler may make -0 */
}

/* One element a work-item; see tally_softmax_loss_backward. */
kernel void tally_softmax_loss_backward(global const float *probabilities, VIEW(probabilities),
                                        global const int *labels, ulong labels_offset, ulong labels_stride,
                                        global float *dlogits, VIEW(dlogits), ulong columns) {
    size_t column = get_global_id(0), k = get_global_id(1);
    if (column >= columns)
        return;
    int label = labels[labels_offset + column * labels_stride];
    float p = probabilities[AT(probabilities, k)];
    float target = label >= 0 && k == (size_t)label ? 1.0f : 0.0f;
    dlogits[AT(dlogits, k)] = label < 0 ? 0.0f : p - target;
}
