/* value.h: JSON values. Each function returns NULL if out of memory. */
#ifndef TALLY_CLI_VALUE_H
#define TALLY_CLI_VALUE_H

#include <jansson.h>
#include <tally/tally.h>

/* A string. If it is not valid UTF-8, as a driver's or a file's name may be, its non-ASCII bytes become '?'. */
json_t *value_json_text(const char *text);

/* A number, or null for NaN and infinity, which JSON does not have. */
json_t *value_json_real(double number);

/* The value of a setting in the struct at base. Integers are strings if their range exceeds that of JSON's integers. */
json_t *value_json(const tally_setting *setting, const void *base);

#endif
