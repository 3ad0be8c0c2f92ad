#include "parity/guarded.h"

#include "backend/view.h"
#include "core/fail.h"

#include <stdlib.h>
#include <string.h>

static const uint32_t GUARD = 0x7fa5a5a5; /* a signalling NaN, and not a valid label either */
enum {
    BEFORE = 5,
    AFTER = 37, /* more than the widest vector */
    PAD_BEFORE = 1,
    PAD = 3, /* on both sides together */
    STRIDE = 3,
    STRIDE_AT = 1
};

const char *tl_layout_name(tl_layout layout) {
    static const char *const names[TL_ALL_LAYOUTS] = {"flat",    "padded", "strided",   "transposed",
                                                      "swapped", "spaced", "step-major"};
    return names[layout];
}

static bool is_padded(tl_layout layout, int dimension) {
    switch (layout) {
    case TL_PADDED:
    case TL_TRANSPOSED:
    case TL_SWAPPED:
        return true;
    case TL_SPACED:
    case TL_STEP_MAJOR:
        return dimension == 1;
    default:
        return false;
    }
}

/* The first of the two dimensions that are swapped in memory, or -1. */
static int first_swapped_dimension(tl_layout layout, int ndim) {
    if (layout == TL_TRANSPOSED)
        return ndim - 2;
    return layout == TL_SWAPPED || layout == TL_STEP_MAJOR ? 0 : -1;
}

static tally_status lay_out(tl_guarded *g, tl_layout layout, size_t before, int ndim, const size_t *shape) {
    size_t memory[TALLY_MAX_DIMS + 1], elements = 1;
    int swap = first_swapped_dimension(layout, ndim), dims = ndim;
    for (int d = 0; d < ndim; d++) {
        int at = swap >= 0 && (d == swap || d == swap + 1) ? 2 * swap + 1 - d : d;
        memory[at] = shape[d] + (is_padded(layout, d) ? PAD : 0);
    }
    if (layout == TL_STRIDED)
        memory[dims++] = STRIDE;
    for (int d = 0; d < dims; d++)
        elements *= memory[d];
    tally_tensor part;
    tally_status status = tally_tensor_slice(&g->storage, 0, before, elements, &part);
    if (!status)
        status = tally_tensor_reshape(&part, dims, memory, &g->tensor);
    if (!status && dims > ndim) {
        part = g->tensor;
        status = tally_tensor_select(&part, ndim, STRIDE_AT, &g->tensor);
    }
    if (!status && swap >= 0) {
        part = g->tensor;
        status = tally_tensor_transpose(&part, swap, swap + 1, &g->tensor);
    }
    for (int d = 0; d < ndim && !status; d++)
        if (is_padded(layout, d)) {
            part = g->tensor;
            status = tally_tensor_slice(&part, d, PAD_BEFORE, shape[d], &g->tensor);
        }
    return status;
}

/* Elements of the storage, for any layout. */
static size_t storage_size(tl_layout layout, size_t before, int ndim, const size_t *shape) {
    size_t elements = layout == TL_STRIDED ? STRIDE : 1;
    for (int d = 0; d < ndim; d++)
        elements *= shape[d] + (is_padded(layout, d) ? PAD : 0);
    return before + elements + AFTER;
}

tally_status tl_guarded_new(tally_device *device, tally_dtype dtype, tl_layout layout, bool first, int ndim,
                            const size_t *shape, tl_guarded *guarded) {
    *guarded = (tl_guarded){.elements = 1};
    for (int d = 0; d < ndim; d++)
        guarded->elements *= shape[d];
    size_t before = first ? 0 : BEFORE, whole = storage_size(layout, before, ndim, shape);
    tally_status status = tally_tensor_new(device, dtype, 1, &whole, &guarded->storage);
    if (!status)
        status = lay_out(guarded, layout, before, ndim, shape);
    if (!status && !(guarded->image = malloc(whole * sizeof *guarded->image)))
        status = tl_fail(TALLY_MEMORY, "no memory left for the guards of a tensor");
    if (status)
        return status;
    for (size_t i = 0; i < whole; i++)
        guarded->image[i] = GUARD;
    return tally_tensor_write(&guarded->storage, guarded->image, whole);
}

void tl_guarded_free(tl_guarded *guarded) {
    tally_tensor_free(&guarded->storage);
    free(guarded->image);
    *guarded = (tl_guarded){0};
}

/* The index in the storage of the view's element with this row-major number. */
static size_t position(const tally_tensor *t, size_t number) {
    size_t at = t->offset;
    for (int d = t->ndim - 1; d >= 0; d--) {
        at += number % t->shape[d] * t->stride[d];
        number /= t->shape[d];
    }
    return at;
}

/* Copies the view's elements from an image of the storage, or from row-major values, to an image or to row-major
 * values. */
static void copy_view(const tally_tensor *view, size_t elements, const uint32_t *from, bool from_image, uint32_t *to,
                      bool to_image) {
    size_t start = view->offset;
    if (tl_view_contiguous(view)) {
        memcpy(to + (to_image ? start : 0), from + (from_image ? start : 0), elements * sizeof *to);
        return;
    }
    for (size_t i = 0; i < elements; i++) {
        size_t at = position(view, i);
        to[to_image ? at : i] = from[from_image ? at : i];
    }
}

void tl_guarded_expect(tl_guarded *guarded, const void *values) {
    copy_view(&guarded->tensor, guarded->elements, values, false, guarded->image, true);
}

static void find_damage(const tl_guarded *g, const uint32_t *now, tl_damage *damage) {
    damage->found = true;
    while (now[damage->at] == g->image[damage->at])
        damage->at++;
    damage->was = g->image[damage->at];
    damage->is = now[damage->at];
    while (damage->element < g->elements && position(&g->tensor, damage->element) != damage->at)
        damage->element++;
    damage->inside = damage->element < g->elements;
}

tally_status tl_guarded_check(const tl_guarded *guarded, bool result, void *values, tl_damage *damage) {
    *damage = (tl_damage){0};
    size_t whole = tally_tensor_elements(&guarded->storage);
    uint32_t *now = malloc(whole * sizeof *now);
    if (!now)
        return tl_fail(TALLY_MEMORY, "no memory left for what lies around a tensor");
    tally_status status = tally_tensor_read(&guarded->storage, now, whole);
    if (!status && result && values)
        copy_view(&guarded->tensor, guarded->elements, now, true, values, false);
    if (!status && result)
        copy_view(&guarded->tensor, guarded->elements, guarded->image, true, now, true);
    if (!status && memcmp(now, guarded->image, whole * sizeof *now) != 0)
        find_damage(guarded, now, damage);
    free(now);
    return status;
}
