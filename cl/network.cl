/* A whole network for devices whose work-items have vectors of columns, processors: a work-item for each core takes
 * micro-batch after micro-batch, whichever is next, through forward, loss, backward and the gradients of all weights,
 * while its activations are in the core's cache. The same arithmetic in the same order as the operations one by one. */
#include "cell.cl"
#include "dropout.h"
#include "network.h"
#include "softmax.h"
#include "weight_gradients.h"

#if TL_W > 1

/* Rows of the head's products that are summed together. */
#define HEAD_ROWS 4

typedef struct dropout_step {
    int drops;
    uint threshold;
    float scale;
    ulong seed, step; /* of the run, and of training */
    uint first;       /* the number of the launch's first sequence in the batch */
} dropout_step;

/* What a work-item has at hand for a micro-batch. */
typedef struct worker {
    global const tl_network_layout *network;
    global const tl_layer_layout *layers;
    global const float *weights, *packed;
    global float *workspace;
    float *block_sums; /* of recurrent.h */
} worker;

static global const tl_layer_layout *layers_of(global const tl_network_layout *network) {
    return (global const tl_layer_layout *)(network + 1);
}

/* Packs block get_global_id(0) of layer get_global_id(1). columns: the most blocks of a kind. */
kernel void tally_pack_network(global const tl_network_layout *network, global const float *weights,
                               ulong weights_offset, global float *packed, ulong columns) {
    global const tl_layer_layout *l = layers_of(network) + get_global_id(1);
    weights += weights_offset;
    if (get_global_id(0) < columns)
        pack_layer(l->inputs, network->hidden, weights + l->bias, weights + l->w_ih, weights + l->w_hh,
                   get_global_id(0), packed + l->packed, packed + l->packed_hh, packed + l->packed_ih);
}

/* A time step of an activation with so many rows. A macro, as what a function returns in memory is marked noalias where
 * the function is inlined, and Oclgrind refuses kernels with such marks. */
#define rows_of(w, start, rows, step)                                                                                  \
    ((tl_rows){(w)->workspace + (start) + (step) * (rows) * (w)->network->stride, (w)->network->stride})

static void fill_zero(tl_rows to, ulong rows) {
    for (ulong i = 0; i < rows * to.row; i += TL_W)
        TL_PUT(TL_SPLAT(0.0f), to.data + i);
}

/* The product of the head's weight with h, bias first, and the softmax: probabilities [class]. */
static void classify(const worker *w, ulong columns, tl_rows h, tl_rows probabilities) {
    ulong classes = w->network->classes, hidden = w->network->hidden;
    global const float *weight = w->weights + w->network->head_weight, *bias = w->weights + w->network->head_bias;
    for (ulong column = 0; column < columns; column += TL_W) {
        for (ulong first = 0; first < classes; first += HEAD_ROWS) {
            TL_F acc[HEAD_ROWS];
            TL_UNROLL
            for (ulong r = 0; r < HEAD_ROWS; r++)
                acc[r] = TL_SPLAT(0.0f + bias[min(first + r, classes - 1)]);
            for (ulong k = 0; k < hidden; k++) {
                TL_F value = tl_rows_load(h, k, column, TL_W);
                TL_UNROLL
                for (ulong r = 0; r < HEAD_ROWS; r++)
                    acc[r] = TL_FMA(TL_SPLAT(weight[min(first + r, classes - 1) * hidden + k]), value, acc[r]);
            }
            TL_UNROLL
            for (ulong r = 0; r < HEAD_ROWS; r++)
                if (first + r < classes)
                    tl_rows_store(probabilities, first + r, column, TL_W, acc[r]);
        }
        global float *p = probabilities.data + column;
        tl_softmax(classes, p, probabilities.row, 1, p, probabilities.row, 1, TL_W);
    }
}

