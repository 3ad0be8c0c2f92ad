/* The cells' gate math, forward and backward, with ordinary and with extreme values. */
#include "compare.h"
#include "guarded.h"
#include "ops.h"
#include "parity/bounded_ops.h"
#include "reference.h"

#include <stdlib.h>
#include <string.h>

enum { GATES, PREVIOUS, C, TANH_C, H, DH, DC, PARTS };
static const char *const part_names[PARTS] = {"gates", "previous", "c", "tanh_c", "h", "dh", "dc"};

/* The operands of one call, feature-major: gates [G][H][N], all others [H][N]. */
typedef struct cells {
    tally_cell cell;
    size_t hidden, columns;
    tl_layout how;
    float *part[PARTS];
} cells;

static bool has(tally_cell cell, int part) {
    switch (part) {
    case GATES:
    case H:
    case DH:
        return true;
    case PREVIOUS:
        return cell == TALLY_LSTM || cell == TALLY_GRU;
    default:
        return cell == TALLY_LSTM;
    }
}

static bool changes(tally_cell cell, int part, bool forward) {
    return part == GATES || (forward ? part >= C && part <= H : part == DC || (part == DH && cell == TALLY_GRU));
}

static size_t rows_of(const cells *s, int part) {
    return (part == GATES ? tally_cell_gates(s->cell) : 1) * s->hidden;
}

/* The number of elements of a part [H][N]. */
static size_t count_of(const cells *s) {
    return s->hidden * s->columns;
}

static cells cells_new(tally_cell cell, size_t hidden, size_t columns, tl_layout how) {
    cells s = {.cell = cell, .hidden = hidden, .columns = columns, .how = how};
    for (int part = 0; part < PARTS; part++)
        s.part[part] = suite_memory(rows_of(&s, part) * columns, sizeof(float));
    return s;
}

static void cells_free(cells *s) {
    for (int part = 0; part < PARTS; part++)
        free(s->part[part]);
}

static cells copy_of(const cells *s) {
    cells copy = cells_new(s->cell, s->hidden, s->columns, s->how);
    for (int part = 0; part < PARTS; part++)
        memcpy(copy.part[part], s->part[part], rows_of(s, part) * s->columns * sizeof(float));
    return copy;
}

/* Runs the operation and replaces the parts that it changes. */
static void run_cell(tally_device *device, cells *s, bool forward) {
    tl_guarded g[PARTS];
    const tally_tensor *t[PARTS] = {0};
    for (int part = 0; part < PARTS; part++) {
        if (!has(s->cell, part))
            continue;
        bool new = forward &&part >= C &&part <= H;
        g[part] = guarded_matrix(device, s->how, rows_of(s, part), s->columns, new ? NULL : s->part[part]);
        t[part] = &g[part].tensor;
    }
    suite_ok(forward ? tally_cell_forward(s->cell, t[GATES], t[PREVIOUS], t[C], t[TANH_C], t[H])
                     : tally_cell_backward(s->cell, t[GATES], t[PREVIOUS], t[TANH_C], t[DH], t[DC]));
    for (int part = 0; part < PARTS; part++) {
        if (!has(s->cell, part))
            continue;
        if (changes(s->cell, part, forward))
            guarded_read(&g[part], part_names[part], s->part[part]);
        else
            guarded_unchanged(&g[part], part_names[part]);
        tl_guarded_free(&g[part]);
    }
}

/* One unit of one column. */
typedef struct unit {
    double gate[4], part[PARTS];
    tl_bounded bound_gate[4], bound[PARTS];
} unit;

static unit unit_of(const cells *s, size_t i) {
    unit u;
    for (size_t g = 0; g < tally_cell_gates(s->cell); g++) {
        u.gate[g] = (double)s->part[GATES][g * count_of(s) + i];
        u.bound_gate[g] = tl_bounded_of(u.gate[g]);
    }
    for (int part = PREVIOUS; part < PARTS; part++) {
        u.part[part] = (double)s->part[part][i];
        u.bound[part] = tl_bounded_of(u.part[part]);
    }
    return u;
}

static void compare_one(const char *name, float got, double want, double bound) {
    compare_within(name, &got, &want, &bound, 1);
}

