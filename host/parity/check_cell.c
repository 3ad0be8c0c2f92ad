/* The LSTM cell's gate math. */
#include "parity/bounded_ops.h"
#include "parity/checks.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const size_t shapes[][2] = {{1, 1}, {2, 31}, {3, 16}, {7, 33}, {24, 64}, {5, 257}};

/* What pre-activations are like. */
static const struct {
    const char *name;
    float gates, cells;
} ranges[] = {{"ordinary", 6, 3},
              {"saturated", 100, 50},
              {"small", 0x1p-12f, 0x1p-12f},
              {"denormal", 0x1p-127f, 0x1p-128f},
              {"zero", 0, 0}};

enum { CASES = COUNT(shapes) * COUNT(ranges) };

static size_t cost(size_t number) {
    return shapes[number % COUNT(shapes)][0] * shapes[number % COUNT(shapes)][1] * 64;
}

static void describe(tl_case *c, bool spaced) {
    const size_t *s = shapes[c->number % COUNT(shapes)];
    tl_case_describe(c, "%zu units, %zu columns%s, %s values", s[0], s[1], spaced ? ", cut out" : "",
                     ranges[c->number / COUNT(shapes)].name);
}

static void forward(tl_case *c) {
    const size_t *s = shapes[c->number % COUNT(shapes)], count = s[0] * s[1];
    size_t range = c->number / COUNT(shapes);
    bool spaced = tl_random_below(&c->random, 2);
    describe(c, spaced);
    tl_operand *gates = tl_case_operand(c, "gates", spaced, 2, (size_t[]){4 * s[0], s[1]});
    static const char *const names[] = {"c_prev", "c", "tanh_c", "h"};
    tl_operand *o[4];
    for (int i = 0; i < 4; i++)
        o[i] = tl_case_operand(c, names[i], spaced, 2, s);
    tl_case_uniform(c, gates, -ranges[range].gates, ranges[range].gates);
    tl_case_uniform(c, o[0], -ranges[range].cells, ranges[range].cells);
    for (int i = 0; i < TL_SIDES && !c->status; i++)
        tl_case_keep(
            c, tally_cell_forward(TALLY_LSTM, &gates->on[i], &o[0]->on[i], &o[1]->on[i], &o[2]->on[i], &o[3]->on[i]));
    tl_case_read(c, gates);
    for (int i = 1; i < 4; i++)
        tl_case_read(c, o[i]);
    tl_bounded *want_gates = tl_case_memory(c, 4 * count, sizeof *want_gates), *want[4];
    for (int i = 1; i < 4; i++)
        want[i] = tl_case_memory(c, count, sizeof *want[i]);
    for (size_t i = 0; i < count && !c->status; i++) {
        tl_bounded gate[4];
        for (size_t g = 0; g < 4; g++)
            gate[g] = tl_bounded_of((double)gates->before[g * count + i]);
        tl_bounded_cell(gate, tl_bounded_of((double)o[0]->before[i]), &want[1][i], &want[2][i], &want[3][i]);
        for (size_t g = 0; g < 4; g++)
            want_gates[g * count + i] = gate[g];
    }
    if (c->status)
        return;
    tl_case_compare(c, gates, want_gates);
    for (int i = 1; i < 4; i++)
        tl_case_compare(c, o[i], want[i]);
}

const tl_check tl_check_cell_forward = {"cell_forward", CASES, cost, forward, false};

static void backward(tl_case *c) {
    const size_t *s = shapes[c->number % COUNT(shapes)], count = s[0] * s[1];
    size_t range = c->number / COUNT(shapes);
    bool spaced = tl_random_below(&c->random, 2);
    describe(c, spaced);
    tl_operand *gates = tl_case_operand(c, "gates", spaced, 2, (size_t[]){4 * s[0], s[1]});
    static const char *const names[] = {"c_prev", "tanh_c", "dh", "dc"};
    tl_operand *o[4];
    for (int i = 0; i < 4; i++)
        o[i] = tl_case_operand(c, names[i], spaced, 2, s);
    /* Activated gates: what the cell makes of the range. */
    float *values = tl_case_memory(c, 4 * count, sizeof *values);
    for (size_t i = 0; i < 4 * count && values; i++) {
        double x = (double)(ranges[range].gates * (2 * tl_random_unit(&c->random) - 1));
        values[i] = (float)(i / count == 2 ? tanh(x) : 1 / (1 + exp(-x)));
    }
    if (c->status)
        return;
    tl_case_write(c, gates, values);
    tl_case_uniform(c, o[0], -ranges[range].cells, ranges[range].cells);
    tl_case_uniform(c, o[1], -fminf(ranges[range].cells, 1), fminf(ranges[range].cells, 1));
    tl_case_uniform(c, o[2], -ranges[range].cells, ranges[range].cells);
    tl_case_uniform(c, o[3], -ranges[range].cells, ranges[range].cells);
    for (int i = 0; i < TL_SIDES && !c->status; i++)
        tl_case_keep(
            c, tally_cell_backward(TALLY_LSTM, &gates->on[i], &o[0]->on[i], &o[1]->on[i], &o[2]->on[i], &o[3]->on[i]));
    tl_case_read(c, gates);
    tl_case_read(c, o[3]);
    tl_bounded *want_gates = tl_case_memory(c, 4 * count, sizeof *want_gates);
    tl_bounded *want_dc = tl_case_memory(c, count, sizeof *want_dc);
    for (size_t i = 0; i < count && !c->status; i++) {
        tl_bounded gate[4], at[4];
        for (size_t g = 0; g < 4; g++) {
            gate[g] = tl_bounded_of((double)gates->before[g * count + i]);
            at[g] = tl_bounded_of((double)o[g]->before[i]);
        }
        tl_bounded_cell_backward(gate, at[0], at[1], at[2], &at[3]);
        want_dc[i] = at[3];
        for (size_t g = 0; g < 4; g++)
            want_gates[g * count + i] = gate[g];
    }
    if (c->status)
        return;
    tl_case_compare(c, gates, want_gates);
    tl_case_compare(c, o[3], want_dc);
}

const tl_check tl_check_cell_backward = {"cell_backward", CASES, cost, backward, false};