/* dh = the transpose of the head's weight times the logits' gradient. */
static void head_backward(const worker *w, ulong columns, tl_rows dlogits, tl_rows dh) {
    ulong classes = w->network->classes, hidden = w->network->hidden;
    global const float *weight = w->weights + w->network->head_weight;
    for (ulong column = 0; column < columns; column += TL_W)
        for (ulong first = 0; first < hidden; first += HEAD_ROWS) {
            TL_F acc[HEAD_ROWS];
            TL_UNROLL
            for (ulong r = 0; r < HEAD_ROWS; r++)
                acc[r] = TL_SPLAT(0.0f);
            for (ulong k = 0; k < classes; k++) {
                TL_F value = tl_rows_load(dlogits, k, column, TL_W);
                TL_UNROLL
                for (ulong r = 0; r < HEAD_ROWS; r++)
                    acc[r] = TL_FMA(TL_SPLAT(weight[k * hidden + min(first + r, hidden - 1)]), value, acc[r]);
            }
            TL_UNROLL
            for (ulong r = 0; r < HEAD_ROWS; r++)
                if (first + r < hidden)
                    tl_rows_store(dh, first + r, column, TL_W, acc[r]);
        }
}

/* Sums of products of the left operand with the right ones over a micro-batch, each element to where it belongs. */
static void sum_products(const tl_left_operand *left, const tl_right_operand *rights, ulong count, ulong steps,
                         ulong columns, global float *memory) {
    tl_sum_workspace at = tl_sum_workspace_in(memory, TL_SUM_ROWS, TL_SUM_COLUMNS);
    tl_right_row right[TL_SUM_COLUMNS];
    ulong operand = 0, next = 0, n;
    while ((n = tl_next_right_rows(rights, count, TL_SUM_COLUMNS, &operand, &next, right)) > 0)
        for (ulong row = 0; row < left->rows; row += TL_SUM_ROWS) {
            ulong rows = min(left->rows - row, (ulong)TL_SUM_ROWS);
            tl_sum_columns(left, row, (rows + TL_TILE_ROWS - 1) / TL_TILE_ROWS * TL_TILE_ROWS, right, n, steps, 0,
                           columns, &at);
            for (ulong i = 0; i < rows; i++)
                for (ulong j = 0; j < n; j++)
                    right[j].to[(row + i) * right[j].to_row] = tl_block_sum(&at, n, i, j);
        }
}

/* The input of a layer at a time step: x, or what the layer below puts out, or what dropout leaves of it. */
static tl_rows input_of(const worker *w, tl_steps x, bool drops, ulong layer, ulong step) {
    if (layer == 0)
        return tl_rows_at(x, step);
    ulong hidden = w->network->hidden;
    return drops ? rows_of(w, w->layers[layer - 1].dropped, hidden, step)
                 : rows_of(w, w->layers[layer - 1].h, hidden, step + 1);
}

/* Which outputs of a layer are dropped: every layer, step and sequence has its own. Also see dropout_of in host/nn. */
static tl_dropout dropout_of(const dropout_step *d, ulong layer, ulong first_column) {
    TL_U word[4] = {TL_SPLAT_WORD(d->step), TL_SPLAT_WORD(d->step >> 32), TL_SPLAT_WORD(layer),
                    TL_SPLAT_WORD(TL_DROPOUT_STREAM)};
    tl_philox_columns(word, (uint)d->seed, (uint)(d->seed >> 32));
    uint lanes[2][TL_W];
    TL_PUT_WORDS(word[0], lanes[0]);
    TL_PUT_WORDS(word[1], lanes[1]);
    tl_dropout result = {lanes[0][0], lanes[1][0], d->first + (uint)first_column, d->threshold, d->scale};
    return result;
}

/* from and to may be the same. */
static void drop_step(const tl_dropout *d, ulong features, ulong step, ulong columns, tl_rows from, tl_rows to) {
    for (ulong group = 0; 4 * group < features; group++)
        for (ulong column = 0; column < columns; column += TL_W)
            tl_drop(d, features, group, step, from.data, from.row, 1, to.data, to.row, 1, column, TL_W);
}

