#include "core/regular_file.h"

#include "core/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* O_NONBLOCK: opening a pipe without a writer must not block. */
tally_status tl_open_regular(const char *path, int *fd, size_t *size) {
    *fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (*fd < 0)
        return tl_fail(TALLY_IO, "cannot read %s: %s", path, strerror(errno));
    struct stat info;
    tally_status status = TALLY_OK;
    if (fstat(*fd, &info) != 0)
        status = tl_fail(TALLY_IO, "cannot read %s: %s", path, strerror(errno));
    else if (S_ISDIR(info.st_mode))
        status = tl_fail(TALLY_IO, "cannot read %s: %s", path, strerror(EISDIR));
    else if (!S_ISREG(info.st_mode))
        status = tl_fail(TALLY_IO, "cannot read %s: not a regular file", path);
    else if ((uintmax_t)info.st_size > SIZE_MAX)
        status = tl_fail(TALLY_MEMORY, "cannot read %s: its size does not fit this machine's memory", path);
    *size = (size_t)info.st_size;
    if (status)
        close(*fd);
    return status;
}
