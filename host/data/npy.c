/* NumPy's .npy format (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): six bytes of magic;
 * the version; the header's size in two bytes (1.0) or four (2.0, 3.0), little-endian; the header, a Python
 * dictionary with descr, fortran_order and shape; the values. */
#include "data/array.h"

#include "core/fail.h"
#include "core/size.h"
#include "data/source.h"

#include <stdlib.h>
#include <string.h>

enum { MAGIC = 6, DIMENSIONS = 3, WORD = 64, MAX_HEADER = 0xffff };

static const struct {
    char descr[3]; /* without the byte order */
    unsigned char width;
    tl_element element;
    bool sequences, numbers; /* what the type may be used for */
} elements[] = {
    {"u1", 1, TL_U8, true, true},   {"u2", 2, TL_U16, false, true}, {"u4", 4, TL_U32, false, true},
    {"u8", 8, TL_U64, false, true}, {"i1", 1, TL_I8, false, true},  {"i2", 2, TL_I16, false, true},
    {"i4", 4, TL_I32, false, true}, {"i8", 8, TL_I64, false, true}, {"f4", 4, TL_F32, true, false},
    {"f8", 8, TL_F64, true, false},
};
enum { ELEMENTS = sizeof elements / sizeof elements[0] };

/* The contents of a header. */
typedef struct header {
    bool has_descr, has_order, has_shape;
    char descr[WORD]; /* "" for record types */
    bool fortran;
    size_t ndim; /* may exceed the number of elements of shape */
    size_t shape[DIMENSIONS];
    char shape_text[WORD];
} header;

typedef struct cursor {
    const char *path, *start, *at, *end;
} cursor;

static tally_status fail_malformed(const cursor *c, const char *expected) {
    return tl_fail(TALLY_DATA, "%s: its npy header is malformed: there is no %s at its byte %zu", c->path, expected,
                   (size_t)(c->at - c->start));
}

static void skip_space(cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t' || *c->at == '\r'))
        c->at++;
}

static bool accept_char(cursor *c, char wanted) {
    skip_space(c);
    if (c->at == c->end || *c->at != wanted)
        return false;
    c->at++;
    return true;
}

static bool accept_word(cursor *c, const char *word) {
    size_t length = strlen(word);
    skip_space(c);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, word, length) != 0)
        return false;
    c->at += length;
    return true;
}

/* Parses a string of printable ASCII without escapes. NumPy writes no others for arrays without named fields. */
static tally_status parse_string(cursor *c, char text[WORD]) {
    char quote = accept_char(c, '\'') ? '\'' : accept_char(c, '"') ? '"' : '\0';
    if (quote == '\0')
        return fail_malformed(c, "string");
    size_t length = 0;
    for (; c->at < c->end && *c->at != quote; c->at++) {
        if (*c->at < ' ' || *c->at > '~' || *c->at == '\\' || length + 1 == WORD)
            return fail_malformed(c, "plain character");
        text[length++] = *c->at;
    }
    text[length] = '\0';
    return accept_char(c, quote) ? TALLY_OK : fail_malformed(c, "end of the string");
}

static tally_status parse_size(cursor *c, size_t *size) {
    skip_space(c);
    const char *first = c->at;
    *size = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (!tl_size_mul(*size, 10, size) || !tl_size_add(*size, (size_t)(*c->at - '0'), size))
            return tl_fail(TALLY_DATA, "%s: its npy header has a size beyond that of any file", c->path);
    return c->at > first ? TALLY_OK : fail_malformed(c, "size");
}

