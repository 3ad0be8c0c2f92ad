#include "core/atomic_file.h"

#include "core/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_LINKS = 40, MAX_NAMES = 10000 };

/* The file after following links: its folder ("" or with a trailing slash) and its name in that folder. */
typedef struct resolved {
    char folder[PATH_MAX];
    char name[NAME_MAX + 1];
} resolved;

static tally_status fail_io(const char *path, const char *what, int error) {
    return tl_fail(TALLY_IO, "cannot write %s: %s: %s", path, what, strerror(error));
}

/* Returns false, with errno set, if a component is too long or there is no name. */
static bool split_path(const char *path, resolved *to) {
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t length = (size_t)(name - path);
    errno = *name ? ENAMETOOLONG : *path ? EISDIR : ENOENT;
    if (!*name || strlen(name) >= sizeof to->name || length >= sizeof to->folder)
        return false;
    memcpy(to->folder, path, length);
    to->folder[length] = '\0';
    memcpy(to->name, name, strlen(name) + 1);
    return true;
}

/* Follows links, including one whose target does not exist yet. */
static tally_status resolve_links(const char *path, resolved *to) {
    if (!split_path(path, to))
        return tl_fail(TALLY_IO, "cannot write %s: %s", path, strerror(errno));
    for (int links = 0;; links++) {
        char at[sizeof to->folder + sizeof to->name], target[PATH_MAX];
        snprintf(at, sizeof at, "%s%s", to->folder, to->name);
        ssize_t length = readlink(at, target, sizeof target);
        if (length < 0 && (errno == EINVAL || errno == ENOENT))
            return TALLY_OK;
        if (length < 0)
            return tl_fail(TALLY_IO, "cannot write %s: %s", path, strerror(errno));
        if (links == MAX_LINKS)
            return fail_io(path, "following the link", ELOOP);
        char next[PATH_MAX];
        const char *folder = target[0] == '/' ? "" : to->folder;
        int used =
            (size_t)length == sizeof target ? -1 : snprintf(next, sizeof next, "%s%.*s", folder, (int)length, target);
        if (used < 0 || (size_t)used >= sizeof next)
            return fail_io(path, "following the link", ENAMETOOLONG);
        if (!split_path(next, to))
            return fail_io(path, "following the link", errno);
    }
}

/* Checks that an existing file may be replaced and gets its permissions; *exists is false if there is none. */
static tally_status check_existing(const char *path, int folder, const char *name, bool *exists, mode_t *mode) {
    struct stat old;
    *exists = fstatat(folder, name, &old, AT_SYMLINK_NOFOLLOW) == 0;
    if (!*exists)
        return errno == ENOENT ? TALLY_OK : tl_fail(TALLY_IO, "cannot write %s: %s", path, strerror(errno));
    *mode = old.st_mode & 0777;
    if (S_ISDIR(old.st_mode))
        return tl_fail(TALLY_IO, "cannot write %s: %s", path, strerror(EISDIR));
    if (!S_ISREG(old.st_mode))
        return tl_fail(TALLY_IO, "cannot write %s: not a regular file", path);
    if (faccessat(folder, name, W_OK, AT_EACCESS) != 0)
        return tl_fail(TALLY_IO, "cannot write %s: %s", path, strerror(errno));
    return TALLY_OK;
}

/* Creates the file like any new file; open applies the umask. */
static int open_temporary(int folder, char name[NAME_MAX + 1]) {
    int fd = -1;
    errno = EEXIST;
    for (int number = 0; fd < 0 && errno == EEXIST && number < MAX_NAMES; number++) {
        snprintf(name, NAME_MAX + 1, ".tally-%ld-%d", (long)getpid(), number);
        fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    return fd;
}

static bool write_all(int fd, const unsigned char *data, size_t bytes) {
    while (bytes > 0) {
        ssize_t written = write(fd, data, bytes < SSIZE_MAX ? bytes : SSIZE_MAX);
        if (written < 0 && errno == EINTR)
            continue;
        if (written == 0)
            errno = EIO;
        if (written <= 0)
            return false;
        data += written;
        bytes -= (size_t)written;
    }
    return true;
}

/* Returns what failed, with errno set, or NULL. Closes fd in any case. */
static const char *write_temporary(int fd, const void *data, size_t bytes, const mode_t *mode) {
    const char *failed = NULL;
    if (mode && fchmod(fd, *mode) != 0)
        failed = "setting the permissions of the temporary file";
    else if (!write_all(fd, data, bytes))
        failed = "writing the temporary file";
    else if (fsync(fd) != 0)
        failed = "syncing the temporary file";
    int error = errno;
    if (close(fd) != 0 && !failed)
        return "closing the temporary file";
    errno = error;
    return failed;
}

static tally_status replace_file(const char *path, int folder, const char *name, const void *data, size_t bytes) {
    bool exists;
    mode_t mode;
    tally_status status = check_existing(path, folder, name, &exists, &mode);
    if (status)
        return status;
    char temporary[NAME_MAX + 1];
    int fd = open_temporary(folder, temporary);
    if (fd < 0)
        return fail_io(path, "making a temporary file in its folder", errno);
    const char *failed = write_temporary(fd, data, bytes, exists ? &mode : NULL);
    if (!failed && renameat(folder, temporary, folder, name) != 0)
        failed = "renaming the temporary file";
    if (failed) {
        int error = errno;
        if (unlinkat(folder, temporary, 0) == 0)
            return fail_io(path, failed, error);
        int remove_error = errno;
        fail_io(path, failed, error);
        return tl_fail(TALLY_IO, "%s; %s was left behind: %s", tally_error_text(), temporary, strerror(remove_error));
    }
    /* File systems that cannot sync a folder return EINVAL. */
    if (fsync(folder) != 0 && errno != EINVAL)
        return tl_fail(TALLY_IO, "wrote %s, but syncing its folder failed: %s", path, strerror(errno));
    return TALLY_OK;
}

tally_status tl_atomic_write(const char *path, const void *data, size_t bytes) {
    resolved to;
    tally_status status = resolve_links(path, &to);
    if (status)
        return status;
    const char *name = to.folder[0] ? to.folder : ".";
    int folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return tl_fail(TALLY_IO, "cannot write %s: its folder %s: %s", path, name, strerror(errno));
    status = replace_file(path, folder, to.name, data, bytes);
    if (close(folder) != 0 && !status)
        status = tl_fail(TALLY_IO, "wrote %s, but closing its folder failed: %s", path, strerror(errno));
    return status;
}
