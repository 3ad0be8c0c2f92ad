/* Dropout: the Philox words decide which elements are dropped; those that are kept are multiplied by the scale. */
#include "parity/bounded_ops.h"
#include "parity/checks.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* features, steps, columns */
static const size_t shapes[][3] = {{1, 1, 1}, {3, 2, 17}, {8, 5, 64}, {13, 3, 33}, {6, 20, 70}};
static const double probabilities[] = {0, 0x1p-33, 0.2, 0.5, 0.999};
enum { CASES = COUNT(shapes) * COUNT(probabilities) * 2 }; /* in place and out of place */

static size_t cost(size_t number) {
    const size_t *s = shapes[number % COUNT(shapes)];
    return s[0] * s[1] * s[2] * 16;
}

/* A device that keeps the C path's bits must give exactly the rounded product. */
static tl_bounded expected(const tl_case *c, const tally_dropout_options *o, const size_t at[3], float x) {
    const uint32_t counter[4] = {o->first + (uint32_t)at[2], (uint32_t)at[1], (uint32_t)(at[0] / 4), 0};
    const uint32_t key[2] = {(uint32_t)o->key, (uint32_t)(o->key >> 32)};
    uint32_t word[4];
    tl_philox(counter, key, word);
    if ((double)word[at[0] % 4] < floor(o->probability * 0x1p32))
        return (tl_bounded){0, 0};
    float scale = (float)(1 / (1 - o->probability));
    return c->same_bits ? tl_bounded_of((double)(x * scale))
                        : tl_bounded_mul(tl_bounded_of((double)x), tl_bounded_of((double)scale));
}

static void check_dropout(tl_case *c) {
    const size_t *s = shapes[c->number % COUNT(shapes)];
    double probability = probabilities[c->number / COUNT(shapes) % COUNT(probabilities)];
    bool in_place = c->number / COUNT(shapes) / COUNT(probabilities), spaced = tl_random_below(&c->random, 2);
    uint64_t key = (uint64_t)tl_random_u32(&c->random) << 32;
    key |= tl_random_u32(&c->random);
    const tally_dropout_options options = {probability, key, tl_random_below(&c->random, 3000)};
    tl_case_describe(c, "%zu features, %zu steps, %zu columns, probability %g%s", s[0], s[1], s[2], probability,
                     in_place ? ", in place" : "");
    tl_operand *x = tl_case_operand(c, "x", spaced, 3, s);
    tl_operand *out = in_place ? x : tl_case_operand(c, "out", !spaced, 3, s);
    tl_case_fill(c, x, TL_VALUES_ORDINARY);
    for (int side = 0; side < TL_SIDES && !c->status; side++)
        tl_case_keep(c, tally_dropout(&options, &x->on[side], &out->on[side]));
    tl_case_read(c, out);
    tl_bounded *want = tl_case_memory(c, x->elements, sizeof *want);
    for (size_t i = 0; i < x->elements && want; i++) {
        const size_t at[3] = {i / s[2] / s[1], i / s[2] % s[1], i % s[2]};
        want[i] = expected(c, &options, at, x->before[i]);
    }
    tl_case_compare(c, out, want);
}

const tl_check tl_check_dropout = {"dropout", CASES, cost, check_dropout, false};
