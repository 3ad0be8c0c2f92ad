/* The cache of kept data: it holds whole entries only, in a folder that belongs to the user, and works without one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "scratch.h"

#include "core/cache.h"
#include "core/fail.h"

static const char text[] = "what was worth keeping";
static char name[TL_CACHE_NAME];

/* An empty home folder. */
static int setup(void **state) {
    if (scratch_setup(state))
        return -1;
    const scratch *s = *state;
    unsetenv("TALLY_CACHE");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", s->folder, 1);
    tl_cache_name(name, "test", (const char *const[]){"a", "b", NULL});
    return 0;
}

static int teardown(void **state) {
    char path[PATH_MAX];
    const scratch *s = *state;
    static const char *const folders[] = {".cache/tally", "tally", ".cache"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "%s/%s/%s", s->folder, folders[i], name);
        remove(path);
        *strrchr(path, '/') = '\0';
        remove(path);
    }
    return scratch_teardown(state);
}

static void assert_kept(const void *data, size_t bytes) {
    unsigned char *found;
    size_t size = 0;
    assert_true(tl_cache_read(name, &found, &size));
    assert_int_equal(size, bytes);
    assert_memory_equal(found, data, bytes);
    assert_int_equal(found[size], 0);
    free(found);
}

static void assert_nothing(void) {
    unsigned char *found;
    size_t size;
    assert_false(tl_cache_read(name, &found, &size));
    assert_null(found);
}

/* Nothing can be read or kept, and the text of the last failure stays. */
static void assert_no_cache(void) {
    tl_fail(TALLY_USAGE, "an earlier failure");
    assert_false(tl_cache_ready());
    tl_cache_write(name, text, sizeof text);
    assert_nothing();
    tl_cache_remove(name);
    assert_string_equal(tally_error_text(), "an earlier failure");
}

static const char *entry(scratch *s) {
    char inside[128];
    snprintf(inside, sizeof inside, ".cache/tally/%s", name);
    return scratch_path(s, inside);
}

static void test_kept_and_read(void **state) {
    scratch *s = *state;
    assert_nothing();
    assert_true(tl_cache_ready());
    tl_cache_write(name, text, sizeof text);
    assert_kept(text, sizeof text);
    tl_cache_write(name, "another", 7);
    assert_kept("another", 7);
    tl_cache_write(name, "", 0);
    assert_kept("", 0);
    struct stat at;
    assert_int_equal(stat(scratch_path(s, ".cache/tally"), &at), 0);
    assert_int_equal(at.st_mode & 0777, 0700);
    tl_cache_remove(name);
    assert_nothing();
}

static void test_names_tell_texts_apart(void **state) {
    (void)state;
    char other[TL_CACHE_NAME];
    tl_cache_name(other, "test", (const char *const[]){"a", "b", NULL});
    assert_string_equal(other, name);
    const char *const texts[][3] = {{"ab", NULL}, {"a", "c", NULL}, {"a", NULL}, {"b", "a", NULL}, {"", "ab", NULL}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        tl_cache_name(other, "test", texts[i]);
        assert_string_not_equal(other, name);
    }
}

/* Every wrong byte and every wrong length is detected, and the entry is removed. */
static void test_damaged(void **state) {
    scratch *s = *state;
    tl_cache_write(name, text, sizeof text);
    unsigned char whole[256], wrong[sizeof whole + 1];
    FILE *file = fopen(entry(s), "rb");
    assert_non_null(file);
    size_t bytes = fread(whole, 1, sizeof whole, file);
    fclose(file);
    assert_in_range(bytes, sizeof text + 1, sizeof whole - 1);
    for (size_t i = 0; i < bytes; i++) {
        memcpy(wrong, whole, bytes);
        wrong[i] ^= 1;
        put_file(entry(s), wrong, bytes);
        assert_nothing();
        assert_int_equal(access(entry(s), F_OK), -1);
        put_file(entry(s), whole, i);
        assert_nothing();
        assert_int_equal(access(entry(s), F_OK), -1);
    }
    memcpy(wrong, whole, bytes);
    wrong[bytes] = 0;
    put_file(entry(s), wrong, bytes + 1);
    assert_nothing();
    put_file(entry(s), whole, bytes);
    assert_kept(text, sizeof text);
}

