/* philox_block.h: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011), read by the C compiler and by the OpenCL compiler.
 *
 * TL_DEFINE_PHILOX_BLOCK(name, word, high) defines name(counter, key0, key1), by which counter becomes ten rounds of
 * itself under the key. word: an unsigned integer of 32 bits, or a vector of them; high(a, b): the upper half of their
 * product. */
#ifndef TL_PHILOX_BLOCK_H
#define TL_PHILOX_BLOCK_H

#define TL_DEFINE_PHILOX_BLOCK(name, word, high)                                                                       \
    static inline void name(word counter[4], unsigned int key0, unsigned int key1) {                                   \
        const unsigned int multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u;                                       \
        const unsigned int weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;                                                   \
        for (int round = 0; round < 10; round++, key0 += weyl0, key1 += weyl1) {                                       \
            word high0 = high(multiplier0, counter[0]), high1 = high(multiplier1, counter[2]);                         \
            word low0 = multiplier0 * counter[0], low1 = multiplier1 * counter[2];                                     \
            counter[0] = high1 ^ counter[1] ^ key0;                                                                    \
            counter[1] = low1;                                                                                         \
            counter[2] = high0 ^ counter[3] ^ key1;                                                                    \
            counter[3] = low0;                                                                                         \
        }                                                                                                              \
    }

#endif
