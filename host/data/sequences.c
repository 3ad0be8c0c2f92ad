#include "core/fail.h"
#include "core/philox.h"
#include "core/size.h"
#include "data/array.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/data.h>

struct tally_sequences {
    char *x_path, *labels_path; /* for error texts; labels_path may be NULL */
    tl_array x;
    int32_t *labels;  /* [N], or NULL */
    int32_t *lengths; /* [N], or NULL */
    uint32_t *order;  /* [N] the kept sequences, then those held out; NULL: in the order of the file */
    float mean, factor;
    tally_dataset kept, held_out;
    struct part {
        const tally_sequences *sequences;
        size_t first; /* index in order */
    } kept_part, held_out_part;
};

static size_t number_in_file(const struct part *part, size_t number) {
    const uint32_t *order = part->sequences->order;
    return order ? order[part->first + number] : part->first + number;
}

/* The number of values within a sequence's length. */
static size_t values_of(const tally_sequences *s, size_t n) {
    return (s->lengths ? (size_t)s->lengths[n] : s->x.shape[1]) * s->x.shape[2];
}

/* Converts count values, from index at, to floats. */
static void load_floats(const tl_array *x, size_t at, size_t count, float *values) {
    if (x->element == TL_U8) {
        const unsigned char *from = (const unsigned char *)x->values + at;
        for (size_t i = 0; i < count; i++)
            values[i] = (float)from[i];
    } else if (x->element == TL_F32) {
        memcpy(values, (const float *)x->values + at, count * sizeof *values);
    } else {
        const double *from = (const double *)x->values + at;
        for (size_t i = 0; i < count; i++)
            values[i] = (float)from[i];
    }
}

static tally_status read_part(const tally_dataset *dataset, const size_t *numbers, size_t count, float *x,
                              int32_t *labels) {
    const struct part *part = dataset->context;
    const tally_sequences *s = part->sequences;
    size_t values = s->x.shape[1] * s->x.shape[2];
    for (size_t i = 0; i < count; i++) {
        size_t n = number_in_file(part, numbers[i]);
        if (labels)
            labels[i] = s->labels ? s->labels[n] : -1;
        if (!x)
            continue;
        size_t here = values_of(s, n);
        load_floats(&s->x, n * values, here, x);
        for (size_t v = 0; v < here; v++)
            x[v] = (x[v] - s->mean) * s->factor;
        memset(x + here, 0, (values - here) * sizeof *x);
        x += values;
    }
    return TALLY_OK;
}

static tally_status read_lengths(const tally_dataset *dataset, const size_t *numbers, size_t count, int32_t *lengths) {
    const struct part *part = dataset->context;
    for (size_t i = 0; i < count; i++)
        lengths[i] = part->sequences->lengths[number_in_file(part, numbers[i])];
    return TALLY_OK;
}

/* An element of an integer array. Larger ones than int64_t are clamped; text shows the actual number. */
static int64_t whole_number(const tl_array *a, size_t i, char text[24]) {
    uint64_t large = 0;
    int64_t number = 0;
    switch (a->element) {
    case TL_U8:
        large = ((const uint8_t *)a->values)[i];
        break;
    case TL_U16:
        large = ((const uint16_t *)a->values)[i];
        break;
    case TL_U32:
        large = ((const uint32_t *)a->values)[i];
        break;
    case TL_U64:
        large = ((const uint64_t *)a->values)[i];
        break;
    case TL_I8:
        number = ((const int8_t *)a->values)[i];
        break;
    case TL_I16:
        number = ((const int16_t *)a->values)[i];
        break;
    case TL_I32:
        number = ((const int32_t *)a->values)[i];
        break;
    default:
        number = ((const int64_t *)a->values)[i];
    }
    if (large == 0) {
        snprintf(text, 24, "%lld", (long long)number);
        return number;
    }
    snprintf(text, 24, "%llu", (unsigned long long)large);
    return large > INT64_MAX ? INT64_MAX : (int64_t)large;
}

/* An array with one integer per sequence: its name (label or length) and range. */
typedef struct wanted_numbers {
    const char *what, *what_plural;
    int64_t low, high;
} wanted_numbers;

