/* The LSTM cell's gate math, forward and backward, and how it takes extreme values. */
#include "compare.h"
#include "guarded.h"
#include "ops.h"
#include "parity/bounded_model.h"
#include "reference.h"

#include <stdlib.h>
#include <string.h>

/* Everything about one call, feature-major: gates [4][H][N], the others [H][N]. */
typedef struct cells {
    size_t hidden, columns;
    layout how;
    float *gates, *c_prev, *c, *tanh_c, *h, *dh, *dc;
} cells;

static size_t count_of(const cells *s) {
    return s->hidden * s->columns;
}

static cells cells_new(size_t hidden, size_t columns, layout how) {
    cells s = {.hidden = hidden, .columns = columns, .how = how};
    size_t count = hidden * columns;
    s.gates = suite_memory(4 * count, sizeof(float));
    float **parts[] = {&s.c_prev, &s.c, &s.tanh_c, &s.h, &s.dh, &s.dc};
    for (size_t i = 0; i < 6; i++)
        *parts[i] = suite_memory(count, sizeof(float));
    return s;
}

static void cells_free(cells *s) {
    float *parts[] = {s->gates, s->c_prev, s->c, s->tanh_c, s->h, s->dh, s->dc};
    for (size_t i = 0; i < 7; i++)
        free(parts[i]);
}

/* Replaces gates and fills c, tanh_c and h. */
static void run_forward(tally_device *device, cells *s) {
    size_t hidden = s->hidden, n = s->columns;
    guarded gates = guarded_matrix(device, s->how, 4 * hidden, n, s->gates);
    guarded c_prev = guarded_matrix(device, s->how, hidden, n, s->c_prev);
    guarded c = guarded_matrix(device, s->how, hidden, n, NULL),
            tanh_c = guarded_matrix(device, s->how, hidden, n, NULL);
    guarded h = guarded_matrix(device, s->how, hidden, n, NULL);
    suite_ok(tally_cell_forward(TALLY_LSTM, &gates.tensor, &c_prev.tensor, &c.tensor, &tanh_c.tensor, &h.tensor));
    guarded_unchanged(&c_prev, "c_prev");
    guarded_read(&gates, "gates", s->gates);
    guarded_read(&c, "c", s->c);
    guarded_read(&tanh_c, "tanh_c", s->tanh_c);
    guarded_read(&h, "h", s->h);
    guarded *all[] = {&gates, &c_prev, &c, &tanh_c, &h};
    for (size_t i = 0; i < 5; i++)
        guarded_free(all[i]);
}

/* Replaces gates and dc. */
static void run_backward(tally_device *device, cells *s) {
    size_t hidden = s->hidden, n = s->columns;
    guarded gates = guarded_matrix(device, s->how, 4 * hidden, n, s->gates);
    guarded c_prev = guarded_matrix(device, s->how, hidden, n, s->c_prev);
    guarded tanh_c = guarded_matrix(device, s->how, hidden, n, s->tanh_c);
    guarded dh = guarded_matrix(device, s->how, hidden, n, s->dh),
            dc = guarded_matrix(device, s->how, hidden, n, s->dc);
    suite_ok(tally_cell_backward(TALLY_LSTM, &gates.tensor, &c_prev.tensor, &tanh_c.tensor, &dh.tensor, &dc.tensor));
    guarded_unchanged(&c_prev, "c_prev");
    guarded_unchanged(&tanh_c, "tanh_c");
    guarded_unchanged(&dh, "dh");
    guarded_read(&gates, "gates", s->gates);
    guarded_read(&dc, "dc", s->dc);
    guarded *all[] = {&gates, &c_prev, &tanh_c, &dh, &dc};
    for (size_t i = 0; i < 5; i++)
        guarded_free(all[i]);
}

static cells copy_of(const cells *s) {
    cells copy = cells_new(s->hidden, s->columns, s->how);
    size_t bytes = count_of(s) * sizeof(float);
    memcpy(copy.gates, s->gates, 4 * bytes);
    memcpy(copy.c_prev, s->c_prev, bytes);
    memcpy(copy.tanh_c, s->tanh_c, bytes);
    memcpy(copy.dh, s->dh, bytes);
    memcpy(copy.dc, s->dc, bytes);
    return copy;
}

static void compare_one(const char *name, float got, double want, double bound) {
    compare_within(name, &got, &want, &bound, 1);
}

