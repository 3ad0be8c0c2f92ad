/* value.h: the text form of a setting. Options and the notes in a model file are read, checked and written alike. */
#ifndef TALLY_CLI_VALUE_H
#define TALLY_CLI_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum value_kind { VALUE_FLAG, VALUE_TEXT, VALUE_WHOLE, VALUE_REAL, VALUE_CHOICE, VALUE_SPAN } value_kind;

typedef struct value {
    value_kind kind;
    union { /* where it is kept */
        bool *flag;
        const char **text; /* borrowed from what was parsed */
        uint64_t *whole;
        double *real;
        int *choice; /* its number */
    };
    bool off;     /* of a flag: it says false */
    uint64_t *to; /* of a span: its end, whole being its beginning */
    uint64_t least, most;
    double low, high;
    bool below_high;            /* high itself is out of range */
    const char *const *choices; /* ends with NULL */
} value;

value value_flag(bool *target);
value value_flag_off(bool *target);
value value_text(const char **target);
value value_whole(uint64_t *target, uint64_t least, uint64_t most);
/* "20", or "5..20". */
value value_span(uint64_t *from, uint64_t *to, uint64_t least, uint64_t most);
value value_real(double *target, double low, double high);
value value_fraction(double *target); /* from 0 to below 1 */
value value_choice(int *target, const char *const *choices);

enum { VALUE_TEXT_SIZE = 128 };

/* Sets the target, or returns false and leaves it if text is not in the value's range. */
bool value_parse(const value *v, const char *text);

/* What value_parse takes, in words: "a whole number from 1 to 24". */
void value_describe_range(const value *v, char text[VALUE_TEXT_SIZE]);

/* The target's value, so that it reads back exactly; not for VALUE_TEXT, which may be longer. */
void value_format(const value *v, char text[VALUE_TEXT_SIZE]);

/* A string; bytes that are not UTF-8, as in a driver's or a file's name, become '?'. NULL without memory. */
json_t *value_json_text(const char *text);

/* A number; null for a NaN or an infinity, which JSON does not have. NULL without memory. */
json_t *value_json_real(double number);

/* The target's value. Whole numbers whose range goes beyond JSON's integers are strings. NULL without memory. */
json_t *value_json(const value *v);

#endif