/* bits: the operands contain no denormals, so that every device must give the same bits. */
static void check_cell(const cells *s, bool forward, bool bits) {
    suite_case("%s cell_%s, %zu units, %zu columns, %s", tally_cell_name(s->cell), forward ? "forward" : "backward",
               s->hidden, s->columns, tl_layout_name(s->how));
    cells got = copy_of(s), other = copy_of(s);
    run_cell(the.device, &got, forward);
    run_cell(the.peer, &other, forward);
    for (size_t i = 0; i < count_of(s); i++) {
        unit u = unit_of(s, i);
        if (forward) {
            reference_cell(s->cell, u.gate, u.part[PREVIOUS], &u.part[C], &u.part[TANH_C], &u.part[H]);
            tl_bounded_cell(s->cell, u.bound_gate, u.bound[PREVIOUS], &u.bound[C], &u.bound[TANH_C], &u.bound[H]);
        } else {
            reference_cell_backward(s->cell, u.gate, u.part[PREVIOUS], u.part[TANH_C], &u.part[DH], &u.part[DC]);
            tl_bounded_cell_backward(s->cell, u.bound_gate, u.bound[PREVIOUS], u.bound[TANH_C], &u.bound[DH],
                                     &u.bound[DC]);
        }
        for (size_t g = 0; g < tally_cell_gates(s->cell); g++)
            compare_one("gates", got.part[GATES][g * count_of(s) + i], u.gate[g], u.bound_gate[g].e);
        for (int part = PREVIOUS; part < PARTS; part++)
            if (has(s->cell, part) && changes(s->cell, part, forward))
                compare_one(part_names[part], got.part[part][i], u.part[part], u.bound[part].e);
    }
    for (int part = 0; part < PARTS && (bits || the.keeps_denormal); part++)
        if (has(s->cell, part))
            compare_bits(part_names[part], got.part[part], other.part[part], rows_of(s, part) * s->columns);
    cells_free(&got);
    cells_free(&other);
}

/* Ranges in which gates are neither linear nor all saturated. */
static void random_forward(cells *s) {
    suite_uniforms(s->part[GATES], rows_of(s, GATES) * s->columns, -6, 6);
    suite_uniforms(s->part[PREVIOUS], count_of(s), -3, 3);
}

static void random_backward(cells *s) {
    static const float activated[TALLY_CELLS][4][2] = {
        [TALLY_LSTM] = {{0, 1}, {0, 1}, {-1, 1}, {0, 1}},
        [TALLY_GRU] = {{-1, 1}, {0, 1}, {0, 1}, {-3, 3}},
        [TALLY_RNN] = {{-1, 1}},
        [TALLY_RNN_RELU] = {{-2, 2}}, /* below 0 there is no gradient */
    };
    size_t count = count_of(s);
    for (size_t g = 0; g < tally_cell_gates(s->cell); g++)
        suite_uniforms(s->part[GATES] + g * count, count, activated[s->cell][g][0], activated[s->cell][g][1]);
    suite_uniforms(s->part[PREVIOUS], count, -3, 3);
    suite_uniforms(s->part[TANH_C], count, -1, 1);
    suite_uniforms(s->part[DH], count, -2, 2);
    suite_uniforms(s->part[DC], count, -2, 2);
}

static void every_size_of(tally_cell cell) {
    for (size_t i = 0; i < odd_sizes_used(); i++)
        for (size_t j = 0; j < odd_sizes_used(); j++)
            for (int how = 0; how < TL_MATRIX_LAYOUTS; how++) {
                if (the.small && (i + j) % TL_MATRIX_LAYOUTS != (size_t)how)
                    continue;
                cells s = cells_new(cell, odd_sizes[i], odd_sizes[j], (tl_layout)how);
                random_forward(&s);
                check_cell(&s, true, true);
                random_backward(&s);
                check_cell(&s, false, true);
                cells_free(&s);
            }
}

static void every_size(void **state) {
    (void)state;
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        every_size_of((tally_cell)cell);
}

static const float extremes[] = {0.0f,     -0.0f,     1,         -1,        8.5f,       -8.5f,
                                 9.1f,     17.5f,     -87.0f,    -88.5f,    -103.5f,    -104.5f,
                                 100,      -100,      1e30f,     -1e30f,    INFINITY,   -INFINITY,
                                 0x1p-24f, -0x1p-30f, 0x1p-126f, 0x1p-140f, -0x1p-149f, 0x1.fffffep+127f,
                                 NAN};
enum { EXTREMES = sizeof extremes / sizeof *extremes };

