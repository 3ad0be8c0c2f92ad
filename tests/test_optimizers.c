/* test_optimizers FOLDER: compares ten steps of each optimizer with torch.optim's, from FOLDER/optimizers.fixture.
 * The double reference must agree up to double rounding; the device must be within the bound that results from the
 * roundings of all steps. */
#include "compare.h"
#include "parity/bounded_ops.h"
#include "reference.h"
#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;

typedef struct fixture {
    size_t weights, steps, cases;
    tally_optimizer_options *options; /* [cases] */
    float *first, *gradients;         /* [weights], [steps, weights] */
    double *after;                    /* [cases, steps, weights] */
} fixture;

static void *read_array(FILE *file, size_t count, size_t size) {
    void *array = suite_memory(count, size);
    if (fread(array, size, count, file) != count)
        suite_fail("the file ends too early");
    return array;
}

static tally_optimizer kind_of(const char *name) {
    for (int kind = 0; kind < TALLY_OPTIMIZERS; kind++)
        if (strcmp(name, tally_optimizer_name((tally_optimizer)kind)) == 0)
            return (tally_optimizer)kind;
    suite_fail("there is no optimizer %s", name);
}

/* text: "NAME=VALUE" */
static void set_option(tally_train_options *options, char *text) {
    size_t count;
    const tally_setting *settings = tally_train_settings(&count);
    char *value = strchr(text, '=');
    if (!value)
        suite_fail("%s is not a setting", text);
    *value++ = '\0';
    for (size_t i = 0; i < count; i++)
        if (strcmp(settings[i].name, text) == 0 && tally_setting_parse(&settings[i], options, value))
            return;
    suite_fail("there is no setting %s of %s", text, value);
}

/* Parses a line of the fixture: the optimizer's name and the options that differ from its defaults. */
static tally_optimizer_options read_options(FILE *file) {
    char line[256];
    if (!fgets(line, sizeof line, file))
        suite_fail("the file ends too early");
    char *word = strtok(line, " \n");
    tally_train_options options = {.optimizer = tally_optimizer_defaults(kind_of(word))};
    while ((word = strtok(NULL, " \n")))
        set_option(&options, word);
    suite_ok(tally_optimizer_check(&options.optimizer));
    return options.optimizer;
}

/* The file is little-endian, like the processors that run this. */
static fixture fixture_new(void) {
    char path[4096], line[128];
    fixture f;
    snprintf(path, sizeof path, "%s/optimizers.fixture", folder);
    suite_case("%s", path);
    FILE *file = fopen(path, "rb");
    if (!file)
        suite_fail("cannot be read");
    if (!fgets(line, sizeof line, file) ||
        sscanf(line, "tally optimizers %zu %zu %zu", &f.weights, &f.steps, &f.cases) != 3)
        suite_fail("is not a fixture of optimizers");
    f.options = suite_memory(f.cases, sizeof *f.options);
    for (size_t c = 0; c < f.cases; c++)
        f.options[c] = read_options(file);
    f.first = read_array(file, f.weights, sizeof *f.first);
    f.gradients = read_array(file, f.steps * f.weights, sizeof *f.gradients);
    f.after = read_array(file, f.cases * f.steps * f.weights, sizeof *f.after);
    if (fgetc(file) != EOF)
        suite_fail("goes on after its end");
    fclose(file);
    return f;
}

static void fixture_free(fixture *f) {
    free(f->options);
    free(f->first);
    free(f->gradients);
    free(f->after);
}

static void name_step(const fixture *f, size_t c, size_t step) {
    suite_case("case %zu, %s, step %zu", c, tally_optimizer_name(f->options[c].kind), step);
}

static const double *weights_after(const fixture *f, size_t c, size_t step) {
    return f->after + (c * f->steps + step - 1) * f->weights;
}

/* Each optimizer occurs, and each setting that changes what it does. */
static void every_optimizer_is_there(void **state) {
    (void)state;
    fixture f = fixture_new();
    for (int kind = 0; kind < TALLY_OPTIMIZERS; kind++) {
        bool decays = false, has_momentum = false, looks_ahead = false;
        for (size_t c = 0; c < f.cases; c++) {
            const tally_optimizer_options *o = &f.options[c];
            decays |= (int)o->kind == kind && o->weight_decay > 0;
            has_momentum |= (int)o->kind == kind && o->momentum > 0;
            looks_ahead |= (int)o->kind == kind && o->nesterov;
        }
        suite_case("%s", tally_optimizer_name((tally_optimizer)kind));
        assert_true(decays);
        assert_int_equal(has_momentum, tally_optimizer_takes((tally_optimizer)kind, "momentum"));
        assert_int_equal(looks_ahead, tally_optimizer_takes((tally_optimizer)kind, "nesterov"));
    }
    fixture_free(&f);
}

