/* guarded.h: parity's guarded tensors on the device under test; damage fails the test. */
#ifndef TALLY_TESTS_GUARDED_H
#define TALLY_TESTS_GUARDED_H

#include "parity/guarded.h"
#include "suite.h"

/* A tensor with these values, row-major; if values is NULL, it consists of guards. Free it with tl_guarded_free. */
tl_guarded guarded_vector(tally_device *device, tl_layout layout, size_t n, const float *values);
tl_guarded guarded_matrix(tally_device *device, tl_layout layout, size_t rows, size_t columns, const float *values);
tl_guarded guarded_cube(tally_device *device, tl_layout layout, const size_t shape[3], const float *values);
tl_guarded guarded_ints(tally_device *device, tl_layout layout, size_t n, const int32_t *values);

/* Copies the view's values to out, row-major, after checking that nothing around the view has changed. */
void guarded_read(const tl_guarded *g, const char *name, void *out);
/* Checks that nothing has changed, inside the view or around it. */
void guarded_unchanged(const tl_guarded *g, const char *name);

#endif
