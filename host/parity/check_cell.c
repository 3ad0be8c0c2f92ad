/* The cells' gate math. */
#include "backend/cells.h"
#include "parity/bounded_ops.h"
#include "parity/checks.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const size_t shapes[][2] = {{1, 1}, {2, 31}, {3, 16}, {7, 33}, {24, 64}, {5, 257}};

/* The ranges of pre-activations and states. */
static const struct {
    const char *name;
    float gates, cells;
} ranges[] = {{"ordinary", 6, 3},
              {"saturated", 100, 50},
              {"small", 0x1p-12f, 0x1p-12f},
              {"vanishing", 6, 0x1p-94f},
              {"denormal", 0x1p-127f, 0x1p-128f},
              {"zero", 0, 0}};

enum { OF_A_CELL = COUNT(shapes) * COUNT(ranges), CASES = OF_A_CELL * TALLY_CELLS };

static size_t cost(size_t number) {
    return shapes[number % COUNT(shapes)][0] * shapes[number % COUNT(shapes)][1] * 64;
}

/* The parameters of a case. */
typedef struct gate_math {
    tally_cell cell;
    const size_t *shape; /* of every operand but the gates */
    size_t count, range;
    bool spaced;
    tl_operand *gates;
} gate_math;

static gate_math gate_math_of(tl_case *c) {
    gate_math m = {.cell = (tally_cell)(c->number / OF_A_CELL),
                   .shape = shapes[c->number % COUNT(shapes)],
                   .range = c->number / COUNT(shapes) % COUNT(ranges),
                   .spaced = tl_random_below(&c->random, 2)};
    m.count = m.shape[0] * m.shape[1];
    tl_case_describe(c, "%s, %zu units, %zu columns%s, %s values", tally_cell_name(m.cell), m.shape[0], m.shape[1],
                     m.spaced ? ", cut out" : "", ranges[m.range].name);
    m.gates = tl_case_operand(c, "gates", m.spaced, 2, (size_t[]){tl_cell_gates(m.cell) * m.shape[0], m.shape[1]});
    return m;
}

/* NULL if the cell has no such tensor. */
static tl_operand *operand_if(tl_case *c, const gate_math *m, bool has, const char *name) {
    return has ? tl_case_operand(c, name, m->spaced, 2, m->shape) : NULL;
}

static const tally_tensor *side(const tl_operand *o, int i) {
    return o ? &o->on[i] : NULL;
}

static tl_operand *previous_of(tl_case *c, const gate_math *m) {
    return operand_if(c, m, tl_cell_previous(m->cell) != TL_READS_NOTHING,
                      tl_cell_previous(m->cell) == TL_READS_H ? "h_prev" : "c_prev");
}

static void fill_uniform(tl_case *c, tl_operand *o, float most) {
    if (o)
        tl_case_uniform(c, o, -most, most);
}

/* An operand's element, or zero if there is no operand. */
static tl_bounded element(const tl_operand *o, size_t i) {
    return tl_bounded_of(o ? (double)o->before[i] : 0);
}

static void gates_at(const gate_math *m, size_t i, tl_bounded gate[TL_MOST_GATES]) {
    for (size_t g = 0; g < tl_cell_gates(m->cell); g++)
        gate[g] = element(m->gates, g * m->count + i);
}

static void put_gates(const gate_math *m, size_t i, const tl_bounded gate[TL_MOST_GATES], tl_bounded *want) {
    for (size_t g = 0; g < tl_cell_gates(m->cell); g++)
        want[g * m->count + i] = gate[g];
}

/* Reads and compares the gates and the other results. */
static void compare_results(tl_case *c, const gate_math *m, const tl_bounded *want_gates, tl_operand *const results[],
                            tl_bounded *const want[], size_t count) {
    tl_case_read(c, m->gates);
    for (size_t r = 0; r < count; r++)
        if (results[r])
            tl_case_read(c, results[r]);
    tl_case_compare(c, m->gates, want_gates);
    for (size_t r = 0; r < count; r++)
        if (results[r])
            tl_case_compare(c, results[r], want[r]);
}

