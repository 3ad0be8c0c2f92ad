#include "core/fail.h"
#include "core/philox.h"
#include "core/size.h"

#include <stdlib.h>
#include <tally/data.h>

enum { MAX_LENGTH = 24 };

struct tally_count {
    unsigned length;
    uint32_t *strings; /* the training part, then the test part */
    tally_dataset train, test;
    struct count_part {
        const uint32_t *strings;
        unsigned length;
    } train_part, test_part;
};

tally_count_options tally_count_defaults(void) {
    return (tally_count_options){.length = 20, .train_size = 10000, .seed = 1, .draw = TALLY_DRAW_RANDOM};
}

static tally_status read_strings(const tally_dataset *dataset, const size_t *numbers, size_t count, float *x,
                                 int32_t *labels) {
    const struct count_part *part = dataset->context;
    for (size_t i = 0; i < count; i++) {
        uint32_t string = part->strings[numbers[i]];
        if (labels)
            labels[i] = __builtin_popcount(string);
        for (unsigned bit = part->length; x && bit-- > 0;)
            *x++ = (float)(string >> bit & 1);
    }
    return TALLY_OK;
}

static void shuffle(uint32_t *strings, uint32_t count, uint64_t seed) {
    tl_random random;
    tl_random_start(&random, seed, TL_STREAM_SHUFFLE, 0);
    for (uint32_t i = 0; i < count; i++)
        strings[i] = i;
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t j = tl_random_below(&random, i + 1);
        uint32_t moved = strings[i];
        strings[i] = strings[j];
        strings[j] = moved;
    }
}

/* How many strings each count of ones gives: the scarce counts first, what they lack is shared by the others. */
static void even_quota(unsigned length, size_t train_size, size_t quota[MAX_LENGTH + 1]) {
    size_t available[MAX_LENGTH + 1];
    available[0] = 1;
    for (unsigned k = 1; k <= length; k++)
        available[k] = available[k - 1] * (length - k + 1) / k;
    /* Scarce to plentiful: 0, length, 1, length - 1, ... */
    for (unsigned rank = 0; rank <= length; rank++) {
        unsigned k = rank % 2 == 0 ? rank / 2 : length - rank / 2;
        size_t share = train_size / (length + 1 - rank);
        quota[k] = available[k] < share ? available[k] : share;
        train_size -= quota[k];
    }
}

/* Moves the first strings of each count up to its quota to the front; both parts keep their order. */
static tally_status draw_even(tally_count *count, uint32_t total, size_t train_size) {
    size_t quota[MAX_LENGTH + 1];
    even_quota(count->length, train_size, quota);
    uint32_t *drawn = malloc(total * sizeof *drawn);
    if (!drawn)
        return tl_fail(TALLY_MEMORY, "no memory left for %u strings", total);
    size_t train = 0, test = train_size;
    for (uint32_t i = 0; i < total; i++) {
        size_t *left = &quota[__builtin_popcount(count->strings[i])];
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
        return tl_fail(TALLY_USAGE, "tally_count_new: no options or no place for the result given");
    *out = NULL;
    if (options->length < 1 || options->length > MAX_LENGTH)
        return tl_fail(TALLY_USAGE, "a length of %u bits: it must be 1 to %d", options->length, MAX_LENGTH);
    uint32_t total = 1u << options->length;
    if (options->train_size < 1 || options->train_size > total)
        return tl_fail(TALLY_USAGE, "%zu training strings: of %u bits there are %u strings, take 1 to %u",
                       options->train_size, options->length, total, total);
    if (options->draw != TALLY_DRAW_RANDOM && options->draw != TALLY_DRAW_EVEN)
        return tl_fail(TALLY_USAGE, "tally_count_new: unknown draw %d", (int)options->draw);

    tally_count *count = calloc(1, sizeof *count);
    uint32_t *strings = malloc(total * sizeof *strings);
    if (!count || !strings) {
        free(count);
        free(strings);
        return tl_fail(TALLY_MEMORY, "no memory left for %u strings", total);
    }
    count->length = options->length;
    count->strings = strings;
    shuffle(strings, total, options->seed);
    if (options->draw == TALLY_DRAW_EVEN) {
        tally_status status = draw_even(count, total, options->train_size);
        if (status) {
            tally_count_free(count);
            return status;
        }
    }
    count->train_part = (struct count_part){count->strings, options->length};
    count->test_part = (struct count_part){count->strings + options->train_size, options->length};
    count->train = (tally_dataset){.size = options->train_size,
                                   .steps = options->length,
                                   .inputs = 1,
                                   .classes = options->length + 1,
                                   .read = read_strings,
                                   .context = &count->train_part};
    count->test = count->train;
    count->test.size = total - options->train_size;
    count->test.context = &count->test_part;
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
