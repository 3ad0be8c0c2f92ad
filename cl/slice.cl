/* A slice of a batch through the whole classifier, by one work-item of a CPU device: forward, loss, backward and the gradients of all
 * weights, while its activations are in the core's cache. The same arithmetic in the same order as the operations one by one. For
 * vectors of columns only. */
#include "arith_opencl.h"
#include "softmax.h"
#include "view.h"

#if TL_W > 1

#define COLUMNS 64 /* of a slice: TALLY_SLICE_COLUMNS */

#if TL_W == 16 /* as many sums as there are registers */
#define UNITS_A_BLOCK 3
#define ROWS_A_BLOCK 12
#define FEW_ROWS 4
#define TILE_ROWS 4
#define TILE_COLUMNS 6
#else
#define UNITS_A_BLOCK 1
#define ROWS_A_BLOCK 4
#define FEW_ROWS 1
#define TILE_ROWS 4
#define TILE_COLUMNS 3
#endif
#define VECTORS 2
#define HEAD_ROWS 4

/* Vectors of columns are aligned here: a row has whole ones, and so has a buffer. PoCL makes vstore16 of four stores. */
TEMPLATE void put(TL_F value, global float *p) {
    *(global TL_F *)p = value;
}

/* What does not change from slice to slice. */
typedef struct sizes {
    ulong layers, inputs, hidden, classes, steps;
} sizes;

static ulong rounded(ulong n, ulong to) {
    return (n + to - 1) / to * to;
}

/* Floats of the packed weights of a layer: those of forward, then w_hh and w_ih turned. */
static ulong packed_forward(ulong inputs, ulong hidden) {
    return rounded(hidden, UNITS_A_BLOCK) * 4 * (1 + inputs + hidden);
}

static ulong packed_turned(ulong rows, ulong hidden) {
    return rounded(rows, FEW_ROWS) * 4 * hidden;
}

static ulong packed_layer(ulong inputs, ulong hidden) {
    return packed_forward(inputs, hidden) + packed_turned(hidden, hidden) + packed_turned(inputs, hidden);
}

static void pack_turned(global const float *w, ulong rows, ulong sums, ulong first, global float *packed) {
    ulong count = rows - first >= ROWS_A_BLOCK ? ROWS_A_BLOCK : FEW_ROWS;
    packed += first * sums;
    for (ulong k = 0; k < sums; k++)
        for (ulong r = 0; r < count; r++)
            *packed++ = w[k * rows + min(first + r, rows - 1)];
}

/* offsets: of head.bias and head.weight, then of bias, w_ih and w_hh of each layer, in weights. A work-item packs a block. */
kernel void tally_pack(ulong layers, ulong inputs, ulong hidden, global const float *weights, ulong weights_offset,
                       global const ulong *offsets, global float *packed, ulong columns) {
    ulong block = get_global_id(0), layer = get_global_id(1);
    if (block >= columns)
        return;
    ulong in = layer == 0 ? inputs : hidden;
    weights += weights_offset;
    global const float *bias = weights + offsets[2 + 3 * layer], *w_ih = weights + offsets[3 + 3 * layer];
    global const float *w_hh = weights + offsets[4 + 3 * layer];
    if (layer > 0)
        packed += packed_layer(inputs, hidden) + (layer - 1) * packed_layer(hidden, hidden);

    ulong unit = block * UNITS_A_BLOCK;
    if (unit < hidden) {
        global float *to = packed + unit * 4 * (1 + in + hidden);
        for (ulong k = 0; k < 1 + in + hidden; k++)
            for (ulong r = 0; r < 4 * UNITS_A_BLOCK; r++) {
                ulong row = r % 4 * hidden + min(unit + r / 4, hidden - 1);
                *to++ = k == 0 ? 0.0f + bias[row] : k <= in ? w_ih[row * in + k - 1] : w_hh[row * hidden + k - 1 - in];
            }
    }
    packed += packed_forward(in, hidden);
    ulong whole = hidden / ROWS_A_BLOCK, first = block < whole ? block * ROWS_A_BLOCK
                                                               : whole * ROWS_A_BLOCK + (block - whole) * FEW_ROWS;
    if (first < hidden)
        pack_turned(w_hh, hidden, 4 * hidden, first, packed);
    packed += packed_turned(hidden, hidden);
    whole = in / ROWS_A_BLOCK;
    first = block < whole ? block * ROWS_A_BLOCK : whole * ROWS_A_BLOCK + (block - whole) * FEW_ROWS;
    if (layer > 0 && first < in)
        pack_turned(w_ih, in, 4 * hidden, first, packed);
}

