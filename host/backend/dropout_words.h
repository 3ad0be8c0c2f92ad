/* dropout_words.h: what the options of tally_dropout are as the backends use them. */
#ifndef TALLY_BACKEND_DROPOUT_WORDS_H
#define TALLY_BACKEND_DROPOUT_WORDS_H

#include <tally/tensor.h>

typedef struct tl_dropout_words {
    uint32_t key[2];
    uint32_t threshold; /* a word below it drops its element */
    float scale;
} tl_dropout_words;

static inline tl_dropout_words tl_dropout_words_of(const tally_dropout_options *options) {
    return (tl_dropout_words){{(uint32_t)options->key, (uint32_t)(options->key >> 32)},
                              (uint32_t)(options->probability * 0x1p32),
                              (float)(1.0 / (1.0 - options->probability))};
}

#endif
