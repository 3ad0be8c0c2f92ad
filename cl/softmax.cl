#include "arith_opencl.h"
#include "view.h"

/* One column a work-item; see tally_softmax_loss. */
kernel void tally_softmax_loss(ulong classes, global const float *logits, VIEW2(logits), global const int *labels,
                               VIEW1(labels), global float *probabilities, VIEW2(probabilities), global float *loss,
                               VIEW1(loss), ulong columns) {
    size_t column = get_global_id(0);
    if (column >= columns)
        return;
    float largest = logits[AT2(logits, 0, column)];
    for (ulong k = 1; k < classes; k++) {
        float logit = logits[AT2(logits, k, column)];
        largest = TL_PICK_LESS(largest, logit, logit, largest);
    }
    float sum = 0.0f;
    for (ulong k = 0; k < classes; k++) {
        float e = tl_exp_negative(logits[AT2(logits, k, column)] - largest);
        probabilities[AT2(probabilities, k, column)] = e;
        sum = sum + e;
    }
    for (ulong k = 0; k < classes; k++)
        probabilities[AT2(probabilities, k, column)] = TL_DIV(probabilities[AT2(probabilities, k, column)], sum);

    int label = labels[AT1(labels, column)];
    float p = 1.0f;
    if (label >= 0)
        p = (ulong)label < classes ? probabilities[AT2(probabilities, label, column)] : NAN;
    p = TL_PICK_LESS(p, 1e-10f, 1e-10f, p);
    loss[AT1(loss, column)] = tl_abs(tl_log(p)); /* not 0 - ln 1, which a compiler may make -0 */
}

/* One element a work-item; see tally_softmax_loss_backward. */
kernel void tally_softmax_loss_backward(global const float *probabilities, VIEW2(probabilities),
                                        global const int *labels, VIEW1(labels), global float *dlogits,
                                        VIEW2(dlogits), ulong columns) {
    size_t column = get_global_id(0), k = get_global_id(1);
    if (column >= columns)
        return;
    int label = labels[AT1(labels, column)];
    float p = probabilities[AT2(probabilities, k, column)];
    float target = label >= 0 && k == (size_t)label ? 1.0f : 0.0f;
    dlogits[AT2(dlogits, k, column)] = label < 0 ? 0.0f : p - target;
}
