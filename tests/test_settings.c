/* The text form of settings, and the tables of the settings of training and of models. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <tally/tally.h>

static const char *const colours[] = {"red", "green", NULL};

typedef enum colour { RED, GREEN } colour;

typedef struct all {
    bool flag;
    size_t size;
    uint64_t whole, from, to;
    double real, share;
    colour colour;
    const char *text;
} all;

enum { FLAG, SIZE, WHOLE, REAL, SHARE, CHOICE, TEXT, SPAN, ROWS };
static const tally_setting rows[ROWS] = {
    [FLAG] = {.initial = "true", TALLY_FLAG_AT(all, flag)},
    [SIZE] = {.initial = "20", TALLY_SIZE_AT(all, size, 2, 30)},
    [WHOLE] = {.initial = "18446744073709551615", TALLY_WHOLE_AT(all, whole, 0, UINT64_MAX)},
    [REAL] = {.initial = "0.5", TALLY_REAL_AT(all, real, -DBL_MAX, DBL_MAX)},
    [SHARE] = {TALLY_FRACTION_AT(all, share)},
    [CHOICE] = {.initial = "green", TALLY_CHOICE_AT(all, colour, colours)},
    [TEXT] = {TALLY_TEXT_AT(all, text)},
    [SPAN] = {.initial = "5..20", TALLY_SPAN_AT(all, from, to, 1, 24)},
};

static void assert_parses(int row, const char *text, const char *formatted) {
    all set;
    char buffer[TALLY_SETTING_TEXT_SIZE];
    tally_settings_reset(rows, ROWS, &set);
    if (!tally_setting_parse(&rows[row], &set, text))
        fail_msg("row %d does not take '%s'", row, text);
    assert_string_equal(tally_setting_format(&rows[row], &set, buffer), formatted);
}

static void assert_refuses(int row, const char *text) {
    all set;
    char buffer[TALLY_SETTING_TEXT_SIZE], before[TALLY_SETTING_TEXT_SIZE];
    tally_settings_reset(rows, ROWS, &set);
    snprintf(before, sizeof before, "%s", tally_setting_format(&rows[row], &set, buffer));
    if (tally_setting_parse(&rows[row], &set, text))
        fail_msg("row %d takes '%s'", row, text);
    assert_string_equal(tally_setting_format(&rows[row], &set, buffer), before);
}

static void every_type_has_a_text_form(void **state) {
    (void)state;
    assert_parses(FLAG, "true", "true");
    assert_parses(FLAG, "false", "false");
    assert_parses(SIZE, "2", "2");
    assert_parses(SIZE, "30", "30");
    assert_parses(WHOLE, "0", "0");
    assert_parses(WHOLE, "18446744073709551615", "18446744073709551615");
    assert_parses(REAL, "1e-8", "1e-08");
    assert_parses(REAL, "10", "10");
    assert_parses(REAL, "-0.3", "-0.3");
    assert_parses(REAL, "0.1000000000000000055511151231257827", "0.1");
    assert_parses(REAL, "0.30000000000000004", "0.30000000000000004");
    assert_parses(REAL, "1.7976931348623157e308", "1.7976931348623157e+308");
    assert_parses(SHARE, "0", "0");
    assert_parses(SHARE, ".99", "0.99");
    assert_parses(CHOICE, "red", "red");
    assert_parses(CHOICE, "green", "green");
    assert_parses(TEXT, "", "");
    assert_parses(TEXT, "a folder", "a folder");
    assert_parses(SPAN, "7", "7");
    assert_parses(SPAN, "7..7", "7");
    assert_parses(SPAN, "1..24", "1..24");
}

static void what_is_out_of_range_changes_nothing(void **state) {
    (void)state;
    const struct {
        int row;
        const char *texts[9];
    } wrong[] = {
        {FLAG, {"", "yes", "1", "True", "true "}},
        {SIZE, {"", "1", "31", "-3", "+3", " 3", "3 ", "0x3", "3.0"}},
        {WHOLE, {"18446744073709551616", "184467440737095516150", "a"}},
        {REAL, {"", "nan", "inf", "-inf", "1e400", "1e-400", "1,5", "1 ", "one"}},
        {SHARE, {"1", "-0.1", "2", "none"}},
        {CHOICE, {"", "blue", "0", "re", "redd", "Red"}},
        {SPAN, {"", "0", "25", "20..5", "5..25", "0..5", "5..", "..5", "5...6"}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        for (size_t k = 0; k < 9 && wrong[i].texts[k]; k++)
            assert_refuses(wrong[i].row, wrong[i].texts[k]);
}

static void ranges_are_described(void **state) {
    (void)state;
    const char *const texts[ROWS] = {[FLAG] = "true or false",
                                     [SIZE] = "a whole number from 2 to 30",
                                     [WHOLE] = "a whole number from 0 to 18446744073709551615",
                                     [REAL] = "a number from -1.79769e+308 to 1.79769e+308",
                                     [SHARE] = "a number from 0 to below 1",
                                     [CHOICE] = "red or green",
                                     [TEXT] = "text",
                                     [SPAN] = "a whole number from 1 to 24, or two: 5..20"};
    for (int i = 0; i < ROWS; i++) {
        char text[TALLY_SETTING_TEXT_SIZE];
        tally_setting_describe_range(&rows[i], text);
        assert_string_equal(text, texts[i]);
    }
}

static void a_reset_gives_the_defaults(void **state) {
    (void)state;
    all set;
    memset(&set, 0xa5, sizeof set);
    tally_settings_reset(rows, ROWS, &set);
    assert_true(set.flag && set.size == 20 && set.whole == UINT64_MAX && set.real == 0.5 && isnan(set.share));
    assert_true(set.colour == GREEN && !set.text && set.from == 5 && set.to == 20);
    tally_setting unset[ROWS];
    memcpy(unset, rows, sizeof rows);
    for (int i = 0; i < ROWS; i++)
        unset[i].initial = NULL;
    tally_settings_reset(unset, ROWS, &set);
    assert_true(!set.flag && set.size == 0 && set.whole == 0 && isnan(set.real) && isnan(set.share));
    assert_true(set.colour == RED && !set.text && set.from == 0 && set.to == 0);
    char buffer[TALLY_SETTING_TEXT_SIZE];
    assert_string_equal(tally_setting_format(&rows[SHARE], &set, buffer), "none");
    assert_string_equal(tally_setting_format(&rows[TEXT], &set, buffer), "none");
}

/* Skipped if no locale is installed whose numbers have a comma. */
static void a_locale_changes_nothing(void **state) {
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "de_DE", "fr_FR"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
        found = setlocale(LC_NUMERIC, names[i]) && strcmp(localeconv()->decimal_point, ",") == 0;
    if (!found)
        skip();
    assert_parses(REAL, "1.5", "1.5");
    assert_refuses(REAL, "1,5");
    assert_string_equal(localeconv()->decimal_point, ",");
    setlocale(LC_NUMERIC, "C");
}

