/* Whole sequences, from initial states that are not zero, checked time step by time step. Each time step is
 * computed from the device's own results of the one before. */
#include "backend/cells.h"
#include "parity/checks.h"
#include "parity/layer_record.h"

#include <math.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* inputs, hidden, steps, columns. For the last two, work-groups of GPUs (lstm_group.c) keep fewer weights in local
 * memory and process fewer columns. */
static const size_t shapes[][4] = {{1, 1, 1, 1},    {2, 3, 4, 7},  {3, 7, 2, 33},  {1, 5, 3, 65},   {1, 24, 20, 70},
                                   {28, 33, 6, 17}, {2, 3, 80, 5}, {5, 130, 2, 9}, {3, 200, 2, 13}, {1, 310, 2, 5}};
static const struct {
    const char *name;
    float weights, states;
} ranges[] = {{"ordinary", 0.9f, 0.9f},
              {"saturated", 60, 5},
              {"tiny", 0x1p-30f, 0x1p-30f},
              {"denormal", 0x1p-127f, 0x1p-127f},
              {"zero", 0, 0}};
enum { OF_A_CELL = COUNT(shapes) * COUNT(ranges), CASES = OF_A_CELL * TALLY_CELLS };

/* A rectifier does not saturate: over 20 time steps the weights that saturate other cells would make its states overflow. */
static float largest_weight(tally_cell cell, size_t range) {
    return cell == TALLY_RNN_RELU ? fminf(ranges[range].weights, 2) : ranges[range].weights;
}

static tally_cell cell_of(size_t number) {
    return (tally_cell)(number / OF_A_CELL);
}

static size_t cost(size_t number) {
    const size_t *s = shapes[number % COUNT(shapes)];
    return tl_cell_gates(cell_of(number)) * s[1] * (s[0] + s[1] + 16) * s[2] * s[3];
}

enum { W_IH, W_HH, BIAS, X, C, H, DH, DC, DY, DW_IH, DW_HH, DBIAS, DX, GATES, TANH_C, PARTS };

typedef struct sequence {
    tally_cell cell;
    size_t inputs, hidden, steps, columns;
    tl_operand *part[PARTS]; /* NULL if the cell lacks the part */
    tally_layer_state state[TL_SIDES];
    tl_operand *starts; /* NULL: all columns start at 0 */
    int32_t *start;     /* its values */
    bool spaced, with_dy, with_dx;
} sequence;

static bool has(tally_cell cell, int part) {
    return tl_cell_state(cell) || (part != C && part != DC && part != TANH_C);
}

/* Most shapes and ranges occur with starts and without. */
static bool late(size_t number) {
    return number % 3 == 2;
}

/* About a quarter of the starts are 0. */
static void draw_starts(tl_case *c, sequence *q) {
    q->start = tl_case_memory(c, q->columns, sizeof *q->start);
    for (size_t n = 0; n < q->columns && q->start; n++)
        q->start[n] = tl_random_below(&c->random, 4) ? (int32_t)tl_random_below(&c->random, (uint32_t)q->steps) : 0;
    if (q->start)
        q->starts = tl_case_integers(c, "starts", q->columns, q->start);
}

