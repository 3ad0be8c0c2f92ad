/* regular_file.h: opening a file that is read as a whole. */
#ifndef TALLY_CORE_REGULAR_FILE_H
#define TALLY_CORE_REGULAR_FILE_H

#include <tally/core.h>

/* Opens for reading and says how many bytes there are. TALLY_IO if it cannot be, or is no regular file: a pipe without a
 * writer must not hang, and has no size. The caller closes fd. */
tally_status tl_open_regular(const char *path, int *fd, size_t *size);

#endif