typedef union base {
    tally_train_options run;
    tally_model_config model;
} base;

/* Checks rows over a struct with the given defaults, and marks the bytes that the rows cover. */
static void check_rows(const tally_setting *settings, size_t count, const base *defaults, bool covered[sizeof(base)]) {
    for (size_t i = 0; i < count; i++) {
        const tally_setting *s = &settings[i];
        base set = *defaults;
        char buffer[TALLY_SETTING_TEXT_SIZE];
        assert_true(s->name && s->option && s->help && s->initial);
        assert_true((s->metavar == NULL) == (s->type == TALLY_SETTING_FLAG));
        for (size_t k = 0; k < i; k++)
            assert_true(strcmp(s->name, settings[k].name) != 0 && strcmp(s->option, settings[k].option) != 0 &&
                        s->offset != settings[k].offset);
        assert_true(tally_setting_parse(s, &set, s->initial));
        assert_memory_equal(&set, defaults, sizeof set);
        for (size_t n = 0; s->type == TALLY_SETTING_CHOICE && s->names[n]; n++) {
            assert_true(tally_setting_parse(s, &set, s->names[n]));
            assert_string_equal(tally_setting_format(s, &set, buffer), s->names[n]);
            assert_false(tally_setting_parse(s, &set, "another"));
        }
        size_t size = s->type == TALLY_SETTING_FLAG ? sizeof(bool) : s->type == TALLY_SETTING_CHOICE ? sizeof(int) : 8;
        memset(covered + s->offset, true, size);
    }
}

