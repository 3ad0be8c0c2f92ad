/* philox_block.h: Philox 4x32-10 (Salmon, Moraes, Dror, Shaw 2011), read by the C compiler and by the OpenCL compiler.
 *
 * Whoever includes this defines TL_WORD, an unsigned integer of 32 bits, and TL_HIGH(a, b), the upper half of their product. */

/* counter becomes ten rounds of itself under the key k0, k1. */
static inline void tl_philox_block(TL_WORD counter[4], TL_WORD k0, TL_WORD k1) {
    const TL_WORD multiplier0 = 0xD2511F53u, multiplier1 = 0xCD9E8D57u, weyl0 = 0x9E3779B9u, weyl1 = 0xBB67AE85u;
    for (int round = 0; round < 10; round++, k0 += weyl0, k1 += weyl1) {
        TL_WORD high0 = TL_HIGH(multiplier0, counter[0]), high1 = TL_HIGH(multiplier1, counter[2]);
        TL_WORD low0 = multiplier0 * counter[0], low1 = multiplier1 * counter[2];
        counter[0] = high1 ^ counter[1] ^ k0;
        counter[1] = low1;
        counter[2] = high0 ^ counter[3] ^ k1;
        counter[3] = low0;
    }
}
