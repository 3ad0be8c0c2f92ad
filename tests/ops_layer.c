/* The whole sequence of every cell, checked time step by time step (layer_record.h). Where products are exact, the
 * fused form, the composed form and the C path's baseline give the same bits. */
#include "backend/backend.h"
#include "compare.h"
#include "guarded.h"
#include "ops.h"
#include "parity/layer_record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct sizes {
    size_t inputs, hidden, steps, columns;
    tally_cell cell;
} sizes;

enum { W_IH, W_HH, BIAS, X, C, H, DH, DC, DY, DW_IH, DW_HH, DBIAS, DX, GATES, TANH_C, PARTS };
static const char *const part_names[PARTS] = {
    "w_ih",          "w_hh",          "bias",          "x",  "c",     "h",     "dh", "dc", "dy",
    "w_ih gradient", "w_hh gradient", "bias gradient", "dx", "gates", "tanh_c"};

static bool has(sizes s, int part) {
    return s.cell == TALLY_LSTM || (part != C && part != DC && part != TANH_C);
}

typedef struct shape {
    int ndim;
    size_t dims[3];
} shape;

static shape shape_of(sizes s, int part) {
    size_t rows = tally_cell_weights(s.cell) * s.hidden, gates = tally_cell_gates(s.cell) * s.hidden;
    const shape shapes[PARTS] = {
        [W_IH] = {2, {rows, s.inputs}},
        [W_HH] = {2, {rows, s.hidden}},
        [BIAS] = {1, {gates}},
        [X] = {3, {s.inputs, s.steps, s.columns}},
        [C] = {3, {s.hidden, s.steps + 1, s.columns}},
        [H] = {3, {s.hidden, s.steps + 1, s.columns}},
        [DH] = {2, {s.hidden, s.columns}},
        [DC] = {2, {s.hidden, s.columns}},
        [DY] = {3, {s.hidden, s.steps, s.columns}},
        [DW_IH] = {2, {rows, s.inputs}},
        [DW_HH] = {2, {rows, s.hidden}},
        [DBIAS] = {1, {gates}},
        [DX] = {3, {s.inputs, s.steps, s.columns}},
        [GATES] = {3, {gates, s.steps, s.columns}},
        [TANH_C] = {3, {s.hidden, s.steps, s.columns}},
    };
    return shapes[part];
}

static size_t count_of(sizes s, int part) {
    shape is = shape_of(s, part);
    size_t count = 1;
    for (int d = 0; d < is.ndim; d++)
        count *= is.dims[d];
    return count;
}

/* Every operand at one moment. */
typedef struct arrays {
    float *part[PARTS];
} arrays;

static arrays arrays_new(sizes s) {
    arrays a;
    for (int part = 0; part < PARTS; part++)
        a.part[part] = suite_memory(count_of(s, part), sizeof(float));
    return a;
}

static void arrays_free(arrays *a) {
    for (int part = 0; part < PARTS; part++)
        free(a->part[part]);
}

static void randomise(sizes s, arrays *a) {
    for (int part = 0; part < PARTS; part++)
        suite_uniforms(a->part[part], count_of(s, part), -0.9f, 0.9f);
}

typedef struct form {
    bool with_dy, with_dx, composed;
    tl_layout state, sequences; /* of gates, c, h and tanh_c; of x, dy and dx */
} form;

/* Feature-major, step-major, and other layouts that are allowed. */
static const tl_layout orders[] = {TL_FLAT, TL_STEP_MAJOR, TL_SPACED, TL_PADDED};
enum { ORDERS = 4 };

static tl_guarded new_operand(tally_device *device, sizes s, form how, int part, const float *values) {
    shape is = shape_of(s, part);
    if (is.ndim == 1)
        return guarded_vector(device, TL_FLAT, is.dims[0], values);
    if (is.ndim == 2)
        return guarded_matrix(device, TL_FLAT, is.dims[0], is.dims[1], values);
    return guarded_cube(device, part == X || part == DY || part == DX ? how.sequences : how.state, is.dims, values);
}

