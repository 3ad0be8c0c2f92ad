#include "core/cache.h"

#include "core/atomic_file.h"
#include "core/fail.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <sha2.h>

enum { HEADER = 96, LARGEST = 1 << 28 };

/* "tally cache 1 DIGEST BYTES\n". Equal names and contents have equal headers, so an entry is verified by comparing
 * them. */
static void make_header(char header[HEADER + 1], const char *name, const void *data, size_t bytes) {
    SHA2_CTX context;
    char hex[SHA256_DIGEST_STRING_LENGTH];
    SHA256Init(&context);
    SHA256Update(&context, (const uint8_t *)name, strlen(name) + 1);
    SHA256Update(&context, data, bytes);
    SHA256End(&context, hex);
    snprintf(header, HEADER + 1, "tally cache 1 %s %016zx\n", hex, bytes);
}

void tl_cache_name(char name[TL_CACHE_NAME], const char *ending, const char *const *texts) {
    SHA2_CTX context;
    char hex[SHA256_DIGEST_STRING_LENGTH];
    SHA256Init(&context);
    for (; *texts; texts++) /* including the final NUL, which separates the texts */
        SHA256Update(&context, (const uint8_t *)*texts, strlen(*texts) + 1);
    SHA256End(&context, hex);
    snprintf(name, TL_CACHE_NAME, "%s.%s", hex, ending);
}

/* The user's cache folder and tally's folder in it. False if there is none. */
static bool find_folders(char base[PATH_MAX], char folder[PATH_MAX]) {
    const char *off = getenv("TALLY_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (off && strcmp(off, "off") == 0)
        return false;
    bool named = xdg && xdg[0] == '/'; /* the XDG specification requires relative paths to be ignored */
    if (!named && (!home || home[0] != '/'))
        return false;
    int base_length = snprintf(base, PATH_MAX, "%s%s", named ? xdg : home, named ? "" : "/.cache");
    int length = snprintf(folder, PATH_MAX, "%s%s/tally", named ? xdg : home, named ? "" : "/.cache");
    return base_length > 0 && length > 0 && length < PATH_MAX;
}

/* The contents are executed, so no other user may have write access. */
static bool is_private(const char *folder) {
    struct stat at;
    return stat(folder, &at) == 0 && S_ISDIR(at.st_mode) && at.st_uid == geteuid() &&
           (at.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool tl_cache_ready(void) {
    char base[PATH_MAX], folder[PATH_MAX];
    if (!find_folders(base, folder))
        return false;
    mkdir(base, 0700); /* is_private checks the result */
    mkdir(folder, 0700);
    return is_private(folder) && access(folder, W_OK | X_OK) == 0;
}

static bool entry_path(const char *name, char path[PATH_MAX]) {
    char base[PATH_MAX], folder[PATH_MAX];
    if (!find_folders(base, folder) || !is_private(folder))
        return false;
    int length = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return length > 0 && length < PATH_MAX;
}

/* The whole file and a final NUL, or NULL. */
static unsigned char *read_file(const char *path, size_t *size) {
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct stat at;
    unsigned char *data = NULL;
    size_t wanted = 0, done = 0;
    if (fstat(fd, &at) == 0 && S_ISREG(at.st_mode) && at.st_size >= 0 && at.st_size <= LARGEST) {
        wanted = (size_t)at.st_size;
        data = malloc(wanted + 1);
    }
    for (ssize_t got = 1; data && got > 0 && done<wanted; done += got> 0 ? (size_t)got : 0)
        got = read(fd, data + done, wanted - done);
    close(fd);
    if (data)
        data[done] = 0;
    *size = done;
    return data;
}

bool tl_cache_read(const char *name, unsigned char **data, size_t *bytes) {
    char path[PATH_MAX], header[HEADER + 1];
    *data = NULL;
    size_t size;
    unsigned char *file = entry_path(name, path) ? read_file(path, &size) : NULL;
    if (!file)
        return false;
    bool whole = size >= HEADER;
    if (whole) {
        *bytes = size - HEADER;
        make_header(header, name, file + HEADER, *bytes);
        whole = memcmp(file, header, HEADER) == 0;
    }
    if (!whole) {
        unlink(path);
        free(file);
        return false;
    }
    memmove(file, file + HEADER, *bytes + 1);
    *data = file;
    return true;
}

void tl_cache_write(const char *name, const void *data, size_t bytes) {
    char path[PATH_MAX];
    if (bytes > LARGEST - HEADER || !tl_cache_ready() || !entry_path(name, path))
        return;
    char *file = malloc(HEADER + 1 + bytes), *text = strdup(tally_error_text());
    if (file && text) {
        make_header(file, name, data, bytes);
        memcpy(file + HEADER, data, bytes);
        if (tl_atomic_write(path, file, HEADER + bytes))
            tl_fail(TALLY_IO, "%s", text); /* not an error of the calling function */
    }
    free(text);
    free(file);
}

void tl_cache_remove(const char *name) {
    char path[PATH_MAX];
    if (entry_path(name, path))
        unlink(path);
}
