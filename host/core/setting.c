/* The text form of settings. */
#include <tally/settings.h>

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *value_at(const tally_setting *s, void *base) {
    return (char *)base + s->offset;
}

static const void *const_value_at(const tally_setting *s, const void *base) {
    return (const char *)base + s->offset;
}

/* Numbers are written with a decimal point in any locale. leave_c_locale restores the thread's locale. */
typedef struct locale_pair {
    locale_t c, before;
} locale_pair;

static locale_pair enter_c_locale(void) {
    locale_pair pair = {.c = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0)};
    pair.before = uselocale(pair.c); /* keeps the program's locale if out of memory */
    return pair;
}

static void leave_c_locale(locale_pair pair) {
    uselocale(pair.before);
    if (pair.c)
        freelocale(pair.c);
}

/* Digits only; strtoull would also accept signs, spaces and other bases. */
static bool parse_whole(const char *text, uint64_t *number) {
    uint64_t n = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        if (__builtin_mul_overflow(n, (uint64_t)10, &n) || __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
            return false;
    }
    *number = n;
    return true;
}

static bool parse_ranged(const tally_setting *s, const char *text, uint64_t *number) {
    return parse_whole(text, number) && *number >= s->least && *number <= s->most;
}

static bool parse_span(const tally_setting *s, const char *text, uint64_t span[2]) {
    char first[TALLY_SETTING_TEXT_SIZE];
    const char *dots = strstr(text, "..");
    size_t length = dots ? (size_t)(dots - text) : strlen(text);
    uint64_t from, to;
    if (length >= sizeof first)
        return false;
    memcpy(first, text, length);
    first[length] = '\0';
    if (!parse_ranged(s, first, &from) || !parse_ranged(s, dots ? dots + 2 : first, &to) || from > to)
        return false;
    span[0] = from;
    span[1] = to;
    return true;
}

static bool parse_real(const tally_setting *s, const char *text, double *real) {
    if (!*text || !strchr("+-.0123456789", *text))
        return false;
    char *end;
    locale_pair locale = enter_c_locale();
    errno = 0;
    double number = strtod(text, &end);
    bool tiny = number == 0 && errno == ERANGE; /* refuses 1e-400 instead of rounding it to 0 */
    leave_c_locale(locale);
    if (*end || tiny || !(number >= s->low && (s->below_high ? number < s->high : number <= s->high)))
        return false;
    *real = number;
    return true;
}

static bool parse_choice(const tally_setting *s, const char *text, unsigned *choice) {
    for (unsigned i = 0; s->names[i]; i++)
        if (strcmp(text, s->names[i]) == 0) {
            memcpy(choice, &i, sizeof i);
            return true;
        }
    return false;
}

bool tally_setting_parse(const tally_setting *s, void *base, const char *text) {
    void *to = value_at(s, base);
    uint64_t number;
    switch (s->type) {
    case TALLY_SETTING_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return false;
        *(bool *)to = *text == 't';
        return true;
    case TALLY_SETTING_SIZE:
        if (!parse_ranged(s, text, &number) || number > SIZE_MAX)
            return false;
        *(size_t *)to = (size_t)number;
        return true;
    case TALLY_SETTING_WHOLE:
        if (!parse_ranged(s, text, &number))
            return false;
        *(uint64_t *)to = number;
        return true;
    case TALLY_SETTING_REAL:
        return parse_real(s, text, to);
    case TALLY_SETTING_CHOICE:
        return parse_choice(s, text, to);
    case TALLY_SETTING_TEXT:
        *(const char **)to = text;
        return true;
    case TALLY_SETTING_SPAN:
        return parse_span(s, text, to);
    }
    return false;
}

/* 15 digits reproduce what was typed with at most that many; 17 always read back exactly. Trailing zeros are
 * omitted. */
static void format_real(double number, char *text, size_t size) {
    locale_pair locale = enter_c_locale();
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    leave_c_locale(locale);
}