/* acc[r] += packed[k][r] in[k] for each k, ascending. in_row: from row to row. */
TEMPLATE global const float *add_products(const int rows, const int vectors, global const float *packed, ulong sums,
                                        global const float *in, ulong in_row, TL_F acc[ROWS_A_BLOCK][VECTORS]) {
    for (ulong k = 0; k < sums; k++, packed += rows, in += in_row) {
        TL_F value[VECTORS];
        #pragma unroll
        for (int v = 0; v < vectors; v++)
            value[v] = TL_GET(in + v * TL_W);
        #pragma unroll
        for (int r = 0; r < rows; r++)
            #pragma unroll
            for (int v = 0; v < vectors; v++)
                acc[r][v] = TL_FMA(TL_SPLAT(packed[r]), value[v], acc[r][v]);
    }
    return packed;
}

/* A step of a layer; all but x with COLUMNS columns from row to row. gates and tanh_c NULL: they are not kept. */
typedef struct forward_step {
    global const float *x, *h_prev, *c_prev;
    global float *gates, *c, *tanh_c, *h;
    ulong x_row;
} forward_step;

/* The pre-activations of UNITS_A_BLOCK units to sums, and the cell after them: together in one function they take more registers than
 * there are, and compilers then keep the sums in memory. */
TEMPLATE void sums_block(const int vectors, ulong inputs, ulong hidden, global const float *packed,
                         global const float *x, ulong x_row, global const float *h_prev, global float *sums) {
    TL_F acc[ROWS_A_BLOCK][VECTORS];
    #pragma unroll
    for (int r = 0; r < 4 * UNITS_A_BLOCK; r++)
        #pragma unroll
        for (int v = 0; v < vectors; v++)
            acc[r][v] = TL_SPLAT(packed[r]);
    packed = add_products(4 * UNITS_A_BLOCK, vectors, packed + 4 * UNITS_A_BLOCK, inputs, x, x_row, acc);
    add_products(4 * UNITS_A_BLOCK, vectors, packed, hidden, h_prev, COLUMNS, acc);
    #pragma unroll
    for (int r = 0; r < 4 * UNITS_A_BLOCK; r++)
        #pragma unroll
        for (int v = 0; v < vectors; v++)
            put(acc[r][v], sums + r * COLUMNS + v * TL_W);
}

__attribute__((noinline)) static void all_sums(ulong inputs, ulong hidden, ulong columns, global const float *packed,
                                               global const float *x, ulong x_row, global const float *h_prev,
                                               global float *sums) {
    ulong column = 0;
    for (; column + VECTORS * TL_W <= columns; column += VECTORS * TL_W)
        sums_block(VECTORS, inputs, hidden, packed, x + column, x_row, h_prev + column, sums + column);
    for (; column < columns; column += TL_W)
        sums_block(1, inputs, hidden, packed, x + column, x_row, h_prev + column, sums + column);
}

TEMPLATE void forward_cell(const bool keep, ulong hidden, const forward_step *at, global const float *sums, ulong to) {
    TL_F gate[4], c, tanh_c, h;
    #pragma unroll
    for (int g = 0; g < 4; g++)
        gate[g] = TL_GET(sums + g * COLUMNS);
    tl_lstm_cell(gate, TL_GET(at->c_prev + to), &c, &tanh_c, &h);
    put(c, at->c + to);
    put(h, at->h + to);
    if (keep) {
        #pragma unroll
        for (int g = 0; g < 4; g++)
            put(gate[g], at->gates + g * hidden * COLUMNS + to);
        put(tanh_c, at->tanh_c + to);
    }
}

