/* The atomic writer: its visible behaviour, and that the old file survives every failing system call. The linker
 * wraps the calls (-Wl,--wrap), so the code under test is the library's own. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <tally/core.h>

#include "scratch.h"

#include "core/atomic_file.h"

static struct {
    bool armed;
    int calls;      /* made so far */
    int fail_call;  /* the number of the call that fails */
    int fail_more;  /* another one that fails, -1 for none */
    int error;      /* the errno of the failures */
    size_t at_most; /* the most bytes a write accepts */
    bool renamed;
    char failed[16];
} faults;

static bool fails(const char *call) {
    if (!faults.armed)
        return false;
    int number = faults.calls++;
    if (number != faults.fail_call && number != faults.fail_more)
        return false;
    snprintf(faults.failed, sizeof faults.failed, "%s", call);
    errno = faults.error;
    return true;
}

/* The second name is the one with a 64-bit off_t. */
#define WRAP_OPEN(name)                                                                                                \
    int __real_##name(const char *path, int flags, ...);                                                               \
    int __wrap_##name(const char *path, int flags, ...);                                                               \
    int __wrap_##name(const char *path, int flags, ...) {                                                              \
        va_list args;                                                                                                  \
        va_start(args, flags);                                                                                         \
        mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;                                                      \
        va_end(args);                                                                                                  \
        return fails("open") ? -1 : __real_##name(path, flags, mode);                                                  \
    }
#define WRAP_OPENAT(name)                                                                                              \
    int __real_##name(int folder, const char *path, int flags, ...);                                                   \
    int __wrap_##name(int folder, const char *path, int flags, ...);                                                   \
    int __wrap_##name(int folder, const char *path, int flags, ...) {                                                  \
        va_list args;                                                                                                  \
        va_start(args, flags);                                                                                         \
        mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;                                                      \
        va_end(args);                                                                                                  \
        return fails("openat") ? -1 : __real_##name(folder, path, flags, mode);                                        \
    }
#define WRAP_FSTATAT(name)                                                                                             \
    int __real_##name(int folder, const char *path, struct stat *to, int flags);                                       \
    int __wrap_##name(int folder, const char *path, struct stat *to, int flags);                                       \
    int __wrap_##name(int folder, const char *path, struct stat *to, int flags) {                                      \
        return fails("fstatat") ? -1 : __real_##name(folder, path, to, flags);                                         \
    }
WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)
WRAP_FSTATAT(fstatat)
WRAP_FSTATAT(fstatat64)

ssize_t __real_readlink(const char *path, char *to, size_t size);
ssize_t __wrap_readlink(const char *path, char *to, size_t size);
ssize_t __wrap_readlink(const char *path, char *to, size_t size) {
    return fails("readlink") ? -1 : __real_readlink(path, to, size);
}

int __real_faccessat(int folder, const char *path, int mode, int flags);
int __wrap_faccessat(int folder, const char *path, int mode, int flags);
int __wrap_faccessat(int folder, const char *path, int mode, int flags) {
    return fails("faccessat") ? -1 : __real_faccessat(folder, path, mode, flags);
}

ssize_t __real_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes);
ssize_t __wrap_write(int fd, const void *data, size_t bytes) {
    if (faults.armed && bytes > faults.at_most)
        bytes = faults.at_most;
    return fails("write") ? -1 : __real_write(fd, data, bytes);
}

int __real_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode);
int __wrap_fchmod(int fd, mode_t mode) {
    return fails("fchmod") ? -1 : __real_fchmod(fd, mode);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd) {
    return fails("fsync") ? -1 : __real_fsync(fd);
}

/* As in the kernel, a failing close closes the file. */
int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd) {
    int closed = __real_close(fd);
    return fails("close") ? -1 : closed;
}

int __real_renameat(int from_folder, const char *from, int to_folder, const char *to);
int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to);
int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to) {
    if (fails("renameat"))
        return -1;
    faults.renamed = faults.armed;
    return __real_renameat(from_folder, from, to_folder, to);
}

int __real_unlinkat(int folder, const char *path, int flags);
int __wrap_unlinkat(int folder, const char *path, int flags);
int __wrap_unlinkat(int folder, const char *path, int flags) {
    return fails("unlinkat") ? -1 : __real_unlinkat(folder, path, flags);
}

static tally_status write_with_fault(const char *path, const char *text, int call, int more, int error,
                                     size_t at_most) {
    memset(&faults, 0, sizeof faults);
    faults.fail_call = call;
    faults.fail_more = more;
    faults.error = error;
    faults.at_most = at_most;
    faults.armed = true;
    tally_status status = tl_atomic_write(path, text, strlen(text));
    faults.armed = false;
    return status;
}