static void layer_forward(const worker *w, const dropout_step *d, ulong layer, tl_steps x,
                          global const int *starts, ulong first_column, ulong columns) {
    global const tl_layer_layout *l = &w->layers[layer];
    ulong hidden = w->network->hidden, gates = tl_cell_gates(TL_CELL) * hidden;
    bool drops = d->drops && layer + 1 < w->network->layers;
    tl_dropout dropout = dropout_of(d, layer, first_column);
    tl_forward_step at;
    at.inputs = l->inputs;
    at.hidden = hidden;
    at.columns = columns;
    at.packed = w->packed + l->packed;
    at.starts = starts;
    at.sums = w->block_sums;
    for (ulong t = 0; t < w->network->steps; t++) { /* c and h of step 0 are zeros since the workspace was made */
        at.x = input_of(w, x, d->drops, layer, t);
        at.h_prev = rows_of(w, l->h, hidden, t);
        at.h = rows_of(w, l->h, hidden, t + 1);
        at.c_prev = rows_of(w, l->c, hidden, t);
        at.c = rows_of(w, l->c, hidden, t + 1);
        at.gates = rows_of(w, l->gates, gates, t);
        at.saved = rows_of(w, l->saved, hidden, t);
        at.now = (float)t;
        tl_step_forward(TL_CELL, &at);
        if (drops)
            drop_step(&dropout, hidden, t, columns, at.h, rows_of(w, l->dropped, hidden, t));
    }
}

/* The gradients of a layer's weights from those of its gates. */
static void layer_gradients(const worker *w, bool drops, ulong layer, tl_steps x, ulong columns, global float *sums) {
    global const tl_layer_layout *l = &w->layers[layer];
    ulong hidden = w->network->hidden, stride = w->network->stride, steps = w->network->steps;
    ulong gates = tl_cell_gates(TL_CELL) * hidden, weights = tl_cell_weights(TL_CELL) * hidden;
    ulong skipped = tl_cell_first_hh(TL_CELL) * hidden;
    global float *memory = w->workspace + w->network->scratch, *dgates = w->workspace + l->gates;
    tl_rows input = input_of(w, x, drops, layer, 0);
    tl_left_operand from_x = {{dgates, stride, gates * stride, 1}, weights, 1.0f};
    tl_left_operand from_h = {{dgates + skipped * stride, stride, gates * stride, 1}, weights, 1.0f};
    tl_left_operand all = {{dgates, stride, gates * stride, 1}, gates, 1.0f};
    tl_right_operand rights[3] = {
        {{w->workspace + l->h, stride, hidden * stride, 1}, hidden, sums + l->w_hh, hidden, 1},
        {{input.data, input.row, layer == 0 ? x.step : hidden * stride, 1}, l->inputs, sums + l->w_ih, l->inputs, 1},
        {{0, 0, 0, 0}, 1, sums + l->bias, 1, 0}};
    if (tl_cell_weights(TL_CELL) == tl_cell_gates(TL_CELL)) {
        sum_products(&all, rights, 3, steps, columns, memory);
    } else {
        sum_products(&from_h, rights, 1, steps, columns, memory);
        sum_products(&from_x, rights + 1, 1, steps, columns, memory);
        sum_products(&all, rights + 2, 1, steps, columns, memory);
    }
}

/* From dh, and dy below the last layer, to the gradients of the gates and, above the first layer, of what the layer
 * below puts out, which replaces dy. */
static void layer_backward(const worker *w, const dropout_step *d, ulong layer, global const int *starts,
                           ulong first_column, ulong columns) {
    global const tl_layer_layout *l = &w->layers[layer];
    ulong hidden = w->network->hidden, gates = tl_cell_gates(TL_CELL) * hidden;
    tl_dropout dropout = dropout_of(d, layer == 0 ? 0 : layer - 1, first_column);
    tl_rows none = {0, 0};
    tl_backward_step at;
    at.inputs = l->inputs;
    at.hidden = hidden;
    at.columns = columns;
    at.packed_hh = w->packed + l->packed_hh;
    at.packed_ih = w->packed + l->packed_ih;
    at.dh = rows_of(w, w->network->dh, hidden, 0);
    at.dc = rows_of(w, w->network->dc, hidden, 0);
    at.starts = starts;
    for (ulong t = w->network->steps; t-- > 0;) {
        tl_rows dy = rows_of(w, w->network->dy, hidden, t);
        at.gates = rows_of(w, l->gates, gates, t);
        at.previous = rows_of(w, tl_cell_previous(TL_CELL) == TL_READS_C ? l->c : l->h, hidden, t);
        at.saved = rows_of(w, l->saved, hidden, t);
        at.dy = none;
        if (layer + 1 < w->network->layers)
            at.dy = dy;
        at.dx = none;
        if (layer > 0)
            at.dx = dy;
        at.now = (float)t;
        tl_step_backward(TL_CELL, &at);
        if (layer > 0 && d->drops)
            drop_step(&dropout, hidden, t, columns, dy, dy);
    }
}