static void check_cell_forward(tl_case *c) {
    gate_math m = gate_math_of(c);
    const bool has_state = tl_cell_state(m.cell);
    tl_operand *previous = previous_of(c, &m);
    tl_operand *results[] = {operand_if(c, &m, has_state, "c"), operand_if(c, &m, has_state, "tanh_c"),
                             operand_if(c, &m, true, "h")};
    fill_uniform(c, m.gates, ranges[m.range].gates);
    fill_uniform(c, previous, ranges[m.range].cells);
    for (int i = 0; i < TL_SIDES && !c->status; i++)
        tl_case_keep(c, tally_cell_forward(m.cell, &m.gates->on[i], side(previous, i), side(results[0], i),
                                           side(results[1], i), side(results[2], i)));
    tl_bounded *want_gates = tl_case_memory(c, m.gates->elements, sizeof *want_gates), *want[COUNT(results)];
    for (size_t r = 0; r < COUNT(results); r++)
        want[r] = tl_case_memory(c, m.count, sizeof *want[r]);
    for (size_t i = 0; i < m.count && !c->status; i++) {
        tl_bounded gate[TL_MOST_GATES];
        gates_at(&m, i, gate);
        tl_bounded_cell(m.cell, gate, element(previous, i), &want[0][i], &want[1][i], &want[2][i]);
        put_gates(&m, i, gate, want_gates);
    }
    compare_results(c, &m, want_gates, results, want, COUNT(results));
}

const tl_check tl_check_cell_forward = {"cell_forward", CASES, cost, check_cell_forward, false};

/* The activation of a gate. */
static double activated(tally_cell cell, size_t gate, double x) {
    if (cell == TALLY_RNN_RELU)
        return fmax(x, 0);
    bool is_tanh = gate == (cell == TALLY_LSTM ? 2 : 0), stays = cell == TALLY_GRU && gate == 3;
    return stays ? x : is_tanh ? tanh(x) : 1 / (1 + exp(-x));
}

static void write_activated(tl_case *c, const gate_math *m) {
    float *values = tl_case_memory(c, m->gates->elements, sizeof *values);
    for (size_t i = 0; i < m->gates->elements && values; i++) {
        double x = (double)(ranges[m->range].gates * (2 * tl_random_unit(&c->random) - 1));
        values[i] = (float)activated(m->cell, i / m->count, x);
    }
    if (values)
        tl_case_write(c, m->gates, values);
}

static void check_cell_backward(tl_case *c) {
    gate_math m = gate_math_of(c);
    const bool has_state = tl_cell_state(m.cell);
    const float most = ranges[m.range].cells;
    tl_operand *previous = previous_of(c, &m), *tanh_c = operand_if(c, &m, has_state, "tanh_c");
    tl_operand *dh = operand_if(c, &m, true, "dh"), *dc = operand_if(c, &m, has_state, "dc");
    write_activated(c, &m);
    fill_uniform(c, previous, most);
    fill_uniform(c, tanh_c, fminf(most, 1));
    fill_uniform(c, dh, most);
    fill_uniform(c, dc, most);
    for (int i = 0; i < TL_SIDES && !c->status; i++)
        tl_case_keep(c, tally_cell_backward(m.cell, &m.gates->on[i], side(previous, i), side(tanh_c, i), &dh->on[i],
                                            side(dc, i)));
    tl_operand *results[] = {dc, tl_cell_bypass(m.cell) ? dh : NULL};
    tl_bounded *want_gates = tl_case_memory(c, m.gates->elements, sizeof *want_gates), *want[COUNT(results)];
    for (size_t r = 0; r < COUNT(results); r++)
        want[r] = tl_case_memory(c, m.count, sizeof *want[r]);
    for (size_t i = 0; i < m.count && !c->status; i++) {
        tl_bounded gate[TL_MOST_GATES];
        gates_at(&m, i, gate);
        want[0][i] = element(dc, i);
        want[1][i] = element(dh, i);
        tl_bounded_cell_backward(m.cell, gate, element(previous, i), element(tanh_c, i), &want[1][i], &want[0][i]);
        put_gates(&m, i, gate, want_gates);
    }
    compare_results(c, &m, want_gates, results, want, COUNT(results));
}

const tl_check tl_check_cell_backward = {"cell_backward", CASES, cost, check_cell_backward, false};
