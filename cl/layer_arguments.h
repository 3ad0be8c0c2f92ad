/* layer_arguments.h: what the kernels of a whole sequence take, but for their last arguments; as the host sets it in
 * tl_cl_layer_forward_arguments and tl_cl_layer_backward_arguments. previous: c, the GRU's h. has_dy: else dy is not read.
 * *_FROM lets the pointers point to where weights begin, and to a column. */
#define FORWARD_ARGUMENTS                                                                                              \
    ulong inputs, ulong hidden, ulong steps, global const float *w_ih, ulong w_ih_offset, global const float *w_hh,    \
        ulong w_hh_offset, global const float *bias, ulong bias_offset, global const float *x, VIEW3(x),               \
        global float *gates, VIEW3(gates), global float *c, VIEW3(c), global float *h, VIEW3(h), global float *tanh_c, \
        VIEW3(tanh_c)

#define FORWARD_FROM(column)                                                                                           \
    w_ih += w_ih_offset, w_hh += w_hh_offset, bias += bias_offset, x += x_offset + (column),                           \
        gates += gates_offset + (column), c += c_offset + (column), h += h_offset + (column),                          \
        tanh_c += tanh_c_offset + (column)

#define BACKWARD_ARGUMENTS                                                                                             \
    ulong hidden, ulong steps, global const float *w_hh, ulong w_hh_offset, global float *gates, VIEW3(gates),         \
        global const float *previous, VIEW3(previous), global const float *tanh_c, VIEW3(tanh_c), int has_dy,          \
        global const float *dy, VIEW3(dy), global float *dh, ulong dh_offset, global float *dc, ulong dc_offset

#define BACKWARD_FROM(column)                                                                                          \
    w_hh += w_hh_offset, gates += gates_offset + (column), previous += previous_offset + (column),                     \
        tanh_c += tanh_c_offset + (column), dy += dy_offset + (column), dh += dh_offset + (column),                    \
        dc += dc_offset + (column)