static void the_table_of_a_run_holds_together(void **state) {
    (void)state;
    size_t count;
    bool covered[sizeof(base)] = {false};
    base defaults = {.run = {0}};
    const tally_setting *settings = tally_train_settings(&count);
    tally_settings_reset(settings, count, &defaults);
    check_rows(settings, count, &defaults, covered);
    /* Every number has a row: the bytes between rows are padding. */
    for (size_t i = 0, gap = 0; i < sizeof(tally_train_options); i++) {
        gap = covered[i] ? 0 : gap + 1;
        assert_true(gap < sizeof(double));
    }
}

static void the_table_of_a_model_holds_together(void **state) {
    (void)state;
    size_t count;
    bool covered[sizeof(base)] = {false};
    base defaults = {.model = {0}};
    const tally_setting *settings = tally_model_settings(&count);
    tally_settings_reset(settings, count, &defaults);
    check_rows(settings, count, &defaults, covered);
    assert_true(covered[offsetof(tally_model_config, hidden)] && covered[offsetof(tally_model_config, layers)] &&
                covered[offsetof(tally_model_config, cell)]);
}

/* PyTorch 2's defaults of the settings that an optimizer has; all others are 0. */
static void optimizers_begin_with_pytorchs_defaults(void **state) {
    (void)state;
    static const struct {
        const char *name;
        tally_optimizer_options defaults;
        const char *takes;
    } optimizers[] = {
        {"adam", {TALLY_ADAM, .rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8}, "beta1 beta2 epsilon"},
        {"adamw",
         {TALLY_ADAMW, .rate = 1e-3, .weight_decay = 1e-2, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8},
         "beta1 beta2 epsilon"},
        {"sgd", {TALLY_SGD, .rate = 1e-3}, "momentum nesterov"},
        {"rmsprop", {TALLY_RMSPROP, .rate = 1e-2, .epsilon = 1e-8, .alpha = 0.99}, "epsilon momentum alpha"},
        {"adagrad", {TALLY_ADAGRAD, .rate = 1e-2, .epsilon = 1e-10}, "epsilon"},
    };
    static const char *const own[] = {"beta1", "beta2", "epsilon", "momentum", "nesterov", "alpha"};
    assert_int_equal(sizeof optimizers / sizeof *optimizers, TALLY_OPTIMIZERS);
    for (int kind = 0; kind < TALLY_OPTIMIZERS; kind++) {
        const tally_optimizer_options got = tally_optimizer_defaults((tally_optimizer)kind);
        const tally_optimizer_options *want = &optimizers[kind].defaults;
        assert_string_equal(tally_optimizer_name((tally_optimizer)kind), optimizers[kind].name);
        assert_true(got.kind == want->kind && got.rate == want->rate && got.weight_decay == want->weight_decay);
        assert_true(got.beta1 == want->beta1 && got.beta2 == want->beta2 && got.epsilon == want->epsilon);
        assert_true(got.momentum == 0 && !got.nesterov && got.alpha == want->alpha);
        assert_int_equal(tally_optimizer_check(&got), TALLY_OK);
        for (size_t i = 0; i < sizeof own / sizeof *own; i++)
            assert_int_equal(tally_optimizer_takes((tally_optimizer)kind, own[i]),
                             strstr(optimizers[kind].takes, own[i]) != NULL);
        assert_true(tally_optimizer_takes((tally_optimizer)kind, "learning_rate"));
        assert_true(tally_optimizer_takes((tally_optimizer)kind, "weight_decay"));
        assert_false(tally_optimizer_takes((tally_optimizer)kind, "clip"));
    }
    assert_null(tally_optimizer_name(TALLY_OPTIMIZERS));
    assert_false(tally_optimizer_takes(TALLY_OPTIMIZERS, "learning_rate"));
    assert_int_equal(tally_optimizer_states(&(tally_optimizer_options){.kind = TALLY_OPTIMIZERS}), 0);
    assert_null(tally_optimizer_state_name(TALLY_OPTIMIZERS, 0));
    assert_null(tally_optimizer_state_name(TALLY_SGD, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_has_a_text_form),
        cmocka_unit_test(what_is_out_of_range_changes_nothing),
        cmocka_unit_test(ranges_are_described),
        cmocka_unit_test(a_reset_gives_the_defaults),
        cmocka_unit_test(a_locale_changes_nothing),
        cmocka_unit_test(the_table_of_a_run_holds_together),
        cmocka_unit_test(the_table_of_a_model_holds_together),
        cmocka_unit_test(optimizers_begin_with_pytorchs_defaults),
    };
    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