static void prepare(tl_case *c, sequence *q) {
    const size_t *s = shapes[c->number % COUNT(shapes)];
    const tally_cell cell = cell_of(c->number);
    size_t range = c->number / COUNT(shapes) % COUNT(ranges);
    size_t rows = tl_cell_weights(cell) * s[1], gates = tl_cell_gates(cell) * s[1];
    *q = (sequence){.cell = cell, .inputs = s[0], .hidden = s[1], .steps = s[2], .columns = s[3]};
    q->spaced = tl_random_below(&c->random, 2); /* only parts with a value for each time step are spaced */
    q->with_dy = tl_random_below(&c->random, 2);
    q->with_dx = tl_random_below(&c->random, 2);
    tl_case_describe(c, "%s, %zu inputs, %zu hidden, %zu steps, %zu columns%s, %s values%s", tally_cell_name(cell),
                     s[0], s[1], s[2], s[3], q->spaced ? ", cut out" : "", ranges[range].name,
                     late(c->number) ? ", late starts" : "");
    const struct {
        const char *name;
        int ndim;
        size_t shape[3];
    } parts[PARTS] = {
        [W_IH] = {"w_ih", 2, {rows, s[0]}},
        [W_HH] = {"w_hh", 2, {rows, s[1]}},
        [BIAS] = {"bias", 1, {gates}},
        [X] = {"x", 3, {s[0], s[2], s[3]}},
        [C] = {"c", 3, {s[1], s[2] + 1, s[3]}},
        [H] = {"h", 3, {s[1], s[2] + 1, s[3]}},
        [DH] = {"dh", 2, {s[1], s[3]}},
        [DC] = {"dc", 2, {s[1], s[3]}},
        [DY] = {"dy", 3, {s[1], s[2], s[3]}},
        [DW_IH] = {"w_ih gradient", 2, {rows, s[0]}},
        [DW_HH] = {"w_hh gradient", 2, {rows, s[1]}},
        [DBIAS] = {"bias gradient", 1, {gates}},
        [DX] = {"dx", 3, {s[0], s[2], s[3]}},
        [GATES] = {"gates", 3, {gates, s[2], s[3]}},
        [TANH_C] = {"tanh_c", 3, {s[1], s[2], s[3]}},
    };
    for (int p = 0; p < PARTS; p++) {
        if (!has(cell, p))
            continue;
        bool spaced = q->spaced && parts[p].ndim == 3;
        q->part[p] = tl_case_operand(c, parts[p].name, spaced, parts[p].ndim, parts[p].shape);
        float most = p == W_IH || p == W_HH || p == BIAS ? largest_weight(q->cell, range) : ranges[range].states;
        if (p < GATES)
            tl_case_uniform(c, q->part[p], -most, most);
    }
    if (late(c->number))
        draw_starts(c, q);
}

/* A part on one side; an empty tensor if the cell lacks it. */
static tally_tensor part_on(const sequence *q, int part, int i) {
    return q->part[part] ? q->part[part]->on[i] : (tally_tensor){0};
}

static tally_layer_state state_on(const sequence *q, int i) {
    return (tally_layer_state){.gates = part_on(q, GATES, i),
                               .c = part_on(q, C, i),
                               .h = part_on(q, H, i),
                               .tanh_c = part_on(q, TANH_C, i),
                               .dh = part_on(q, DH, i),
                               .dc = part_on(q, DC, i),
                               .scratch = q->state[i].scratch,
                               .starts = q->starts ? q->starts->on[i] : (tally_tensor){0}};
}

static tally_layer_weights weights_on(const sequence *q, int w_ih, int w_hh, int bias, int i) {
    return (tally_layer_weights){part_on(q, w_ih, i), part_on(q, w_hh, i), part_on(q, bias, i), q->cell};
}

static void forward(tl_case *c, sequence *q) {
    for (int i = 0; i < TL_SIDES && !c->status; i++) {
        tl_case_keep(
            c, tally_layer_state_new(c->device[i], q->cell, q->inputs, q->hidden, q->steps, q->columns, &q->state[i]));
        if (c->status)
            return;
        tally_layer_state state = state_on(q, i);
        tally_layer_weights weights = weights_on(q, W_IH, W_HH, BIAS, i);
        tl_case_keep(c, tally_layer_forward(&weights, &q->part[X]->on[i], &state));
    }
}

static void backward(tl_case *c, const sequence *q) {
    for (int i = 0; i < TL_SIDES && !c->status; i++) {
        tally_layer_state state = state_on(q, i);
        tally_layer_weights weights = weights_on(q, W_IH, W_HH, BIAS, i);
        tally_layer_weights gradients = weights_on(q, DW_IH, DW_HH, DBIAS, i);
        tl_case_keep(c, tally_layer_backward(&weights, &q->part[X]->on[i], q->with_dy ? &q->part[DY]->on[i] : NULL,
                                             &state, &gradients, q->with_dx ? &q->part[DX]->on[i] : NULL));
    }
}