/* forward receives the values between the passes, backward those after both. */
static void run_layer(tally_device *device, sizes s, form how, const arrays *in, arrays *forward, arrays *backward) {
    tl_guarded g[PARTS] = {0};
    for (int part = 0; part < PARTS; part++)
        if (has(s, part))
            g[part] = new_operand(device, s, how, part, part == GATES || part == TANH_C ? NULL : in->part[part]);
    tally_layer_state own, state;
    suite_ok(tally_layer_state_new(device, s.cell, s.inputs, s.hidden, s.steps, s.columns, &own));
    state = (tally_layer_state){.gates = g[GATES].tensor,
                                .c = g[C].tensor,
                                .h = g[H].tensor,
                                .tanh_c = g[TANH_C].tensor,
                                .dh = g[DH].tensor,
                                .dc = g[DC].tensor,
                                .scratch = own.scratch};
    tally_layer_weights weights = {g[W_IH].tensor, g[W_HH].tensor, g[BIAS].tensor, s.cell};
    tally_layer_weights gradients = {g[DW_IH].tensor, g[DW_HH].tensor, g[DBIAS].tensor, s.cell};
    const tally_tensor *dy = how.with_dy ? &g[DY].tensor : NULL, *dx = how.with_dx ? &g[DX].tensor : NULL;

    suite_ok((how.composed ? tl_layer_forward_composed : tally_layer_forward)(&weights, &g[X].tensor, &state));
    for (int part = 0; part < PARTS; part++) {
        if (!has(s, part))
            continue;
        if (part == GATES || part == TANH_C || part == C || part == H)
            guarded_read(&g[part], part_names[part], forward->part[part]);
        else
            guarded_unchanged(&g[part], part_names[part]);
    }
    suite_ok((how.composed ? tl_layer_backward_composed : tally_layer_backward)(&weights, &g[X].tensor, dy, &state,
                                                                                &gradients, dx));
    for (int part = 0; part < PARTS; part++)
        if (has(s, part))
            guarded_read(&g[part], part_names[part], backward->part[part]);
    for (int part = W_IH; part <= X; part++)
        guarded_unchanged(&g[part], part_names[part]);
    guarded_unchanged(&g[DY], part_names[DY]);
    if (!dx)
        guarded_unchanged(&g[DX], part_names[DX]);
    for (int part = 0; part < PARTS; part++)
        if (has(s, part))
            tl_guarded_free(&g[part]);
    tally_layer_state_free(&own);
}

static void check_initial_states(sizes s, const arrays *in, const arrays *forward) {
    for (size_t u = 0; u < s.hidden; u++)
        for (int part = C; part <= H; part++) {
            size_t first = u * (s.steps + 1) * s.columns;
            if (has(s, part))
                compare_bits(part_names[part], forward->part[part] + first, in->part[part] + first, s.columns);
        }
}

static void check_bits(sizes s, const char *form_name, const arrays *a, const arrays *b) {
    for (int part = 0; part < PARTS; part++) {
        if (!has(s, part))
            continue;
        char name[96];
        snprintf(name, sizeof name, "%s, %s", part_names[part], form_name);
        compare_bits(name, a->part[part], b->part[part], count_of(s, part));
    }
}

/* Whether the device has every operation that the composed sequence uses. */
static bool has_every_operation(const tally_device *device) {
#define MISSING(name, ...) || !device->backend->name
    return !(false TL_OPERATIONS(MISSING));
#undef MISSING
}

/* Bits are compared, except for long or saturated sequences on devices that flush denormals: their gradients fade
 * below 2^-126. */
