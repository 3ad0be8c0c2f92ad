#include "arith_opencl.h"
#include "softmax.h"
#include "view.h"

/* TL_W columns a work-item; see tally_softmax_loss. */
kernel void tally_softmax_loss(ulong classes, global const float *logits, VIEW2(logits), global const int *labels,
                               VIEW1(labels), global float *probabilities, VIEW2(probabilities), global float *loss,
                               VIEW1(loss), ulong columns) {
    ulong column = get_global_id(0) * TL_W;
    if (column >= columns)
        return;
    ulong n = columns - column;
    probabilities += AT2(probabilities, 0, column);
    tl_softmax(classes, logits + AT2(logits, 0, column), logits_row, logits_column, probabilities, probabilities_row,
               probabilities_column, n);
    tl_store(loss + AT1(loss, column), loss_column, n,
             tl_losses(classes, labels + AT1(labels, column), labels_column, probabilities, probabilities_row,
                       probabilities_column, n));
}

/* One element a work-item; see tally_softmax_loss_backward. */
kernel void tally_softmax_loss_backward(global const float *probabilities, VIEW2(probabilities),
                                        global const int *labels, VIEW1(labels), global float *dlogits, VIEW2(dlogits),
                                        ulong columns) {
    size_t column = get_global_id(0), k = get_global_id(1);
    if (column >= columns)
        return;
    dlogits[AT2(dlogits, k, column)] = tl_logit_gradient(probabilities[AT2(probabilities, k, column)],
                                                         labels[AT1(labels, column)], k);
}