static void free_states(sequence *q) {
    for (int i = 0; i < TL_SIDES; i++)
        tally_layer_state_free(&q->state[i]);
}

static void check_element(void *context, const char *name, const size_t index[3], float got, tl_bounded want) {
    tl_case_element(context, name, index, got, want);
}

/* Reads those parts that the cell has. */
static void read_parts(tl_case *c, const sequence *q, const int *parts, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (q->part[parts[i]])
            tl_case_read(c, q->part[parts[i]]);
}

static void compare_bits(tl_case *c, const sequence *q, const int *parts, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (q->part[parts[i]])
            tl_case_bits(c, q->part[parts[i]]);
}

static const float *before(const sequence *q, int part) {
    return q->part[part] ? q->part[part]->before : NULL;
}

static const float *after(const sequence *q, int part) {
    return q->part[part] ? q->part[part]->after[TL_DEVICE] : NULL;
}

static tl_layer_record record_of(const sequence *q) {
    return (tl_layer_record){
        .cell = q->cell,
        .inputs = q->inputs,
        .hidden = q->hidden,
        .steps = q->steps,
        .columns = q->columns,
        .starts = q->start,
        .w_ih = before(q, W_IH),
        .w_hh = before(q, W_HH),
        .bias = before(q, BIAS),
        .x = before(q, X),
        .gates = after(q, GATES),
        .c = after(q, C),
        .tanh_c = after(q, TANH_C),
        .h = after(q, H),
    };
}

static void check_forward(tl_case *c) {
    static const int results[] = {GATES, C, H, TANH_C};
    sequence q;
    prepare(c, &q);
    forward(c, &q);
    read_parts(c, &q, results, COUNT(results));
    tl_layer_record record = record_of(&q);
    if (!c->status)
        tl_case_keep(c, tl_layer_record_forward(&record, check_element, c));
    compare_bits(c, &q, results, COUNT(results));
    free_states(&q);
}

const tl_check tl_check_layer_forward = {"layer_forward", CASES, cost, check_forward, true};

/* Runs both passes and checks the second one. */
static void check_backward(tl_case *c) {
    static const int activations[] = {GATES, C, H, TANH_C}, results[] = {GATES, DH, DC, DW_IH, DW_HH, DBIAS, DX};
    sequence q;
    prepare(c, &q);
    size_t result_count = COUNT(results) - !q.with_dx;
    forward(c, &q);
    read_parts(c, &q, activations, COUNT(activations));
    size_t count = q.part[GATES]->elements;
    float *activated = tl_case_memory(c, count, sizeof *activated);
    for (size_t i = 0; i < count && activated; i++)
        activated[i] = q.part[GATES]->after[TL_DEVICE][i];
    for (size_t i = 1; i < COUNT(activations); i++) /* all but the gates, which the backward pass replaces */
        if (q.part[activations[i]])
            tl_case_settle(c, q.part[activations[i]]);
    backward(c, &q);
    read_parts(c, &q, results, result_count);
    if (!c->status) {
        tl_layer_record record = record_of(&q);
        record.gates = activated;
        record.dy = q.with_dy ? before(&q, DY) : NULL;
        record.dh_last = before(&q, DH);
        record.dc_last = before(&q, DC);
        record.dgates = after(&q, GATES);
        record.dh = after(&q, DH);
        record.dc = after(&q, DC);
        record.dx = q.with_dx ? after(&q, DX) : NULL;
        for (int g = 0; g < 3; g++) {
            record.before[g] = before(&q, DW_IH + g);
            record.after[g] = after(&q, DW_IH + g);
        }
        tl_case_keep(c, tl_layer_record_backward(&record, check_element, c));
    }
    q.part[GATES]->name = "gate gradients";
    compare_bits(c, &q, results, result_count);
    free_states(&q);
}

const tl_check tl_check_layer_backward = {"layer_backward", CASES, cost, check_backward, true};
