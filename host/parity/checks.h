/* checks.h: the checks that tally parity runs. */
#ifndef TALLY_PARITY_CHECKS_H
#define TALLY_PARITY_CHECKS_H

#include "parity/case.h"

typedef struct tl_check {
    const char *name;
    size_t cases;
    /* Roughly the multiply-adds of a case; cases that are too large for a simulator are left out. */
    size_t (*cost)(size_t number);
    void (*run)(tl_case *c);
    bool clblast; /* on that route it uses CLBlast's products, whose bits may differ */
} tl_check;

extern const tl_check tl_check_gemm, tl_check_bias, tl_check_reduce, tl_check_accumulate, tl_check_add, tl_check_copy,
    tl_check_fill, tl_check_dropout;
extern const tl_check tl_check_exp, tl_check_log, tl_check_sigmoid, tl_check_tanh, tl_check_arithmetic;
extern const tl_check tl_check_cell_forward, tl_check_cell_backward;
extern const tl_check tl_check_softmax_loss, tl_check_softmax_loss_backward;
extern const tl_check tl_check_optimizer_step;
extern const tl_check tl_check_layer_forward, tl_check_layer_backward, tl_check_gradients;

/* Cases of exp, log, sigmoid and tanh: the samples, and after them the exhaustive ones, which together cover every
 * float. */
enum { TL_FUNCTION_SAMPLES = 18, TL_FUNCTION_EVERY = 1 << 16 };

/* The training runs, one for each model, whose cases are steps. */
typedef struct tl_training {
    tally_device *device, *peer;
    const tally_parity_options *options;
    bool slow, same_bits;
    bool (*progress)(void *context, const tally_parity_line *line); /* called after each step; false stops */
    void *context;
} tl_training;
tally_status tl_check_training(const tl_training *asked, tally_parity_line *line);

#endif