static void check_values(sizes s, form how, const arrays *in, bool fades) {
    suite_case("%s, %zu inputs, %zu hidden, %zu steps, %zu columns%s%s, state %s, x %s", tally_cell_name(s.cell),
               s.inputs, s.hidden, s.steps, s.columns, how.with_dy ? ", dy" : "", how.with_dx ? ", dx" : "",
               tl_layout_name(how.state), tl_layout_name(how.sequences));
    arrays forward = arrays_new(s), got = arrays_new(s);
    run_layer(the.device, s, how, in, &forward, &got);
    for (int part = 0; part < PARTS; part++)
        if (has(s, part) && (part == C || part == H || part == TANH_C))
            compare_bits("forward's, after backward", got.part[part], forward.part[part], count_of(s, part));

    tl_layer_record record = {
        .cell = s.cell,
        .inputs = s.inputs,
        .hidden = s.hidden,
        .steps = s.steps,
        .columns = s.columns,
        .w_ih = in->part[W_IH],
        .w_hh = in->part[W_HH],
        .bias = in->part[BIAS],
        .x = in->part[X],
        .gates = forward.part[GATES],
        .c = forward.part[C],
        .tanh_c = forward.part[TANH_C],
        .h = forward.part[H],
        .dy = how.with_dy ? in->part[DY] : NULL,
        .dh_last = in->part[DH],
        .dc_last = in->part[DC],
        .dgates = got.part[GATES],
        .dh = got.part[DH],
        .dc = got.part[DC],
        .dx = how.with_dx ? got.part[DX] : NULL,
        .before = {in->part[DW_IH], in->part[DW_HH], in->part[DBIAS]},
        .after = {got.part[DW_IH], got.part[DW_HH], got.part[DBIAS]},
    };
    check_initial_states(s, in, &forward);
    suite_ok(tl_layer_record_forward(&record, compare_bounded, NULL));
    suite_ok(tl_layer_record_backward(&record, compare_bounded, NULL));

    if (the.exact && (!fades || the.keeps_denormal)) {
        arrays other_forward = arrays_new(s), other = arrays_new(s);
        form flat = {.with_dy = how.with_dy, .with_dx = how.with_dx};
        run_layer(the.peer, s, flat, in, &other_forward, &other);
        check_bits(s, "the baseline", &got, &other);
        how.composed = true;
        if (has_every_operation(the.device)) {
            run_layer(the.device, s, how, in, &other_forward, &other);
            check_bits(s, "composed", &got, &other);
        }
        arrays_free(&other_forward);
        arrays_free(&other);
    }
    arrays_free(&forward);
    arrays_free(&got);
}

static void check_cell(sizes s, form how) {
    arrays in = arrays_new(s);
    randomise(s, &in);
    check_values(s, how, &in, s.steps > 30);
    arrays_free(&in);
}

/* Checks every cell in this form; for a simulator, the cells alternate. */
static void check_cells(size_t inputs, size_t hidden, size_t steps, size_t columns, form how) {
    static unsigned next_cell;
    for (unsigned cell = 0; cell < TALLY_CELLS; cell++)
        if (!the.small || next_cell % TALLY_CELLS == cell)
            check_cell((sizes){inputs, hidden, steps, columns, (tally_cell)cell}, how);
    next_cell++;
}

static form some_form(void) {
    return (form){.with_dy = suite_pick(2),
                  .with_dx = suite_pick(2),
                  .state = orders[suite_pick(ORDERS)],
                  .sequences = orders[suite_pick(ORDERS)]};
}

static void small_sizes(void **state) {
    (void)state;
    static const size_t inputs[] = {1, 3}, hidden[] = {1, 2, 3, 7}, steps[] = {1, 2, 7}, columns[] = {1, 3, 31};
    size_t number = 0;
    for (size_t i = 0; i < 2; i++)
        for (size_t h = 0; h < 4; h++)
            for (size_t t = 0; t < 3; t++)
                for (size_t n = 0; n < 3; n++)
                    if (number++ % (the.small ? 11 : 1) == 0)
                        check_cells(inputs[i], hidden[h], steps[t], columns[n], some_form());
}

static void every_form(void **state) {
    (void)state;
    for (int which = 0; which < 4; which++)
        for (int state_order = 0; state_order < ORDERS; state_order++)
            for (int order = 0; order < ORDERS; order++)
                if (!the.small || which == (state_order + order) % 4)
                    check_cells(3, 5, 4, 19,
                                (form){.with_dy = which & 1,
                                       .with_dx = which & 2,
                                       .state = orders[state_order],
                                       .sequences = orders[order]});
}

static void pairs_of_sizes(void **state) {
    (void)state;
    if (the.small) /* too long for a simulator */
        return;
    for (size_t i = 0; i < ODD_SIZES; i++)
        for (size_t j = 0; j < ODD_SIZES; j++) {
            size_t a = odd_sizes[i], b = odd_sizes[j];
            if (a * a * b < 40000) /* hidden, columns */
                check_cells(2, a, 3, b, some_form());
            check_cells(a, 3, 2, b, some_form()); /* inputs, columns */
            check_cells(2, 3, a, b, some_form()); /* steps, columns */
        }
    check_cells(1, 24, 20, 64, some_form());
    check_cells(2, 127, 2, 33, some_form());
}