/* bits: no denormal is among the operands, so that every device must give the same. */
static void check_forward(cells *s, bool bits) {
    suite_case("cell_forward, %zu units, %zu columns, %s", s->hidden, s->columns, layout_names[s->how]);
    cells got = copy_of(s), other = copy_of(s);
    run_forward(the.device, &got);
    run_forward(the.peer, &other);
    size_t count = count_of(s);
    for (size_t i = 0; i < count; i++) {
        double gate[4], c, tanh_c, h;
        tl_bounded bound[4], bound_c, bound_tanh_c, bound_h;
        for (size_t g = 0; g < 4; g++) {
            gate[g] = (double)s->gates[g * count + i];
            bound[g] = tl_bounded_of(gate[g]);
        }
        reference_cell(TALLY_LSTM, gate, (double)s->c_prev[i], &c, &tanh_c, &h);
        tl_bounded_cell(TALLY_LSTM, bound, tl_bounded_of((double)s->c_prev[i]), &bound_c, &bound_tanh_c, &bound_h);
        for (size_t g = 0; g < 4; g++)
            compare_one("gates", got.gates[g * count + i], gate[g], bound[g].e);
        compare_one("c", got.c[i], c, bound_c.e);
        compare_one("tanh_c", got.tanh_c[i], tanh_c, bound_tanh_c.e);
        compare_one("h", got.h[i], h, bound_h.e);
    }
    if (bits || the.keeps_denormal) {
        compare_bits("gates", got.gates, other.gates, 4 * count);
        compare_bits("c", got.c, other.c, count);
        compare_bits("tanh_c", got.tanh_c, other.tanh_c, count);
        compare_bits("h", got.h, other.h, count);
    }
    cells_free(&got);
    cells_free(&other);
}

static void check_backward(cells *s, bool bits) {
    suite_case("cell_backward, %zu units, %zu columns, %s", s->hidden, s->columns, layout_names[s->how]);
    cells got = copy_of(s), other = copy_of(s);
    run_backward(the.device, &got);
    run_backward(the.peer, &other);
    size_t count = count_of(s);
    for (size_t i = 0; i < count; i++) {
        double gate[4], dh = (double)s->dh[i], dc = (double)s->dc[i];
        tl_bounded bound[4], bound_dh = tl_bounded_of((double)s->dh[i]), bound_dc = tl_bounded_of(dc);
        for (size_t g = 0; g < 4; g++) {
            gate[g] = (double)s->gates[g * count + i];
            bound[g] = tl_bounded_of(gate[g]);
        }
        reference_cell_backward(TALLY_LSTM, gate, (double)s->c_prev[i], (double)s->tanh_c[i], &dh, &dc);
        tl_bounded_cell_backward(TALLY_LSTM, bound, tl_bounded_of((double)s->c_prev[i]),
                                 tl_bounded_of((double)s->tanh_c[i]), &bound_dh, &bound_dc);
        for (size_t g = 0; g < 4; g++)
            compare_one("gates", got.gates[g * count + i], gate[g], bound[g].e);
        compare_one("dc", got.dc[i], dc, bound_dc.e);
    }
    if (bits || the.keeps_denormal) {
        compare_bits("gates", got.gates, other.gates, 4 * count);
        compare_bits("dc", got.dc, other.dc, count);
    }
    cells_free(&got);
    cells_free(&other);
}

/* Ranges in which gates are neither linear nor all saturated. */
static void random_forward(cells *s) {
    suite_uniforms(s->gates, 4 * count_of(s), -6, 6);
    suite_uniforms(s->c_prev, count_of(s), -3, 3);
}

static void random_backward(cells *s) {
    size_t count = count_of(s);
    suite_uniforms(s->gates, 2 * count, 0, 1);
    suite_uniforms(s->gates + 2 * count, count, -1, 1);
    suite_uniforms(s->gates + 3 * count, count, 0, 1);
    suite_uniforms(s->c_prev, count, -3, 3);
    suite_uniforms(s->tanh_c, count, -1, 1);
    suite_uniforms(s->dh, count, -2, 2);
    suite_uniforms(s->dc, count, -2, 2);
}