static unsigned choice_at(const void *from) {
    unsigned choice;
    memcpy(&choice, from, sizeof choice);
    return choice;
}

const char *tally_setting_format(const tally_setting *s, const void *base, char buffer[TALLY_SETTING_TEXT_SIZE]) {
    const void *from = const_value_at(s, base);
    const size_t size = TALLY_SETTING_TEXT_SIZE;
    const uint64_t *whole = from;
    switch (s->type) {
    case TALLY_SETTING_FLAG:
        return *(const bool *)from ? "true" : "false";
    case TALLY_SETTING_SIZE:
        snprintf(buffer, size, "%zu", *(const size_t *)from);
        return buffer;
    case TALLY_SETTING_WHOLE:
        snprintf(buffer, size, "%llu", (unsigned long long)*whole);
        return buffer;
    case TALLY_SETTING_REAL:
        if (isnan(*(const double *)from))
            return "none";
        format_real(*(const double *)from, buffer, size);
        return buffer;
    case TALLY_SETTING_CHOICE:
        return s->names[choice_at(from)];
    case TALLY_SETTING_TEXT:
        return *(const char *const *)from ? *(const char *const *)from : "none";
    case TALLY_SETTING_SPAN:
        if (whole[0] == whole[1])
            snprintf(buffer, size, "%llu", (unsigned long long)whole[1]);
        else
            snprintf(buffer, size, "%llu..%llu", (unsigned long long)whole[0], (unsigned long long)whole[1]);
        return buffer;
    }
    return "none";
}

void tally_setting_describe_range(const tally_setting *s, char buffer[TALLY_SETTING_TEXT_SIZE]) {
    const size_t size = TALLY_SETTING_TEXT_SIZE;
    const unsigned long long least = s->least, most = s->most;
    switch (s->type) {
    case TALLY_SETTING_FLAG:
        snprintf(buffer, size, "true or false");
        return;
    case TALLY_SETTING_SIZE:
    case TALLY_SETTING_WHOLE:
        snprintf(buffer, size, "a whole number from %llu to %llu", least, most);
        return;
    case TALLY_SETTING_REAL:
        snprintf(buffer, size, "a number from %g to %s%g", s->low, s->below_high ? "below " : "", s->high);
        return;
    case TALLY_SETTING_CHOICE: {
        size_t used = 0;
        buffer[0] = '\0';
        for (size_t i = 0; s->names[i] && used < size; i++)
            used += (size_t)snprintf(buffer + used, size - used, "%s%s", i ? " or " : "", s->names[i]);
        return;
    }
    case TALLY_SETTING_TEXT:
        snprintf(buffer, size, "text");
        return;
    case TALLY_SETTING_SPAN:
        snprintf(buffer, size, "a whole number from %llu to %llu, or two: 5..20", least, most);
        return;
    }
}

static void clear_value(const tally_setting *s, void *to) {
    switch (s->type) {
    case TALLY_SETTING_FLAG:
        *(bool *)to = false;
        return;
    case TALLY_SETTING_SIZE:
        *(size_t *)to = 0;
        return;
    case TALLY_SETTING_WHOLE:
        *(uint64_t *)to = 0;
        return;
    case TALLY_SETTING_REAL:
        *(double *)to = NAN;
        return;
    case TALLY_SETTING_CHOICE:
        memset(to, 0, sizeof(unsigned));
        return;
    case TALLY_SETTING_TEXT:
        *(const char **)to = NULL;
        return;
    case TALLY_SETTING_SPAN:
        memset(to, 0, 2 * sizeof(uint64_t));
        return;
    }
}

void tally_settings_reset(const tally_setting *settings, size_t count, void *base) {
    for (size_t i = 0; i < count; i++) {
        const tally_setting *s = &settings[i];
        if (!s->initial || !tally_setting_parse(s, base, s->initial))
            clear_value(s, value_at(s, base));
    }
}
