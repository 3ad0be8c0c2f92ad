/* ops.h: the domains of test_ops.c. Each function runs its group of tests and returns the number of failures. */
#ifndef TALLY_TESTS_OPS_H
#define TALLY_TESTS_OPS_H

#include <stddef.h>

int ops_tensors(void);
int ops_gemm(void);
int ops_sums(void);
int ops_functions(void);
int ops_elementwise(void);
int ops_cell(void);
int ops_layer(void);
int ops_starts(void);
int ops_dropout(void);
int ops_softmax(void);
int ops_optimizers(void);
int ops_arguments(void);
int ops_fallbacks(void);

/* The sizes that every dimension is tested with. */
enum { ODD_SIZES = 7 };
extern const size_t odd_sizes[ODD_SIZES];
/* How many of them are used: fewer for a simulator. */
size_t odd_sizes_used(void);

#endif
