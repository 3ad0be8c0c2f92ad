#include "backend/adam_step.h"
#include "backend/opencl/opencl.h"

#include <stdio.h>
#include <string.h>

/* A kernel's arguments, set one after another. */
typedef struct launch {
    tl_cl_device *device;
    tl_cl_kernel kernel;
    cl_uint next;
    cl_int error; /* the first */
} launch;

static launch start(const tally_tensor *on, tl_cl_kernel kernel) {
    return (launch){tl_cl_device_of(on), kernel, 0, CL_SUCCESS};
}

static void argument(launch *l, const void *value, size_t size) {
    cl_int error = clSetKernelArg(l->device->kernels[l->kernel], l->next++, size, value);
    if (l->error == CL_SUCCESS)
        l->error = error;
}

static void number(launch *l, size_t value) {
    cl_ulong wide = value;
    argument(l, &wide, sizeof wide);
}

static void real(launch *l, float value) {
    argument(l, &value, sizeof value);
}

/* Buffer, offset, and the strides of as many dimensions as the kernel takes, outer ones 0 where the view has none. */
static void view(launch *l, const tally_tensor *t, int dims) {
    cl_mem memory = tl_cl_memory(t);
    argument(l, &memory, sizeof memory);
    number(l, t->offset);
    for (int d = t->ndim - dims; d < t->ndim; d++)
        number(l, d < 0 ? 0 : t->stride[d]);
}

/* Every kernel's last argument is columns: a launch is padded to whole groups of one size, because drivers choose poor
 * groups for odd sizes, and PoCL compiles a kernel anew for every size of group. */
static tally_status run(launch *l, size_t columns, size_t rows, size_t outer) {
    number(l, columns);
    size_t group = l->device->group;
    const size_t global[3] = {(columns + group - 1) / group * group, rows, outer}, local[3] = {group, 1, 1};
    const char *call = "clSetKernelArg";
    if (l->error == CL_SUCCESS) {
        call = "clEnqueueNDRangeKernel";
        l->error = clEnqueueNDRangeKernel(l->device->queue, l->device->kernels[l->kernel], 3, NULL, global, local, 0,
                                          NULL, NULL);
    }
    char text[64];
    snprintf(text, sizeof text, "%s of %s", call, tl_cl_kernel_name(l->kernel));
    return tl_cl_check(l->device, text, l->error);
}

/* One work-item for each element. */
static tally_status run_elements(launch *l, const tally_tensor *t) {
    size_t size[3] = {1, 1, 1};
    for (int d = 0; d < t->ndim; d++)
        size[3 - t->ndim + d] = t->shape[d];
    return run(l, size[2], size[1], size[0]);
}

tally_status tl_cl_bias(const tally_tensor *bias, const tally_tensor *y) {
    launch l = start(y, TL_CL_BIAS);
    view(&l, bias, 1);
    view(&l, y, 3);
    return run_elements(&l, y);
}

tally_status tl_cl_reduce(const tally_tensor *x, float beta, const tally_tensor *out) {
    launch l = start(x, TL_CL_REDUCE);
    view(&l, x, 2);
    number(&l, x->shape[1]);
    real(&l, beta);
    view(&l, out, 1);
    return run(&l, x->shape[0], 1, 1);
}

static tally_status run_pair(const tally_tensor *src, const tally_tensor *dst, tl_cl_kernel kernel) {
    launch l = start(dst, kernel);
    view(&l, src, 3);
    view(&l, dst, 3);
    return run_elements(&l, dst);
}

tally_status tl_cl_add(const tally_tensor *src, const tally_tensor *dst) {
    return run_pair(src, dst, TL_CL_ADD);
}

tally_status tl_cl_copy(const tally_tensor *src, const tally_tensor *dst) {
    return run_pair(src, dst, TL_CL_COPY);
}

tally_status tl_cl_fill(const tally_tensor *tensor, float value) {
    cl_uint bits;
    memcpy(&bits, &value, sizeof bits);
    launch l = start(tensor, TL_CL_FILL);
    view(&l, tensor, 3);
    argument(&l, &bits, sizeof bits);
    return run_elements(&l, tensor);
}

tally_status tl_cl_lstm_gates(const tally_tensor *gates, const tally_tensor *c_prev, const tally_tensor *c,
                              const tally_tensor *tanh_c, const tally_tensor *h) {
    launch l = start(h, TL_CL_LSTM_GATES);
    number(&l, h->shape[0]);
    view(&l, gates, 2);
    view(&l, c_prev, 2);
    view(&l, c, 2);
    view(&l, tanh_c, 2);
    view(&l, h, 2);
    return run(&l, h->shape[1], h->shape[0], 1);
}

tally_status tl_cl_lstm_gates_backward(const tally_tensor *gates, const tally_tensor *c_prev,
                                       const tally_tensor *tanh_c, const tally_tensor *dh, const tally_tensor *dc) {
    launch l = start(dh, TL_CL_LSTM_GATES_BACKWARD);
    number(&l, dh->shape[0]);
    view(&l, gates, 2);
    view(&l, c_prev, 2);
    view(&l, tanh_c, 2);
    view(&l, dh, 2);
    view(&l, dc, 2);
    return run(&l, dh->shape[1], dh->shape[0], 1);
}

tally_status tl_cl_softmax_loss(const tally_tensor *logits, const tally_tensor *labels,
                                const tally_tensor *probabilities, const tally_tensor *loss) {
    launch l = start(logits, TL_CL_SOFTMAX_LOSS);
    number(&l, logits->shape[0]);
    view(&l, logits, 2);
    view(&l, labels, 1);
    view(&l, probabilities, 2);
    view(&l, loss, 1);
    return run(&l, logits->shape[1], 1, 1);
}

tally_status tl_cl_softmax_loss_backward(const tally_tensor *probabilities, const tally_tensor *labels,
                                         const tally_tensor *dlogits) {
    launch l = start(dlogits, TL_CL_SOFTMAX_LOSS_BACKWARD);
    view(&l, probabilities, 2);
    view(&l, labels, 1);
    view(&l, dlogits, 2);
    return run(&l, dlogits->shape[1], dlogits->shape[0], 1);
}

/* All contiguous but for where they start. */
static void start_of(launch *l, const tally_tensor *t) {
    view(l, t, 0);
}

tally_status tl_cl_adam(const tally_adam_options *options, uint64_t step, const tally_tensor *gradient,
                        const tally_tensor *weights, const tally_tensor *m, const tally_tensor *v,
                        const tally_tensor *faults) {
    tl_adam_step with = tl_adam_step_of(options, step);
    launch l = start(weights, TL_CL_ADAM);
    start_of(&l, gradient);
    start_of(&l, weights);
    start_of(&l, m);
    start_of(&l, v);
    start_of(&l, faults);
    real(&l, with.rate);
    real(&l, with.root);
    real(&l, with.keep1);
    real(&l, with.beta2);
    real(&l, with.keep2);
    real(&l, with.epsilon);
    return run(&l, weights->shape[0], 1, 1);
}