/* (), (1,), (1, 2), (1, 2,) */
static tally_status parse_shape(cursor *c, header *h) {
    skip_space(c);
    const char *first = c->at;
    if (!accept_char(c, '('))
        return fail_malformed(c, "shape");
    bool comma = true;
    while (!accept_char(c, ')')) {
        size_t size;
        if (!comma)
            return fail_malformed(c, "comma");
        tally_status status = parse_size(c, &size);
        if (status)
            return status;
        if (h->ndim < DIMENSIONS)
            h->shape[h->ndim] = size;
        h->ndim++;
        comma = accept_char(c, ',');
    }
    if (h->ndim == 1 && !comma)
        return fail_malformed(c, "comma");
    size_t length = (size_t)(c->at - first);
    if (length >= WORD)
        memcpy(h->shape_text, "(...)", sizeof "(...)");
    for (size_t i = 0; i < length && length < WORD; i++) /* any white space is shown as a blank */
        h->shape_text[i] = first[i] < ' ' ? ' ' : first[i];
    return TALLY_OK;
}

static tally_status parse_descr(cursor *c, header *h) {
    skip_space(c);
    if (c->at < c->end && *c->at == '[')
        return tl_fail(TALLY_DATA, "%s: its elements are records with named fields, but must be single numbers",
                       c->path);
    return parse_string(c, h->descr);
}

static tally_status parse_order(cursor *c, header *h) {
    h->fortran = accept_word(c, "True");
    return h->fortran || accept_word(c, "False") ? TALLY_OK : fail_malformed(c, "True or False");
}

static tally_status parse_entry(cursor *c, header *h) {
    static const char *const keys[] = {"descr", "fortran_order", "shape"};
    static tally_status (*const parse_value[])(cursor *, header *) = {parse_descr, parse_order, parse_shape};
    bool *const seen[] = {&h->has_descr, &h->has_order, &h->has_shape};
    char key[WORD];
    tally_status status = parse_string(c, key);
    if (status)
        return status;
    size_t i = 0;
    while (i < sizeof keys / sizeof keys[0] && strcmp(key, keys[i]) != 0)
        i++;
    if (i == sizeof keys / sizeof keys[0])
        return tl_fail(TALLY_DATA, "%s: its npy header has the unknown key '%s'", c->path, key);
    if (*seen[i])
        return tl_fail(TALLY_DATA, "%s: its npy header has the key %s twice", c->path, key);
    *seen[i] = true;
    return accept_char(c, ':') ? parse_value[i](c, h) : fail_malformed(c, "colon");
}

static tally_status parse_dictionary(cursor *c, header *h) {
    if (!accept_char(c, '{'))
        return fail_malformed(c, "dictionary");
    bool comma = true;
    while (!accept_char(c, '}')) {
        tally_status status = comma ? parse_entry(c, h) : fail_malformed(c, "comma");
        if (status)
            return status;
        comma = accept_char(c, ',');
    }
    skip_space(c);
    if (c->at != c->end)
        return fail_malformed(c, "end");
    if (!h->has_descr || !h->has_order || !h->has_shape)
        return tl_fail(TALLY_DATA, "%s: its npy header has no %s", c->path,
                       !h->has_descr   ? "descr"
                       : !h->has_order ? "fortran_order"
                                       : "shape");
    return TALLY_OK;
}

/* The index in elements; ELEMENTS if the type cannot be used in this way. */
static size_t find_element(const char *descr, tl_array_use use) {
    for (size_t i = 0; i < ELEMENTS && descr[0] != '\0'; i++) {
        bool order = descr[0] == '<' || descr[0] == '>' || (descr[0] == '|' && elements[i].width == 1);
        bool wanted = use == TL_SEQUENCES ? elements[i].sequences : elements[i].numbers;
        if (order && wanted && strcmp(descr + 1, elements[i].descr) == 0)
            return i;
    }
    return ELEMENTS;
}

