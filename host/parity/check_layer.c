/* The whole sequence, from initial states that are not zero: step by step, each from what the device itself had before it. */
#include "parity/checks.h"
#include "parity/layer_record.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* inputs, hidden, steps, columns */
static const size_t shapes[][4] = {{1, 1, 1, 1},    {2, 3, 4, 7},    {3, 7, 2, 33},  {1, 5, 3, 65},
                                   {1, 24, 20, 70}, {28, 33, 6, 17}, {2, 3, 300, 5}, {5, 130, 2, 9}};
static const struct {
    const char *name;
    float weights, states;
} ranges[] = {{"ordinary", 0.9f, 0.9f},
              {"saturated", 60, 5},
              {"tiny", 0x1p-30f, 0x1p-30f},
              {"denormal", 0x1p-127f, 0x1p-127f},
              {"zero", 0, 0}};
enum { CASES = COUNT(shapes) * COUNT(ranges) };

static size_t cost(size_t number) {
    const size_t *s = shapes[number % COUNT(shapes)];
    return 4 * s[1] * (s[0] + s[1] + 16) * s[2] * s[3];
}

enum { W_IH, W_HH, BIAS, X, C, H, DH, DC, DY, DW_IH, DW_HH, DBIAS, DX, GATES, TANH_C, PARTS };

typedef struct sequence {
    size_t inputs, hidden, steps, columns;
    tl_operand *part[PARTS];
    tally_layer_state state[TL_SIDES];
    bool with_dy, with_dx;
} sequence;

static void prepare(tl_case *c, sequence *q) {
    const size_t *s = shapes[c->number % COUNT(shapes)];
    size_t range = c->number / COUNT(shapes), rows = 4 * s[1];
    *q = (sequence){.inputs = s[0], .hidden = s[1], .steps = s[2], .columns = s[3]};
    q->with_dy = tl_random_below(&c->random, 2);
    q->with_dx = tl_random_below(&c->random, 2);
    tl_case_describe(c, "%zu inputs, %zu hidden, %zu steps, %zu columns, %s values", s[0], s[1], s[2], s[3],
                     ranges[range].name);
    const struct {
        const char *name;
        int ndim;
        size_t shape[3];
    } parts[PARTS] = {
        [W_IH] = {"w_ih", 2, {rows, s[0]}},
        [W_HH] = {"w_hh", 2, {rows, s[1]}},
        [BIAS] = {"bias", 1, {rows}},
        [X] = {"x", 3, {s[0], s[2], s[3]}},
        [C] = {"c", 3, {s[1], s[2] + 1, s[3]}},
        [H] = {"h", 3, {s[1], s[2] + 1, s[3]}},
        [DH] = {"dh", 2, {s[1], s[3]}},
        [DC] = {"dc", 2, {s[1], s[3]}},
        [DY] = {"dy", 3, {s[1], s[2], s[3]}},
        [DW_IH] = {"w_ih gradient", 2, {rows, s[0]}},
        [DW_HH] = {"w_hh gradient", 2, {rows, s[1]}},
        [DBIAS] = {"bias gradient", 1, {rows}},
        [DX] = {"dx", 3, {s[0], s[2], s[3]}},
        [GATES] = {"gates", 3, {rows, s[2], s[3]}},
        [TANH_C] = {"tanh_c", 3, {s[1], s[2], s[3]}},
    };
    for (int p = 0; p < PARTS; p++) {
        q->part[p] = tl_case_operand(c, parts[p].name, false, parts[p].ndim, parts[p].shape);
        float most = p == W_IH || p == W_HH || p == BIAS ? ranges[range].weights : ranges[range].states;
        if (p < GATES)
            tl_case_uniform(c, q->part[p], -most, most);
    }
}

static void forward(tl_case *c, sequence *q) {
    for (int i = 0; i < TL_SIDES && !c->status; i++) {
        tally_layer_state own;
        tl_case_keep(c,
                     tally_layer_state_new(c->device[i], TALLY_LSTM, q->inputs, q->hidden, q->steps, q->columns, &own));
        if (c->status)
            return;
        q->state[i] = own;
        tally_layer_state state = {.gates = q->part[GATES]->on[i],
                                   .c = q->part[C]->on[i],
                                   .h = q->part[H]->on[i],
                                   .tanh_c = q->part[TANH_C]->on[i],
                                   .dh = q->part[DH]->on[i],
                                   .dc = q->part[DC]->on[i],
                                   .scratch = own.scratch};
        tally_layer_weights weights = {q->part[W_IH]->on[i], q->part[W_HH]->on[i], q->part[BIAS]->on[i], TALLY_LSTM};
        tl_case_keep(c, tally_layer_forward(&weights, &q->part[X]->on[i], &state));
    }
}