/* Layers on work-groups with one column a work-item (lstm_group.c): more units than work-items, weights that do not
 * fit local memory, fewer columns, and layers that no group can hold. */
static void layers_on_work_groups(void **state) {
    (void)state;
    check_cells(1, 33, 2, 9, some_form());
    if (the.small) /* too long for a simulator */
        return;
    check_cells(3, 70, 3, 21, some_form());
    check_cells(2, 200, 2, 13, some_form());
    check_cells(1, 340, 2, 5, some_form());
    check_cells(700, 3, 2, 13, some_form());
    check_cells(2100, 3, 2, 5, some_form());
}

/* A NaN in one sequence stays in that sequence and the gradients of the weights. */
static void nan_stays_in_its_column(void **state) {
    (void)state;
    static const int parts[] = {X, H, C, DH, DC, DY};
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        for (size_t i = 0; i < 6; i++) {
            sizes s = {2, 3, 4, 19, (tally_cell)cell};
            if (!has(s, parts[i]))
                continue;
            arrays in = arrays_new(s);
            randomise(s, &in);
            in.part[parts[i]][suite_pick(s.columns)] = NAN;
            check_values(s, (form){.with_dy = true, .with_dx = true}, &in, false);
            arrays_free(&in);
        }
}

static void saturated_sequences(void **state) {
    (void)state;
    static const float scales[] = {100, 1e4f, 1e15f};
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        for (size_t i = 0; i < 3; i++) {
            sizes s = {2, 3, 4, 19, (tally_cell)cell};
            arrays in = arrays_new(s);
            randomise(s, &in);
            for (size_t w = 0; w < count_of(s, W_IH); w++)
                in.part[W_IH][w] *= scales[i];
            check_values(s, (form){.with_dy = true, .with_dx = true}, &in, true);
            arrays_free(&in);
        }
}

/* In a long sequence nothing of the last step's gradient reaches the first one, not even denormals that rounding
 * keeps from shrinking further. */
static void vanished_gradients_are_zero(void **state) {
    (void)state;
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        sizes s = {1, 3, 400, 5, (tally_cell)cell};
        suite_case("%s: gradients over %zu steps", tally_cell_name(s.cell), s.steps);
        arrays in = arrays_new(s), forward = arrays_new(s), backward = arrays_new(s);
        /* A time step passes on less than three quarters of a gradient: sigmoid(1) = 0.731 directly, and
         * practically nothing through such small weights. */
        suite_uniforms(in.part[W_HH], count_of(s, W_HH), -0x1p-10f, 0x1p-10f);
        for (size_t i = 0; i < count_of(s, BIAS); i++)
            in.part[BIAS][i] = 1;
        suite_uniforms(in.part[DH], count_of(s, DH), -0.9f, 0.9f);
        run_layer(the.device, s, (form){.with_dy = false}, &in, &forward, &backward);
        for (size_t i = 0; i < count_of(s, DH); i++)
            assert_true(backward.part[DH][i] == 0.0f && (!has(s, DC) || backward.part[DC][i] == 0.0f));
        const float *gates = backward.part[GATES],
                    *last = gates + (s.steps - 1) * s.columns; /* of the first unit's first gate */
        for (size_t i = 0; i < s.columns; i++)
            assert_true(last[i] != 0.0f);
        for (size_t row = 0; row < shape_of(s, GATES).dims[0]; row++)
            for (size_t i = 0; i < s.columns; i++)
                assert_true(gates[row * s.steps * s.columns + i] == 0.0f);
        arrays_free(&in);
        arrays_free(&forward);
        arrays_free(&backward);
    }
}

/* All operands are zeros of either sign: sums of zeros have a sign, too. */
static void zeros_keep_their_sign(void **state) {
    (void)state;
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        sizes s = {2, 3, 4, 19, (tally_cell)cell};
        arrays in = arrays_new(s);
        for (int part = 0; part < PARTS; part++)
            for (size_t i = 0; i < count_of(s, part); i++)
                in.part[part][i] = suite_pick(2) ? 0.0f : -0.0f;
        check_values(s, (form){.with_dy = true, .with_dx = true}, &in, true);
        arrays_free(&in);
    }
}