/* Each extreme value as each pre-activation, among ordinary ones, with each extreme previous state. */
static void extreme_gates(void **state) {
    (void)state;
    static const float states_before[] = {0.0f, -0.0f, 1.5f, -1e30f, 0x1p-140f, NAN};
    enum { BEFORE = sizeof states_before / sizeof *states_before };
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        for (size_t before = 0; before < (has((tally_cell)cell, PREVIOUS) ? BEFORE : 1); before++)
            for (size_t g = 0; g < tally_cell_gates((tally_cell)cell); g++) {
                cells s = cells_new((tally_cell)cell, 1, EXTREMES, TL_FLAT);
                random_forward(&s);
                for (size_t i = 0; i < EXTREMES; i++) {
                    s.part[GATES][g * EXTREMES + i] = extremes[i];
                    s.part[PREVIOUS][i] = states_before[before];
                }
                check_cell(&s, true, false);
                cells_free(&s);
            }
}

static void infinite_states(void **state) {
    (void)state;
    for (int cell = TALLY_LSTM; cell <= TALLY_GRU; cell++)
        for (int sign = -1; sign <= 1; sign += 2) {
            cells s = cells_new((tally_cell)cell, 3, 5, TL_FLAT);
            random_forward(&s);
            s.part[PREVIOUS][suite_pick(15)] = (float)sign * INFINITY;
            check_cell(&s, true, true);
            cells_free(&s);
        }
}

/* Two columns whose gates are saturated. What remains is the gradient that bypasses them: all of it, or nothing. */
static void saturated_cells_have_no_gradient(void **state) {
    (void)state;
    static const float saturated[TALLY_CELLS][8] = {
        [TALLY_LSTM] = {1, 0, 0, 1, 1, -1, 1, 0},
        [TALLY_GRU] = {1, -1, 1, 0, 0, 1, 1e20f, -1e20f},
        [TALLY_RNN] = {1, -1},
        [TALLY_RNN_RELU] = {0, -0.0f},
    };
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        suite_case("%s cell_backward of saturated gates", tally_cell_name((tally_cell)cell));
        cells s = cells_new((tally_cell)cell, 1, 2, TL_FLAT);
        size_t gates = rows_of(&s, GATES) * 2;
        memcpy(s.part[GATES], saturated[cell], gates * sizeof(float));
        for (size_t i = 0; i < 2; i++) {
            s.part[PREVIOUS][i] = 1e20f;
            s.part[TANH_C][i] = i ? -1.0f : 1.0f;
            s.part[DH][i] = 1e10f;
            s.part[DC][i] = -3;
        }
        run_cell(the.device, &s, false);
        for (size_t i = 0; i < gates; i++)
            assert_true(s.part[GATES][i] == 0.0f);
        if (cell == TALLY_LSTM)
            assert_true(s.part[DC][0] == 0.0f && s.part[DC][1] == -3.0f);
        if (cell == TALLY_GRU)
            assert_true(s.part[DH][0] == 0.0f && s.part[DH][1] == 1e10f);
        cells_free(&s);
    }
}

static void extreme_gradients(void **state) {
    (void)state;
    static const float gradients[] = {0.0f,      -0.0f,      1e-30f,   1e15f,     -1e15f,           0x1p-126f,
                                      0x1p-140f, -0x1p-149f, 0x1p-95f, -0x1p-95f, -0x1.fffffep-96f, NAN};
    enum { GRADIENTS = sizeof gradients / sizeof *gradients };
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        for (size_t i = 0; i < GRADIENTS; i++)
            for (size_t j = 0; j < (has((tally_cell)cell, DC) ? GRADIENTS : 1); j++) {
                cells s = cells_new((tally_cell)cell, 3, 5, TL_FLAT);
                random_backward(&s);
                s.part[DH][suite_pick(15)] = gradients[i];
                s.part[DC][suite_pick(15)] = gradients[j];
                check_cell(&s, false, false);
                cells_free(&s);
            }
}

static void nan_reaches_what_depends_on_it(void **state) {
    (void)state;
    static const int operands[] = {GATES, PREVIOUS, TANH_C, DH, DC};
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        for (size_t i = 0; i < sizeof operands / sizeof *operands; i++) {
            cells s = cells_new((tally_cell)cell, 3, 7, TL_PADDED);
            random_backward(&s);
            s.part[operands[i]][suite_pick(operands[i] == GATES ? rows_of(&s, GATES) * 7 : 21)] = NAN;
            check_cell(&s, false, true);
            cells_free(&s);
        }
}

int ops_cell(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size),
        cmocka_unit_test(extreme_gates),
        cmocka_unit_test(infinite_states),
        cmocka_unit_test(extreme_gradients),
        cmocka_unit_test(saturated_cells_have_no_gradient),
        cmocka_unit_test(nan_reaches_what_depends_on_it),
    };
    return cmocka_run_group_tests_name("cells", tests, NULL, NULL);
}