/* sums: room for 4 * UNITS_A_BLOCK rows. */
TEMPLATE void forward_layer_step(const bool keep, ulong inputs, ulong hidden, ulong columns, global const float *packed,
                                 const forward_step *at, global float *sums) {
    for (ulong first = 0; first < hidden; first += UNITS_A_BLOCK) {
        all_sums(inputs, hidden, columns, packed, at->x, at->x_row, at->h_prev, sums);
        for (ulong u = 0; u < UNITS_A_BLOCK && first + u < hidden; u++)
            for (ulong column = 0; column < columns; column += TL_W)
                forward_cell(keep, hidden, at, sums + 4 * u * COLUMNS + column, (first + u) * COLUMNS + column);
        packed += 4 * UNITS_A_BLOCK * (1 + inputs + hidden);
    }
}

TEMPLATE void product_block(const int rows, const int vectors, global const float *packed, ulong sums,
                          global const float *in, global float *out, ulong there) {
    TL_F acc[ROWS_A_BLOCK][VECTORS];
    #pragma unroll
    for (int r = 0; r < rows; r++)
        #pragma unroll
        for (int v = 0; v < vectors; v++)
            acc[r][v] = TL_SPLAT(0.0f);
    add_products(rows, vectors, packed, sums, in, COLUMNS, acc);
    #pragma unroll
    for (int r = 0; r < rows; r++)
        if (r < there)
            #pragma unroll
            for (int v = 0; v < vectors; v++)
                put(acc[r][v], out + r * COLUMNS + v * TL_W);
}

/* out [rows] = the packed turned matrix times in [sums]. */
static void turned_product(global const float *packed, ulong rows, ulong sums, ulong columns, global const float *in,
                           global float *out) {
    ulong first = 0;
    for (; rows - first >= ROWS_A_BLOCK; first += ROWS_A_BLOCK, packed += ROWS_A_BLOCK * sums) {
        ulong column = 0;
        for (; column + VECTORS * TL_W <= columns; column += VECTORS * TL_W)
            product_block(ROWS_A_BLOCK, VECTORS, packed, sums, in + column, out + first * COLUMNS + column, ROWS_A_BLOCK);
        for (; column < columns; column += TL_W)
            product_block(ROWS_A_BLOCK, 1, packed, sums, in + column, out + first * COLUMNS + column, ROWS_A_BLOCK);
    }
    for (; first < rows; first += FEW_ROWS, packed += FEW_ROWS * sums) {
        ulong column = 0;
        for (; column + VECTORS * TL_W <= columns; column += VECTORS * TL_W)
            product_block(FEW_ROWS, VECTORS, packed, sums, in + column, out + first * COLUMNS + column, rows - first);
        for (; column < columns; column += TL_W)
            product_block(FEW_ROWS, 1, packed, sums, in + column, out + first * COLUMNS + column, rows - first);
    }
}

/* dy NULL: none. */
static void backward_cells(ulong hidden, ulong columns, global float *gates, global const float *c_prev,
                           global const float *tanh_c, global const float *dy, global const float *dh,
                           global float *dc) {
    for (ulong unit = 0; unit < hidden; unit++)
        for (ulong column = 0; column < columns; column += TL_W) {
            ulong at = unit * COLUMNS + column;
            TL_F gate[4], new_dh = TL_GET(dh + at), new_dc = TL_GET(dc + at);
            if (dy)
                new_dh = new_dh + TL_GET(dy + at);
            #pragma unroll
            for (int g = 0; g < 4; g++)
                gate[g] = TL_GET(gates + g * hidden * COLUMNS + at);
            tl_lstm_cell_backward(gate, TL_GET(c_prev + at), TL_GET(tanh_c + at), new_dh, &new_dc);
            #pragma unroll
            for (int g = 0; g < 4; g++)
                put(gate[g], gates + g * hidden * COLUMNS + at);
            put(new_dc, dc + at);
        }
}

/* A block of the result is summed at a time, a chunk of steps after another, so that its sums are loaded and stored once for many
 * products; of a chunk's right sides NEAR at a time are in the first cache, 24 KB. */
#define SUM_ROWS 96
#define SUM_COLUMNS 72
#define CHUNK 8
#define NEAR 12

