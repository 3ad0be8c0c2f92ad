/* Training, testing and prediction with sequences of unequal length and with dropout. */
#include "compare.h"
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEQUENCES = 150, FEW = 20, STEPS = 9, INPUTS = 2, CLASSES = 3, HIDDEN = 7, LAYERS = 2 };

typedef struct set {
    float x[SEQUENCES][STEPS][INPUTS]; /* NaN after the end of a sequence, which must not be read */
    int32_t labels[SEQUENCES], lengths[SEQUENCES];
    tally_dataset data;
} set;

static tally_status read_set(const tally_dataset *data, const size_t *numbers, size_t count, float *x,
                             int32_t *labels) {
    const set *s = data->context;
    for (size_t i = 0; i < count; i++) {
        for (size_t t = 0; t < STEPS && x; t++)
            for (size_t k = 0; k < INPUTS; k++)
                *x++ = s->x[numbers[i]][t][k];
        if (labels)
            labels[i] = s->labels[numbers[i]];
    }
    return TALLY_OK;
}

static tally_status read_lengths(const tally_dataset *data, const size_t *numbers, size_t count, int32_t *lengths) {
    const set *s = data->context;
    for (size_t i = 0; i < count; i++)
        lengths[i] = s->lengths[numbers[i]];
    return TALLY_OK;
}

static set *set_new(void) {
    set *s = suite_memory(1, sizeof *s);
    for (size_t i = 0; i < SEQUENCES; i++) {
        s->lengths[i] = (int32_t)(i % STEPS) + 1;
        s->labels[i] = (int32_t)suite_pick(CLASSES);
        for (int32_t t = 0; t < STEPS; t++)
            for (size_t k = 0; k < INPUTS; k++)
                s->x[i][t][k] = t < s->lengths[i] ? suite_uniform(-1, 1) : (float)NAN;
    }
    s->data = (tally_dataset){.size = the.small ? FEW : SEQUENCES,
                              .steps = STEPS,
                              .inputs = INPUTS,
                              .classes = CLASSES,
                              .read = read_set,
                              .lengths = read_lengths,
                              .context = s};
    return s;
}

static tally_model *model_new(tally_device *device, tally_cell cell) {
    const tally_model_config config = {
        .inputs = INPUTS, .hidden = HIDDEN, .classes = CLASSES, .layers = LAYERS, .cell = cell};
    tally_model *model;
    suite_ok(tally_model_new(device, &config, &model));
    suite_ok(tally_model_init(model, 3));
    return model;
}

static void a_batch_predicts_what_each_does(void **state) {
    (void)state;
    set *s = set_new();
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        suite_case("%s", tally_cell_name((tally_cell)cell));
        tally_model *model = model_new(the.device, (tally_cell)cell);
        static float together[SEQUENCES][CLASSES], alone[CLASSES];
        suite_ok(tally_predict(model, &s->x[0][0][0], s->data.size, STEPS, s->lengths, &together[0][0]));
        for (size_t i = 0; i < s->data.size; i += 7) {
            /* CLBlast is not used for sequences with lengths */
            const int32_t *lengths = the.exact ? NULL : &s->lengths[i];
            suite_ok(tally_predict(model, &s->x[i][0][0], 1, (size_t)s->lengths[i], lengths, alone));
            compare_bits("probabilities", together[i], alone, CLASSES);
        }
        tally_model_free(model);
    }
    free(s);
}

static void train(tally_device *device, tally_cell cell, double dropout, const set *s, char digest[65],
                  tally_test_result *tested) {
    tally_model *model = model_new(device, cell);
    tally_train_options options = tally_train_defaults();
    options.epochs = the.small ? 1 : 4;
    options.batch = 70;
    options.shuffle = true;
    options.dropout = dropout;
    tally_train_result result;
    suite_ok(tally_train(model, &s->data, &options, NULL, &result));
    if (!isfinite(result.loss))
        suite_fail("the loss is %g", result.loss);
    suite_ok(tally_model_digest(model, digest));
    suite_ok(tally_test(model, &s->data, 0, s->data.size, NULL, tested));
    tally_model_free(model);
}

static void devices_train_alike(void **state) {
    (void)state;
    set *s = set_new();
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        suite_case("%s", tally_cell_name((tally_cell)cell));
        char digest[65], want[65];
        tally_test_result tested = {0}, want_tested = {0};
        train(the.device, (tally_cell)cell, 0.3, s, digest, &tested);
        train(the.peer, (tally_cell)cell, 0.3, s, want, &want_tested);
        if (the.exact && the.keeps_denormal) {
            assert_string_equal(digest, want);
            assert_int_equal(tested.mistakes, want_tested.mistakes);
        }
    }
    free(s);
}

/* Giving every sequence the full length changes nothing. */
static void full_lengths_change_nothing(void **state) {
    (void)state;
    set *s = set_new();
    for (size_t i = 0; i < SEQUENCES; i++) {
        s->lengths[i] = STEPS;
        suite_uniforms(&s->x[i][0][0], STEPS * INPUTS, -1, 1);
    }
    char with[65], without[65];
    tally_test_result tested = {0};
    train(the.device, TALLY_LSTM, 0, s, with, &tested);
    s->data.lengths = NULL;
    train(the.device, TALLY_LSTM, 0, s, without, &tested);
    if (the.exact && the.keeps_denormal)
        assert_string_equal(with, without);
    free(s);
}

static void lengths_that_cannot_be(void **state) {
    (void)state;
    set *s = set_new();
    tally_model *model = model_new(the.device, TALLY_LSTM);
    tally_train_options options = tally_train_defaults();
    options.epochs = 1;
    const int32_t wrong[] = {0, -1, STEPS + 1};
    for (size_t i = 0; i < 3; i++) {
        s->lengths[17] = wrong[i];
        assert_int_equal(tally_train(model, &s->data, &options, NULL, NULL), TALLY_DATA);
        assert_non_null(strstr(tally_error_text(), "of sequence 17 is not in 1 to 9"));
        tally_test_result tested = {0};
        assert_int_equal(tally_test(model, &s->data, 0, s->data.size, NULL, &tested), TALLY_DATA);
        float p[SEQUENCES][CLASSES];
        assert_int_equal(tally_predict(model, &s->x[0][0][0], SEQUENCES, STEPS, s->lengths, &p[0][0]), TALLY_USAGE);
        assert_non_null(strstr(tally_error_text(), "of sequence 17 is not in 1 to 9"));
    }
    tally_model_free(model);
    free(s);
}

int main(void) {
    int status = suite_begin();
    if (status)
        return status;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_predicts_what_each_does),
        cmocka_unit_test(devices_train_alike),
        cmocka_unit_test(full_lengths_change_nothing),
        cmocka_unit_test(lengths_that_cannot_be),
    };
    int failed = cmocka_run_group_tests_name("lengths", tests, NULL, NULL);
    suite_end();
    return failed;
}
