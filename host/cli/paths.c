#include "paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"

static const char *base_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* The folder of a file that may not exist yet; NULL if out of memory, reported on stderr. */
static char *folder_of(const char *path) {
    size_t length = (size_t)(base_of(path) - path);
    char *folder = length == 0 ? strdup(".") : strndup(path, length > 1 ? length - 1 : 1);
    if (folder == NULL)
        command_fail(TALLY_MEMORY, "no memory left for the name of a folder");
    return folder;
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Terminals and /dev/null may be named several times. */
static int compare_paths(const char *a, const char *b, bool *same) {
    struct stat at_a, at_b;
    bool is_a = stat(a, &at_a) == 0, is_b = stat(b, &at_b) == 0;
    *same = is_a && is_b && S_ISREG(at_a.st_mode) && same_file(&at_a, &at_b);
    if (is_a || is_b || strcmp(base_of(a), base_of(b)) != 0)
        return TALLY_OK;
    /* Neither file exists yet. */
    char *folder_a = folder_of(a), *folder_b = folder_of(b);
    bool known = folder_a != NULL && folder_b != NULL;
    *same = known && stat(folder_a, &at_a) == 0 && stat(folder_b, &at_b) == 0 && same_file(&at_a, &at_b);
    free(folder_a);
    free(folder_b);
    return known ? TALLY_OK : TALLY_MEMORY;
}

int paths_check_apart(const path_option *options, size_t count, const char *command) {
    for (size_t i = 0; i < count; i++)
        for (size_t j = i + 1; j < count && options[i].path != NULL; j++) {
            bool same = false;
            if (options[j].path == NULL || !(options[i].written || options[j].written))
                continue;
            int result = compare_paths(options[i].path, options[j].path, &same);
            if (result != TALLY_OK)
                return result;
            if (same)
                return command_misused(command, "options --%s and --%s name the same file, %s", options[i].name,
                                       options[j].name, options[j].path);
        }
    return TALLY_OK;
}

int paths_check_out(const char *path) {
    struct stat at;
    if (*path == '\0')
        return command_fail(TALLY_IO, "--out: the file's name is empty");
    bool there = stat(path, &at) == 0;
    if (!there && errno != ENOENT && errno != ENOTDIR) /* problems of its folder are reported below */
        return command_fail(TALLY_IO, "--out %s: %s", path, strerror(errno));
    if (there && !S_ISREG(at.st_mode))
        return command_fail(TALLY_IO, "--out %s: %s", path,
                            S_ISDIR(at.st_mode) ? "it is a directory" : "it exists and is not a regular file");
    if (there && access(path, W_OK) != 0)
        return command_fail(TALLY_IO, "--out %s: %s", path, strerror(errno));
    if (*base_of(path) == '\0')
        return command_fail(TALLY_IO, "--out %s: it names a directory", path);
    char *folder = folder_of(path);
    if (folder == NULL)
        return TALLY_MEMORY;
    int result = TALLY_OK;
    if (stat(folder, &at) != 0)
        result = command_fail(TALLY_IO, "--out %s: its folder %s: %s", path, folder, strerror(errno));
    else if (!S_ISDIR(at.st_mode))
        result = command_fail(TALLY_IO, "--out %s: %s is not a directory", path, folder);
    else if (access(folder, W_OK | X_OK) != 0)
        result = command_fail(TALLY_IO, "--out %s: its folder %s: %s", path, folder, strerror(errno));
    free(folder);
    return result;
}
