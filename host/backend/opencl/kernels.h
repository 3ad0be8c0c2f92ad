/* kernels.h: the text of cl/, written by scripts/embed-kernels when tally is built. */
#ifndef TALLY_BACKEND_OPENCL_KERNELS_H
#define TALLY_BACKEND_OPENCL_KERNELS_H

#include <stddef.h>

typedef struct tl_kernel_file {
    const char *name, *text;
} tl_kernel_file;

extern const tl_kernel_file tl_kernel_files[];
extern const size_t tl_kernel_file_count;

#endif