static ulong tile_width(ulong left) {
    return left >= TILE_COLUMNS ? TILE_COLUMNS : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* sums [column][row][lane] of a tile. left: steps left_step apart, rows COLUMNS; right: panel [step][row][column]. */
TEMPLATE void add_tile(const int width, ulong steps, ulong columns, global const float *left, ulong left_step,
                     global const float *right, ulong right_step, global float *sums) {
    for (int q = 0; q < TL_PARTS; q++) {
        TL_F acc[TILE_ROWS][TILE_COLUMNS];
        global float *part = sums + q * TL_W;
        #pragma unroll
        for (int i = 0; i < TILE_ROWS; i++)
            #pragma unroll
            for (int j = 0; j < width; j++)
                acc[i][j] = TL_GET(part + (j * TILE_ROWS + i) * TL_LANES);
        for (ulong t = 0; t < steps; t++) {
            global const float *a = left + t * left_step + q * TL_W, *b = right + t * right_step + q * TL_W;
            for (ulong p = 0; p < columns; p += TL_LANES) {
                TL_F value[TILE_COLUMNS];
                #pragma unroll
                for (int j = 0; j < width; j++)
                    value[j] = TL_GET(b + j * COLUMNS + p);
                #pragma unroll
                for (int i = 0; i < TILE_ROWS; i++) {
                    TL_F row = TL_GET(a + i * COLUMNS + p);
                    #pragma unroll
                    for (int j = 0; j < width; j++)
                        acc[i][j] = TL_FMA(row, value[j], acc[i][j]);
                }
            }
        }
        #pragma unroll
        for (int i = 0; i < TILE_ROWS; i++)
            #pragma unroll
            for (int j = 0; j < width; j++)
                put(acc[i][j], part + (j * TILE_ROWS + i) * TL_LANES);
    }
}

/* The sums of left [rows, steps] with h [hidden, steps], x [inputs, steps] and ones, to the gradients w_hh, w_ih and bias. left has room
 * for TILE_ROWS rows more; what is summed from there is not stored. */
static void sum_gradients(ulong rows, ulong hidden, ulong inputs, ulong steps, ulong columns, global const float *left,
                          global const float *h, global const float *x, ulong x_step, ulong x_row, global float *w_hh,
                          global float *w_ih, global float *bias, global float *scratch) {
    global float *panel = scratch + SUM_ROWS * SUM_COLUMNS * TL_LANES;
    ulong all = hidden + inputs + 1;
    for (ulong first_column = 0; first_column < all; first_column += SUM_COLUMNS)
        for (ulong first_row = 0; first_row < rows; first_row += SUM_ROWS) {
            ulong n = min((ulong)SUM_COLUMNS, all - first_column), m = min((ulong)SUM_ROWS, rows - first_row);
            for (ulong i = 0; i < rounded(m, TILE_ROWS) * n * TL_LANES; i += TL_W)
                put(TL_SPLAT(0.0f), scratch + i);
            for (ulong t = 0; t < steps; t += CHUNK) {
                ulong some = min((ulong)CHUNK, steps - t);
                for (ulong s = 0; s < some; s++)
                    for (ulong j = 0; j < n; j++) {
                        ulong k = first_column + j;
                        global float *to = panel + (s * n + j) * COLUMNS;
                        global const float *from =
                            k < hidden ? h + ((t + s) * hidden + k) * COLUMNS : x + (t + s) * x_step + (k - hidden) * x_row;
                        for (ulong p = 0; p < columns; p += TL_W)
                            put(k == all - 1 ? TL_SPLAT(1.0f) : TL_GET(from + p), to + p);
                    }
                /* Tiles of the widest first, each for all rows while its right side is in the cache. */
                global const float *chunk = left + (t * rows + first_row) * COLUMNS;
                for (ulong near = 0; near < n; near += NEAR)
                    for (ulong i = 0; i < m; i += TILE_ROWS)
                        for (ulong j = near, width; j < min(n, near + NEAR); j += width) {
                            width = tile_width(min(n, near + NEAR) - j);
                            global const float *a = chunk + i * COLUMNS, *b = panel + j * COLUMNS;
                            global float *sums = scratch + (i * n + j * TILE_ROWS) * TL_LANES;
                            if (width == TILE_COLUMNS)
                                add_tile(TILE_COLUMNS, some, columns, a, rows * COLUMNS, b, n * COLUMNS, sums);
#if TILE_COLUMNS > 4
                            else if (width == 4)
                                add_tile(4, some, columns, a, rows * COLUMNS, b, n * COLUMNS, sums);
#endif
                            else if (width == 2)
                                add_tile(2, some, columns, a, rows * COLUMNS, b, n * COLUMNS, sums);
                            else
                                add_tile(1, some, columns, a, rows * COLUMNS, b, n * COLUMNS, sums);
                        }
            }
            for (ulong i = 0; i < m; i++)
                for (ulong j = 0; j < n; j++) {
                    TL_F part[TL_PARTS];
                    global const float *lanes =
                        scratch + ((i / TILE_ROWS * n + j) * TILE_ROWS + i % TILE_ROWS) * TL_LANES;
                    #pragma unroll
                    for (int q = 0; q < TL_PARTS; q++)
                        part[q] = TL_GET(lanes + q * TL_W);
                    ulong row = first_row + i, k = first_column + j;
                    float sum = tl_lanes_sum(part);
                    if (k < hidden)
                        w_hh[row * hidden + k] = sum;
                    else if (k < all - 1)
                        w_ih[row * inputs + k - hidden] = sum;
                    else
                        bias[row] = sum;
                }
        }
}

/* probabilities [class] of the last h, COLUMNS apart. */
static void classify(ulong classes, ulong hidden, ulong columns, global const float *weight, global const float *bias,
                     global const float *h, global float *probabilities) {
    for (ulong column = 0; column < columns; column += TL_W) {
        for (ulong first = 0; first < classes; first += HEAD_ROWS) {
            TL_F acc[HEAD_ROWS];
            #pragma unroll
            for (int r = 0; r < HEAD_ROWS; r++)
                acc[r] = TL_SPLAT(0.0f + bias[min(first + r, classes - 1)]);
            for (ulong k = 0; k < hidden; k++) {
                TL_F value = TL_GET(h + k * COLUMNS + column);
                #pragma unroll
                for (int r = 0; r < HEAD_ROWS; r++)
                    acc[r] = TL_FMA(TL_SPLAT(weight[min(first + r, classes - 1) * hidden + k]), value, acc[r]);
            }
            #pragma unroll
            for (int r = 0; r < HEAD_ROWS; r++)
                if (first + r < classes)
                    put(acc[r], probabilities + (first + r) * COLUMNS + column);
        }
        tl_softmax(classes, probabilities + column, COLUMNS, 1, probabilities + column, COLUMNS, 1, TL_W);
    }
}

/* dh = the turned head weight times the logits' gradient. */
static void head_backward(ulong classes, ulong hidden, ulong columns, global const float *weight,
                          global const float *dlogits, global float *dh) {
    for (ulong column = 0; column < columns; column += TL_W)
        for (ulong first = 0; first < hidden; first += HEAD_ROWS) {
            TL_F acc[HEAD_ROWS];
            #pragma unroll
            for (int r = 0; r < HEAD_ROWS; r++)
                acc[r] = TL_SPLAT(0.0f);
            for (ulong k = 0; k < classes; k++) {
                TL_F value = TL_GET(dlogits + k * COLUMNS + column);
                #pragma unroll
                for (int r = 0; r < HEAD_ROWS; r++)
                    acc[r] = TL_FMA(TL_SPLAT(weight[k * hidden + min(first + r, hidden - 1)]), value, acc[r]);
            }
            #pragma unroll
            for (int r = 0; r < HEAD_ROWS; r++)
                if (first + r < hidden)
                    put(acc[r], dh + (first + r) * COLUMNS + column);
        }
}

static void fill_zero(global float *to, ulong rows) {
    for (ulong i = 0; i < rows * COLUMNS; i += TL_W)
        put(TL_SPLAT(0.0f), to + i);
}

/* A worker's room for a slice. A layer has gates, c, h and tanh_c. */
static ulong layer_room(ulong hidden, ulong steps) {
    return COLUMNS * hidden * (4 * steps + 2 * (steps + 1) + steps);
}

typedef struct layer {
    ulong inputs;
    global const float *packed;
    global float *gates, *c, *h, *tanh_c;
} layer;

static layer layer_at(const sizes *s, ulong l, global const float *packed, global float *room) {
    layer at = {l == 0 ? s->inputs : s->hidden, packed, room + l * layer_room(s->hidden, s->steps), 0, 0, 0};
    if (l > 0)
        at.packed += packed_layer(s->inputs, s->hidden) + (l - 1) * packed_layer(s->hidden, s->hidden);
    ulong row = COLUMNS * s->hidden;
    at.c = at.gates + 4 * row * s->steps;
    at.h = at.c + row * (s->steps + 1);
    at.tanh_c = at.h + row * (s->steps + 1);
    return at;
}

/* All that is summed up over a slice goes to sums: the gradient of every weight, laid out as the weights are. */
static void train_slice(const sizes *s, ulong columns, global const float *weights, global const ulong *offsets,
                        global const float *packed, global const float *x, ulong x_step, ulong x_row,
                        global const int *labels, global float *loss, global float *sums, global float *room) {
    ulong hidden = s->hidden, row = COLUMNS * hidden;
    global float *dy = room + s->layers * layer_room(hidden, s->steps);
    global float *dh = dy + row * s->steps, *dc = dh + row, *probabilities = dc + row;
    global float *scratch = probabilities + (s->classes + ROWS_A_BLOCK) * COLUMNS;
    for (ulong l = 0; l < s->layers; l++) {
        layer at = layer_at(s, l, packed, room);
        layer below = layer_at(s, l == 0 ? 0 : l - 1, packed, room);
        for (ulong t = 0; t < s->steps; t++) { /* c and h of step 0 are as the room was made: zeros, and never written */
            forward_step step = {l == 0 ? x + t * x_step : below.h + (t + 1) * row,
                                 at.h + t * row,
                                 at.c + t * row,
                                 at.gates + 4 * t * row,
                                 at.c + (t + 1) * row,
                                 at.tanh_c + t * row,
                                 at.h + (t + 1) * row,
                                 l == 0 ? x_row : COLUMNS};
            forward_layer_step(true, at.inputs, hidden, columns, at.packed, &step, scratch);
        }
    }

    layer last = layer_at(s, s->layers - 1, packed, room);
    global const float *head_weight = weights + offsets[1], *h_last = last.h + s->steps * row;
    classify(s->classes, hidden, columns, head_weight, weights + offsets[0], h_last, probabilities);
    TL_F lanes[TL_PARTS];
    #pragma unroll
    for (int q = 0; q < TL_PARTS; q++)
        lanes[q] = TL_SPLAT(0.0f);
    for (ulong column = 0; column < columns; column += TL_LANES)
        #pragma unroll
        for (int q = 0; q < TL_PARTS; q++) {
            ulong from = column + q * TL_W;
            lanes[q] = lanes[q] + tl_losses(s->classes, labels + from, 1, probabilities + from, COLUMNS, 1, TL_W);
        }
    *loss = tl_lanes_sum(lanes);
    for (ulong k = 0; k < s->classes; k++)
        for (ulong n = 0; n < columns; n++)
            probabilities[k * COLUMNS + n] = tl_logit_gradient(probabilities[k * COLUMNS + n], labels[n], k);
    sum_gradients(s->classes, hidden, 0, 1, columns, probabilities, h_last, h_last, 0, 0, sums + offsets[1], sums,
                  sums + offsets[0], scratch);

    for (ulong l = s->layers; l-- > 0;) {
        layer at = layer_at(s, l, packed, room);
        layer below = layer_at(s, l == 0 ? 0 : l - 1, packed, room);
        bool top = l + 1 == s->layers;
        if (top)
            head_backward(s->classes, hidden, columns, head_weight, probabilities, dh);
        else
            fill_zero(dh, hidden);
        fill_zero(dc, hidden);
        global const float *turned = at.packed + packed_forward(at.inputs, hidden);
        for (ulong t = s->steps; t-- > 0;) {
            global float *gates = at.gates + 4 * t * row;
            backward_cells(hidden, columns, gates, at.c + t * row, at.tanh_c + t * row, top ? 0 : dy + t * row, dh, dc);
            turned_product(turned, hidden, 4 * hidden, columns, gates, dh);
            if (l > 0) /* what was read of dy is no longer needed */
                turned_product(turned + packed_turned(hidden, hidden), hidden, 4 * hidden, columns, gates, dy + t * row);
        }
        sum_gradients(4 * hidden, hidden, at.inputs, s->steps, columns, at.gates, at.h, l == 0 ? x : below.h + row,
                      l == 0 ? x_step : row, l == 0 ? x_row : COLUMNS, sums + offsets[4 + 3 * l],
                      sums + offsets[3 + 3 * l], sums + offsets[2 + 3 * l], scratch);
    }
}

/* The next slice for whoever asks first, so that none waits for one whose core has other things to do. taken: counts on from launch to
 * launch, from taken_before. */
static ulong take(global uint *taken, uint taken_before) {
    return atomic_inc(taken) - taken_before;
}

/* Slices first to end - 1, each by the work-item that is free first; the sums of slice s go to sums + (s - first) parameters. x as
 * [step][input][column] or any other order. room: of a worker. */
kernel void tally_train(ulong layers, ulong inputs, ulong hidden, ulong classes, ulong steps,
                        global const float *weights, ulong weights_offset, global const ulong *offsets,
                        global const float *packed, global const float *x, VIEW3(x), global const int *labels,
                        ulong labels_offset, global float *losses, ulong losses_offset, global float *sums,
                        ulong parameters, global float *rooms, ulong room, global uint *taken, uint taken_before,
                        ulong first, ulong end, ulong columns) {
    sizes s = {layers, inputs, hidden, classes, steps};
    ulong worker = get_global_id(0);
    for (ulong slice; (slice = first + take(taken, taken_before)) < end;)
        train_slice(&s, min((ulong)COLUMNS, columns - slice * COLUMNS), weights + weights_offset, offsets, packed,
                    x + AT3(x, 0, 0, slice * COLUMNS), x_row, x_plane, labels + labels_offset + slice * COLUMNS,
                    losses + losses_offset + slice, sums + (slice - first) * parameters, rooms + worker * room);
}

/* The same for probabilities alone; a layer's h of this step and of the one before take turns. */
kernel void tally_predict(ulong layers, ulong inputs, ulong hidden, ulong classes, ulong steps,
                          global const float *weights, ulong weights_offset, global const ulong *offsets,
                          global const float *packed, global const float *x, VIEW3(x), global float *probabilities,
                          VIEW2(probabilities), global float *rooms, ulong room, global uint *taken, uint taken_before,
                          ulong columns) {
    sizes s = {layers, inputs, hidden, classes, 1};
    ulong worker = get_global_id(0), row = COLUMNS * hidden;
    rooms += worker * room;
    global float *own = rooms + layers * layer_room(hidden, 1);
    for (ulong first; (first = take(taken, taken_before) * COLUMNS) < columns;) {
        ulong n = min((ulong)COLUMNS, columns - first);
        for (ulong l = 0; l < layers; l++) {
            layer at = layer_at(&s, l, packed, rooms);
            fill_zero(at.c, hidden);
            fill_zero(at.h, hidden);
        }
        for (ulong t = 0; t < steps; t++)
            for (ulong l = 0; l < layers; l++) {
                layer at = layer_at(&s, l, packed, rooms), below = layer_at(&s, l == 0 ? 0 : l - 1, packed, rooms);
                forward_step step = {l == 0 ? x + AT3(x, 0, t, first) : below.h + (t + 1) % 2 * row,
                                     at.h + t % 2 * row,
                                     at.c,
                                     0,
                                     at.c,
                                     0,
                                     at.h + (t + 1) % 2 * row,
                                     l == 0 ? x_plane : COLUMNS};
                forward_layer_step(false, at.inputs, hidden, n, at.packed, &step, own);
            }
        layer last = layer_at(&s, layers - 1, packed, rooms);
        classify(classes, hidden, n, weights + weights_offset + offsets[1], weights + weights_offset + offsets[0],
                 last.h + steps % 2 * row, own);
        for (ulong k = 0; k < classes; k++)
            for (ulong c = 0; c < n; c += TL_W)
                put(TL_GET(own + k * COLUMNS + c), probabilities + AT2(probabilities, k, first + c));
    }
}
#endif
