/* Tries a device's arithmetic when it is opened. What a driver reports of it is not believed. */
#include "backend/opencl/opencl.h"
#include "core/scalar_arith.h"

#include <math.h>
#include <stdio.h>

typedef struct trial {
    tally_function function;
    float a, b, c;
    const char *fault;
} trial;

#define DENORMALS "it takes numbers below 2^-126 for zero"
#define DIVISION "its division is not correctly rounded"
#define ROOT "its square root is not correctly rounded"
#define FUSED "its fused multiply-add is rounded twice"
#define ZEROS "it loses the sign of zero"
#define INFINITE "it does not keep infinities and NaNs apart"
#define FUNCTIONS "its exp, log, sigmoid or tanh is not made of IEEE 754's operations"

/* Where approximate arithmetic goes wrong: results next to the middle of two floats, below 2^-126, and special values.
 */
static const trial trials[] = {
    {TALLY_PRODUCT, 0x1p-130f, 1.0f, 0, DENORMALS},
    {TALLY_PRODUCT, 0x1p-149f, 0x1p100f, 0, DENORMALS},
    {TALLY_PRODUCT, 0x1p-100f, 0x1p-30f, 0, DENORMALS},
    {TALLY_PRODUCT, 0x1.fffffep-127f, 0x1.8p0f, 0, DENORMALS},
    {TALLY_SUM, 0x1.8p-126f, -0x1p-126f, 0, DENORMALS},
    {TALLY_SUM, 0x1p-149f, 0x1p-149f, 0, DENORMALS},
    {TALLY_QUOTIENT, 0x1p-126f, 3.0f, 0, DENORMALS},
    {TALLY_QUOTIENT, 0x1.234568p-140f, 0x1p-20f, 0, DENORMALS},
    {TALLY_QUOTIENT, 0x1p-149f, 0x1p-130f, 0, DENORMALS},
    {TALLY_ROOT, 0x1p-149f, 0, 0, DENORMALS},
    {TALLY_ROOT, 0x1.23p-130f, 0, 0, DENORMALS},
    {TALLY_FMA, 0x1p-80f, 0x1p-60f, 0x1p-149f, DENORMALS},
    {TALLY_FMA, 0x1p-149f, 0x1p40f, 0, DENORMALS},
    {TALLY_FMA, 1.0f, 0x1.8p-126f, -0x1p-126f, DENORMALS},
    {TALLY_EXP, -90.0f, 0, 0, DENORMALS},
    {TALLY_EXP, -103.0f, 0, 0, DENORMALS},
    {TALLY_SIGMOID, -88.5f, 0, 0, DENORMALS},
    {TALLY_TANH, 0x1.8p-140f, 0, 0, DENORMALS},
    {TALLY_QUOTIENT, 1.0f, 3.0f, 0, DIVISION},
    {TALLY_QUOTIENT, 1.0f, 0x1.fffffep0f, 0, DIVISION},
    {TALLY_QUOTIENT, 0x1.fffffep0f, 0x1.fffffcp0f, 0, DIVISION},
    {TALLY_QUOTIENT, 0x1.000002p0f, 0x1.fffffep0f, 0, DIVISION},
    {TALLY_QUOTIENT, 0x1.fffffcp0f, 0x1.000002p0f, 0, DIVISION},
    {TALLY_QUOTIENT, 0x1.82a5bcp3f, 0x1.d2f1a8p1f, 0, DIVISION},
    {TALLY_QUOTIENT, 0x1.000006p0f, 0x1.00000ap0f, 0, DIVISION},
    {TALLY_QUOTIENT, 0x1.6a09e6p100f, 0x1.bb67aep-20f, 0, DIVISION},
    {TALLY_QUOTIENT, 5.0f, 7.0f, 0, DIVISION},
    {TALLY_QUOTIENT, -11.0f, 13.0f, 0, DIVISION},
    {TALLY_QUOTIENT, 1.0f, 41.0f, 0, DIVISION},
    {TALLY_QUOTIENT, 16777213.0f, 16777215.0f, 0, DIVISION},
    {TALLY_ROOT, 2.0f, 0, 0, ROOT},
    {TALLY_ROOT, 3.0f, 0, 0, ROOT},
    {TALLY_ROOT, 0x1.fffffep0f, 0, 0, ROOT},
    {TALLY_ROOT, 0x1.fffffcp1f, 0, 0, ROOT},
    {TALLY_ROOT, 0x1.000002p0f, 0, 0, ROOT},
    {TALLY_ROOT, 0x1.23456ap-60f, 0, 0, ROOT},
    {TALLY_ROOT, 5.0f, 0, 0, ROOT},
    {TALLY_ROOT, 16777213.0f, 0, 0, ROOT},
    {TALLY_FMA, 0x1.000002p0f, 0x1.000002p0f, -0x1.000004p0f, FUSED},
    {TALLY_FMA, 0x1.fffffep0f, 0x1.fffffep0f, -0x1.fffffcp1f, FUSED},
    {TALLY_FMA, 0x1.000002p0f, 0x1.fffffep-1f, -1.0f, FUSED},
    {TALLY_FMA, 0x1.000002p-12f, 0x1.000002p-12f, 1.0f, FUSED},
    {TALLY_FMA, 3.0f, 0x1.555556p-2f, -1.0f, FUSED},
    {TALLY_PRODUCT, -0.0f, 1.0f, 0, ZEROS},
    {TALLY_PRODUCT, -1.0f, 0.0f, 0, ZEROS},
    {TALLY_SUM, -0.0f, -0.0f, 0, ZEROS},
    {TALLY_SUM, 0.0f, -0.0f, 0, ZEROS},
    {TALLY_SUM, 1.0f, -1.0f, 0, ZEROS},
    {TALLY_TANH, -0.0f, 0, 0, ZEROS},
    {TALLY_FMA, -1.0f, 0.0f, -0.0f, ZEROS},
    {TALLY_SUM, INFINITY, 1.0f, 0, INFINITE},
    {TALLY_SUM, INFINITY, -INFINITY, 0, INFINITE},
    {TALLY_PRODUCT, 0x1p100f, 0x1p100f, 0, INFINITE},
    {TALLY_PRODUCT, INFINITY, 0.0f, 0, INFINITE},
    {TALLY_QUOTIENT, 1.0f, 0.0f, 0, INFINITE},
    {TALLY_ROOT, -1.0f, 0, 0, INFINITE},
    {TALLY_SIGMOID, NAN, 0, 0, INFINITE},
    {TALLY_TANH, INFINITY, 0, 0, INFINITE},
    {TALLY_EXP, -0.3f, 0, 0, FUNCTIONS},
    {TALLY_EXP, -7.7f, 0, 0, FUNCTIONS},
    {TALLY_EXP, -40.1f, 0, 0, FUNCTIONS},
    {TALLY_LOG, 1e-10f, 0, 0, FUNCTIONS},
    {TALLY_LOG, 0.7f, 0, 0, FUNCTIONS},
    {TALLY_SIGMOID, 0.37f, 0, 0, FUNCTIONS},
    {TALLY_SIGMOID, -3.9f, 0, 0, FUNCTIONS},
    {TALLY_SIGMOID, 17.5f, 0, 0, FUNCTIONS},
    {TALLY_TANH, 0.01f, 0, 0, FUNCTIONS},
    {TALLY_TANH, -0.6f, 0, 0, FUNCTIONS},
    {TALLY_TANH, 4.4f, 0, 0, FUNCTIONS},
};
enum { TRIALS = sizeof trials / sizeof *trials };

