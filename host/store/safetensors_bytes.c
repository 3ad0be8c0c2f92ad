#include "store/safetensors.h"

#include "core/fail.h"
#include "core/size.h"
#include "store/printable.h"

#include <string.h>

/* The bits of an element; 0 if the format has no such type. */
static unsigned bits_of(const char *dtype) {
    static const struct {
        const char *name;
        unsigned bits;
    } types[] = {
        {"BOOL", 8},        {"F4", 4},          {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},   {"I8", 8},
        {"F8_E5M2", 8},     {"F8_E4M3", 8},     {"F8_E8M0", 8}, {"I16", 16},    {"U16", 16}, {"F16", 16},
        {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"BF16", 16},   {"I32", 32},    {"U32", 32}, {"F32", 32},
        {"C64", 64},        {"F64", 64},        {"I64", 64},    {"U64", 64},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(types[i].name, dtype) == 0)
            return types[i].bits;
    return 0;
}

tally_status tl_safetensors_bytes(const char *dtype, const size_t *shape, size_t ndim, size_t *bytes) {
    size_t bits = bits_of(dtype);
    if (bits == 0)
        return tl_fail(TALLY_USAGE, "has the unknown dtype %s", tl_printable(dtype).text);
    size_t size = 1;
    bool fits = true;
    for (size_t i = 0; i < ndim && fits; i++)
        fits = tl_size_mul(size, shape[i], &size);
    if (!fits || !tl_size_mul(size, bits, &size))
        return tl_fail(TALLY_USAGE, "has a shape whose size overflows");
    if (size % 8 != 0)
        return tl_fail(TALLY_USAGE, "has %zu bits, which are not whole bytes", size);
    *bytes = size / 8;
    return TALLY_OK;
}
