/* Sums of micro-batches by the tree: what keeps its partial sums, and the launch that adds whole leaves. */
#include "backend/leaves.h"
#include "backend/opencl/launch.h"
#include "constants.h"
#include "core/fail.h"
#include "core/size.h"

/* A level's partial sums are whole vectors of any width. */
enum { VECTOR = TL_LANES };

static size_t level_size(size_t elements) {
    return elements + (VECTOR - elements % VECTOR) % VECTOR;
}

tally_status tl_cl_partials_new(tl_cl_device *device, size_t elements, size_t leaves, tl_storage **partials) {
    size_t bytes, levels = (size_t)tl_tree_levels(leaves);
    if (!tl_size_add(elements, VECTOR, &bytes) ||
        !tl_size_mul(level_size(elements), (levels ? levels : 1) * sizeof(float), &bytes))
        return tl_fail(TALLY_MEMORY, "%s: %zu partial sums of %zu floats do not fit a size", device->base.info.name,
                       levels, elements);
    return tl_cl_reserve(device, bytes, partials);
}

tally_status tl_cl_reserve(tl_cl_device *device, size_t bytes, tl_storage **memory) {
    if (*memory && (*memory)->bytes >= bytes)
        return TALLY_OK;
    if (*memory)
        tl_cl_storage_free(*memory); /* it lives until what uses it is done */
    *memory = NULL;
    return tl_cl_storage_new(&device->base, bytes, memory);
}

tally_status tl_cl_merge(const tl_storage *sums, size_t count, size_t first_leaf, size_t leaves,
                         const tl_storage *partials, const tally_tensor *gradient) {
    size_t elements = tally_tensor_elements(gradient);
    tl_launch l = tl_launch_start(gradient, TL_CL_merge);
    tl_launch_number(&l, count);
    tl_launch_number(&l, first_leaf);
    tl_launch_number(&l, leaves);
    tl_launch_number(&l, elements);
    tl_launch_memory(&l, ((const tl_cl_storage *)sums)->memory);
    tl_launch_number(&l, level_size(elements));
    tl_launch_memory(&l, ((const tl_cl_storage *)partials)->memory);
    tl_launch_view(&l, gradient, 0);
    return tl_launch_run_flat(&l, elements);
}
