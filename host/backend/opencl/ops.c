#include "backend/dropout_words.h"
#include "backend/opencl/launch.h"
#include "backend/optimizer.h"

#include <string.h>

/* One work-item for each element. */
static tally_status run_elements(tl_launch *l, const tally_tensor *t) {
    size_t size[3] = {1, 1, 1};
    for (int d = 0; d < t->ndim; d++)
        size[3 - t->ndim + d] = t->shape[d];
    return tl_launch_run(l, size[2], 1, size[1], size[0]);
}

tally_status tl_cl_bias(const tally_tensor *bias, const tally_tensor *y) {
    tl_launch l = tl_launch_start(y, TL_CL_bias);
    tl_launch_view(&l, bias, 1);
    tl_launch_view(&l, y, 3);
    return run_elements(&l, y);
}

static tally_status run_pair(const tally_tensor *src, const tally_tensor *dst, tl_cl_kernel kernel) {
    tl_launch l = tl_launch_start(dst, kernel);
    tl_launch_view(&l, src, 3);
    tl_launch_view(&l, dst, 3);
    return run_elements(&l, dst);
}

tally_status tl_cl_add(const tally_tensor *src, const tally_tensor *dst) {
    return run_pair(src, dst, TL_CL_add);
}

tally_status tl_cl_copy(const tally_tensor *src, const tally_tensor *dst) {
    return run_pair(src, dst, TL_CL_copy);
}

tally_status tl_cl_fill(const tally_tensor *tensor, float value) {
    cl_int bits;
    memcpy(&bits, &value, sizeof bits);
    tl_launch l = tl_launch_start(tensor, TL_CL_fill);
    tl_launch_view(&l, tensor, 3);
    tl_launch_int(&l, bits);
    return run_elements(&l, tensor);
}

tally_status tl_cl_dropout(const tally_dropout_options *options, const tally_tensor *x, const tally_tensor *out) {
    const tl_dropout_words with = tl_dropout_words_of(options);
    tl_launch l = tl_launch_start(out, TL_CL_dropout);
    tl_launch_view(&l, x, 3);
    tl_launch_view(&l, out, 3);
    tl_launch_int(&l, (cl_int)with.key[0]);
    tl_launch_int(&l, (cl_int)with.key[1]);
    tl_launch_int(&l, (cl_int)options->first);
    tl_launch_int(&l, (cl_int)with.threshold);
    tl_launch_real(&l, with.scale);
    tl_launch_int(&l, (cl_int)out->shape[0]);
    return tl_launch_run(&l, out->shape[2], l.device->width, (out->shape[0] + 3) / 4, out->shape[1]);
}

tally_status tl_cl_apply(tally_function function, const tally_tensor *a, const tally_tensor *b, const tally_tensor *c,
                         const tally_tensor *out) {
    tl_launch l = tl_launch_start(out, TL_CL_apply);
    tl_launch_int(&l, (cl_int)function);
    tl_launch_view(&l, a, 1);
    tl_launch_view(&l, b ? b : a, 1);
    tl_launch_view(&l, c ? c : a, 1);
    tl_launch_view(&l, out, 1);
    return tl_launch_run(&l, out->shape[0], l.device->width, 1, 1);
}

tally_status tl_cl_cell_forward(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                const tally_tensor *c, const tally_tensor *tanh_c, const tally_tensor *h) {
    tl_launch l = tl_launch_start_cell(h, cell, TL_CL_gates);
    tl_launch_number(&l, h->shape[0]);
    tl_launch_view(&l, gates, 2);
    tl_launch_view_or(&l, previous, h, 2);
    tl_launch_view_or(&l, c, h, 2);
    tl_launch_view_or(&l, tanh_c, h, 2);
    tl_launch_view(&l, h, 2);
    return tl_launch_run(&l, h->shape[1], l.device->width, h->shape[0], 1);
}

tally_status tl_cl_cell_backward(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                 const tally_tensor *tanh_c, const tally_tensor *dh, const tally_tensor *dc) {
    tl_launch l = tl_launch_start_cell(dh, cell, TL_CL_gates_backward);
    tl_launch_number(&l, dh->shape[0]);
    tl_launch_view(&l, gates, 2);
    tl_launch_view_or(&l, previous, dh, 2);
    tl_launch_view_or(&l, tanh_c, dh, 2);
    tl_launch_view(&l, dh, 2);
    tl_launch_view_or(&l, dc, dh, 2);
    return tl_launch_run(&l, dh->shape[1], l.device->width, dh->shape[0], 1);
}

tally_status tl_cl_softmax_loss(const tally_tensor *logits, const tally_tensor *labels,
                                const tally_tensor *probabilities, const tally_tensor *loss) {
    tl_launch l = tl_launch_start(logits, TL_CL_softmax_loss);
    tl_launch_number(&l, logits->shape[0]);
    tl_launch_view(&l, logits, 2);
    tl_launch_view(&l, labels, 1);
    tl_launch_view(&l, probabilities, 2);
    tl_launch_view(&l, loss, 1);
    return tl_launch_run(&l, logits->shape[1], l.device->width, 1, 1);
}

tally_status tl_cl_softmax_loss_backward(const tally_tensor *probabilities, const tally_tensor *labels,
                                         const tally_tensor *dlogits) {
    tl_launch l = tl_launch_start(dlogits, TL_CL_softmax_loss_backward);
    tl_launch_view(&l, probabilities, 2);
    tl_launch_view(&l, labels, 1);
    tl_launch_view(&l, dlogits, 2);
    return tl_launch_run(&l, dlogits->shape[1], 1, dlogits->shape[0], 1);
}

/* All contiguous but for where they start. The kernel wants a buffer for a state that the rule does not have, too, and
 * does not touch it. */
tally_status tl_cl_optimizer_step(const tally_optimizer_options *options, uint64_t step, const tally_tensor *gradient,
                                  const tally_tensor *weights, const tally_tensor *states, const tally_tensor *faults) {
    const tl_update update = tl_update_of(options, step);
    float scalars[TL_MAX_SCALARS];
    tl_update_floats(&update, scalars);
    tl_launch l = tl_launch_start(weights, TL_CL_optimizer_step);
    tl_launch_view(&l, gradient, 0);
    tl_launch_view(&l, weights, 0);
    for (size_t s = 0; s < TALLY_MAX_OPTIMIZER_STATES; s++)
        tl_launch_view(&l, s < update.states ? &states[s] : weights, 0);
    tl_launch_view(&l, faults, 0);
    tl_launch_int(&l, (cl_int)update.rule);
    tl_launch_int(&l, (cl_int)update.states);
    tl_launch_reals(&l, scalars, TL_MAX_SCALARS);
    return tl_launch_run_flat(&l, weights->shape[0]);
}
