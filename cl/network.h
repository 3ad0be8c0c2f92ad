/* network.h: where the parts of a network lie, in floats, as the host lays them out for the kernels of network.cl. Read
 * by the C compiler and by the OpenCL compiler. */
#ifndef TL_NETWORK_H
#define TL_NETWORK_H

/* All numbers have 64 bits, so that both compilers lay the structs out alike. A row of activations has `stride`
 * columns; a time step's rows are neighbours, and the time steps follow each other. */
typedef struct tl_layer_layout {
    tl_u64 inputs;
    tl_u64 bias, w_ih, w_hh;                /* in the flat tensors of weights and of gradients */
    tl_u64 packed, packed_hh, packed_ih;    /* in the packed weights */
    tl_u64 gates, h, c, saved,
        dropped; /* in a worker's workspace; what the layer does not need has no room of its own */
} tl_layer_layout;

/* The layouts of the layers follow it in memory. */
typedef struct tl_network_layout {
    tl_u64 layers, hidden, classes, steps, stride;
    tl_u64 head_bias, head_weight, parameters; /* in the flat tensors, and how many floats those have */
    tl_u64 logits, dy, dh, dc, scratch;        /* in a worker's workspace */
    tl_u64 workspace;                          /* floats of it */
} tl_network_layout;

#endif
