/* value.h: values in JSON. Each returns NULL without memory. */
#ifndef TALLY_CLI_VALUE_H
#define TALLY_CLI_VALUE_H

#include <jansson.h>
#include <tally/tally.h>

/* A string; bytes that are not UTF-8, as in a driver's or a file's name, become '?'. */
json_t *value_json_text(const char *text);

/* A number; null for a NaN or an infinity, which JSON does not have. */
json_t *value_json_real(double number);

/* A setting's value in the struct at base. Whole numbers whose range goes beyond JSON's integers are strings. */
json_t *value_json(const tally_setting *setting, const void *base);

#endif
