#include "arith_opencl.h"
#include "view.h"

/* TL_W columns a work-item; see tally_softmax_loss. */
kernel void tally_softmax_loss(ulong classes, global const float *logits, VIEW2(logits), global const int *labels,
                               VIEW1(labels), global float *probabilities, VIEW2(probabilities), global float *loss,
                               VIEW1(loss), ulong columns) {
    ulong column = get_global_id(0) * TL_W;
    if (column >= columns)
        return;
    ulong n = columns - column;
    TL_F largest = tl_load(logits + AT2(logits, 0, column), logits_column, n);
    for (ulong k = 1; k < classes; k++) {
        TL_F logit = tl_load(logits + AT2(logits, k, column), logits_column, n);
        largest = TL_PICK_LESS(largest, logit, logit, largest);
    }
    TL_F sum = TL_SPLAT(0.0f);
    for (ulong k = 0; k < classes; k++) {
        TL_F e = tl_exp_negative(tl_load(logits + AT2(logits, k, column), logits_column, n) - largest);
        tl_store(probabilities + AT2(probabilities, k, column), probabilities_column, n, e);
        sum = sum + e;
    }
    for (ulong k = 0; k < classes; k++) {
        global float *p = probabilities + AT2(probabilities, k, column);
        tl_store(p, probabilities_column, n, TL_DIV(tl_load(p, probabilities_column, n), sum));
    }

    float chosen[TL_W];
    for (uint l = 0; l < TL_W; l++) {
        int label = l < n ? labels[AT1(labels, column + l)] : -1;
        chosen[l] = 1.0f;
        if (label >= 0)
            chosen[l] = (ulong)label < classes ? probabilities[AT2(probabilities, label, column + l)] : NAN;
    }
    TL_F p = TL_GET(chosen);
    p = TL_PICK_LESS(p, TL_SPLAT(1e-10f), TL_SPLAT(1e-10f), p);
    tl_store(loss + AT1(loss, column), loss_column, n,
             tl_abs(tl_log(p))); /* not 0 - ln 1, which a compiler may make -0 */
}

/* One element a work-item; see tally_softmax_loss_backward. */
kernel void tally_softmax_loss_backward(global const float *probabilities, VIEW2(probabilities),
                                        global const int *labels, VIEW1(labels), global float *dlogits, VIEW2(dlogits),
                                        ulong columns) {
    size_t column = get_global_id(0), k = get_global_id(1);
    if (column >= columns)
        return;
    int label = labels[AT1(labels, column)];
    float p = probabilities[AT2(probabilities, k, column)];
    float target = label >= 0 && k == (size_t)label ? 1.0f : 0.0f;
    dlogits[AT2(dlogits, k, column)] = label < 0 ? 0.0f : p - target;
}