/* Writes the initial state and the gradients of the last one. */
static void write_initial(sizes s, const arrays *in, const tally_layer_state *state) {
    const struct {
        int part;
        const tally_tensor *tensor;
    } initial[] = {{H, &state->h}, {C, &state->c}, {DH, &state->dh}, {DC, &state->dc}};
    for (size_t i = 0; i < sizeof initial / sizeof *initial; i++)
        if (has(s, initial[i].part))
            suite_ok(tally_tensor_write(initial[i].tensor, in->part[initial[i].part], count_of(s, initial[i].part)));
}

static void check_narrowed(tally_cell cell) {
    sizes s = {2, 5, 6, 7, cell};
    suite_case("%s in a state narrowed to %zu columns", tally_cell_name(cell), s.columns);
    arrays in = arrays_new(s), forward = arrays_new(s), backward = arrays_new(s);
    randomise(s, &in);
    run_layer(the.device, s, (form){.with_dy = false, .with_dx = false}, &in, &forward, &backward);

    tally_layer_state wide, narrow;
    suite_ok(tally_layer_state_new(the.device, cell, s.inputs, s.hidden, s.steps, 40, &wide));
    suite_ok(tally_layer_state_narrow(&wide, s.columns, &narrow));
    write_initial(s, &in, &narrow);
    tl_guarded g[PARTS];
    for (int part = 0; part < PARTS; part++)
        g[part] = new_operand(the.device, s, (form){0}, part, in.part[part]);
    tally_layer_weights weights = {g[W_IH].tensor, g[W_HH].tensor, g[BIAS].tensor, cell};
    tally_layer_weights gradients = {g[DW_IH].tensor, g[DW_HH].tensor, g[DBIAS].tensor, cell};
    suite_ok(tally_layer_forward(&weights, &g[X].tensor, &narrow));
    float *got = suite_memory(count_of(s, GATES) + count_of(s, H), sizeof *got); /* large enough for any of them */
    suite_ok(tally_tensor_read(&narrow.h, got, count_of(s, H)));
    compare_bits("h", got, forward.part[H], count_of(s, H));
    suite_ok(tally_layer_backward(&weights, &g[X].tensor, NULL, &narrow, &gradients, NULL));
    suite_ok(tally_tensor_read(&narrow.gates, got, count_of(s, GATES)));
    compare_bits("gate gradients", got, backward.part[GATES], count_of(s, GATES));
    guarded_read(&g[DW_HH], part_names[DW_HH], got);
    compare_bits(part_names[DW_HH], got, backward.part[DW_HH], count_of(s, DW_HH));
    free(got);
    for (int part = 0; part < PARTS; part++)
        tl_guarded_free(&g[part]);
    tally_layer_state_free(&wide);
    arrays_free(&in);
    arrays_free(&forward);
    arrays_free(&backward);
}

static void a_narrowed_state_gives_the_same(void **state) {
    (void)state;
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        check_narrowed((tally_cell)cell);
}

/* Compares h and the last c that the forward pass, and its composed form where possible, leave in a narrowed state for
 * inference with those in a state for training. starts: one for each column, or NULL. */
