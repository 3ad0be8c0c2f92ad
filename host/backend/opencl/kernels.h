/* kernels.h: the text of cl/, written by scripts/embed-kernels when tally is built. */
#ifndef TALLY_BACKEND_OPENCL_KERNELS_H
#define TALLY_BACKEND_OPENCL_KERNELS_H

extern const char tl_kernel_text[];

#endif