/* The sum of the losses of columns, and the logits' gradient in place of the probabilities. */
static float losses_and_gradient(const worker *w, global const int *labels, tl_rows probabilities, ulong columns) {
    ulong classes = w->network->classes;
    TL_F lanes[TL_PARTS];
    TL_UNROLL
    for (int q = 0; q < TL_PARTS; q++)
        lanes[q] = TL_SPLAT(0.0f);
    for (ulong column = 0; column < columns; column += TL_LANES)
        TL_UNROLL
        for (int q = 0; q < TL_PARTS; q++) {
            ulong from = column + q * TL_W;
            lanes[q] = lanes[q] + tl_losses(classes, labels + from, 1, probabilities.data + from, probabilities.row, 1,
                                            TL_W);
        }
    for (ulong k = 0; k < classes; k++)
        for (ulong n = 0; n < columns; n++) {
            global float *p = probabilities.data + k * probabilities.row + n;
            *p = tl_logit_gradient(*p, labels[n], k);
        }
    return tl_lanes_sum(lanes);
}

/* The gradient of every weight, summed over a micro-batch, goes to sums, laid out as the weights are. */
static void train_micro_batch(const worker *w, const dropout_step *d, tl_steps x, global const int *labels,
                              global const int *starts, ulong first_column, ulong columns, global float *loss,
                              global float *sums) {
    ulong layers = w->network->layers, hidden = w->network->hidden, classes = w->network->classes;
    ulong stride = w->network->stride;
    for (ulong layer = 0; layer < layers; layer++)
        layer_forward(w, d, layer, x, starts, first_column, columns);
    tl_rows logits = rows_of(w, w->network->logits, classes, 0);
    tl_rows h = rows_of(w, w->layers[layers - 1].h, hidden, w->network->steps);
    classify(w, columns, h, logits);
    *loss = losses_and_gradient(w, labels, logits, columns);
    tl_left_operand left = {{logits.data, stride, 0, 1}, classes, 1.0f};
    tl_right_operand rights[2] = {{{h.data, stride, 0, 1}, hidden, sums + w->network->head_weight, hidden, 1},
                                  {{0, 0, 0, 0}, 1, sums + w->network->head_bias, 1, 0}};
    sum_products(&left, rights, 2, 1, columns, w->workspace + w->network->scratch);
    tl_rows dh = rows_of(w, w->network->dh, hidden, 0);
    head_backward(w, columns, logits, dh);
    for (ulong layer = layers; layer-- > 0;) {
        if (layer + 1 < layers)
            fill_zero(dh, hidden);
        if (tl_cell_state(TL_CELL))
            fill_zero(rows_of(w, w->network->dc, hidden, 0), hidden);
        layer_backward(w, d, layer, starts, first_column, columns);
        layer_gradients(w, d->drops, layer, x, columns, sums);
    }
}

/* The next micro-batch for whoever asks first, so that none waits for one whose core has other things to do. taken:
 * counts on from launch to launch, from taken_before. */
static ulong next_micro_batch(global uint *taken, uint taken_before) {
    return atomic_inc(taken) - taken_before;
}

/* Micro-batches first to end - 1, each by the work-item that is free first; the sums of micro-batch m go to sums + (m -
 * first) parameters. x as [step][input][column] or in any other order. */