static float expected(const trial *t) {
    switch (t->function) {
    case TALLY_EXP:
        return tl_s_exp_negative(t->a);
    case TALLY_LOG:
        return tl_s_log(t->a);
    case TALLY_SIGMOID:
        return tl_s_sigmoid(t->a);
    case TALLY_TANH:
        return tl_s_tanh(t->a);
    case TALLY_SUM:
        return t->a + t->b;
    case TALLY_PRODUCT:
        return t->a * t->b;
    case TALLY_QUOTIENT:
        return t->a / t->b;
    case TALLY_ROOT:
        return sqrtf(t->a);
    default:
        return fmaf(t->a, t->b, t->c);
    }
}

static bool same(float got, float want) {
    return (isnan(got) && isnan(want)) || tl_s_as_i(got) == tl_s_as_i(want);
}

static tally_tensor part(tl_storage *storage, size_t number, size_t length) {
    return (tally_tensor){.device = storage->device,
                          .storage = storage,
                          .dtype = TALLY_F32,
                          .ndim = 1,
                          .shape = {length},
                          .stride = {1},
                          .offset = number * TRIALS};
}

static tally_status run(tl_storage *storage, float got[TALLY_FUNCTIONS][TRIALS]) {
    float operands[3][TRIALS];
    for (size_t i = 0; i < TRIALS; i++) {
        operands[0][i] = trials[i].a;
        operands[1][i] = trials[i].b;
        operands[2][i] = trials[i].c;
    }
    tally_status status = tl_cl_write(storage, 0, operands, sizeof operands);
    tally_tensor a = part(storage, 0, TRIALS), b = part(storage, 1, TRIALS), c = part(storage, 2, TRIALS);
    for (size_t f = 0; f < TALLY_FUNCTIONS && !status; f++) { /* every function of every operand; the trials pick */
        tally_tensor out = part(storage, 3, TRIALS);
        status = tl_cl_apply((tally_function)f, &a, &b, &c, &out);
        if (!status)
            status = tl_cl_read(storage, sizeof operands, got[f], sizeof got[f]);
    }
    return status;
}

