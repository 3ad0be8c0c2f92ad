#include "value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

value value_flag(bool *target) {
    return (value){.kind = VALUE_FLAG, .flag = target};
}

value value_flag_off(bool *target) {
    return (value){.kind = VALUE_FLAG, .flag = target, .off = true};
}

value value_text(const char **target) {
    return (value){.kind = VALUE_TEXT, .text = target};
}

value value_whole(uint64_t *target, uint64_t least, uint64_t most) {
    return (value){.kind = VALUE_WHOLE, .whole = target, .least = least, .most = most};
}

value value_span(uint64_t *from, uint64_t *to, uint64_t least, uint64_t most) {
    return (value){.kind = VALUE_SPAN, .whole = from, .to = to, .least = least, .most = most};
}

value value_real(double *target, double low, double high) {
    return (value){.kind = VALUE_REAL, .real = target, .low = low, .high = high};
}

value value_fraction(double *target) {
    return (value){.kind = VALUE_REAL, .real = target, .low = 0, .high = 1, .below_high = true};
}

value value_choice(int *target, const char *const *choices) {
    return (value){.kind = VALUE_CHOICE, .choice = target, .choices = choices};
}

/* strtoull takes signs, spaces and other bases: digits only here. */
static bool parse_whole(const char *text, uint64_t *number) {
    uint64_t n = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        if (__builtin_mul_overflow(n, (uint64_t)10, &n) || __builtin_add_overflow(n, (uint64_t)(*text - '0'), &n))
            return false;
    }
    *number = n;
    return true;
}

static bool parse_span(const value *v, const char *text) {
    char first[VALUE_TEXT_SIZE];
    const char *dots = strstr(text, "..");
    size_t length = dots != NULL ? (size_t)(dots - text) : strlen(text);
    uint64_t from, to;
    if (length >= sizeof first)
        return false;
    memcpy(first, text, length);
    first[length] = '\0';
    if (!parse_whole(first, &from) || !parse_whole(dots != NULL ? dots + 2 : first, &to) || from < v->least ||
        from > to || to > v->most)
        return false;
    *v->whole = from;
    *v->to = to;
    return true;
}

static bool parse_real(const char *text, double *number) {
    if (strchr("+-.0123456789", *text) == NULL || *text == '\0')
        return false;
    char *end;
    errno = 0;
    *number = strtod(text, &end);
    return *end == '\0' && !(*number == 0 && errno == ERANGE); /* 1e-400 is not meant as 0 */
}

static bool in_range(const value *v, double number) {
    return number >= v->low && (v->below_high ? number < v->high : number <= v->high);
}

bool value_parse(const value *v, const char *text) {
    switch (v->kind) {
    case VALUE_FLAG:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return false;
        *v->flag = *text == 't';
        return true;
    case VALUE_TEXT:
        *v->text = text;
        return true;
    case VALUE_WHOLE: {
        uint64_t number;
        if (!parse_whole(text, &number) || number < v->least || number > v->most)
            return false;
        *v->whole = number;
        return true;
    }
    case VALUE_SPAN:
        return parse_span(v, text);
    case VALUE_REAL: {
        double number;
        if (!parse_real(text, &number) || !in_range(v, number))
            return false;
        *v->real = number;
        return true;
    }
    case VALUE_CHOICE:
        for (int i = 0; v->choices[i] != NULL; i++)
            if (strcmp(text, v->choices[i]) == 0) {
                *v->choice = i;
                return true;
            }
        return false;
    }
    return false;
}

void value_describe_range(const value *v, char text[VALUE_TEXT_SIZE]) {
    size_t size = VALUE_TEXT_SIZE;
    switch (v->kind) {
    case VALUE_FLAG:
        snprintf(text, size, "true or false");
        return;
    case VALUE_TEXT:
        snprintf(text, size, "text");
        return;
    case VALUE_WHOLE:
        snprintf(text, size, "a whole number from %llu to %llu", (unsigned long long)v->least,
                 (unsigned long long)v->most);
        return;
    case VALUE_SPAN:
        snprintf(text, size, "a whole number from %llu to %llu, or two: 5..20", (unsigned long long)v->least,
                 (unsigned long long)v->most);
        return;
    case VALUE_REAL:
        snprintf(text, size, "a number from %g to %s%g", v->low, v->below_high ? "below " : "", v->high);
        return;
    case VALUE_CHOICE: {
        size_t used = 0;
        text[0] = '\0';
        for (int i = 0; v->choices[i] != NULL && used < size; i++)
            used += (size_t)snprintf(text + used, size - used, "%s%s", i == 0 ? "" : " or ", v->choices[i]);
        return;
    }
    }
}

void value_format(const value *v, char text[VALUE_TEXT_SIZE]) {
    size_t size = VALUE_TEXT_SIZE;
    switch (v->kind) {
    case VALUE_FLAG:
        snprintf(text, size, "%s", *v->flag ? "true" : "false");
        return;
    case VALUE_TEXT:
        snprintf(text, size, "%s", *v->text);
        return;
    case VALUE_WHOLE:
        snprintf(text, size, "%llu", (unsigned long long)*v->whole);
        return;
    case VALUE_SPAN:
        if (*v->whole == *v->to)
            snprintf(text, size, "%llu", (unsigned long long)*v->to);
        else
            snprintf(text, size, "%llu..%llu", (unsigned long long)*v->whole, (unsigned long long)*v->to);
        return;
    case VALUE_REAL: /* the fewest digits that read back exactly; 17 always do */
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(text, size, "%.*g", digits, *v->real);
            if (strtod(text, NULL) == *v->real)
                return;
        }
        return;
    case VALUE_CHOICE:
        snprintf(text, size, "%s", v->choices[*v->choice]);
        return;
    }
}

json_t *value_json_text(const char *text) {
    json_t *json = json_string(text);
    if (json != NULL)
        return json;
    char *ascii = strdup(text);
    if (ascii == NULL)
        return NULL;
    for (char *c = ascii; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    json = json_string(ascii);
    free(ascii);
    return json;
}

json_t *value_json_real(double number) {
    return isfinite(number) ? json_real(number) : json_null();
}

json_t *value_json(const value *v) {
    switch (v->kind) {
    case VALUE_FLAG:
        return json_boolean(*v->flag);
    case VALUE_TEXT:
        return value_json_text(*v->text);
    case VALUE_WHOLE: {
        if (v->most <= INT64_MAX)
            return json_integer((json_int_t)*v->whole);
        char text[VALUE_TEXT_SIZE];
        value_format(v, text);
        return json_string(text);
    }
    case VALUE_SPAN: {
        char text[VALUE_TEXT_SIZE];
        value_format(v, text);
        return json_string(text);
    }
    case VALUE_REAL:
        return value_json_real(*v->real);
    case VALUE_CHOICE:
        return json_string(v->choices[*v->choice]);
    }
    return NULL;
}
