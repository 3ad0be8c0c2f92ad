/* settings.h: settings as rows of a table. A row has everything there is to know of a setting: its name, where it is
 * kept, its text form, range, default, command-line option and help. Command lines, files, help texts and comparisons
 * are made from it.
 *
 * Every setting has one text form, in which it is typed, noted and kept in files: true or false, a whole number, a
 * decimal number that reads back as the same double, an enumeration's name. It does not depend on the locale.
 */
#ifndef TALLY_SETTINGS_H
#define TALLY_SETTINGS_H

#include <tally/core.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tally_setting_type {
    TALLY_SETTING_FLAG,   /* bool */
    TALLY_SETTING_SIZE,   /* size_t */
    TALLY_SETTING_WHOLE,  /* uint64_t */
    TALLY_SETTING_REAL,   /* double; NaN while it is not given */
    TALLY_SETTING_CHOICE, /* an enumeration that counts from 0 */
    TALLY_SETTING_TEXT,   /* const char *, borrowed from what was parsed; NULL while it is not given */
    TALLY_SETTING_SPAN    /* two neighbouring uint64_t, the first not above the second: "20", or "5..20" */
} tally_setting_type;

typedef struct tally_setting {
    const char *name;     /* in files and JSON; NULL: it is in neither */
    const char *option;   /* on the command line, without dashes; NULL: it has none */
    const char *metavar;  /* what help calls the option's value; NULL: a flag, which has none */
    const char *help;     /* of the option */
    const char *initial;  /* its default; NULL: at first it is not given, which is false, 0, NaN or NULL */
    const char *fallback; /* the default in words, where initial does not say it; "": there is none to tell */
    bool may_change;      /* a run of training may go on with another value */
    unsigned groups;      /* bits of the caller's own */
    tally_setting_type type;
    size_t offset;            /* in the struct that keeps it */
    uint64_t least, most;     /* of whole numbers */
    double low, high;         /* of a real number */
    bool below_high;          /* high itself is out of range */
    bool off;                 /* the flag's option makes it false */
    const char *const *names; /* of a choice, NULL behind the last */
} tally_setting;

/* The end of a row: its type, range and offset. What does not have the C type of the setting's does not compile. */
#define TALLY_SETTING_OFFSET(type, member, expected)                                                                   \
    (offsetof(type, member) + 0 * sizeof(char[_Generic(&((type *)0)->member, expected * : 1)]))
#define TALLY_FLAG_AT(type_, member) .type = TALLY_SETTING_FLAG, .offset = TALLY_SETTING_OFFSET(type_, member, bool)
#define TALLY_SIZE_AT(type_, member, least_, most_)                                                                    \
    .type = TALLY_SETTING_SIZE, .offset = TALLY_SETTING_OFFSET(type_, member, size_t), .least = (least_),              \
    .most = (most_)
#define TALLY_WHOLE_AT(type_, member, least_, most_)                                                                   \
    .type = TALLY_SETTING_WHOLE, .offset = TALLY_SETTING_OFFSET(type_, member, uint64_t), .least = (least_),           \
    .most = (most_)
#define TALLY_REAL_AT(type_, member, low_, high_)                                                                      \
    .type = TALLY_SETTING_REAL, .offset = TALLY_SETTING_OFFSET(type_, member, double), .low = (low_), .high = (high_)
/* From 0 to below 1. */
#define TALLY_FRACTION_AT(type_, member) TALLY_REAL_AT(type_, member, 0, 1), .below_high = true
#define TALLY_CHOICE_AT(type_, member, names_)                                                                         \
    .type = TALLY_SETTING_CHOICE, .names = (names_),                                                                   \
    .offset = offsetof(type_, member) + 0 * sizeof(char[sizeof(((type_ *)0)->member) == sizeof(unsigned) ? 1 : -1])
#define TALLY_TEXT_AT(type_, member)                                                                                   \
    .type = TALLY_SETTING_TEXT, .offset = TALLY_SETTING_OFFSET(type_, member, const char *)
#define TALLY_SPAN_AT(type_, first, last, least_, most_)                                                               \
    .type = TALLY_SETTING_SPAN, .least = (least_), .most = (most_),                                                    \
    .offset = TALLY_SETTING_OFFSET(type_, first, uint64_t) +                                                           \
              0 * sizeof(char[offsetof(type_, last) == offsetof(type_, first) + sizeof(uint64_t) ? 1 : -1])

enum { TALLY_SETTING_TEXT_SIZE = 128 };

/* base: the struct that keeps the setting. None of these fails otherwise than stated; each may be called from any
 * thread. */

/* Sets it; false, and it stays as it was, for a text that is not in its range. */
TALLY_API bool tally_setting_parse(const tally_setting *setting, void *base, const char *text);
/* Its text form: in the buffer, or the setting's own text; "none" for what is not given. */
TALLY_API const char *tally_setting_format(const tally_setting *setting, const void *base,
                                           char buffer[TALLY_SETTING_TEXT_SIZE]);
/* What tally_setting_parse takes, in words: "a whole number from 1 to 24". */
TALLY_API void tally_setting_describe_range(const tally_setting *setting, char buffer[TALLY_SETTING_TEXT_SIZE]);
/* Sets all of them to their defaults. */
TALLY_API void tally_settings_reset(const tally_setting *settings, size_t count, void *base);

#ifdef __cplusplus
}
#endif
#endif
