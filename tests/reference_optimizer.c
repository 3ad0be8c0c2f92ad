/* The optimizers as torch.optim defines them, in double and in single precision. */
#include "reference.h"

#include <math.h>

static void adam(const tally_optimizer_options *o, double step, double gradient, double *weight, double *states) {
    double *m = &states[0], *v = &states[1];
    *m = o->beta1 * *m + (1 - o->beta1) * gradient;
    *v = o->beta2 * *v + (1 - o->beta2) * gradient * gradient;
    double m_hat = *m / (1 - pow(o->beta1, step)), v_hat = *v / (1 - pow(o->beta2, step));
    *weight -= o->rate * m_hat / (sqrt(v_hat) + o->epsilon);
}

static void adam_rounded(const tally_optimizer_options *o, double step, float gradient, float *weight, float *states) {
    float rate = (float)(o->rate / (1 - pow(o->beta1, step))), root = (float)(1 / sqrt(1 - pow(o->beta2, step)));
    float keep1 = (float)(1 - o->beta1), keep2 = (float)(1 - o->beta2);
    states[0] = fmaf(keep1, gradient - states[0], states[0]);
    states[1] = fmaf((float)o->beta2, states[1], keep2 * gradient * gradient);
    *weight -= rate * (states[0] / fmaf(sqrtf(states[1]), root, (float)o->epsilon));
}

static void sgd(const tally_optimizer_options *o, double gradient, double *weight, double *states) {
    double change = gradient;
    if (o->momentum > 0) {
        states[0] = o->momentum * states[0] + gradient;
        change = o->nesterov ? gradient + o->momentum * states[0] : states[0];
    }
    *weight -= o->rate * change;
}

static void sgd_rounded(const tally_optimizer_options *o, float gradient, float *weight, float *states) {
    float change = gradient, momentum = (float)o->momentum;
    if (o->momentum > 0) {
        states[0] = fmaf(momentum, states[0], gradient);
        change = o->nesterov ? fmaf(momentum, states[0], gradient) : states[0];
    }
    *weight -= (float)o->rate * change;
}

static void rmsprop(const tally_optimizer_options *o, double gradient, double *weight, double *states) {
    states[0] = o->alpha * states[0] + (1 - o->alpha) * gradient * gradient;
    double change = gradient / (sqrt(states[0]) + o->epsilon);
    if (o->momentum > 0)
        change = states[1] = o->momentum * states[1] + change;
    *weight -= o->rate * change;
}

static void rmsprop_rounded(const tally_optimizer_options *o, float gradient, float *weight, float *states) {
    states[0] = fmaf((float)o->alpha, states[0], (float)(1 - o->alpha) * gradient * gradient);
    float change = gradient / (sqrtf(states[0]) + (float)o->epsilon);
    if (o->momentum > 0)
        change = states[1] = fmaf((float)o->momentum, states[1], change);
    *weight -= (float)o->rate * change;
}

static void adagrad(const tally_optimizer_options *o, double gradient, double *weight, double *states) {
    states[0] += gradient * gradient;
    *weight -= o->rate * gradient / (sqrt(states[0]) + o->epsilon);
}

static void adagrad_rounded(const tally_optimizer_options *o, float gradient, float *weight, float *states) {
    states[0] = fmaf(gradient, gradient, states[0]);
    *weight -= (float)o->rate * (gradient / (sqrtf(states[0]) + (float)o->epsilon));
}

void reference_optimizer_step(const tally_optimizer_options *o, uint64_t step, double gradient, double *weight,
                              double *states) {
    if (o->kind == TALLY_ADAMW)
        *weight -= o->rate * o->weight_decay * *weight;
    else
        gradient += o->weight_decay * *weight;
    switch (o->kind) {
    case TALLY_ADAM:
    case TALLY_ADAMW:
        adam(o, (double)step, gradient, weight, states);
        break;
    case TALLY_SGD:
        sgd(o, gradient, weight, states);
        break;
    case TALLY_RMSPROP:
        rmsprop(o, gradient, weight, states);
        break;
    case TALLY_ADAGRAD:
        adagrad(o, gradient, weight, states);
        break;
    case TALLY_OPTIMIZERS:
        break;
    }
}

void reference_optimizer_rounded(const tally_optimizer_options *o, uint64_t step, float gradient, float *weight,
                                 float *states) {
    if (o->kind == TALLY_ADAMW)
        *weight *= (float)(1 - o->rate * o->weight_decay);
    else
        gradient = fmaf((float)o->weight_decay, *weight, gradient);
    switch (o->kind) {
    case TALLY_ADAM:
    case TALLY_ADAMW:
        adam_rounded(o, (double)step, gradient, weight, states);
        break;
    case TALLY_SGD:
        sgd_rounded(o, gradient, weight, states);
        break;
    case TALLY_RMSPROP:
        rmsprop_rounded(o, gradient, weight, states);
        break;
    case TALLY_ADAGRAD:
        adagrad_rounded(o, gradient, weight, states);
        break;
    case TALLY_OPTIMIZERS:
        break;
    }
}