kernel void tally_train(global const tl_network_layout *network, global const float *weights, ulong weights_offset,
                        global const float *packed, global float *x, VIEW3(x), global const int *labels,
                        ulong labels_offset, int late, global const int *starts, ulong starts_offset, int drops,
                        uint threshold, float scale, ulong seed, ulong step, uint first_sequence,
                        global float *losses, ulong losses_offset, global float *sums, global float *workspaces,
                        global uint *taken, uint taken_before, ulong first, ulong end, ulong columns) {
    TL_F block_sums[TL_BLOCK_ROWS * TL_MICRO_BATCH / TL_W];
    dropout_step d = {drops, threshold, scale, seed, step, first_sequence};
    worker w = {network, layers_of(network), weights + weights_offset, packed,
                workspaces + get_global_id(0) * network->workspace, (float *)block_sums};
    for (ulong number; (number = first + next_micro_batch(taken, taken_before)) < end;) {
        ulong column = number * TL_MICRO_BATCH;
        tl_steps x_at = {x + AT3(x, 0, 0, column), x_plane, x_row};
        train_micro_batch(&w, &d, x_at, labels + labels_offset + column, late ? starts + starts_offset + column : 0,
                          column, min((ulong)TL_MICRO_BATCH, columns - column), losses + losses_offset + number,
                          sums + (number - first) * network->parameters);
    }
}

/* The same for probabilities alone, a time step of all layers after another: a layer's h of this step and of the one
 * before alternate. */
kernel void tally_predict(global const tl_network_layout *network, global const float *weights, ulong weights_offset,
                          global const float *packed, global float *x, VIEW3(x), int late, global const int *starts,
                          ulong starts_offset, global float *probabilities, VIEW2(probabilities),
                          global float *workspaces, global uint *taken, uint taken_before, ulong columns) {
    TL_F block_sums[TL_BLOCK_ROWS * TL_MICRO_BATCH / TL_W];
    worker w = {network, layers_of(network), weights + weights_offset, packed,
                workspaces + get_global_id(0) * network->workspace, (float *)block_sums};
    ulong hidden = network->hidden;
    for (ulong first; (first = next_micro_batch(taken, taken_before) * TL_MICRO_BATCH) < columns;) {
        ulong n = min((ulong)TL_MICRO_BATCH, columns - first);
        tl_forward_step at;
        tl_steps x_at = {x + AT3(x, 0, 0, first), x_plane, x_row};
        tl_rows none = {0, 0};
        at.hidden = hidden;
        at.columns = n;
        at.starts = late ? starts + starts_offset + first : 0;
        at.sums = w.block_sums;
        at.gates = at.saved = none;
        for (ulong layer = 0; layer < network->layers; layer++) {
            fill_zero(rows_of(&w, w.layers[layer].h, hidden, 0), hidden);
            if (tl_cell_state(TL_CELL))
                fill_zero(rows_of(&w, w.layers[layer].c, hidden, 0), hidden);
        }
        for (ulong t = 0; t < network->steps; t++)
            for (ulong layer = 0; layer < network->layers; layer++) {
                global const tl_layer_layout *l = &w.layers[layer];
                at.inputs = l->inputs;
                at.packed = w.packed + l->packed;
                at.x = layer == 0 ? tl_rows_at(x_at, t) : rows_of(&w, w.layers[layer - 1].h, hidden, (t + 1) % 2);
                at.h_prev = rows_of(&w, l->h, hidden, t % 2);
                at.h = rows_of(&w, l->h, hidden, (t + 1) % 2);
                at.c_prev = at.c = rows_of(&w, l->c, hidden, 0);
                at.now = (float)t;
                tl_step_forward(TL_CELL, &at);
            }
        tl_rows result = rows_of(&w, network->logits, network->classes, 0);
        classify(&w, n, rows_of(&w, w.layers[network->layers - 1].h, hidden, network->steps % 2), result);
        for (ulong k = 0; k < network->classes; k++)
            for (ulong c = 0; c < n; c += TL_W)
                TL_PUT(tl_rows_load(result, k, c, TL_W), probabilities + AT2(probabilities, k, first + c));
    }
}

#endif
