#include "core/fail.h"
#include "core/philox.h"
#include "core/size.h"

#include <stdlib.h>
#include <tally/data.h>

/* One group per count of ones and per number of boundaries between runs. */
enum { MAX_LENGTH = 24, GROUPS = (MAX_LENGTH + 1) * MAX_LENGTH };

/* A string is stored as a number: a leading one, then its bits. The numbers of all strings of some consecutive
 * lengths are therefore consecutive. */
struct tally_count {
    uint32_t *strings; /* the training part, then the test part */
    tally_dataset train, test;
};

static unsigned length_of(uint32_t string) {
    return 31 - (unsigned)__builtin_clz(string);
}

static unsigned ones_of(uint32_t string) {
    return (unsigned)__builtin_popcount(string) - 1;
}

tally_count_options tally_count_defaults(void) {
    return (tally_count_options){.length = 20, .train_size = 10000, .seed = 1, .draw = TALLY_DRAW_RANDOM};
}

static tally_status read_strings(const tally_dataset *dataset, const size_t *numbers, size_t count, float *x,
                                 int32_t *labels) {
    const uint32_t *strings = dataset->context;
    for (size_t i = 0; i < count; i++) {
        uint32_t string = strings[numbers[i]];
        if (labels)
            labels[i] = (int32_t)ones_of(string);
        if (!x)
            continue;
        size_t length = length_of(string);
        for (size_t bit = length; bit-- > 0;)
            *x++ = (float)(string >> bit & 1);
        for (; length < dataset->steps; length++)
            *x++ = 0.0f;
    }
    return TALLY_OK;
}

static tally_status read_lengths(const tally_dataset *dataset, const size_t *numbers, size_t count, int32_t *lengths) {
    const uint32_t *strings = dataset->context;
    for (size_t i = 0; i < count; i++)
        lengths[i] = (int32_t)length_of(strings[numbers[i]]);
    return TALLY_OK;
}

static void shuffle_strings(uint32_t first, uint32_t *strings, uint32_t count, uint64_t seed) {
    tl_random random;
    tl_random_start(&random, seed, TL_STREAM_SHUFFLE, 0);
    for (uint32_t i = 0; i < count; i++)
        strings[i] = first + i;
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = tl_random_below(&random, i + 1);
        uint32_t moved = strings[i];
        strings[i] = strings[j];
        strings[j] = moved;
    }
}

/* The group that a draw is balanced over: strings with the same number of ones and, for runs, the same number of
 * runs. */
static unsigned group_of(tally_draw draw, uint32_t string) {
    if (draw == TALLY_DRAW_EVEN)
        return ones_of(string);
    uint32_t neighbours = (1u << (length_of(string) - 1)) - 1; /* a bit for each pair of adjacent bits */
    return ones_of(string) * MAX_LENGTH + (unsigned)__builtin_popcount((string ^ string >> 1) & neighbours);
}

typedef struct group {
    unsigned number;
    size_t strings;
} group;

static int compare_scarcity(const void *a, const void *b) {
    const group *x = a, *y = b;
    if (x->strings != y->strings)
        return x->strings < y->strings ? -1 : 1;
    return x->number < y->number ? -1 : 1;
}

/* Determines how many strings each group contributes, beginning with the smallest groups; the others make up for
 * what those lack. */
static void even_quota(tally_draw draw, const uint32_t *strings, uint32_t total, size_t train_size,
                       size_t quota[GROUPS]) {
    group groups[GROUPS];
    for (unsigned g = 0; g < GROUPS; g++)
        groups[g] = (group){g, 0};
    for (uint32_t i = 0; i < total; i++)
        groups[group_of(draw, strings[i])].strings++;
    qsort(groups, GROUPS, sizeof *groups, compare_scarcity);
    for (unsigned rank = 0; rank < GROUPS; rank++) {
        size_t share = train_size / (GROUPS - rank), all = groups[rank].strings;
        size_t given = all < share ? all : share;
        quota[groups[rank].number] = given;
        train_size -= given;
    }
}

/* Moves the first strings of each group, up to its quota, to the front. Both parts keep their order. */
static tally_status draw_even(tally_count *count, tally_draw draw, uint32_t total, size_t train_size) {
    size_t quota[GROUPS];
    even_quota(draw, count->strings, total, train_size, quota);
    uint32_t *drawn = malloc(total * sizeof *drawn);
    if (!drawn)
        return tl_fail(TALLY_MEMORY, "no memory left for %u strings", total);
    size_t train = 0, test = train_size;
    for (uint32_t i = 0; i < total; i++) {
        size_t *left = &quota[group_of(draw, count->strings[i])];
        drawn[*left > 0 ? train++ : test++] = count->strings[i];
        if (*left > 0)
            --*left;
    }
    free(count->strings);
    count->strings = drawn;
    return TALLY_OK;
}

tally_status tally_count_new(const tally_count_options *options, tally_count **out) {
    if (!options || !out)
        return tl_fail(TALLY_USAGE, "tally_count_new: no options or no pointer for the result");
    *out = NULL;
    if (options->length < 1 || options->length > MAX_LENGTH)
        return tl_fail(TALLY_USAGE, "a length of %u bits: it must be 1 to %d", options->length, MAX_LENGTH);
    unsigned shortest = options->shortest ? options->shortest : options->length;
    if (shortest > options->length)
        return tl_fail(TALLY_USAGE, "a shortest length of %u bits: the longest is %u", shortest, options->length);
    uint32_t first = 1u << shortest, total = (2u << options->length) - first;
    if (options->train_size < 1 || options->train_size > total)
        return tl_fail(TALLY_USAGE, "%zu training strings: of %u to %u bits there are %u strings, take 1 to %u",
                       options->train_size, shortest, options->length, total, total);
    if (options->draw != TALLY_DRAW_RANDOM && options->draw != TALLY_DRAW_EVEN && options->draw != TALLY_DRAW_RUNS)
        return tl_fail(TALLY_USAGE, "tally_count_new: unknown draw %d", (int)options->draw);

    tally_count *count = calloc(1, sizeof *count);
    uint32_t *strings = malloc(total * sizeof *strings);
    if (!count || !strings) {
        free(count);
        free(strings);
        return tl_fail(TALLY_MEMORY, "no memory left for %u strings", total);
    }
    count->strings = strings;
    shuffle_strings(first, strings, total, options->seed);
    if (options->draw != TALLY_DRAW_RANDOM) {
        tally_status status = draw_even(count, options->draw, total, options->train_size);
        if (status) {
            tally_count_free(count);
            return status;
        }
    }
    count->train = (tally_dataset){.size = options->train_size,
                                   .steps = options->length,
                                   .inputs = 1,
                                   .classes = options->length + 1,
                                   .read = read_strings,
                                   .lengths = shortest < options->length ? read_lengths : NULL,
                                   .context = count->strings};
    count->test = count->train;
    count->test.size = total - options->train_size;
    count->test.context = count->strings + options->train_size;
    *out = count;
    return TALLY_OK;
}

void tally_count_free(tally_count *count) {
    if (!count)
        return;
    free(count->strings);
    free(count);
}

const tally_dataset *tally_count_train(const tally_count *count) {
    return &count->train;
}

const tally_dataset *tally_count_test(const tally_count *count) {
    return &count->test;
}