static void compare_inference(sizes s, const int32_t *starts) {
    suite_case("%s, %zu inputs, %zu hidden, %zu steps, %zu columns, for inference%s", tally_cell_name(s.cell), s.inputs,
               s.hidden, s.steps, s.columns, starts ? ", late starts" : "");
    arrays in = arrays_new(s);
    randomise(s, &in);
    tally_tensor start = {0};
    if (starts) {
        suite_ok(tally_tensor_new(the.device, TALLY_I32, 1, &s.columns, &start));
        suite_ok(tally_tensor_write(&start, starts, s.columns));
    }
    tl_guarded g[PARTS] = {0};
    for (int part = W_IH; part <= X; part++)
        g[part] = new_operand(the.device, s, (form){0}, part, in.part[part]);
    const tally_layer_weights weights = {g[W_IH].tensor, g[W_HH].tensor, g[BIAS].tensor, s.cell};
    size_t h_count = count_of(s, H), c_count = has(s, C) ? s.hidden * s.columns : 0;
    float *h[3], *c[3];
    int forms = !starts && has_every_operation(the.device) ? 3 : 2;
    for (int i = 0; i < forms; i++) {
        tally_layer_state whole, state;
        suite_ok((i == 0 ? tally_layer_state_new : tally_layer_state_new_inference)(
            the.device, s.cell, s.inputs, s.hidden, s.steps, s.columns + 9, &whole));
        suite_ok(tally_layer_state_narrow(&whole, s.columns, &state));
        assert_true(i == 0 || (!state.dh.storage && !state.dc.storage));
        state.starts = start;
        tally_tensor first;
        suite_ok(tally_tensor_select(&state.h, 1, 0, &first));
        suite_ok(tally_tensor_write(&first, in.part[H], s.hidden * s.columns));
        if (c_count) {
            suite_ok(tally_tensor_select(&state.c, 1, 0, &first));
            suite_ok(tally_tensor_write(&first, in.part[C], c_count));
        }
        suite_ok((i == 2 ? tl_layer_forward_composed : tally_layer_forward)(&weights, &g[X].tensor, &state));
        h[i] = suite_memory(h_count, sizeof **h);
        c[i] = suite_memory(h_count, sizeof **c);
        suite_ok(tally_tensor_read(&state.h, h[i], h_count));
        if (c_count) {
            suite_ok(tally_tensor_select(&state.c, 1, s.steps, &first));
            suite_ok(tally_tensor_read(&first, c[i], c_count));
        }
        if (i == 1)
            assert_int_equal(tally_layer_backward(&weights, &g[X].tensor, NULL, &state, &weights, NULL), TALLY_USAGE);
        tally_layer_state_free(&whole);
    }
    for (int i = 1; i < forms && the.exact; i++) { /* CLBlast's products differ for a single time step */
        compare_bits("h", h[i], h[0], h_count);
        compare_bits("last c", c[i], c[0], c_count);
    }
    for (int i = 0; i < forms; i++)
        free(h[i]), free(c[i]);
    for (int part = W_IH; part <= X; part++)
        tl_guarded_free(&g[part]);
    tally_tensor_free(&start);
    arrays_free(&in);
}

static void inference_gives_the_same(void **state) {
    (void)state;
    static const int32_t starts[70] = {0, 3, 1, 0, 2};
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        compare_inference((sizes){2, 5, 4, 19, (tally_cell)cell}, NULL);
        compare_inference((sizes){2, 5, 4, 19, (tally_cell)cell}, starts);
        if (the.small) /* too long for a simulator */
            continue;
        compare_inference((sizes){3, 33, 6, 70, (tally_cell)cell}, starts);
        compare_inference((sizes){1, 3, 1, 1, (tally_cell)cell}, NULL);
        compare_inference((sizes){1, 340, 2, 5, (tally_cell)cell}, NULL);
    }
}

/* One of two layers, with the state that the device allocates. */
typedef struct layer {
    sizes s;
    arrays in, forward, backward;
    tl_guarded g[PARTS];
    tally_layer_state state;
} layer;

static layer layer_new(sizes s) {
    layer l = {.s = s, .in = arrays_new(s), .forward = arrays_new(s), .backward = arrays_new(s)};
    randomise(s, &l.in);
    return l;
}

static void layer_start(layer *l, form how) {
    for (int part = 0; part < PARTS; part++)
        l->g[part] = new_operand(the.device, l->s, how, part, l->in.part[part]);
    suite_ok(
        tally_layer_state_new(the.device, l->s.cell, l->s.inputs, l->s.hidden, l->s.steps, l->s.columns, &l->state));
    write_initial(l->s, &l->in, &l->state);
}

static void layer_forward(const layer *l, const tally_tensor *x) {
    tally_layer_weights weights = {l->g[W_IH].tensor, l->g[W_HH].tensor, l->g[BIAS].tensor, l->s.cell};
    suite_ok(tally_layer_forward(&weights, x, &l->state));
}

static void layer_backward(const layer *l, const tally_tensor *x, const tally_tensor *dy, const tally_tensor *dx) {
    tally_layer_weights weights = {l->g[W_IH].tensor, l->g[W_HH].tensor, l->g[BIAS].tensor, l->s.cell};
    tally_layer_weights gradients = {l->g[DW_IH].tensor, l->g[DW_HH].tensor, l->g[DBIAS].tensor, l->s.cell};
    suite_ok(tally_layer_backward(&weights, x, dy, &l->state, &gradients, dx));
}

