#include "core/philox.h"

/* The C path's exp of one number, so that acceptance does not depend on a C library. */
#include "core/scalar_arith.h"

void tl_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    const uint32_t multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;
    const uint32_t weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++, k0 += weyl0, k1 += weyl1) {
        uint64_t product0 = (uint64_t)multiplier0 * c[0], product1 = (uint64_t)multiplier1 * c[2];
        uint32_t next[4] = {(uint32_t)(product1 >> 32) ^ c[1] ^ k0, (uint32_t)product1,
                            (uint32_t)(product0 >> 32) ^ c[3] ^ k1, (uint32_t)product0};
        for (int i = 0; i < 4; i++)
            c[i] = next[i];
    }
    for (int i = 0; i < 4; i++)
        out[i] = c[i];
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
