#include "core/fail.h"
#include "core/philox.h"

#include <stdlib.h>
#include <tally/data.h>

typedef struct part {
    const tally_dataset *whole;
    const uint32_t *numbers; /* in the whole data set, ascending */
    tally_dataset data;
} part;

struct tally_split {
    part train, valid;
    uint32_t *numbers; /* of both parts */
};

enum { AT_A_TIME = 64 };

/* Reads x and labels if lengths is NULL, otherwise lengths. */
static tally_status read_part(const part *p, const size_t *numbers, size_t count, float *x, int32_t *labels,
                              int32_t *lengths) {
    const tally_dataset *whole = p->whole;
    size_t values = whole->steps * whole->inputs, there[AT_A_TIME];
    for (size_t done = 0; done < count;) {
        size_t some = count - done < AT_A_TIME ? count - done : AT_A_TIME;
        for (size_t i = 0; i < some; i++)
            there[i] = p->numbers[numbers[done + i]];
        tally_status status =
            lengths ? whole->lengths(whole, there, some, lengths + done)
                    : whole->read(whole, there, some, x ? x + done * values : NULL, labels ? labels + done : NULL);
        if (status)
            return status;
        done += some;
    }
    return TALLY_OK;
}

static tally_status read_both(const tally_dataset *data, const size_t *numbers, size_t count, float *x,
                              int32_t *labels) {
    return read_part(data->context, numbers, count, x, labels, NULL);
}

static tally_status read_lengths(const tally_dataset *data, const size_t *numbers, size_t count, int32_t *lengths) {
    return read_part(data->context, numbers, count, NULL, NULL, lengths);
}

static void init_part(part *p, const tally_dataset *whole, const uint32_t *numbers, size_t size) {
    *p = (part){.whole = whole, .numbers = numbers, .data = *whole};
    p->data.size = size;
    p->data.read = read_both;
    p->data.lengths = whole->lengths ? read_lengths : NULL;
    p->data.context = p;
}

tally_status tally_split_new(const tally_dataset *whole, double share, uint64_t seed, tally_split **out) {
    if (!whole || !whole->read || !out || whole->size > UINT32_MAX)
        return tl_fail(TALLY_USAGE, "tally_split_new: no data, too much of it or no pointer for the result");
    *out = NULL;
    if (!(share > 0 && share < 1))
        return tl_fail(TALLY_USAGE, "a share of %g for validation: it must be above 0 and below 1", share);
    size_t valid = (size_t)(share * (double)whole->size + 0.5);
    if (valid < 1 || valid >= whole->size)
        return tl_fail(TALLY_USAGE, "a share of %g of %zu sequences for validation leaves none to %s", share,
                       whole->size, valid < 1 ? "validate on" : "train on");
    tally_split *s = calloc(1, sizeof *s);
    uint32_t *numbers = calloc(whole->size, sizeof *numbers);
    if (!s || !numbers) {
        free(s);
        free(numbers);
        return tl_fail(TALLY_MEMORY, "no memory left for the order of %zu sequences", whole->size);
    }
    s->numbers = numbers;
    init_part(&s->train, whole, numbers, whole->size - valid);
    init_part(&s->valid, whole, numbers + s->train.data.size, valid);
    tl_random random;
    tl_random_start(&random, seed, TL_STREAM_VALID, 0);
    tl_random_part(&random, numbers, whole->size, valid);
    *out = s;
    return TALLY_OK;
}

void tally_split_free(tally_split *split) {
    if (!split)
        return;
    free(split->numbers);
    free(split);
}

const tally_dataset *tally_split_train(const tally_split *split) {
    return &split->train.data;
}

const tally_dataset *tally_split_valid(const tally_split *split) {
    return &split->valid.data;
}
