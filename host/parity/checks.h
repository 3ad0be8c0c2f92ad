/* checks.h: what parity is made of. */
#ifndef TALLY_PARITY_CHECKS_H
#define TALLY_PARITY_CHECKS_H

#include "parity/case.h"

typedef struct tl_check {
    const char *name;
    size_t cases;
    /* About how many multiply-adds a case takes: for leaving out what is too much for a simulator. */
    size_t (*cost)(size_t number);
    void (*run)(tl_case *c);
    bool clblast; /* on that route it is made of CLBlast's products, whose bits are their own */
} tl_check;

extern const tl_check tl_check_gemm, tl_check_bias, tl_check_reduce, tl_check_accumulate, tl_check_add, tl_check_copy,
    tl_check_fill, tl_check_dropout;
extern const tl_check tl_check_exp, tl_check_log, tl_check_sigmoid, tl_check_tanh, tl_check_arithmetic;
extern const tl_check tl_check_cell_forward, tl_check_cell_backward;
extern const tl_check tl_check_softmax_loss, tl_check_softmax_loss_backward;
extern const tl_check tl_check_optimizer_step;
extern const tl_check tl_check_layer_forward, tl_check_layer_backward, tl_check_gradients;

/* The cases of exp, log, sigmoid and tanh that go over every float, from this number on. */
enum { TL_FUNCTION_SAMPLES = 18, TL_FUNCTION_EVERY = 1 << 16 };

/* The training run of each model, whose cases are steps. */
typedef struct tl_training {
    tally_device *device, *peer;
    const tally_parity_options *options;
    bool slow, same_bits;
    bool (*tell)(void *context, const tally_parity_line *line); /* after each step; false: stop */
    void *context;
} tl_training;
tally_status tl_check_training(const tl_training *asked, tally_parity_line *line);

#endif