static void every_size(void **state) {
    (void)state;
    for (size_t i = 0; i < odd_sizes_used(); i++)
        for (size_t j = 0; j < odd_sizes_used(); j++)
            for (int how = 0; how < LAYOUTS; how++) {
                if (the.small && (i + j) % LAYOUTS != (size_t)how)
                    continue;
                cells s = cells_new(odd_sizes[i], odd_sizes[j], (layout)how);
                random_forward(&s);
                check_forward(&s, true);
                random_backward(&s);
                check_backward(&s, true);
                cells_free(&s);
            }
}

static const float extremes[] = {0.0f,     -0.0f,     1,         -1,        8.5f,       -8.5f,
                                 9.1f,     17.5f,     -87.0f,    -88.5f,    -103.5f,    -104.5f,
                                 100,      -100,      1e30f,     -1e30f,    INFINITY,   -INFINITY,
                                 0x1p-24f, -0x1p-30f, 0x1p-126f, 0x1p-140f, -0x1p-149f, 0x1.fffffep+127f,
                                 NAN};
enum { EXTREMES = sizeof extremes / sizeof *extremes };

/* Each extreme as each pre-activation, between ordinary ones and each of the previous cell states. */
static void extreme_gates(void **state) {
    (void)state;
    static const float cells_before[] = {0.0f, -0.0f, 1.5f, -1e30f, 0x1p-140f, NAN};
    enum { BEFORE = sizeof cells_before / sizeof *cells_before };
    for (size_t before = 0; before < BEFORE; before++)
        for (size_t g = 0; g < 4; g++) {
            cells s = cells_new(1, EXTREMES, FLAT);
            random_forward(&s);
            for (size_t i = 0; i < EXTREMES; i++) {
                s.gates[g * EXTREMES + i] = extremes[i];
                s.c_prev[i] = cells_before[before];
            }
            check_forward(&s, false);
            cells_free(&s);
        }
}

static void infinite_cells(void **state) {
    (void)state;
    for (int sign = -1; sign <= 1; sign += 2) {
        cells s = cells_new(3, 5, FLAT);
        random_forward(&s);
        s.c_prev[suite_pick(15)] = (float)sign * INFINITY;
        check_forward(&s, true);
        cells_free(&s);
    }
}

static void saturated_cells_have_no_gradient(void **state) {
    (void)state;
    suite_case("cell_backward of saturated gates");
    cells s = cells_new(1, 2, FLAT);
    static const float gates[] = {1, 0, 0, 1, 1, -1, 1, 0}; /* i, f, g, o of two columns */
    memcpy(s.gates, gates, sizeof gates);
    for (size_t i = 0; i < 2; i++) {
        s.c_prev[i] = 1e20f;
        s.tanh_c[i] = i ? -1.0f : 1.0f;
        s.dh[i] = 1e10f;
        s.dc[i] = -3;
    }
    run_backward(the.device, &s);
    for (size_t i = 0; i < 8; i++)
        assert_true(s.gates[i] == 0.0f);
    assert_true(s.dc[0] == 0.0f && s.dc[1] == -3.0f);
    cells_free(&s);
}

static void extreme_gradients(void **state) {
    (void)state;
    static const float gradients[] = {0.0f, -0.0f, 1e-30f, 1e15f, -1e15f, 0x1p-126f, 0x1p-140f, -0x1p-149f, NAN};
    enum { GRADIENTS = sizeof gradients / sizeof *gradients };
    for (size_t i = 0; i < GRADIENTS; i++)
        for (size_t j = 0; j < GRADIENTS; j++) {
            cells s = cells_new(3, 5, FLAT);
            random_backward(&s);
            s.dh[suite_pick(15)] = gradients[i];
            s.dc[suite_pick(15)] = gradients[j];
            check_backward(&s, false);
            cells_free(&s);
        }
}

static void nan_reaches_what_depends_on_it(void **state) {
    (void)state;
    for (int part = 0; part < 5; part++) {
        cells s = cells_new(3, 7, PADDED);
        random_backward(&s);
        float *parts[] = {s.gates, s.c_prev, s.tanh_c, s.dh, s.dc};
        parts[part][suite_pick(21)] = NAN;
        check_backward(&s, true);
        cells_free(&s);
    }
}

int ops_cell(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size),
        cmocka_unit_test(extreme_gates),
        cmocka_unit_test(infinite_cells),
        cmocka_unit_test(extreme_gradients),
        cmocka_unit_test(saturated_cells_have_no_gradient),
        cmocka_unit_test(nan_reaches_what_depends_on_it),
    };
    return cmocka_run_group_tests_name("cell_forward", tests, NULL, NULL);
}
