/* PyTorch's results from tests/fixtures: the loss, every gradient and ten steps of Adam. The double reference must
 * agree with all of them up to double rounding. The device is compared with them directly where a bound over the
 * whole computation is useful; over all ten steps each of its operations is checked separately, from the device's
 * own operands. */
#include "compare.h"
#include "device_model.h"
#include "parity/bounded_model.h"
#include "parity/layer_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 10 };
static const tally_optimizer_options adam = {TALLY_ADAM, .rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
static const char *folder;

typedef struct fixture {
    tl_model_sizes sizes;
    size_t count, parameters; /* the number of values, and of the parameters at their start */
    int32_t *labels;
    float *values;
    double losses[STEPS], *gradients;
    size_t kept; /* the number of steps, counted from the last, whose parameters the file has */
    double *after;
} fixture;

static void *read_array(FILE *file, size_t count, size_t size) {
    void *array = suite_memory(count, size);
    if (fread(array, size, count, file) != count)
        suite_fail("the file ends too early");
    return array;
}

static tally_cell cell_of(const char *name) {
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        if (strcmp(name, tally_cell_name((tally_cell)cell)) == 0)
            return (tally_cell)cell;
    suite_fail("there is no cell %s", name);
}

/* The files are little-endian, like the processors that run this. */
static fixture fixture_new(const char *name) {
    char path[4096];
    fixture f = {.sizes = {.layers = 0}};
    snprintf(path, sizeof path, "%s/%s.fixture", folder, name);
    suite_case("%s", path);
    FILE *file = fopen(path, "rb");
    if (!file)
        suite_fail("cannot be read");
    tl_model_sizes *s = &f.sizes;
    char line[128], cell[16];
    if (!fgets(line, sizeof line, file) ||
        sscanf(line, "tally fixture %zu %zu %zu %zu %zu %zu %zu %15s", &s->inputs, &s->hidden, &s->steps, &s->columns,
               &s->classes, &f.kept, &s->layers, cell) != 8)
        suite_fail("is not a fixture");
    s->cell = cell_of(cell);
    f.count = tl_model_part_at(s, TL_MODEL_PARTS);
    f.parameters = tl_model_part_at(s, TL_PART_X);
    f.labels = read_array(file, s->columns, sizeof *f.labels);
    f.values = read_array(file, f.count, sizeof *f.values);
    double *losses = read_array(file, STEPS, sizeof *losses);
    memcpy(f.losses, losses, sizeof f.losses);
    free(losses);
    f.gradients = read_array(file, f.count, sizeof *f.gradients);
    f.after = read_array(file, f.kept * f.parameters, sizeof *f.after);
    if (fgetc(file) != EOF)
        suite_fail("goes on after its end");
    fclose(file);
    return f;
}

static void fixture_free(fixture *f) {
    free(f->labels);
    free(f->values);
    free(f->gradients);
    free(f->after);
}

static void compare_doubles(const char *name, const double *got, const double *want, size_t count, double bound) {
    for (size_t i = 0; i < count; i++)
        if (!(fabs(got[i] - want[i]) <= bound * fmax(1, fabs(want[i]))))
            suite_fail("%s[%zu] is %.17g, not %.17g", name, i, got[i], want[i]);
}

/* Two programs in double. Their gradients differ by some 1e-13. Adam moves a weight by the rate times a ratio of
 * gradients; for one of 1e-6 the difference is 1e-3 * 1e-13 / 1e-6. */
static void the_reference_agrees(const char *name) {
    fixture f = fixture_new(name);
    double *values = suite_memory(f.count, sizeof *values), *gradients = suite_memory(f.count, sizeof *gradients);
    double(*moments)[2] = suite_memory(f.parameters, sizeof *moments);
    for (size_t i = 0; i < f.count; i++)
        values[i] = (double)f.values[i];
    for (size_t step = 1; step <= STEPS; step++) {
        double loss = reference_model_gradients(&f.sizes, values, f.labels, gradients);
        compare_doubles("loss", &loss, &f.losses[step - 1], 1, 1e-11);
        if (step == 1)
            compare_doubles("gradient", gradients, f.gradients, f.count, 1e-11);
        for (size_t i = 0; i < f.parameters; i++)
            reference_optimizer_step(&adam, step, gradients[i], &values[i], moments[i]);
        if (step > STEPS - f.kept)
            compare_doubles("weight", values, f.after + (step - 1 - (STEPS - f.kept)) * f.parameters, f.parameters,
                            1e-10);
    }
    free(values);
    free(gradients);
    free(moments);
    fixture_free(&f);
}

static void the_reference_counts_as_pytorch(void **state) {
    (void)state;
    the_reference_agrees("counting");
}

static void the_reference_agrees_on_uneven_sizes(void **state) {
    (void)state;
    the_reference_agrees("uneven");
}

static void the_reference_agrees_on_layers(void **state) {
    (void)state;
    the_reference_agrees("stacked");
    the_reference_agrees("lstm_layers");
}

static void the_reference_agrees_on_the_gru(void **state) {
    (void)state;
    the_reference_agrees("gru");
    the_reference_agrees("gru_layers");
}

static void the_reference_agrees_on_the_rnn(void **state) {
    (void)state;
    the_reference_agrees("rnn");
    the_reference_agrees("rnn_layers");
    the_reference_agrees("rnn_relu");
    the_reference_agrees("rnn_relu_layers");
}

static float *read_all(const tally_tensor *t) {
    size_t count = tally_tensor_elements(t);
    float *values = suite_memory(count, sizeof *values);
    suite_ok(tally_tensor_read(t, values, count));
    return values;
}

/* NULL if the cell lacks the tensor. */
static float *read_if_any(const tally_tensor *t) {
    return t->storage ? read_all(t) : NULL;
}

/* Checks one element of a matrix product; the factors are a_step and b_step apart. */
static void check_product(const char *name, size_t i, size_t j, size_t terms, const float *a, size_t a_step,
                          const float *b, size_t b_step, double start, float got) {
    tl_bounded_sum sum = tl_bounded_sum_start(tl_bounded_of(start));
    for (size_t k = 0; k < terms; k++)
        tl_bounded_sum_product(&sum, tl_bounded_of((double)a[k * a_step]), tl_bounded_of((double)b[k * b_step]));
    tl_bounded want = tl_bounded_sum_end(&sum);
    compare_bounded(NULL, name, (size_t[]){i, j, 0}, got, want);
}

/* A device's results for the classifier. Each operation is checked from the device's own operands. */
typedef struct layer_pass {
    float *x, *gates, *c, *h, *tanh_c; /* after the forward pass; c and tanh_c: the LSTM's */
    float *dh_last, *dc_last;          /* after the head's backward pass */
    float *dgates, *dy, *dh, *dc;      /* after the layers' backward pass */
} layer_pass;

typedef struct pass {
    const tl_model_sizes *s;
    const int32_t *labels;
    float *values[TL_MODEL_PARTS];
    layer_pass *layers;
    float *logits, *probabilities, *losses, *loss, *dlogits;
    float *gradients[TL_MODEL_PARTS]; /* of the parameters and of x */
} pass;

static void pass_free(pass *p) {
    float *all[] = {p->logits, p->probabilities, p->losses, p->loss, p->dlogits};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    for (size_t l = 0; l < p->s->layers; l++) {
        const layer_pass *q = &p->layers[l];
        float *of_layer[] = {q->x,       q->gates,  q->c,  q->h,  q->tanh_c, q->dh_last,
                             q->dc_last, q->dgates, q->dy, q->dh, q->dc};
        for (size_t i = 0; i < sizeof of_layer / sizeof *of_layer; i++)
            free(of_layer[i]);
    }
    free(p->layers);
    for (int part = 0; part < TL_MODEL_PARTS; part++) {
        free(p->values[part]);
        free(p->gradients[part]);
    }
}

/* h from entry 1 on, which the next layer reads. */
static float *read_outputs(const tally_tensor *h) {
    tally_tensor outputs;
    suite_ok(tally_tensor_slice(h, 1, 1, h->shape[1] - 1, &outputs));
    return read_all(&outputs);
}

static pass run_pass(device_model *d, const int32_t *labels) {
    pass p = {.s = &d->sizes, .labels = labels};
    for (int part = 0; part < TL_MODEL_PARTS; part++)
        p.values[part] = read_if_any(&d->values[part]);
    p.layers = suite_memory(d->sizes.layers, sizeof *p.layers);
    device_model_forward(d);
    for (size_t l = 0; l < d->sizes.layers; l++) {
        const tally_layer_state *state = &d->states[l];
        p.layers[l] = (layer_pass){.x = l == 0 ? read_all(&d->values[TL_PART_X]) : read_outputs(&state[-1].h),
                                   .gates = read_all(&state->gates),
                                   .c = read_if_any(&state->c),
                                   .h = read_all(&state->h),
                                   .tanh_c = read_if_any(&state->tanh_c)};
    }
    p.logits = read_all(&d->logits);
    p.probabilities = read_all(&d->probabilities);
    p.losses = read_all(&d->losses);
    p.loss = read_all(&d->loss);
    device_model_head_backward(d);
    p.dlogits = read_all(&d->dlogits);
    for (size_t l = 0; l < d->sizes.layers; l++) {
        p.layers[l].dh_last = read_all(&d->states[l].dh);
        p.layers[l].dc_last = read_if_any(&d->states[l].dc);
    }
    device_model_layers_backward(d);
    for (size_t l = 0; l < d->sizes.layers; l++) {
        p.layers[l].dgates = read_all(&d->states[l].gates);
        p.layers[l].dy = l + 1 < d->sizes.layers ? read_all(&d->dy[l]) : NULL;
        p.layers[l].dh = read_all(&d->states[l].dh);
        p.layers[l].dc = read_if_any(&d->states[l].dc);
    }
    for (int part = 0; part < TL_PART_H0; part++)
        p.gradients[part] = read_all(&d->gradients[part]);
    return p;
}

/* A layer's share of a part. */
static const float *share(const pass *p, float *const parts[TL_MODEL_PARTS], tl_model_part part, size_t layer) {
    return parts[part] + (tl_model_layer_at(p->s, part, layer) - tl_model_part_at(p->s, part));
}

static void check_layer(const pass *p, size_t layer) {
    const tl_model_sizes *s = p->s;
    const layer_pass *q = &p->layers[layer];
    tl_layer_record record = {
        .cell = s->cell,
        .inputs = tl_model_inputs(s, layer),
        .hidden = s->hidden,
        .steps = s->steps,
        .columns = s->columns,
        .w_ih = share(p, p->values, TL_PART_W_IH, layer),
        .w_hh = share(p, p->values, TL_PART_W_HH, layer),
        .bias = share(p, p->values, TL_PART_BIAS, layer),
        .x = q->x,
        .gates = q->gates,
        .c = q->c,
        .tanh_c = q->tanh_c,
        .h = q->h,
        .dy = q->dy,
        .dh_last = q->dh_last,
        .dc_last = q->dc_last,
        .dgates = q->dgates,
        .dh = q->dh,
        .dc = q->dc,
        .dx = layer == 0 ? p->gradients[TL_PART_X] : q[-1].dy,
        .after = {share(p, p->gradients, TL_PART_W_IH, layer), share(p, p->gradients, TL_PART_W_HH, layer),
                  share(p, p->gradients, TL_PART_BIAS, layer)},
    };
    for (size_t u = 0; u < s->hidden; u++) {
        size_t at = u * s->columns, first = u * (s->steps + 1) * s->columns;
        compare_bits("h0", q->h + first, share(p, p->values, TL_PART_H0, layer) + at, s->columns);
        if (s->cell == TALLY_LSTM)
            compare_bits("c0", q->c + first, share(p, p->values, TL_PART_C0, layer) + at, s->columns);
    }
    suite_ok(tl_layer_record_forward(&record, compare_bounded, NULL));
    suite_ok(tl_layer_record_backward(&record, compare_bounded, NULL));
}

static void check_head(const pass *p) {
    const tl_model_sizes *s = p->s;
    size_t hidden = s->hidden, n = s->columns, classes = s->classes, h_row = (s->steps + 1) * n;
    const layer_pass *top = &p->layers[s->layers - 1];
    const float *last = top->h + s->steps * n, *head_w = p->values[TL_PART_HEAD_W], one = 1;
    tl_bounded *column = suite_memory(classes, sizeof *column);
    for (size_t j = 0; j < n; j++) {
        for (size_t k = 0; k < classes; k++) {
            check_product("logits", k, j, hidden, head_w + k * hidden, 1, last + j, h_row,
                          (double)p->values[TL_PART_HEAD_B][k], p->logits[k * n + j]);
            column[k] = tl_bounded_of((double)p->logits[k * n + j]);
        }
        tl_bounded_softmax(classes, 1, column, column);
        tl_bounded loss = tl_bounded_loss(classes, 1, column, p->labels[j]);
        compare_bounded(NULL, "losses", (size_t[]){j, 0, 0}, p->losses[j], loss);
        for (size_t k = 0; k < classes; k++) {
            compare_bounded(NULL, "probabilities", (size_t[]){k, j, 0}, p->probabilities[k * n + j], column[k]);
            tl_bounded gradient = tl_bounded_sub(tl_bounded_of((double)p->probabilities[k * n + j]),
                                                 (tl_bounded){(size_t)p->labels[j] == k ? 1 : 0, 0});
            compare_bounded(NULL, "dlogits", (size_t[]){k, j, 0}, p->dlogits[k * n + j], gradient);
        }
        for (size_t u = 0; u < hidden; u++)
            check_product("dh", u, j, classes, head_w + u, hidden, p->dlogits + j, n, 0, top->dh_last[u * n + j]);
    }
    check_product("loss", 0, 0, n, p->losses, 1, &one, 0, 0, *p->loss);
    for (size_t k = 0; k < classes; k++) {
        check_product("head b gradient", k, 0, n, p->dlogits + k * n, 1, &one, 0, 0, p->gradients[TL_PART_HEAD_B][k]);
        for (size_t u = 0; u < hidden; u++)
            check_product("head w gradient", k, u, n, p->dlogits + k * n, 1, last + u * h_row, 1, 0,
                          p->gradients[TL_PART_HEAD_W][k * hidden + u]);
    }
    free(column);
}

static void check_adam(device_model *d, const pass *p, size_t step) {
    for (int part = 0; part < TL_PART_X; part++) {
        tally_tensor *moments = d->optimizer_states[part];
        float *m = read_all(&moments[0]), *v = read_all(&moments[1]);
        size_t count = tl_model_part_size(p->s, (tl_model_part)part);
        device_model_step(d, (tl_model_part)part, &adam, step);
        float *weights = read_all(&d->values[part]), *new_m = read_all(&moments[0]), *new_v = read_all(&moments[1]);
        for (size_t i = 0; i < count; i++) {
            tl_bounded w = tl_bounded_of((double)p->values[part][i]);
            tl_bounded states[] = {tl_bounded_of((double)m[i]), tl_bounded_of((double)v[i])};
            tl_bounded_optimizer_step(&adam, step, tl_bounded_of((double)p->gradients[part][i]), &w, states);
            compare_bounded(NULL, tl_model_part_names[part], (size_t[]){i, 0, 0}, weights[i], w);
            compare_bounded(NULL, "m", (size_t[]){i, 0, 0}, new_m[i], states[0]);
            compare_bounded(NULL, "v", (size_t[]){i, 0, 0}, new_v[i], states[1]);
        }
        float *all[] = {m, v, weights, new_m, new_v};
        for (size_t i = 0; i < 5; i++)
            free(all[i]);
    }
}

static void check_ten_steps(const char *name) {
    fixture f = fixture_new(name);
    device_model model = device_model_new(&f.sizes, f.values, f.labels);
    for (size_t step = 1; step <= (the.small ? 2 : STEPS); step++) {
        suite_case("%s, step %zu", name, step);
        pass p = run_pass(&model, f.labels);
        for (size_t layer = 0; layer < f.sizes.layers; layer++)
            check_layer(&p, layer);
        check_head(&p);
        check_adam(&model, &p, step);
        pass_free(&p);
    }
    device_model_free(&model);
    fixture_free(&f);
}

static void the_device_follows_counting(void **state) {
    (void)state;
    if (!the.small) /* too long for a simulator */
        check_ten_steps("counting");
}

static void the_device_follows_uneven_sizes(void **state) {
    (void)state;
    check_ten_steps("uneven");
}

static void the_device_follows_layers(void **state) {
    (void)state;
    check_ten_steps("stacked");
    check_ten_steps("lstm_layers");
}

static void the_device_follows_the_gru(void **state) {
    (void)state;
    check_ten_steps("gru");
    check_ten_steps("gru_layers");
}

static void the_device_follows_the_rnn(void **state) {
    (void)state;
    check_ten_steps("rnn");
    check_ten_steps("rnn_layers");
    check_ten_steps("rnn_relu");
    check_ten_steps("rnn_relu_layers");
}

/* Compares with one bound from the inputs to the end of the first step. Over the 20 time steps of the counting
 * model such a bound would be too large to be useful. */
static void check_first_step(const char *name) {
    fixture f = fixture_new(name);
    tl_bounded *values = suite_memory(f.count, sizeof *values), *gradients = suite_memory(f.count, sizeof *gradients);
    double *bound = suite_memory(f.count, sizeof *bound), largest = 0, largest_gradient = 0;
    float *got = suite_memory(f.count, sizeof *got), loss;
    for (size_t i = 0; i < f.count; i++)
        values[i] = tl_bounded_of((double)f.values[i]);
    tl_bounded want_loss;
    suite_ok(tl_bounded_model_gradients(&f.sizes, values, f.labels, gradients, &want_loss));
    for (size_t i = 0; i < f.count; i++) {
        bound[i] = gradients[i].e;
        largest = fmax(largest, bound[i]);
        largest_gradient = fmax(largest_gradient, fabs(f.gradients[i]));
    }
    /* otherwise the bounds would prove little */
    assert_true(largest < 1e-3 * largest_gradient && want_loss.e < 1e-3 * want_loss.v);
    device_model model = device_model_new(&f.sizes, f.values, f.labels);
    device_model_forward(&model);
    suite_ok(tally_tensor_read(&model.loss, &loss, 1));
    compare_within("loss", &loss, &f.losses[0], &want_loss.e, 1);
    device_model_head_backward(&model);
    device_model_layers_backward(&model);
    device_model_gradients(&model, got);
    compare_within("gradients", got, f.gradients, bound, f.count);

    /* Weights after the first step: the errors of the gradients, divided by the gradients. */
    for (size_t i = 0; i < f.parameters; i++) {
        tl_bounded states[2] = {{0, 0}, {0, 0}};
        tl_bounded_optimizer_step(&adam, 1, gradients[i], &values[i], states);
        bound[i] = values[i].e;
    }
    for (int part = 0; part < TL_PART_X; part++)
        device_model_step(&model, (tl_model_part)part, &adam, 1);
    device_model_parameters(&model, got);
    compare_within("weights", got, f.after, bound, f.parameters);
    device_model_free(&model);
    free(values);
    free(gradients);
    free(bound);
    free(got);
    fixture_free(&f);
}

static void the_device_gives_pytorchs_gradients(void **state) {
    (void)state;
    check_first_step("uneven");
}

static void the_device_gives_pytorchs_gradients_of_layers(void **state) {
    (void)state;
    check_first_step("stacked");
    check_first_step("lstm_layers");
}

static void the_device_gives_pytorchs_gradients_of_the_gru(void **state) {
    (void)state;
    check_first_step("gru");
    check_first_step("gru_layers");
}

static void the_device_gives_pytorchs_gradients_of_the_rnn(void **state) {
    (void)state;
    check_first_step("rnn");
    check_first_step("rnn_layers");
    check_first_step("rnn_relu");
    check_first_step("rnn_relu_layers");
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: test_fixtures FOLDER\n");
        return 2;
    }
    folder = argv[1];
    int status = suite_begin();
    if (status)
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_counts_as_pytorch),
        cmocka_unit_test(the_reference_agrees_on_uneven_sizes),
        cmocka_unit_test(the_reference_agrees_on_layers),
        cmocka_unit_test(the_reference_agrees_on_the_gru),
        cmocka_unit_test(the_reference_agrees_on_the_rnn),
        cmocka_unit_test(the_device_gives_pytorchs_gradients),
        cmocka_unit_test(the_device_gives_pytorchs_gradients_of_layers),
        cmocka_unit_test(the_device_gives_pytorchs_gradients_of_the_gru),
        cmocka_unit_test(the_device_gives_pytorchs_gradients_of_the_rnn),
        cmocka_unit_test(the_device_follows_counting),
        cmocka_unit_test(the_device_follows_uneven_sizes),
        cmocka_unit_test(the_device_follows_layers),
        cmocka_unit_test(the_device_follows_the_gru),
        cmocka_unit_test(the_device_follows_the_rnn),
    };
    int failed = cmocka_run_group_tests_name("PyTorch's fixtures", tests, NULL, NULL);
    suite_end();
    return failed;
}
