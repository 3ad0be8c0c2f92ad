#include "guarded.h"

#include <stdlib.h>
#include <string.h>

const char *const layout_names[ALL_LAYOUTS] = {"flat", "padded", "strided", "transposed", "apart", "step-major"};

static const uint32_t GUARD = 0x7fa5a5a5; /* a signalling NaN, and no label either */
enum { BEFORE = 5, BEHIND = 37, PAD_BEFORE = 1, PAD_BEHIND = 2, STRIDE = 3, STRIDE_AT = 1 };

/* Where the element with this row-major number lies. */
static size_t position(const tally_tensor *t, size_t number) {
    size_t at = t->offset;
    for (int d = t->ndim - 1; d >= 0; d--) {
        at += number % t->shape[d] * t->stride[d];
        number /= t->shape[d];
    }
    return at;
}

static size_t product(int ndim, const size_t *shape) {
    size_t elements = 1;
    for (int d = 0; d < ndim; d++)
        elements *= shape[d];
    return elements;
}

/* Storage of this shape, contiguous, between guards. */
static tally_tensor room(guarded *g, tally_device *device, tally_dtype dtype, int ndim, const size_t *shape) {
    size_t elements = product(ndim, shape), whole = BEFORE + elements + BEHIND;
    tally_tensor inside, shaped;
    suite_ok(tally_tensor_new(device, dtype, 1, &whole, &g->all));
    suite_ok(tally_tensor_slice(&g->all, 0, BEFORE, elements, &inside));
    suite_ok(tally_tensor_reshape(&inside, ndim, shape, &shaped));
    return shaped;
}

static tally_tensor padded(guarded *g, tally_device *device, tally_dtype dtype, int ndim, const size_t *shape) {
    size_t larger[TALLY_MAX_DIMS] = {0};
    for (int d = 0; d < ndim; d++)
        larger[d] = PAD_BEFORE + shape[d] + PAD_BEHIND;
    tally_tensor view = room(g, device, dtype, ndim, larger);
    for (int d = 0; d < ndim; d++) {
        tally_tensor cut;
        suite_ok(tally_tensor_slice(&view, d, PAD_BEFORE, shape[d], &cut));
        view = cut;
    }
    return view;
}

static tally_tensor laid_out(guarded *g, tally_device *device, tally_dtype dtype, layout how, int ndim,
                             const size_t *shape) {
    size_t larger[TALLY_MAX_DIMS + 1] = {0};
    tally_tensor view, result;
    int last;
    switch (how) {
    case PADDED:
        return padded(g, device, dtype, ndim, shape);
    case STRIDED:
        assert_in_range(ndim, 1, 2);
        memcpy(larger, shape, (size_t)ndim * sizeof *shape);
        larger[ndim] = STRIDE;
        view = room(g, device, dtype, ndim + 1, larger);
        suite_ok(tally_tensor_select(&view, ndim, STRIDE_AT, &result));
        return result;
    case TRANSPOSED:
        assert_in_range(ndim, 2, 3);
        last = ndim == 3 ? 2 : 1;
        memcpy(larger, shape, (size_t)ndim * sizeof *shape);
        larger[last - 1] = shape[last];
        larger[last] = shape[last - 1];
        view = padded(g, device, dtype, ndim, larger);
        suite_ok(tally_tensor_transpose(&view, last - 1, last, &result));
        return result;
    case APART:
        assert_int_equal(ndim, 3);
        memcpy(larger, shape, (size_t)ndim * sizeof *shape);
        larger[1] += PAD_BEFORE + PAD_BEHIND;
        view = room(g, device, dtype, ndim, larger);
        suite_ok(tally_tensor_slice(&view, 1, PAD_BEFORE, shape[1], &result));
        return result;
    case STEP_MAJOR:
        assert_int_equal(ndim, 3);
        larger[0] = PAD_BEFORE + shape[1] + PAD_BEHIND;
        larger[1] = shape[0];
        larger[2] = shape[2];
        view = room(g, device, dtype, ndim, larger);
        suite_ok(tally_tensor_transpose(&view, 0, 1, &result));
        view = result;
        suite_ok(tally_tensor_slice(&view, 1, PAD_BEFORE, shape[1], &result));
        return result;
    default:
        return room(g, device, dtype, ndim, shape);
    }
}

static guarded make(tally_device *device, tally_dtype dtype, layout how, int ndim, const size_t *shape,
                    const void *values) {
    guarded g = {.elements = product(ndim, shape)};
    g.tensor = laid_out(&g, device, dtype, how, ndim, shape);
    size_t whole = tally_tensor_elements(&g.all);
    g.image = suite_memory(whole, sizeof *g.image);
    for (size_t i = 0; i < whole; i++)
        g.image[i] = GUARD;
    for (size_t i = 0; i < g.elements && values; i++)
        memcpy(&g.image[position(&g.tensor, i)], (const char *)values + i * sizeof *g.image, sizeof *g.image);
    suite_ok(tally_tensor_write(&g.all, g.image, whole));
    return g;
}

guarded guarded_vector(tally_device *device, layout how, size_t n, const float *values) {
    return make(device, TALLY_F32, how, 1, &n, values);
}

guarded guarded_matrix(tally_device *device, layout how, size_t rows, size_t columns, const float *values) {
    return make(device, TALLY_F32, how, 2, (size_t[]){rows, columns}, values);
}

guarded guarded_cube(tally_device *device, layout how, const size_t shape[3], const float *values) {
    return make(device, TALLY_F32, how, 3, shape, values);
}

guarded guarded_ints(tally_device *device, layout how, size_t n, const int32_t *values) {
    return make(device, TALLY_I32, how, 1, &n, values);
}

void guarded_free(guarded *g) {
    tally_tensor_free(&g->all);
    free(g->image);
    memset(g, 0, sizeof *g);
}

static uint32_t *stored(const guarded *g) {
    size_t whole = tally_tensor_elements(&g->all);
    uint32_t *now = suite_memory(whole, sizeof *now);
    suite_ok(tally_tensor_read(&g->all, now, whole));
    return now;
}

static void compare_storage(const guarded *g, const char *name, const uint32_t *now) {
    for (size_t i = 0; i < tally_tensor_elements(&g->all); i++)
        if (now[i] != g->image[i])
            suite_fail("%s: element %zu of its storage, at offset %zu, was 0x%08x and is 0x%08x", name, i,
                       g->tensor.offset, (unsigned)g->image[i], (unsigned)now[i]);
}

void guarded_read(const guarded *g, const char *name, void *out) {
    uint32_t *now = stored(g);
    for (size_t i = 0; i < g->elements; i++) {
        size_t at = position(&g->tensor, i);
        memcpy((char *)out + i * sizeof *now, &now[at], sizeof *now);
        now[at] = g->image[at];
    }
    compare_storage(g, name, now);
    free(now);
}

void guarded_unchanged(const guarded *g, const char *name) {
    uint32_t *now = stored(g);
    compare_storage(g, name, now);
    free(now);
}