static tally_status convert_numbers(const tl_array *a, const char *path, const char *x_path, size_t count,
                                    const wanted_numbers *wanted, int32_t **numbers) {
    if (a->shape[0] != count)
        return tl_fail(TALLY_DATA, "%s: %zu %s, but %s has %zu sequences", path, a->shape[0], wanted->what_plural,
                       x_path, count);
    size_t bytes;
    *numbers = tl_size_mul(count, sizeof **numbers, &bytes) ? malloc(bytes) : NULL;
    if (!*numbers)
        return tl_fail(TALLY_MEMORY, "%s: no memory left for %zu %s", path, count, wanted->what_plural);
    for (size_t i = 0; i < count; i++) {
        char text[24];
        int64_t number = whole_number(a, i, text);
        if (number < wanted->low || number > wanted->high)
            return tl_fail(TALLY_DATA, "%s: the %s of sequence %zu is %s, but must be %lld to %lld", path, wanted->what,
                           i, text, (long long)wanted->low, (long long)wanted->high);
        (*numbers)[i] = (int32_t)number;
    }
    return TALLY_OK;
}

typedef tally_status read_file(const char *path, tl_array_use use, tl_array *array);

static tally_status read_numbers(read_file *read, const char *path, const char *x_path, size_t count,
                                 const wanted_numbers *wanted, int32_t **numbers) {
    tl_array array;
    tally_status status = read(path, TL_NUMBERS, &array);
    if (!status)
        status = convert_numbers(&array, path, x_path, count, wanted, numbers);
    free(array.values);
    return status;
}

static tally_status check_finite(const tally_sequences *s, const char *path) {
    if (s->x.element == TL_U8)
        return TALLY_OK;
    size_t steps = s->x.shape[1], inputs = s->x.shape[2];
    for (size_t n = 0; n < s->x.shape[0]; n++)
        for (size_t v = 0; v < values_of(s, n); v++) {
            size_t at = n * steps * inputs + v;
            double value =
                s->x.element == TL_F32 ? (double)((const float *)s->x.values)[at] : ((const double *)s->x.values)[at];
            if (!isfinite((float)value))
                return tl_fail(TALLY_DATA, "%s: value [%zu, %zu, %zu] is %g, which is not finite as float32", path, n,
                               v / inputs, v % inputs, value);
        }
    return TALLY_OK;
}

static void set_classes(tally_sequences *s, size_t classes) {
    s->kept.classes = s->held_out.classes = classes;
}

static void set_parts(tally_sequences *s, size_t kept) {
    s->kept.size = kept;
    s->held_out.size = s->x.shape[0] - kept;
    s->held_out_part.first = kept;
}

/* Initialises what follows from the contents of the files. */
static void init_datasets(tally_sequences *s) {
    int32_t largest = 1;
    for (size_t n = 0; s->labels && n < s->x.shape[0]; n++)
        largest = s->labels[n] > largest ? s->labels[n] : largest;
    s->kept_part.sequences = s->held_out_part.sequences = s;
    s->kept = (tally_dataset){.steps = s->x.shape[1],
                              .inputs = s->x.shape[2],
                              .read = read_part,
                              .lengths = s->lengths ? read_lengths : NULL,
                              .context = &s->kept_part};
    s->held_out = s->kept;
    s->held_out.context = &s->held_out_part;
    s->factor = 1.0f;
    set_classes(s, (size_t)largest + 1);
    set_parts(s, s->x.shape[0]);
}

static tally_status read_files(read_file *read, const char *x, const char *labels, const char *lengths,
                               tally_sequences *s) {
    tally_status status = read(x, TL_SEQUENCES, &s->x);
    size_t count = s->x.shape[0], steps = s->x.shape[1];
    if (!status && (count > UINT32_MAX || steps > INT32_MAX))
        status = tl_fail(TALLY_DATA, "%s: %zu sequences of %zu steps are more than fit", x, count, steps);
    if (!status && labels)
        status =
            read_numbers(read, labels, x, count,
                         &(wanted_numbers){"label", "labels", .low = 0, .high = TALLY_MAX_CLASSES - 1}, &s->labels);
    if (!status && lengths)
        status = read_numbers(read, lengths, x, count,
                              &(wanted_numbers){"length", "lengths", .low = 1, .high = (int64_t)steps}, &s->lengths);
    return status ? status : check_finite(s, x);
}

static tally_status read_sequences(read_file *read, const char *x, const char *labels, const char *lengths,
                                   tally_sequences **out) {
    if (!x || !out)
        return tl_fail(TALLY_USAGE, "tally_sequences_read: no file or no pointer for the result");
    *out = NULL;
    tally_sequences *s = calloc(1, sizeof *s);
    if (!s)
        return tl_fail(TALLY_MEMORY, "no memory left to read %s", x);
    s->x_path = strdup(x);
    s->labels_path = labels ? strdup(labels) : NULL;
    tally_status status = s->x_path && (s->labels_path || !labels)
                              ? read_files(read, x, labels, lengths, s)
                              : tl_fail(TALLY_MEMORY, "no memory left to read %s", x);
    if (status) {
        tally_sequences_free(s);
        return status;
    }
    init_datasets(s);
    *out = s;
    return TALLY_OK;
}

