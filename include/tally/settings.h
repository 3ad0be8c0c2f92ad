/* settings.h: tables of settings. A row holds everything about a setting: its name, where it is stored, its text
 * form, range, default, command-line option and help. Command lines, files, help texts and comparisons are derived
 * from the tables.
 *
 * A setting has one text form, which is used on the command line, in notes and in files: true or false, an integer,
 * a decimal number that reads back as the same double, or the name of an enumeration's value. It does not depend on
 * the locale.
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
    TALLY_SETTING_REAL,   /* double; NaN if it is not given */
    TALLY_SETTING_CHOICE, /* an enumeration that counts from 0 */
    TALLY_SETTING_TEXT,   /* const char *, borrowed from the parsed text; NULL if it is not given */
    TALLY_SETTING_SPAN    /* two consecutive uint64_t, the first not above the second: "20", or "5..20" */
} tally_setting_type;

typedef struct tally_setting {
    const char *name;     /* in files and JSON; NULL: in neither */
    const char *option;   /* on the command line, without dashes; NULL: none */
    const char *metavar;  /* the option's value in help texts; NULL: a flag, which has no value */
    const char *help;     /* of the option */
    const char *initial;  /* the default; NULL: not given, which is false, 0, NaN or NULL */
    const char *fallback; /* a description of the default to use instead of initial; "": none */
    bool may_change;      /* a resumed training run may use another value */
    unsigned groups;      /* a bit mask for the caller's own use */
    tally_setting_type type;
    size_t offset;            /* in the struct that holds the setting */
    uint64_t least, most;     /* of an integer */
    double low, high;         /* of a real number */
    bool below_high;          /* high itself is out of range */
    bool off;                 /* giving the flag's option sets it to false */
    const char *const *names; /* of a choice, terminated by NULL */
} tally_setting;

/* The type, range and offset at the end of a row. A member of the wrong C type does not compile. */
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

/* base is the struct that holds the setting. These functions fail only as stated and may be called from any thread. */

/* Sets the setting. Returns false, and changes nothing, if the text is not within its range. */
TALLY_API bool tally_setting_parse(const tally_setting *setting, void *base, const char *text);
/* The text form, in the buffer or as the setting's own text; "none" if it is not given. */
TALLY_API const char *tally_setting_format(const tally_setting *setting, const void *base,
                                           char buffer[TALLY_SETTING_TEXT_SIZE]);
/* Describes what tally_setting_parse accepts: "a whole number from 1 to 24". */
TALLY_API void tally_setting_describe_range(const tally_setting *setting, char buffer[TALLY_SETTING_TEXT_SIZE]);
/* Sets all settings of the table to their defaults. */
TALLY_API void tally_settings_reset(const tally_setting *settings, size_t count, void *base);

#ifdef __cplusplus
}
#endif
#endif
