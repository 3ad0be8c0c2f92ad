#include "arith_opencl.h"
#include "view.h"

/* One function of TL_W elements a work-item; see tally_apply. which is a tally_function. */
kernel void tally_apply(int which, global const float *a, VIEW1(a), global const float *b, VIEW1(b),
                        global const float *c, VIEW1(c), global float *out, VIEW1(out), ulong columns) {
    ulong i = get_global_id(0) * TL_W;
    if (i >= columns)
        return;
    ulong n = columns - i;
    TL_F x = tl_load(a + AT1(a, i), a_column, n), y = tl_load(b + AT1(b, i), b_column, n);
    TL_F z = tl_load(c + AT1(c, i), c_column, n), result = x;
    switch (which) {
    case 0:
        result = tl_exp_negative(x);
        break;
    case 1:
        result = tl_log(x);
        break;
    case 2:
        result = tl_sigmoid(x);
        break;
    case 3:
        result = tl_tanh(x);
        break;
    case 4:
        result = x + y;
        break;
    case 5:
        result = x * y;
        break;
    case 6:
        result = TL_DIV(x, y);
        break;
    case 7:
        result = TL_SQRT(x);
        break;
    case 8:
        result = TL_FMA(x, y, z);
        break;
    }
    tl_store(out + AT1(out, i), out_column, n, result);
}

/* A loop whose end cannot be foreseen: the state it leaves shows how many iterations there were. For the self-test. */
kernel void tally_loop(uint iterations, global uint *state) {
    uint x = *state;
    for (uint i = 0; i < iterations; i++)
        x = x * 1664525u + 1013904223u;
    *state = x;
}