static tally_status write_text(const char *path, const char *text) {
    return tl_atomic_write(path, text, strlen(text));
}

static void assert_text(const char *path, const char *text) {
    assert_file_holds(path, text, strlen(text));
}

static mode_t permissions(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 07777;
}

static void assert_error(const char *part) {
    if (!strstr(tally_error_text(), part))
        fail_msg("\"%s\" does not have \"%s\"", tally_error_text(), part);
}

/* Becomes another user if this one has all permissions. False if that is impossible. */
static bool drop_root(scratch *s) {
    if (geteuid() != 0)
        return true;
    enum { NOBODY = 65534 };
    return chown(s->folder, NOBODY, NOBODY) == 0 && seteuid(NOBODY) == 0;
}

static void back_to_root(void) {
    if (getuid() == 0)
        assert_int_equal(seteuid(0), 0);
}

static void test_new_file(void **state) {
    scratch *s = *state;
    const char *path = scratch_path(s, "new");
    mode_t before = umask(027);
    tally_status status = write_text(path, "contents");
    umask(before);
    assert_int_equal(status, TALLY_OK);
    assert_text(path, "contents");
    assert_int_equal(permissions(path), 0640);
    assert_int_equal(scratch_entries(s), 1);
}

static void test_empty_file(void **state) {
    const char *path = scratch_path(*state, "empty");
    assert_int_equal(write_text(path, ""), TALLY_OK);
    assert_text(path, "");
}

static void test_old_file_is_replaced_and_keeps_its_permissions(void **state) {
    scratch *s = *state;
    const char *path = scratch_path(s, "old");
    put_file(path, "a longer text than the new", 26);
    assert_int_equal(chmod(path, 0606), 0);
    assert_int_equal(write_text(path, "new"), TALLY_OK);
    assert_text(path, "new");
    assert_int_equal(permissions(path), 0606);
    assert_int_equal(scratch_entries(s), 1);
}

static void test_name_without_folder(void **state) {
    scratch *s = *state;
    char before[PATH_MAX];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(s->folder), 0);
    tally_status status = write_text("plain", "here");
    assert_int_equal(chdir(before), 0);
    assert_int_equal(status, TALLY_OK);
    assert_text(scratch_path(s, "plain"), "here");
}

static void test_longest_name(void **state) {
    char name[NAME_MAX + 2];
    memset(name, 'n', NAME_MAX);
    name[NAME_MAX] = '\0';
    const char *path = scratch_path(*state, name);
    assert_int_equal(write_text(path, "x"), TALLY_OK);
    assert_text(path, "x");

    strcat(name, "n");
    assert_int_equal(write_text(scratch_path(*state, name), "x"), TALLY_IO);
    assert_error("File name too long");
}

/* link -> second -> target, the last of which does not exist at first. */
static void test_links_stay(void **state) {
    scratch *s = *state;
    char link[PATH_MAX], second[PATH_MAX], target[PATH_MAX];
    strcpy(link, scratch_path(s, "link"));
    strcpy(second, scratch_path(s, "second"));
    strcpy(target, scratch_path(s, "target"));
    assert_int_equal(symlink("second", link), 0);
    assert_int_equal(symlink(target, second), 0);
    for (int round = 0; round < 2; round++) {
        const char *text = round ? "again" : "first";
        assert_int_equal(write_text(link, text), TALLY_OK);
        assert_text(target, text);
        struct stat info;
        assert_int_equal(lstat(link, &info), 0);
        assert_true(S_ISLNK(info.st_mode));
        assert_int_equal(lstat(second, &info), 0);
        assert_true(S_ISLNK(info.st_mode));
        assert_int_equal(lstat(target, &info), 0);
        assert_true(S_ISREG(info.st_mode));
        assert_int_equal(scratch_entries(s), 3);
    }
}

static void test_link_into_another_folder(void **state) {
    scratch *s = *state;
    assert_int_equal(mkdir(scratch_path(s, "runs"), 0777), 0);
    const char *link = scratch_path(s, "latest");
    assert_int_equal(symlink("runs/five", link), 0);
    assert_int_equal(write_text(link, "model"), TALLY_OK);
    const char *target = scratch_path(s, "runs/five");
    assert_text(target, "model");
    assert_int_equal(unlink(target), 0);
}

static void test_circle_of_links(void **state) {
    const char *link = scratch_path(*state, "circle");
    assert_int_equal(symlink("circle", link), 0);
    assert_int_equal(write_text(link, "x"), TALLY_IO);
    assert_error("circle: following the link: Too many levels of symbolic links");
}