/* Compares with the results of the layer when it ran alone, and frees the device's tensors. */
static void compare_and_free(layer *l) {
    const struct {
        int part;
        const tally_tensor *tensor;
    } results[] = {{H, &l->state.h},
                   {GATES, &l->state.gates},
                   {DH, &l->state.dh},
                   {DW_IH, &l->g[DW_IH].tensor},
                   {DW_HH, &l->g[DW_HH].tensor},
                   {DBIAS, &l->g[DBIAS].tensor}};
    for (size_t i = 0; i < sizeof results / sizeof *results; i++) {
        int part = results[i].part;
        size_t count = count_of(l->s, part);
        float *got = suite_memory(count, sizeof *got);
        suite_ok(tally_tensor_read(results[i].tensor, got, count));
        compare_bits(part_names[part], got, l->backward.part[part], count);
        free(got);
    }
    for (int part = 0; part < PARTS; part++)
        tl_guarded_free(&l->g[part]);
    tally_layer_state_free(&l->state);
}

static void layer_free(layer *l) {
    arrays_free(&l->in);
    arrays_free(&l->forward);
    arrays_free(&l->backward);
}

/* The first layer's h without its first entry is the second one's x, without a copy, and the second one's dx is the
 * first one's dy. */
static void check_two_layers(tally_cell cell) {
    enum { STEPS = 4, COLUMNS = 19, BETWEEN = 5, ROW = STEPS * COLUMNS };
    layer first = layer_new((sizes){2, BETWEEN, STEPS, COLUMNS, cell}),
          second = layer_new((sizes){BETWEEN, 3, STEPS, COLUMNS, cell});
    suite_case("%s, two layers", tally_cell_name(cell));
    run_layer(the.device, first.s, (form){0}, &first.in, &first.forward, &first.backward);
    for (size_t u = 0; u < BETWEEN; u++)
        memcpy(second.in.part[X] + u * ROW, first.forward.part[H] + u * (ROW + COLUMNS) + COLUMNS, ROW * sizeof(float));
    run_layer(the.device, second.s, (form){.with_dx = true}, &second.in, &second.forward, &second.backward);
    memcpy(first.in.part[DY], second.backward.part[DX], count_of(second.s, DX) * sizeof(float));
    run_layer(the.device, first.s, (form){.with_dy = true}, &first.in, &first.forward, &first.backward);
    for (int i = 0; i < ORDERS; i++) {
        suite_case("%s, two layers, x and dx %s", tally_cell_name(cell), tl_layout_name(orders[i]));
        layer_start(&first, (form){.sequences = orders[i]});
        layer_start(&second, (form){.sequences = orders[i]});
        tally_tensor h, *x = &first.g[X].tensor, *dx = &second.g[DX].tensor;
        suite_ok(tally_tensor_slice(&first.state.h, 1, 1, STEPS, &h));
        layer_forward(&first, x);
        layer_forward(&second, &h);
        layer_backward(&second, &h, NULL, dx);
        layer_backward(&first, x, dx, NULL);
        compare_and_free(&second);
        compare_and_free(&first);
    }
    layer_free(&first);
    layer_free(&second);
}

static void a_layer_reads_the_h_of_the_one_before(void **state) {
    (void)state;
    /* CLBlast's order may depend on the distance between rows */
    for (int cell = 0; cell < TALLY_CELLS && the.exact; cell++)
        check_two_layers((tally_cell)cell);
}

int ops_layer(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_sizes),
        cmocka_unit_test(every_form),
        cmocka_unit_test(pairs_of_sizes),
        cmocka_unit_test(layers_on_work_groups),
        cmocka_unit_test(nan_stays_in_its_column),
        cmocka_unit_test(saturated_sequences),
        cmocka_unit_test(vanished_gradients_are_zero),
        cmocka_unit_test(zeros_keep_their_sign),
        cmocka_unit_test(a_narrowed_state_gives_the_same),
        cmocka_unit_test(inference_gives_the_same),
        cmocka_unit_test(a_layer_reads_the_h_of_the_one_before),
    };
    return cmocka_run_group_tests_name("layers", tests, NULL, NULL);
}
