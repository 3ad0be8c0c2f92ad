/* regular_file.h: opens a file to be read as a whole. */
#ifndef TALLY_CORE_REGULAR_FILE_H
#define TALLY_CORE_REGULAR_FILE_H

#include <tally/core.h>

/* Opens a file for reading and gets its size. TALLY_IO: it cannot be opened or is not a regular file; a pipe, which
 * has no size, is refused without blocking. The caller closes fd. */
tally_status tl_open_regular(const char *path, int *fd, size_t *size);

#endif