/* cl/functions.cl runs these many; what it leaves says how many it ran. */
enum { LOOP = 1 << 17, SEED = 12345 };

/* LOOP + 1 where no number of iterations leaves this. */
static size_t iterations_until(uint32_t state) {
    uint32_t x = SEED;
    size_t done = 0;
    for (; done <= LOOP && x != state; done++)
        x = x * 1664525u + 1013904223u;
    return done;
}

/* What ends after fewer iterations is given sums of a sixteenth of that, and of one at least: a sum's element takes
 * several. */
static tally_status try_loop(tl_cl_device *device, tl_storage *storage) {
    uint32_t state = SEED;
    tally_tensor at = part(storage, 0, 1);
    tally_status status = tl_cl_write(storage, 0, &state, sizeof state);
    cl_kernel kernel = device->common.kernels[TL_CL_loop];
    const cl_uint iterations = LOOP;
    const cl_mem memory = tl_cl_memory(&at);
    const size_t one = 1;
    if (!status)
        status = tl_cl_check(device, "clSetKernelArg of tally_loop",
                             clSetKernelArg(kernel, 0, sizeof iterations, &iterations));
    if (!status)
        status = tl_cl_check(device, "clSetKernelArg of tally_loop", clSetKernelArg(kernel, 1, sizeof memory, &memory));
    if (!status)
        status = tl_cl_check(device, "clEnqueueNDRangeKernel of tally_loop",
                             clEnqueueNDRangeKernel(device->queue, kernel, 1, NULL, &one, &one, 0, NULL, NULL));
    if (!status)
        status = tl_cl_read(storage, 0, &state, sizeof state);
    size_t done = status ? LOOP : iterations_until(state);
    device->longest_sum = done >= LOOP ? 0 : done < 16 ? 1 : done / 16;
    char *note = device->base.inexact;
    if (done > LOOP && !note[0])
        snprintf(note, sizeof device->base.inexact, "its integers or its loops are wrong");
    return status;
}

tally_status tl_cl_self_test(tl_cl_device *device) {
    tl_storage *storage;
    float got[TALLY_FUNCTIONS][TRIALS];
    char *note = device->base.inexact;
    tally_status status = tl_cl_storage_new(&device->base, 4 * TRIALS * sizeof(float), &storage);
    if (status)
        return status;
    status = run(storage, got);
    for (size_t i = 0; i < TRIALS && !status && !note[0]; i++)
        if (!same(got[trials[i].function][i], expected(&trials[i])))
            snprintf(note, sizeof device->base.inexact, "%s", trials[i].fault);
    if (!status)
        status = try_loop(device, storage);
    tl_cl_storage_free(storage);
    return status;
}
