#include "tensor/shapes.h"

#include "backend/view.h"
#include "core/fail.h"

#include <stdio.h>

static const char *sizes_text(int ndim, const size_t *shape, char *text) {
    size_t used = (size_t)snprintf(text, TL_SHAPE_TEXT, "[");
    for (int d = 0; d < ndim && used < TL_SHAPE_TEXT; d++) {
        const char *separator = d + 1 < ndim ? ", " : "]";
        used += (size_t)(shape[d] ? snprintf(text + used, TL_SHAPE_TEXT - used, "%zu%s", shape[d], separator)
                                  : snprintf(text + used, TL_SHAPE_TEXT - used, "any%s", separator));
    }
    return text;
}

const char *tl_shape_text(const tally_tensor *tensor, char *text) {
    return sizes_text(tensor->ndim, tensor->shape, text);
}

static const char *type_name(tally_dtype dtype) {
    return dtype == TALLY_F32 ? "float32" : "int32";
}

tally_status tl_check_tensors(const char *operation, const tl_expected *expected, size_t count) {
    char found[TL_SHAPE_TEXT], wanted[TL_SHAPE_TEXT];
    for (size_t i = 0; i < count; i++) {
        const tl_expected *e = &expected[i];
        const tally_tensor *t = e->tensor;
        if (!t || !t->storage)
            return tl_fail(TALLY_USAGE, "%s: no %s given", operation, e->name);
        if (t->device != expected[0].tensor->device)
            return tl_fail(TALLY_USAGE, "%s: %s is on %s, but %s on %s", operation, e->name, t->device->info.name,
                           expected[0].name, expected[0].tensor->device->info.name);
        if (t->dtype != e->dtype)
            return tl_fail(TALLY_USAGE, "%s: %s is %s, not %s", operation, e->name, type_name(t->dtype),
                           type_name(e->dtype));
        bool fits = t->ndim == e->ndim;
        for (int d = 0; fits && d < e->ndim; d++)
            fits = e->shape[d] == 0 || e->shape[d] == t->shape[d];
        if (!fits)
            return tl_fail(TALLY_USAGE, "%s: %s is %s, not %s", operation, e->name, tl_shape_text(t, found),
                           sizes_text(e->ndim, e->shape, wanted));
        bool rows = t->shape[t->ndim - 1] == 1 || t->stride[t->ndim - 1] == 1;
        if ((e->layout == TL_WHOLE && !tl_view_contiguous(t)) || (e->layout == TL_ROWS && !rows))
            return tl_fail(TALLY_USAGE, "%s: %s is not contiguous%s", operation, e->name,
                           e->layout == TL_ROWS ? " in its last dimension" : "");
    }
    return TALLY_OK;
}