/* Two programs in double. At the first step 1 - beta2^step has lost three of sixteen digits, and so has an update
 * of at most a tenth. */
static void the_reference_agrees(void **state) {
    (void)state;
    fixture f = fixture_new();
    for (size_t c = 0; c < f.cases; c++)
        for (size_t i = 0; i < f.weights; i++) {
            double weight = (double)f.first[i], states[TALLY_MAX_OPTIMIZER_STATES] = {0};
            for (size_t step = 1; step <= f.steps; step++) {
                name_step(&f, c, step);
                reference_optimizer_step(&f.options[c], step, (double)f.gradients[(step - 1) * f.weights + i], &weight,
                                         states);
                double want = weights_after(&f, c, step)[i];
                if (!(fabs(weight - want) <= 1e-12))
                    suite_fail("weight %zu is %.17g, not %.17g", i, weight, want);
            }
        }
    fixture_free(&f);
}

/* Weights and states on the device. */
typedef struct flats {
    tally_tensor gradient, weights, states[TALLY_MAX_OPTIMIZER_STATES], faults;
} flats;

static flats flats_new(const fixture *f) {
    flats d;
    tally_tensor *floats[] = {&d.gradient, &d.weights, &d.states[0], &d.states[1]};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        suite_ok(tally_tensor_new(the.device, TALLY_F32, 1, &f->weights, floats[i]));
    suite_ok(tally_tensor_new(the.device, TALLY_I32, 1, (size_t[]){1}, &d.faults));
    suite_ok(tally_tensor_write(&d.weights, f->first, f->weights));
    return d;
}

static void flats_free(flats *d) {
    tally_tensor *all[] = {&d->gradient, &d->weights, &d->states[0], &d->states[1], &d->faults};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        tally_tensor_free(all[i]);
}

typedef struct running {
    tl_bounded weight, states[TALLY_MAX_OPTIMIZER_STATES];
} running;

static void follow(const fixture *f, size_t c) {
    flats d = flats_new(f);
    float *got = suite_memory(f->weights, sizeof *got);
    double *bound = suite_memory(f->weights, sizeof *bound), largest = 0;
    running *r = suite_memory(f->weights, sizeof *r);
    for (size_t i = 0; i < f->weights; i++)
        r[i] = (running){.weight = tl_bounded_of((double)f->first[i])};
    for (size_t step = 1; step <= f->steps; step++) {
        const float *gradient = f->gradients + (step - 1) * f->weights;
        name_step(f, c, step);
        suite_ok(tally_tensor_write(&d.gradient, gradient, f->weights));
        suite_ok(tally_optimizer_step(&f->options[c], step, &d.gradient, &d.weights, d.states, &d.faults));
        suite_ok(tally_tensor_read(&d.weights, got, f->weights));
        for (size_t i = 0; i < f->weights; i++) {
            tl_bounded_optimizer_step(&f->options[c], step, tl_bounded_of((double)gradient[i]), &r[i].weight,
                                      r[i].states);
            bound[i] = r[i].weight.e;
            largest = fmax(largest, bound[i]);
        }
        compare_within("weights", got, weights_after(f, c, step), bound, f->weights);
    }
    assert_true(largest < 1e-3); /* otherwise the bound would prove little: weights are about 1 */
    flats_free(&d);
    free(got);
    free(bound);
    free(r);
}

static void the_device_follows(void **state) {
    (void)state;
    fixture f = fixture_new();
    for (size_t c = 0; c < f.cases; c++)
        follow(&f, c);
    fixture_free(&f);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_optimizer_is_there),
        cmocka_unit_test(the_reference_agrees),
        cmocka_unit_test(the_device_follows),
    };
    if (argc != 2)
        return 2;
    folder = argv[1];
    int status = suite_begin();
    if (status)
        return status;
    status = cmocka_run_group_tests_name("optimizers", tests, NULL, NULL);
    suite_end();
    return status;
}