static void test_missing_folder(void **state) {
    assert_int_equal(write_text(scratch_path(*state, "no/model"), "x"), TALLY_IO);
    const char *folder = ((scratch *)*state)->folder;
    char expected[3 * sizeof(scratch)];
    snprintf(expected, sizeof expected, "cannot write %s/no/model: its folder %s/no/: No such file or directory",
             folder, folder);
    assert_error(expected);
}

static void test_folder_is_a_file(void **state) {
    scratch *s = *state;
    put_file(scratch_path(s, "file"), "old", 3);
    assert_int_equal(write_text(scratch_path(s, "file/model"), "x"), TALLY_IO);
    assert_error("/file/model: Not a directory");
    assert_text(scratch_path(s, "file"), "old");
}

static void test_path_is_a_folder(void **state) {
    scratch *s = *state;
    assert_int_equal(mkdir(scratch_path(s, "folder"), 0777), 0);
    assert_int_equal(write_text(scratch_path(s, "folder"), "x"), TALLY_IO);
    assert_error("/folder: Is a directory");
    assert_int_equal(write_text(scratch_path(s, "folder/"), "x"), TALLY_IO);
    assert_error("/folder/: Is a directory");
    assert_int_equal(write_text(scratch_path(s, "folder/.."), "x"), TALLY_IO);
    assert_error("/folder/..: Is a directory");
    assert_int_equal(scratch_entries(s), 1);
}

static void test_empty_path(void **state) {
    (void)state;
    assert_int_equal(write_text("", "x"), TALLY_IO);
    assert_error("No such file or directory");
}

static void test_path_is_a_pipe(void **state) {
    scratch *s = *state;
    const char *path = scratch_path(s, "pipe");
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_int_equal(write_text(path, "x"), TALLY_IO);
    assert_error("/pipe: not a regular file");
    struct stat info;
    assert_int_equal(lstat(path, &info), 0);
    assert_true(S_ISFIFO(info.st_mode));
    assert_int_equal(scratch_entries(s), 1);
}

static void test_read_only_folder(void **state) {
    scratch *s = *state;
    const char *path = scratch_path(s, "model");
    put_file(path, "old", 3);
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(chmod(s->folder, 0555), 0);
    if (!drop_root(s))
        skip();
    tally_status status = write_text(path, "new");
    back_to_root();
    assert_int_equal(chmod(s->folder, 0755), 0);
    assert_int_equal(status, TALLY_IO);
    assert_error("/model: making a temporary file in its folder: Permission denied");
    assert_text(path, "old");
}

static void test_write_protected_file(void **state) {
    scratch *s = *state;
    const char *path = scratch_path(s, "model");
    put_file(path, "old", 3);
    assert_int_equal(chmod(path, 0444), 0);
    if (!drop_root(s))
        skip();
    tally_status status = write_text(path, "new");
    back_to_root();
    assert_int_equal(status, TALLY_IO);
    assert_error("/model: Permission denied");
    assert_text(path, "old");
    assert_int_equal(scratch_entries(s), 1);
}

/* A temporary file left by a killed process with this one's number is neither used nor removed. */
static void test_leftover_temporary(void **state) {
    scratch *s = *state;
    char name[64];
    snprintf(name, sizeof name, ".tally-%ld-0", (long)getpid());
    char leftover[PATH_MAX];
    strcpy(leftover, scratch_path(s, name));
    put_file(leftover, "left", 4);
    const char *path = scratch_path(s, "model");
    assert_int_equal(write_text(path, "new"), TALLY_OK);
    assert_text(path, "new");
    assert_text(leftover, "left");
    assert_int_equal(scratch_entries(s), 2);
}

/* Lets every call fail once, with an old file and without. at_most splits one write into several. */
static void fail_every_call(scratch *s, bool with_old) {
    enum { NONE = -1, AT_MOST = 5 };
    const char *path = scratch_path(s, "model");
    bool write_failed = false, folder_sync_failed = false;
    int call = 0;
    for (;; call++) {
        unlink(path);
        if (with_old)
            put_file(path, "old", 3);
        tally_status status = write_with_fault(path, "the new text", call, NONE, EIO, AT_MOST);
        if (call == faults.calls) { /* there are no more calls */
            assert_int_equal(status, TALLY_OK);
            assert_text(path, "the new text");
            break;
        }
        assert_int_equal(status, TALLY_IO);
        assert_error(path);
        assert_error(strerror(EIO));
        write_failed |= strcmp(faults.failed, "write") == 0;
        if (faults.renamed) {
            folder_sync_failed |= strcmp(faults.failed, "fsync") == 0;
            assert_error("wrote ");
            assert_text(path, "the new text");
            assert_int_equal(scratch_entries(s), 1);
        } else {
            assert_error("cannot write ");
            if (with_old)
                assert_text(path, "old");
            assert_int_equal(scratch_entries(s), with_old ? 1 : 0);
        }
    }
    assert_true(write_failed);
    assert_true(folder_sync_failed);
    /* readlink, open, fstatat, openat, 3 x write, fsync, close, renameat, fsync, close; with an old file also
     * faccessat and fchmod */
    assert_int_equal(call, with_old ? 14 : 12);
}

