#include "parity/case.h"

#include "core/fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct tl_block {
    struct tl_block *next;
} tl_block;

void tl_case_end(tl_case *c) {
    for (size_t i = 0; i < c->operand_count; i++)
        for (int side = 0; side < TL_SIDES; side++)
            tl_guarded_free(&c->operands[i].guarded[side]);
    while (c->memory) {
        tl_block *next = c->memory->next;
        free(c->memory);
        c->memory = next;
    }
    c->operand_count = 0;
}

void tl_case_describe(tl_case *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->text, sizeof c->text, format, args);
    va_end(args);
}

void *tl_case_memory(tl_case *c, size_t count, size_t size) {
    enum { HEAD = 64 };
    tl_block *block = c->status || count > (SIZE_MAX - HEAD) / size ? NULL : calloc(1, HEAD + count * size);
    if (!block) {
        if (!c->status)
            c->status = tl_fail(TALLY_MEMORY, "no memory left for %s", c->text);
        return NULL;
    }
    block->next = c->memory;
    c->memory = block;
    return (char *)block + HEAD;
}

void tl_case_keep(tl_case *c, tally_status status) {
    if (!c->status)
        c->status = status;
}

static tl_operand *new_operand(tl_case *c, const char *name, tally_dtype dtype, bool spaced, int ndim,
                               const size_t *shape) {
    size_t index = c->operand_count;
    tl_operand *o = &c->operands[index];
    memset(o, 0, sizeof *o);
    o->name = name;
    o->elements = 1;
    for (int d = 0; d < ndim; d++)
        o->elements *= shape[d];
    if (c->status)
        return o;
    c->operand_count++;
    bool first = tl_random_below(&c->random, 2) == 0;
    bool swapped = spaced && ndim > 1 && tl_random_below(&c->random, 2) && !c->row_major;
    tl_layout layout = swapped ? TL_SWAPPED : spaced ? TL_PADDED : TL_FLAT;
    for (int side = 0; side < TL_SIDES && !c->status; side++) {
        tl_case_keep(c, tl_guarded_new(c->device[side], dtype, layout, first, ndim, shape, &o->guarded[side]));
        o->on[side] = o->guarded[side].tensor;
    }
    o->before = tl_case_memory(c, o->elements, sizeof *o->before);
    for (int side = 0; side < TL_SIDES; side++)
        o->after[side] = tl_case_memory(c, o->elements, sizeof *o->before);
    return o;
}

static void write_view(tl_case *c, tl_operand *o, const void *values) {
    for (int side = 0; side < TL_SIDES && !c->status; side++) {
        tl_guarded_expect(&o->guarded[side], values);
        tl_case_keep(c, tally_tensor_write(&o->on[side], values, o->elements));
    }
}

tl_operand *tl_case_operand(tl_case *c, const char *name, bool spaced, int ndim, const size_t *shape) {
    return new_operand(c, name, TALLY_F32, spaced, ndim, shape);
}

tl_operand *tl_case_integers(tl_case *c, const char *name, size_t count, const int32_t *values) {
    tl_operand *o = new_operand(c, name, TALLY_I32, false, 1, &count);
    write_view(c, o, values);
    if (!c->status)
        memcpy(o->before, values, count * sizeof *values);
    return o;
}

int32_t tl_case_integer(const float *bits) {
    int32_t value;
    memcpy(&value, bits, sizeof value);
    return value;
}

tl_operand *tl_case_labels(tl_case *c, size_t columns, size_t classes) {
    int32_t *labels = tl_case_memory(c, columns, sizeof *labels);
    for (size_t i = 0; i < columns && !c->status; i++) {
        bool ignored = tl_random_below(&c->random, 8) == 0;
        labels[i] = ignored ? -1 : (int32_t)tl_random_below(&c->random, (uint32_t)classes);
    }
    return tl_case_integers(c, "labels", columns, labels);
}

const char *tl_values_name(tl_values kind) {
    static const char *const names[TL_VALUES_KINDS] = {"ordinary", "half zero", "tiny", "large", "denormal"};
    return names[kind];
}

/* All 32 random bits go into the float, so that small numbers have a full significand, too. */
static float uniform(tl_case *c, float low, float high) {
    double unit = (double)tl_random_u32(&c->random) * 0x1p-32;
    return (float)((double)low + ((double)high - (double)low) * unit);
}

float tl_case_value(tl_case *c, tl_values kind) {
    float value = uniform(c, -1, 1);
    switch (kind) {
    case TL_VALUES_ZEROS:
        return tl_random_below(&c->random, 2) ? value : copysignf(0.0f, value);
    case TL_VALUES_TINY:
        return ldexpf(value, -56 - (int)tl_random_below(&c->random, 12));
    case TL_VALUES_LARGE:
        return ldexpf(value, 36 + (int)tl_random_below(&c->random, 8));
    case TL_VALUES_DENORMAL:
        return value * 0x1p-127f;
    default:
        return value;
    }
}

void tl_case_write(tl_case *c, tl_operand *o, const float *values) {
    if (c->status)
        return;
    if (values != o->before)
        memcpy(o->before, values, o->elements * sizeof *values);
    write_view(c, o, values);
}

void tl_case_fill(tl_case *c, tl_operand *o, tl_values kind) {
    for (size_t i = 0; i < o->elements && !c->status; i++)
        o->before[i] = tl_case_value(c, kind);
    tl_case_write(c, o, o->before);
}

