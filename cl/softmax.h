/* softmax.h: softmax over classes and cross-entropy, TL_W columns at a time, classes and columns any distance apart.
 * Read by the C compiler and by the OpenCL compiler; needs what recurrent.h needs. */

/* The loss of a probability below this is that of this, as the guide has it. */
#define TL_LEAST_PROBABILITY 1e-10f

/* exp(logit - largest) / sum for n columns, classes ascending. probabilities may be the logits. */
TL_FUNCTION void tl_softmax(tl_size classes, TL_GLOBAL const float *logits, tl_size logits_row, tl_size logits_column,
                            TL_GLOBAL float *probabilities, tl_size row, tl_size column, tl_size n) {
    TL_F largest = TL_LOAD(logits, logits_column, n);
    for (tl_size k = 1; k < classes; k++) {
        TL_F logit = TL_LOAD(logits + k * logits_row, logits_column, n);
        largest = TL_PICK_LESS(largest, logit, logit, largest);
    }
    TL_F sum = TL_SPLAT(0.0f);
    for (tl_size k = 0; k < classes; k++) {
        TL_F e = TL_NAME(exp_negative)(TL_LOAD(logits + k * logits_row, logits_column, n) - largest);
        TL_STORE(probabilities + k * row, column, n, e);
        sum = sum + e;
    }
    for (tl_size k = 0; k < classes; k++) {
        TL_GLOBAL float *p = probabilities + k * row;
        TL_STORE(p, column, n, TL_DIV(TL_LOAD(p, column, n), sum));
    }
}

/* The losses of n columns. A label below 0 has none, one that is no class a NaN. */
TL_FUNCTION TL_F tl_losses(tl_size classes, TL_GLOBAL const int *labels, tl_size label_column,
                           TL_GLOBAL const float *probabilities, tl_size row, tl_size column, tl_size n) {
    float chosen[TL_W];
    for (tl_size l = 0; l < TL_W; l++) {
        int label = l < n ? labels[l * label_column] : -1;
        chosen[l] = 1.0f;
        if (label >= 0)
            chosen[l] = (tl_size)label < classes ? probabilities[(tl_size)label * row + l * column] : TL_NAN;
    }
    TL_F p = TL_GET_LANES(chosen);
    p = TL_PICK_LESS(p, TL_SPLAT(TL_LEAST_PROBABILITY), TL_SPLAT(TL_LEAST_PROBABILITY), p);
    return TL_NAME(abs)(TL_NAME(log)(p)); /* p is at most 1; 0 - ln p might be -0 */
}

/* The gradient of the loss with respect to a logit. */
TL_TEMPLATE float tl_logit_gradient(float probability, int label, tl_size class) {
    float target = label >= 0 && class == (tl_size)label ? 1.0f : 0.0f;
    return label < 0 ? 0.0f : probability - target;
}
