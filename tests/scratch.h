/* scratch.h: a temporary folder for each test that writes files. */
#ifndef TALLY_TESTS_SCRATCH_H
#define TALLY_TESTS_SCRATCH_H

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct scratch {
    char folder[256];
    char path[PATH_MAX]; /* the most recently requested path */
} scratch;

static inline int scratch_setup(void **state) {
    scratch *s = calloc(1, sizeof *s);
    *state = s;
    if (!s)
        return -1;
    const char *under = getenv("TMPDIR");
    int length = snprintf(s->folder, sizeof s->folder, "%s/tally-test-XXXXXX", under && *under ? under : P_tmpdir);
    return length > 0 && (size_t)length < sizeof s->folder && mkdtemp(s->folder) ? 0 : -1;
}

/* Removes the folder with its files and empty subfolders. */
static inline int scratch_teardown(void **state) {
    scratch *s = *state;
    DIR *folder = opendir(s->folder);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(folder), entry->d_name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0);
    if (folder)
        closedir(folder);
    int result = rmdir(s->folder);
    free(s);
    return result;
}

static inline const char *scratch_path(scratch *s, const char *name) {
    snprintf(s->path, sizeof s->path, "%s/%s", s->folder, name);
    return s->path;
}

/* The number of entries in the folder, without "." and "..". */
static inline int scratch_entries(const scratch *s) {
    DIR *folder = opendir(s->folder);
    assert_non_null(folder);
    int count = -2;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static inline void put_file(const char *path, const void *data, size_t bytes) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static inline void assert_file_holds(const char *path, const void *data, size_t bytes) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *found = malloc(bytes + 1);
    assert_non_null(found);
    assert_int_equal(fread(found, 1, bytes + 1, file), bytes);
    fclose(file);
    assert_memory_equal(found, data, bytes);
    free(found);
}

#endif