void tl_case_uniform(tl_case *c, tl_operand *o, float low, float high) {
    for (size_t i = 0; i < o->elements && !c->status; i++)
        o->before[i] = uniform(c, low, high);
    tl_case_write(c, o, o->before);
}

void tl_case_read(tl_case *c, tl_operand *o) {
    o->read = true;
    for (int side = 0; side < TL_SIDES && !c->status; side++)
        tl_case_keep(c, tally_tensor_read(&o->on[side], o->after[side], o->elements));
}

void tl_case_settle(tl_case *c, tl_operand *o) {
    for (int side = 0; side < TL_SIDES && !c->status; side++)
        tl_guarded_expect(&o->guarded[side], o->after[side]);
    o->read = false;
}

/* Formats an element's index, such as [3, 5] for element 17 of a tensor with 4 columns. */
static const char *index_text(const tl_operand *o, size_t element, char *text, size_t size) {
    size_t index[TALLY_MAX_DIMS], used = 0;
    const tally_tensor *t = &o->on[TL_DEVICE];
    for (int d = t->ndim - 1; d >= 0; d--) {
        index[d] = element % t->shape[d];
        element /= t->shape[d];
    }
    for (int d = 0; d < t->ndim && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, "%s%zu", d ? ", " : "", index[d]);
    return text;
}

void tl_case_fail(tl_case *c, const char *format, ...) {
    if (c->failure[0])
        return;
    int used = snprintf(c->failure, sizeof c->failure, "%s/%zu, %s: ", c->check, c->number, c->text);
    va_list args;
    va_start(args, format);
    if (used >= 0 && (size_t)used < sizeof c->failure)
        vsnprintf(c->failure + used, sizeof c->failure - (size_t)used, format, args);
    va_end(args);
}

/* Records an element's error; false if it is beyond the bound. */
static bool within(tl_case *c, float got, tl_bounded want) {
    c->compared = true;
    if (isinf(want.e)) /* the bound allows anything, even a NaN */
        return true;
    if (isnan(want.v) || isnan(got))
        return isnan(want.v) && isnan(got);
    if (isinf(want.v) || isinf(got))
        return (double)got == want.v;
    double off = fabs((double)got - want.v);
    /* The sum of the bound's parts is itself rounded in double. */
    double share = off == 0 ? 0 : want.e > 0 ? off / want.e : (double)INFINITY;
    c->worst_ulp = fmax(c->worst_ulp, off / tl_bounded_ulp(want.v));
    c->worst_share = fmax(c->worst_share, share);
    return share <= 1;
}

static bool bits_equal(float a, float b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

void tl_case_element(tl_case *c, const char *name, const size_t index[3], float got, tl_bounded want) {
    if (!within(c, got, want))
        tl_case_fail(c, "%s[%zu, %zu, %zu] is %.9g (%a), not %.17g within %.3g", name, index[0], index[1], index[2],
                     (double)got, (double)got, want.v, want.e);
}

void tl_case_bits(tl_case *c, const tl_operand *o) {
    char text[64];
    for (size_t i = 0; i < o->elements && !c->status; i++) {
        float got = o->after[TL_DEVICE][i], other = o->after[TL_PEER][i];
        c->compared = true;
        if (bits_equal(got, other))
            continue;
        c->other_bits = true;
        if (c->same_bits)
            tl_case_fail(c, "%s[%s] is %.9g (%a), but %.9g (%a) on the C path", o->name,
                         index_text(o, i, text, sizeof text), (double)got, (double)got, (double)other, (double)other);
    }
}

void tl_case_compare(tl_case *c, const tl_operand *o, const tl_bounded *want) {
    char text[64];
    for (size_t i = 0; i < o->elements && !c->status && want; i++) {
        float got = o->after[TL_DEVICE][i], other = o->after[TL_PEER][i];
        if (!within(c, got, want[i]))
            tl_case_fail(c, "%s[%s] is %.9g (%a), not %.17g within %.3g; the C path has %.9g (%a)", o->name,
                         index_text(o, i, text, sizeof text), (double)got, (double)got, want[i].v, want[i].e,
                         (double)other, (double)other);
    }
    tl_case_bits(c, o);
}

static void tell_damage(tl_case *c, const tl_operand *o, int side, const tl_damage *damage) {
    char text[64];
    const char *who = side == TL_PEER ? " by the C path" : "";
    if (damage->inside)
        tl_case_fail(c, "%s[%s], which is an input, was changed%s from 0x%08x to 0x%08x", o->name,
                     index_text(o, damage->element, text, sizeof text), who, (unsigned)damage->was,
                     (unsigned)damage->is);
    else
        tl_case_fail(c, "0x%08x was written%s at element %zu of the buffer in which %s has its first at %zu",
                     (unsigned)damage->is, who, damage->at, o->name, o->on[side].offset);
}

void tl_case_guards(tl_case *c) {
    for (size_t n = 0; n < c->operand_count; n++)
        for (int side = 0; side < TL_SIDES && !c->status; side++) {
            const tl_operand *o = &c->operands[n];
            tl_damage damage;
            tl_case_keep(c, tl_guarded_check(&o->guarded[side], o->read, NULL, &damage));
            if (!c->status && damage.found)
                tell_damage(c, o, side, &damage);
        }
}