static void test_another_entry_under_this_name(void **state) {
    scratch *s = *state;
    char other[TL_CACHE_NAME], from[PATH_MAX];
    tl_cache_name(other, "test", (const char *const[]){"other", NULL});
    tl_cache_write(other, text, sizeof text);
    snprintf(from, sizeof from, "%s/.cache/tally/%s", s->folder, other);
    assert_int_equal(rename(from, entry(s)), 0);
    assert_nothing();
}

static void test_no_file_where_the_entry_is(void **state) {
    scratch *s = *state;
    assert_true(tl_cache_ready());
    assert_int_equal(mkdir(entry(s), 0700), 0);
    tl_fail(TALLY_USAGE, "an earlier failure");
    tl_cache_write(name, text, sizeof text);
    assert_nothing();
    assert_string_equal(tally_error_text(), "an earlier failure");
    assert_int_equal(rmdir(entry(s)), 0);
    assert_int_equal(mkfifo(entry(s), 0600), 0);
    assert_nothing(); /* without waiting for a writer */
}

static void test_where_it_is(void **state) {
    scratch *s = *state;
    setenv("XDG_CACHE_HOME", s->folder, 1);
    tl_cache_write(name, text, sizeof text);
    assert_kept(text, sizeof text);
    assert_int_equal(access(scratch_path(s, "tally"), F_OK), 0);
    setenv("XDG_CACHE_HOME", ".", 1); /* not an absolute path, so it is ignored */
    assert_nothing();
    assert_true(tl_cache_ready());
    assert_int_equal(access(scratch_path(s, ".cache/tally"), F_OK), 0);
    setenv("XDG_CACHE_HOME", "", 1);
    assert_true(tl_cache_ready());
    setenv("TALLY_CACHE", "off", 1);
    assert_no_cache();
    setenv("TALLY_CACHE", "", 1);
    assert_true(tl_cache_ready());
}

static void test_no_home(void **state) {
    scratch *s = *state;
    unsetenv("HOME");
    assert_no_cache();
    setenv("HOME", "", 1);
    assert_no_cache();
    setenv("HOME", scratch_path(s, "not there"), 1);
    assert_no_cache();
    assert_int_equal(scratch_entries(s), 0);
}

static void test_a_folder_that_cannot_be(void **state) {
    scratch *s = *state;
    put_file(scratch_path(s, ".cache"), "", 0);
    assert_no_cache();
    assert_int_equal(unlink(scratch_path(s, ".cache")), 0);
    assert_int_equal(mkdir(scratch_path(s, ".cache"), 0700), 0);
    put_file(scratch_path(s, ".cache/tally"), "", 0);
    assert_no_cache();
}

static void test_a_folder_that_cannot_be_written(void **state) {
    if (geteuid() == 0)
        skip(); /* this user may write everywhere */
    scratch *s = *state;
    tl_cache_write(name, text, sizeof text);
    assert_int_equal(chmod(scratch_path(s, ".cache/tally"), 0500), 0);
    assert_false(tl_cache_ready());
    assert_kept(text, sizeof text);
    tl_cache_write(name, "another", 7);
    assert_kept(text, sizeof text);
    assert_int_equal(chmod(scratch_path(s, ".cache/tally"), 0700), 0);
}

/* Entries are executed, so others must not be able to write them. */
static void test_a_folder_of_others(void **state) {
    scratch *s = *state;
    tl_cache_write(name, text, sizeof text);
    static const mode_t modes[] = {0770, 0702, 0777};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        assert_int_equal(chmod(scratch_path(s, ".cache/tally"), modes[i]), 0);
        assert_no_cache();
    }
    assert_int_equal(chmod(scratch_path(s, ".cache/tally"), 0755), 0);
    assert_kept(text, sizeof text);
    if (geteuid() != 0)
        return;
    assert_int_equal(chown(scratch_path(s, ".cache/tally"), 1, 1), 0);
    assert_no_cache();
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_kept_and_read),
        TEST(test_names_tell_texts_apart),
        TEST(test_damaged),
        TEST(test_another_entry_under_this_name),
        TEST(test_no_file_where_the_entry_is),
        TEST(test_where_it_is),
        TEST(test_no_home),
        TEST(test_a_folder_that_cannot_be),
        TEST(test_a_folder_that_cannot_be_written),
        TEST(test_a_folder_of_others),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