static void backward(tl_case *c, const sequence *q) {
    for (int i = 0; i < TL_SIDES && !c->status; i++) {
        tally_layer_state state = {.gates = q->part[GATES]->on[i],
                                   .c = q->part[C]->on[i],
                                   .h = q->part[H]->on[i],
                                   .tanh_c = q->part[TANH_C]->on[i],
                                   .dh = q->part[DH]->on[i],
                                   .dc = q->part[DC]->on[i],
                                   .scratch = q->state[i].scratch};
        tally_layer_weights weights = {q->part[W_IH]->on[i], q->part[W_HH]->on[i], q->part[BIAS]->on[i], TALLY_LSTM};
        tally_layer_weights gradients = {q->part[DW_IH]->on[i], q->part[DW_HH]->on[i], q->part[DBIAS]->on[i],
                                         TALLY_LSTM};
        tl_case_keep(c, tally_layer_backward(&weights, &q->part[X]->on[i], q->with_dy ? &q->part[DY]->on[i] : NULL,
                                             &state, &gradients, q->with_dx ? &q->part[DX]->on[i] : NULL));
    }
}

static void end(sequence *q) {
    for (int i = 0; i < TL_SIDES; i++)
        tally_layer_state_free(&q->state[i]);
}

static void element(void *context, const char *name, const size_t place[3], float got, tl_bounded want) {
    tl_case_element(context, name, place, got, want);
}

static tl_layer_record record_of(const sequence *q) {
    tl_operand *const *part = q->part;
    return (tl_layer_record){
        .inputs = q->inputs,
        .hidden = q->hidden,
        .steps = q->steps,
        .columns = q->columns,
        .w_ih = part[W_IH]->before,
        .w_hh = part[W_HH]->before,
        .bias = part[BIAS]->before,
        .x = part[X]->before,
        .gates = part[GATES]->after[TL_DEVICE],
        .c = part[C]->after[TL_DEVICE],
        .tanh_c = part[TANH_C]->after[TL_DEVICE],
        .h = part[H]->after[TL_DEVICE],
    };
}

static void check_forward(tl_case *c) {
    static const int results[] = {GATES, C, H, TANH_C};
    sequence q;
    prepare(c, &q);
    forward(c, &q);
    for (size_t i = 0; i < COUNT(results); i++)
        tl_case_read(c, q.part[results[i]]);
    tl_layer_record record = record_of(&q);
    if (!c->status)
        tl_case_keep(c, tl_layer_record_forward(&record, element, c));
    for (size_t i = 0; i < COUNT(results); i++)
        tl_case_bits(c, q.part[results[i]]);
    end(&q);
}

const tl_check tl_check_layer_forward = {"layer_forward", CASES, cost, check_forward, true};

/* Both passes, and the second one checked. */
static void check_backward(tl_case *c) {
    static const int results[] = {GATES, DH, DC, DW_IH, DW_HH, DBIAS};
    sequence q;
    prepare(c, &q);
    forward(c, &q);
    tl_case_read(c, q.part[GATES]);
    tl_case_read(c, q.part[C]);
    tl_case_read(c, q.part[H]);
    tl_case_read(c, q.part[TANH_C]);
    size_t count = q.part[GATES]->elements;
    float *activated = tl_case_memory(c, count, sizeof *activated);
    for (size_t i = 0; i < count && activated; i++)
        activated[i] = q.part[GATES]->after[TL_DEVICE][i];
    backward(c, &q);
    for (size_t i = 0; i < COUNT(results); i++)
        tl_case_read(c, q.part[results[i]]);
    if (q.with_dx)
        tl_case_read(c, q.part[DX]);
    if (!c->status) {
        tl_layer_record record = record_of(&q);
        record.gates = activated;
        record.dy = q.with_dy ? q.part[DY]->before : NULL;
        record.dh_last = q.part[DH]->before;
        record.dc_last = q.part[DC]->before;
        record.dgates = q.part[GATES]->after[TL_DEVICE];
        record.dh = q.part[DH]->after[TL_DEVICE];
        record.dc = q.part[DC]->after[TL_DEVICE];
        record.dx = q.with_dx ? q.part[DX]->after[TL_DEVICE] : NULL;
        for (int g = 0; g < 3; g++) {
            record.before[g] = q.part[DW_IH + g]->before;
            record.after[g] = q.part[DW_IH + g]->after[TL_DEVICE];
        }
        tl_case_keep(c, tl_layer_record_backward(&record, element, c));
    }
    q.part[GATES]->name = "gate gradients";
    for (size_t i = 0; i < COUNT(results); i++)
        tl_case_bits(c, q.part[results[i]]);
    if (q.with_dx)
        tl_case_bits(c, q.part[DX]);
    end(&q);
}

const tl_check tl_check_layer_backward = {"layer_backward", CASES, cost, check_backward, true};
