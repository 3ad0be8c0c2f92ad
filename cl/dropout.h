/* dropout.h: dropout, TL_W columns of four features at a time; see tally_dropout. Read by the C compiler and by the
 * OpenCL compiler.
 *
 * Needs what recurrent.h needs, and TL_U, unsigned integers like TL_I; TL_HIGH(a, b), the upper half of the product of
 * an unsigned int and a TL_U; TL_SPLAT_WORD(c), all lanes; TL_GET_WORDS(p), as TL_GET_LANES; and TL_PICK_BELOW(x,
 * limit, a, b): x < limit ? a : b in each lane. */
#include "philox_block.h"

TL_DEFINE_PHILOX_BLOCK(tl_philox_columns, TL_U, TL_HIGH)

typedef struct tl_dropout {
    unsigned int key0, key1;
    unsigned int first;     /* the number of column 0 */
    unsigned int threshold; /* a word below it drops its element */
    float scale;
} tl_dropout;

/* The numbers first, first + 1, ... */
TL_TEMPLATE TL_U tl_count_from(unsigned int first) {
    unsigned int lanes[TL_W];
    TL_UNROLL
    for (tl_size l = 0; l < TL_W; l++)
        lanes[l] = first + (unsigned int)l;
    return TL_GET_WORDS(lanes);
}

/* Features 4 group to 4 group + 3, as far as there are, at one time step: n columns from column on. x and out are at
 * the step; a row is a feature. out may be x. */
TL_TEMPLATE void tl_drop(const tl_dropout *d, tl_size features, tl_size group, tl_size step, TL_GLOBAL const float *x,
                         tl_size x_row, tl_size x_column, TL_GLOBAL float *out, tl_size row, tl_size out_column,
                         tl_size column, tl_size n) {
    TL_U word[4];
    word[0] = tl_count_from(d->first + (unsigned int)column);
    word[1] = TL_SPLAT_WORD(step);
    word[2] = TL_SPLAT_WORD(group);
    word[3] = TL_SPLAT_WORD(0);
    tl_philox_columns(word, d->key0, d->key1);
    TL_UNROLL
    for (tl_size i = 0; i < 4; i++) {
        tl_size feature = 4 * group + i;
        if (feature >= features)
            break;
        TL_F value = TL_LOAD(x + feature * x_row + column * x_column, x_column, n) * TL_SPLAT(d->scale);
        value = TL_PICK_BELOW(word[i], d->threshold, TL_SPLAT(0.0f), value);
        TL_STORE(out + feature * row + column * out_column, out_column, n, value);
    }
}