static void test_every_call_fails_over_an_old_file(void **state) {
    fail_every_call(*state, true);
}

static void test_every_call_fails_without_an_old_file(void **state) {
    fail_every_call(*state, false);
}

static void test_short_and_interrupted_writes(void **state) {
    scratch *s = *state;
    const char *path = scratch_path(s, "model");
    enum { FIRST_WRITE = 4 };
    for (size_t at_most = 1; at_most <= 13; at_most++) {
        assert_int_equal(write_with_fault(path, "the new text", -1, -1, 0, at_most), TALLY_OK);
        assert_text(path, "the new text");
        unlink(path);
        assert_int_equal(write_with_fault(path, "the new text", FIRST_WRITE, -1, EINTR, at_most), TALLY_OK);
        assert_string_equal(faults.failed, "write");
        assert_text(path, "the new text");
        unlink(path);
    }
}

static void test_full_disk(void **state) {
    scratch *s = *state;
    const char *path = scratch_path(s, "model");
    enum { SECOND_WRITE = 5 };
    assert_int_equal(write_with_fault(path, "the new text", SECOND_WRITE, -1, ENOSPC, 5), TALLY_IO);
    assert_error("/model: writing the temporary file: No space left on device");
    assert_int_equal(scratch_entries(s), 0);
}

/* A write that writes nothing must not be retried forever. */
static void test_write_of_nothing(void **state) {
    scratch *s = *state;
    assert_int_equal(write_with_fault(scratch_path(s, "model"), "text", -1, -1, 0, 0), TALLY_IO);
    assert_error("writing the temporary file: Input/output error");
    assert_int_equal(scratch_entries(s), 0);
}

/* If both the write and the cleanup fail, the message says which file is left. */
static void test_temporary_that_cannot_be_removed(void **state) {
    scratch *s = *state;
    enum { WRITE = 4, UNLINK = 6 };
    assert_int_equal(write_with_fault(scratch_path(s, "model"), "text", WRITE, UNLINK, EIO, 100), TALLY_IO);
    assert_string_equal(faults.failed, "unlinkat");
    char left[64];
    snprintf(left, sizeof left, "; .tally-%ld-0 was left behind: ", (long)getpid());
    assert_error("/model: writing the temporary file: Input/output error");
    assert_error(left);
    assert_int_equal(scratch_entries(s), 1);
}

/* A file system that cannot sync folders. */
static void test_folder_without_sync(void **state) {
    scratch *s = *state;
    const char *path = scratch_path(s, "model");
    enum { FOLDER_SYNC = 8 };
    assert_int_equal(write_with_fault(path, "text", FOLDER_SYNC, -1, EINVAL, 100), TALLY_OK);
    assert_string_equal(faults.failed, "fsync");
    assert_true(faults.renamed);
    assert_text(path, "text");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_new_file),
        TEST(test_empty_file),
        TEST(test_old_file_is_replaced_and_keeps_its_permissions),
        TEST(test_name_without_folder),
        TEST(test_longest_name),
        TEST(test_links_stay),
        TEST(test_link_into_another_folder),
        TEST(test_circle_of_links),
        TEST(test_missing_folder),
        TEST(test_folder_is_a_file),
        TEST(test_path_is_a_folder),
        TEST(test_empty_path),
        TEST(test_path_is_a_pipe),
        TEST(test_read_only_folder),
        TEST(test_write_protected_file),
        TEST(test_leftover_temporary),
        TEST(test_every_call_fails_over_an_old_file),
        TEST(test_every_call_fails_without_an_old_file),
        TEST(test_short_and_interrupted_writes),
        TEST(test_full_disk),
        TEST(test_write_of_nothing),
        TEST(test_temporary_that_cannot_be_removed),
        TEST(test_folder_without_sync),
    };
    return cmocka_run_group_tests_name("atomic file", tests, NULL, NULL);
}
