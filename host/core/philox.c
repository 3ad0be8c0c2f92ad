#include "core/philox.h"

/* The C path's exp of a single number, so that acceptance does not depend on a C library. */
#include "core/scalar_arith.h"

#include <stdbool.h>

#define HIGH(a, b) ((uint32_t)((uint64_t)(a) * (b) >> 32))
#include "philox_block.h"
TL_DEFINE_PHILOX_BLOCK(philox_block, uint32_t, HIGH)

void tl_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    for (int i = 0; i < 4; i++)
        out[i] = counter[i];
    philox_block(out, key[0], key[1]);
}

void tl_random_start(tl_random *random, uint64_t seed, uint32_t stream, uint32_t substream) {
    *random =
        (tl_random){.key = {(uint32_t)seed, (uint32_t)(seed >> 32)}, .counter = {0, 0, substream, stream}, .used = 4};
}

uint32_t tl_random_u32(tl_random *random) {
    if (random->used == 4) {
        tl_philox(random->counter, random->key, random->block);
        random->used = 0;
        if (++random->counter[0] == 0)
            random->counter[1]++;
    }
    return random->block[random->used++];
}

uint32_t tl_random_below(tl_random *random, uint32_t bound) {
    uint64_t product = (uint64_t)tl_random_u32(random) * bound;
    if ((uint32_t)product < bound) {
        uint32_t reject_below = (0u - bound) % bound;
        while ((uint32_t)product < reject_below)
            product = (uint64_t)tl_random_u32(random) * bound;
    }
    return (uint32_t)(product >> 32);
}

void tl_random_part(tl_random *random, uint32_t *numbers, size_t count, size_t part) {
    size_t before = 0;
    for (size_t n = 0; n < count; n++) {
        bool chosen = tl_random_below(random, (uint32_t)(count - n)) < part;
        numbers[chosen ? count - part : before] = (uint32_t)n;
        part -= chosen;
        before += !chosen;
    }
}

float tl_random_unit(tl_random *random) {
    return (float)(tl_random_u32(random) >> 8) * 0x1p-24f;
}

float tl_random_truncated_normal(tl_random *random) {
    for (;;) {
        float x = tl_random_unit(random) * 4.0f - 2.0f;
        if (tl_random_unit(random) < tl_s_exp_negative(x * x * -0.5f))
            return x;
    }
}