tally_status tally_sequences_read_idx(const char *images, const char *labels, tally_sequences **sequences) {
    return read_sequences(tl_idx_read, images, labels, NULL, sequences);
}

tally_status tally_sequences_read_npy(const char *x, const char *labels, const char *lengths,
                                      tally_sequences **sequences) {
    return read_sequences(tl_npy_read, x, labels, lengths, sequences);
}

void tally_sequences_free(tally_sequences *s) {
    if (!s)
        return;
    free(s->x_path);
    free(s->labels_path);
    free(s->x.values);
    free(s->labels);
    free(s->lengths);
    free(s->order);
    free(s);
}

const tally_dataset *tally_sequences_kept(const tally_sequences *sequences) {
    return &sequences->kept;
}

const tally_dataset *tally_sequences_held_out(const tally_sequences *sequences) {
    return &sequences->held_out;
}

tally_status tally_sequences_hold_out(tally_sequences *s, double share, uint64_t seed) {
    size_t count = s->x.shape[0], held_out = 0;
    if (share >= 0 && share < 1)
        held_out = (size_t)(share * (double)count + 0.5);
    else
        return tl_fail(TALLY_USAGE, "holding out a share of %g: it must be at least 0 and below 1", share);
    if (held_out >= count)
        return tl_fail(TALLY_USAGE, "holding out a share of %g of %zu sequences leaves none", share, count);
    uint32_t *order = s->order ? s->order : calloc(count, sizeof *order);
    if (!order)
        return tl_fail(TALLY_MEMORY, "no memory left for the order of %zu sequences", count);
    s->order = order;
    tl_random random;
    tl_random_start(&random, seed, TL_STREAM_HOLD_OUT, 0);
    tl_random_part(&random, order, count, held_out);
    set_parts(s, count - held_out);
    return TALLY_OK;
}

tally_status tally_sequences_set_classes(tally_sequences *s, size_t classes) {
    if (classes < 2)
        return tl_fail(TALLY_USAGE, "tally_sequences_set_classes: %zu classes, but there must be at least 2", classes);
    for (size_t n = 0; s->labels && n < s->x.shape[0]; n++)
        if ((size_t)s->labels[n] >= classes)
            return tl_fail(TALLY_DATA, "%s: the label of sequence %zu is %d, but there are only the classes 0 to %zu",
                           s->labels_path, n, (int)s->labels[n], classes - 1);
    set_classes(s, classes);
    return TALLY_OK;
}

/* The sum of the kept part's values, or of their squared distances from mean. */
static double sum_values(const tally_sequences *s, bool squares, double mean) {
    float values[256];
    const size_t room = sizeof values / sizeof values[0];
    double total = 0.0;
    for (size_t k = 0; k < s->kept.size; k++) {
        size_t n = number_in_file(&s->kept_part, k), at = n * s->x.shape[1] * s->x.shape[2];
        for (size_t left = values_of(s, n), count; left > 0; left -= count, at += count) {
            count = left < room ? left : room;
            load_floats(&s->x, at, count, values);
            for (size_t i = 0; i < count; i++) {
                double distance = (double)values[i] - mean;
                total += squares ? distance * distance : (double)values[i];
            }
        }
    }
    return total;
}

tally_normalization tally_sequences_measure(const tally_sequences *s) {
    size_t count = 0;
    for (size_t k = 0; k < s->kept.size; k++)
        count += values_of(s, number_in_file(&s->kept_part, k));
    tally_normalization n = {.mean = sum_values(s, false, 0.0) / (double)count};
    n.deviation = sqrt(sum_values(s, true, n.mean) / (double)count);
    return n;
}

tally_status tally_sequences_normalize(tally_sequences *s, tally_normalization normalization) {
    double deviation = normalization.deviation;
    if (!isfinite((float)normalization.mean) || !(deviation >= (double)FLT_MIN && deviation <= (double)FLT_MAX))
        return tl_fail(TALLY_DATA, "%s: values cannot be normalized by a mean of %g and a deviation of %g", s->x_path,
                       normalization.mean, deviation);
    s->mean = (float)normalization.mean;
    s->factor = (float)(1.0 / deviation);
    return TALLY_OK;
}
