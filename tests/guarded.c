#include "guarded.h"

static tl_guarded guarded_tensor(tally_device *device, tally_dtype dtype, tl_layout layout, int ndim,
                                 const size_t *shape, const void *values) {
    tl_guarded g;
    suite_ok(tl_guarded_new(device, dtype, layout, suite_pick(2) == 0, ndim, shape, &g));
    if (values) {
        tl_guarded_expect(&g, values);
        suite_ok(tally_tensor_write(&g.storage, g.image, tally_tensor_elements(&g.storage)));
    }
    return g;
}

tl_guarded guarded_vector(tally_device *device, tl_layout layout, size_t n, const float *values) {
    return guarded_tensor(device, TALLY_F32, layout, 1, &n, values);
}

tl_guarded guarded_matrix(tally_device *device, tl_layout layout, size_t rows, size_t columns, const float *values) {
    return guarded_tensor(device, TALLY_F32, layout, 2, (size_t[]){rows, columns}, values);
}

tl_guarded guarded_cube(tally_device *device, tl_layout layout, const size_t shape[3], const float *values) {
    return guarded_tensor(device, TALLY_F32, layout, 3, shape, values);
}

tl_guarded guarded_ints(tally_device *device, tl_layout layout, size_t n, const int32_t *values) {
    return guarded_tensor(device, TALLY_I32, layout, 1, &n, values);
}

static void check_storage(const tl_guarded *g, bool result, void *values, const char *name) {
    tl_damage damage;
    suite_ok(tl_guarded_check(g, result, values, &damage));
    if (damage.found)
        suite_fail("%s: element %zu of its storage, at offset %zu, was 0x%08x and is 0x%08x", name, damage.at,
                   g->tensor.offset, (unsigned)damage.was, (unsigned)damage.is);
}

void guarded_read(const tl_guarded *g, const char *name, void *out) {
    check_storage(g, true, out, name);
}

void guarded_unchanged(const tl_guarded *g, const char *name) {
    check_storage(g, false, NULL, name);
}
