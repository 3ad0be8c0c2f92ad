/* softmax.h: softmax and its loss over TL_W neighbouring columns, n of them there; rows and columns any distance apart. */
#ifndef TL_SOFTMAX_H
#define TL_SOFTMAX_H

static void tl_softmax(ulong classes, global const float *logits, ulong in_row, ulong in_column,
                       global float *probabilities, ulong row, ulong column, ulong n) {
    TL_F largest = tl_load(logits, in_column, n);
    for (ulong k = 1; k < classes; k++) {
        TL_F logit = tl_load(logits + k * in_row, in_column, n);
        largest = TL_PICK_LESS(largest, logit, logit, largest);
    }
    TL_F sum = TL_SPLAT(0.0f);
    for (ulong k = 0; k < classes; k++) {
        TL_F e = tl_exp_negative(tl_load(logits + k * in_row, in_column, n) - largest);
        tl_store(probabilities + k * row, column, n, e);
        sum = sum + e;
    }
    for (ulong k = 0; k < classes; k++) {
        global float *p = probabilities + k * row;
        tl_store(p, column, n, TL_DIV(tl_load(p, column, n), sum));
    }
}

static TL_F tl_losses(ulong classes, global const int *labels, ulong label_column, global const float *probabilities,
                      ulong row, ulong column, ulong n) {
    float chosen[TL_W];
    for (uint l = 0; l < TL_W; l++) {
        int label = l < n ? labels[l * label_column] : -1;
        chosen[l] = 1.0f;
        if (label >= 0)
            chosen[l] = (ulong)label < classes ? probabilities[label * row + l * column] : NAN;
    }
    TL_F p = TL_GET(chosen);
    p = TL_PICK_LESS(p, TL_SPLAT(1e-10f), TL_SPLAT(1e-10f), p);
    return tl_abs(tl_log(p)); /* not 0 - ln 1, which a compiler may make -0 */
}

static float tl_logit_gradient(float probability, int label, ulong class) {
    return label < 0 ? 0.0f : probability - (class == (ulong)label ? 1.0f : 0.0f);
}

#endif