static tally_status check_header(const char *path, const header *h, tl_array_use use, tl_array *array, size_t *element,
                                 size_t *count) {
    *element = find_element(h->descr, use);
    const char *wanted = use == TL_SEQUENCES ? "float32, float64 or uint8" : "whole numbers, signed or unsigned";
    if (*element == ELEMENTS)
        return tl_fail(TALLY_DATA, "%s: its elements are %s'%s', but must be %s", path,
                       strchr(h->descr, 'O') ? "Python objects, " : "", h->descr, wanted);
    if (h->fortran)
        return tl_fail(TALLY_DATA, "%s: it is in Fortran order; save numpy.ascontiguousarray() of it", path);
    size_t ndim = use == TL_SEQUENCES ? 3 : 1;
    if (h->ndim != ndim)
        return tl_fail(TALLY_DATA, "%s: its shape is %s, but must be %s", path, h->shape_text,
                       use == TL_SEQUENCES ? "(sequences, time steps, inputs)" : "(sequences,)");
    *array = (tl_array){.element = elements[*element].element, .shape = {1, 1, 1}};
    *count = 1;
    for (size_t i = 0; i < ndim; i++) {
        array->shape[i] = h->shape[i];
        if (h->shape[i] == 0)
            return tl_fail(TALLY_DATA, "%s: it is empty: its shape is %s", path, h->shape_text);
        if (!tl_size_mul(*count, h->shape[i], count))
            return tl_fail(TALLY_DATA, "%s: its shape %s has more values than any file", path, h->shape_text);
    }
    return TALLY_OK;
}

/* Reads the header's size. */
static tally_status read_header_size(tl_source *source, size_t *size) {
    const char *path = source->path;
    unsigned char start[MAGIC + 2], length[4] = {0};
    size_t got;
    tally_status status = tl_source_read(source, start, sizeof start, &got);
    if (status)
        return status;
    if (got < sizeof start || memcmp(start, "\x93NUMPY", MAGIC) != 0)
        return tl_fail(TALLY_DATA, "%s: it is not an npy file: it does not begin with \\x93NUMPY and a version", path);
    unsigned major = start[MAGIC], minor = start[MAGIC + 1];
    if (major < 1 || major > 3 || minor != 0)
        return tl_fail(TALLY_DATA, "%s: it has npy version %u.%u; supported are 1.0, 2.0 and 3.0", path, major, minor);
    size_t bytes = major == 1 ? 2 : 4;
    status = tl_source_read(source, length, bytes, &got);
    if (status)
        return status;
    *size = (size_t)length[3] << 24 | (size_t)length[2] << 16 | (size_t)length[1] << 8 | length[0];
    if (got < bytes)
        return tl_fail(TALLY_DATA, "%s: it ends within its header", path);
    if (*size > MAX_HEADER)
        return tl_fail(TALLY_DATA, "%s: its npy header has %zu bytes; such an array's has less than %d", path, *size,
                       MAX_HEADER + 1);
    return TALLY_OK;
}

static tally_status read_header(tl_source *source, header *h) {
    size_t size = 0, got;
    tally_status status = read_header_size(source, &size);
    if (status)
        return status;
    char *text = malloc(size + 1);
    if (!text)
        return tl_fail(TALLY_MEMORY, "cannot read %s: no memory left for %zu bytes", source->path, size + 1);
    status = tl_source_read(source, text, size, &got);
    if (!status && got < size)
        status = tl_fail(TALLY_DATA, "%s: it ends within its header", source->path);
    cursor c = {.path = source->path, .start = text, .at = text, .end = text + size};
    if (!status)
        status = parse_dictionary(&c, h);
    free(text);
    return status;
}

static void swap_bytes(unsigned char *values, size_t count, size_t width) {
    for (size_t i = 0; i < count; i++, values += width)
        for (size_t low = 0, high = width - 1; low < high; low++, high--) {
            unsigned char moved = values[low];
            values[low] = values[high];
            values[high] = moved;
        }
}

tally_status tl_npy_read(const char *path, tl_array_use use, tl_array *array) {
    *array = (tl_array){.values = NULL};
    tl_source source;
    tally_status status = tl_source_open(path, &source);
    if (status)
        return status;
    header h = {.has_descr = false};
    size_t element = 0, count = 0;
    status = read_header(&source, &h);
    if (!status)
        status = check_header(path, &h, use, array, &element, &count);
    if (!status)
        status = tl_source_read_rest(&source, count, elements[element].width, &array->values);
    tl_source_close(&source);
    bool little = h.descr[0] != '>';
    if (!status && little != (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__))
        swap_bytes(array->values, count, elements[element].width);
    return status;
}
