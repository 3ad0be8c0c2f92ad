#include "value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

json_t *value_json(const tally_setting *s, const void *base) {
    char buffer[TALLY_SETTING_TEXT_SIZE];
    const char *text = tally_setting_format(s, base, buffer);
    const void *at = (const char *)base + s->offset;
    bool fits = s->most <= INT64_MAX;
    switch (s->type) {
    case TALLY_SETTING_FLAG:
        return json_boolean(*(const bool *)at);
    case TALLY_SETTING_SIZE:
        return fits ? json_integer((json_int_t) * (const size_t *)at) : json_string(text);
    case TALLY_SETTING_WHOLE:
        return fits ? json_integer((json_int_t) * (const uint64_t *)at) : json_string(text);
    case TALLY_SETTING_REAL:
        return value_json_real(*(const double *)at);
    case TALLY_SETTING_CHOICE:
    case TALLY_SETTING_TEXT:
    case TALLY_SETTING_SPAN:
        return value_json_text(text);
    }
    return NULL;
}
