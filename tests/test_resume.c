/* Training runs that are stopped, saved and resumed give the same weights as uninterrupted ones. The first device
 * is TALLY_TEST_DEVICE, by default the C path; the second one is always the C path. */
#include "store/model_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <sys/stat.h>
#include <tally/tally.h>

#include "scratch.h"
#include "test_device.h"

enum { EPOCHS = 5, BATCHES = 3, STEPS = EPOCHS * BATCHES, TRAINED = 241, VALID = 60 };

static tally_device *devices[2]; /* the device under test, and the C path */
static tally_count *strings;
static tally_split *split;

static void assert_ok(tally_status status) {
    if (status)
        fail_msg("%s", tally_error_text());
}

static void assert_error(const char *part) {
    if (!strstr(tally_error_text(), part))
        fail_msg("\"%s\" does not have \"%s\"", tally_error_text(), part);
}

/* 9 bits, 7 hidden; 301 strings, 60 of them for validation, in batches whose last one is smaller. */
static int start_all(void **state) {
    (void)state;
    const tally_device_options exact = {.route = TALLY_ROUTE_EXACT};
    const tally_count_options data = {.length = 9, .train_size = TRAINED + VALID, .seed = 5, .draw = TALLY_DRAW_RANDOM};
    tally_status status = tally_device_open(test_device_selector(), &exact, &devices[0]);
    if (!status)
        status = tally_device_open("cpu", &exact, &devices[1]);
    if (!status)
        status = tally_count_new(&data, &strings);
    if (!status)
        status = tally_split_new(tally_count_train(strings), 0.2, 5, &split);
    if (status)
        print_error("%s\n", tally_error_text());
    return (int)status;
}

static int end_all(void **state) {
    (void)state;
    tally_split_free(split);
    tally_count_free(strings);
    tally_device_close(devices[1]);
    tally_device_close(devices[0]);
    return 0;
}

typedef struct test_case {
    const char *name;
    bool validates;
    size_t layers;
    tally_cell cell;
    tally_train_options options;
} test_case;

/* If the best epoch is kept, the rate is too large, so that the loss oscillates and the best epoch is not the last
 * one. */
#define ADAM(X) .rate = X, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8
#define CASE(X) .epochs = EPOCHS, .seed = 9, .optimizer = {ADAM(X)}
#define SHORT .epochs = 2, .seed = 9, .batch = 120
static const test_case test_cases[] = {
    {"plain", false, 1, TALLY_LSTM, {CASE(0.02), .batch = 120}},
    {"shuffled", false, 3, TALLY_RNN, {CASE(0.02), .batch = 120, .shuffle = true}},
    {"cosine", false, 1, TALLY_LSTM, {CASE(0.02), .batch = 120, .decay = TALLY_DECAY_COSINE}},
    {"step", false, 1, TALLY_LSTM, {CASE(0.02), .batch = 120, .decay = TALLY_DECAY_STEP}},
    {"clipped", false, 1, TALLY_LSTM, {CASE(0.02), .batch = 120, .clip = 30}},
    {"best", false, 1, TALLY_LSTM, {CASE(1.0), .batch = 120, .keep = TALLY_KEEP_BEST}},
    {"validated", true, 1, TALLY_LSTM, {CASE(2.0), .batch = 100, .keep = TALLY_KEEP_BEST}},
    {"all",
     true,
     2,
     TALLY_GRU,
     {CASE(10.0), .batch = 100, .shuffle = true, .keep = TALLY_KEEP_BEST, .decay = TALLY_DECAY_COSINE, .clip = 30,
      .patience = 4, .dropout = 0.3}},
    {"adamw", false, 1, TALLY_RNN, {SHORT, .optimizer = {TALLY_ADAMW, ADAM(0.02), .weight_decay = 0.1}}},
    {"sgd", false, 1, TALLY_RNN, {SHORT, .optimizer = {TALLY_SGD, .rate = 1e-3, .weight_decay = 0.1}}},
    {"momentum", false, 1, TALLY_RNN, {SHORT, .optimizer = {TALLY_SGD, .rate = 1e-3, .momentum = 0.9}}},
    {"nesterov",
     false,
     1,
     TALLY_RNN,
     {SHORT, .optimizer = {TALLY_SGD, .rate = 1e-3, .momentum = 0.9, .nesterov = true}}},
    {"rmsprop",
     false,
     1,
     TALLY_RNN,
     {SHORT, .optimizer = {TALLY_RMSPROP, .rate = 0.01, .epsilon = 1e-8, .alpha = 0.9}}},
    {"rmsprop with momentum",
     false,
     1,
     TALLY_RNN,
     {SHORT, .optimizer = {TALLY_RMSPROP, .rate = 0.01, .epsilon = 1e-8, .momentum = 0.5, .alpha = 0.9}}},
    {"adagrad", false, 1, TALLY_RNN, {SHORT, .optimizer = {TALLY_ADAGRAD, .rate = 0.01, .epsilon = 1e-10}}},
};
enum { TEST_CASES = sizeof test_cases / sizeof *test_cases };

typedef struct run {
    tally_model *model;
    tally_training *training;
} run;

static const tally_dataset *data_of(const test_case *p) {
    static tally_dataset first;
    if (p->validates)
        return tally_split_train(split);
    first = *tally_count_train(strings);
    return &first;
}

static const tally_dataset *valid_of(const test_case *p) {
    return p->validates ? tally_split_valid(split) : NULL;
}

static tally_model *model_of(const test_case *p, int device) {
    const tally_model_config config = {.inputs = 1, .hidden = 7, .classes = 10, .layers = p->layers, .cell = p->cell};
    tally_model *model;
    assert_ok(tally_model_new(devices[device], &config, &model));
    return model;
}

static run start_run(const test_case *p, int device) {
    run r = {.model = model_of(p, device)};
    assert_ok(tally_model_init(r.model, 5));
    assert_ok(tally_training_new(r.model, data_of(p), valid_of(p), &p->options, &r.training));
    return r;
}

static run resume_run(const test_case *p, int device, const char *path) {
    run r = {.model = model_of(p, device)};
    assert_ok(tally_training_resume(r.model, data_of(p), valid_of(p), NULL, path, &r.training));
    return r;
}

static void free_run(run *r) {
    tally_training_free(r->training);
    tally_model_free(r->model);
}

typedef struct watch {
    size_t stop; /* at this step; 0: never */
    tally_training *training;
    const char *path; /* where to save at that step, or NULL */
    size_t steps;
} watch;

static bool stop_and_save(void *context, const tally_progress *now) {
    watch *w = context;
    w->steps++;
    if (now->step == w->stop && w->path)
        assert_ok(tally_training_save(w->training, w->path, false));
    return now->step != w->stop;
}

static tally_status continue_run(run *r, watch *w) {
    w->training = r->training;
    return tally_training_run(r->training, &(tally_observer){stop_and_save, w});
}

typedef struct outcome {
    char digest[65];
    tally_train_result result;
} outcome;

static outcome finish_run(run *r) {
    outcome o = {.result = tally_training_result(r->training)};
    char kept[65];
    assert_ok(tally_model_digest(r->model, o.digest));
    assert_ok(tally_training_digest(r->training, kept));
    assert_string_equal(o.digest, kept);
    free_run(r);
    return o;
}

static outcome run_uninterrupted(const test_case *p, int device) {
    run r = start_run(p, device);
    watch w = {.stop = 0};
    assert_ok(continue_run(&r, &w));
    return finish_run(&r);
}

static bool same_number(double a, double b) {
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

static void assert_same(const test_case *p, size_t step, const outcome *got, const outcome *want) {
    const tally_train_result *a = &got->result, *b = &want->result;
    if (strcmp(got->digest, want->digest) != 0 || a->epochs != b->epochs || a->steps != b->steps ||
        a->kept_epoch != b->kept_epoch || a->best_epoch != b->best_epoch || !same_number(a->loss, b->loss) ||
        !same_number(a->valid_loss, b->valid_loss) || a->valid_mistakes != b->valid_mistakes)
        fail_msg(
            "%s, stopped after step %zu: %s, %zu epochs, the %zuth kept, loss %.17g, valid %.17g; without: %s, %zu, "
            "%zu, %.17g, %.17g",
            p->name, step, got->digest, a->epochs, a->kept_epoch, a->loss, a->valid_loss, want->digest, b->epochs,
            b->kept_epoch, b->loss, b->valid_loss);
}

/* Stops after every possible step, saves and resumes: on the device under test, from it on the C path, and the
 * other way round. */
static void a_stopped_run_ends_as_one_that_was_not(void **state) {
    const char *path = scratch_path(*state, "run.safetensors");
    bool same = strcmp(tally_device_get_info(devices[0])->backend, "cpu") == 0;
    int ways = same ? 1 : 3;
    for (size_t i = 0; i < TEST_CASES; i++) {
        const test_case *p = &test_cases[i];
        outcome want = run_uninterrupted(p, 0), on_cpu = run_uninterrupted(p, 1);
        assert_same(p, 0, &on_cpu, &want);
        /* Only a small part of the work is specific to the device. */
        size_t stride = same || p == &test_cases[7] ? 1 : 4;
        for (size_t step = 1; step < want.result.steps; step += stride)
            for (int way = 0; way < ways; way++) {
                int first = way == 2, second = way == 1;
                run r = start_run(p, first);
                watch stopped = {.stop = step}, rest = {.stop = 0};
                assert_int_equal(continue_run(&r, &stopped), TALLY_STOPPED);
                assert_ok(tally_training_save(r.training, path, false));
                free_run(&r);
                r = resume_run(p, second, path);
                assert_int_equal(tally_training_result(r.training).steps, step);
                assert_ok(continue_run(&r, &rest));
                assert_int_equal(rest.steps, want.result.steps - step);
                outcome got = finish_run(&r);
                assert_same(p, step, &got, &want);
            }
    }
}

/* Each case has the effect that it is meant to have: patience ends a run early, the best epoch is not the last,
 * clipping and decay change the result. */
static void the_cases_differ(void **state) {
    (void)state;
    outcome all[TEST_CASES];
    for (size_t i = 0; i < TEST_CASES; i++) {
        all[i] = run_uninterrupted(&test_cases[i], 1);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(all[i].digest, all[k].digest);
        if (test_cases[i].options.keep == TALLY_KEEP_BEST)
            assert_in_range(all[i].result.kept_epoch, 1, all[i].result.epochs - 1);
    }
}

/* Saved alternately by the observer and after a single step. */
static void saving_in_between_is_the_same(void **state) {
    scratch *s = *state;
    for (size_t i = 0; i < TEST_CASES; i++) {
        const test_case *p = &test_cases[i];
        outcome want = run_uninterrupted(p, 0);
        char first[PATH_MAX];
        snprintf(first, sizeof first, "%s", scratch_path(s, "observer.safetensors"));
        const char *second = scratch_path(s, "after.safetensors");
        run r = start_run(p, 0);
        for (size_t step = 1; step < want.result.steps; step++) {
            watch w = {.stop = step, .path = first};
            assert_int_equal(continue_run(&r, &w), TALLY_STOPPED);
            assert_ok(tally_training_save(r.training, second, false));
            struct stat info;
            assert_int_equal(stat(first, &info), 0);
            char *bytes = calloc(1, (size_t)info.st_size);
            FILE *file = fopen(first, "rb");
            assert_true(bytes && file);
            assert_int_equal(fread(bytes, 1, (size_t)info.st_size, file), info.st_size);
            fclose(file);
            assert_file_holds(second, bytes, (size_t)info.st_size);
            free(bytes);
            if (step % 2)
                continue; /* in the same process */
            free_run(&r);
            r = resume_run(p, 0, first);
        }
        watch rest = {.stop = 0};
        assert_ok(continue_run(&r, &rest));
        outcome got = finish_run(&r);
        assert_same(p, 0, &got, &want);
    }
}

/* A finished run can be extended, and patience can shorten it; one that is not extended ends at once. */
static void where_it_ends_may_change(void **state) {
    const char *path = scratch_path(*state, "run.safetensors");
    test_case p = test_cases[1];
    outcome want = run_uninterrupted(&p, 0);
    p.options.epochs = 2;
    run r = start_run(&p, 0);
    watch w = {.stop = 0};
    assert_ok(continue_run(&r, &w));
    assert_ok(tally_training_save(r.training, path, false));
    free_run(&r);
    r = resume_run(&p, 0, path);
    w.steps = 0;
    assert_ok(continue_run(&r, &w));
    assert_int_equal(w.steps, 0);
    outcome over = finish_run(&r);
    assert_int_equal(over.result.epochs, 2);
    r.model = model_of(&p, 0);
    assert_ok(tally_training_resume(r.model, data_of(&p), NULL, &test_cases[1].options, path, &r.training));
    assert_ok(continue_run(&r, &w));
    outcome got = finish_run(&r);
    assert_same(&p, 6, &got, &want);
}

/* Until it is stopped. */
static void a_run_without_an_end_goes_on(void **state) {
    const char *path = scratch_path(*state, "run.safetensors");
    test_case p = test_cases[1];
    p.options.epochs = p.options.batch = p.options.patience = SIZE_MAX;
    run r = start_run(&p, 0);
    watch w = {.stop = 1};
    assert_int_equal(continue_run(&r, &w), TALLY_STOPPED);
    assert_ok(tally_training_save(r.training, path, false));
    free_run(&r);
    r = resume_run(&p, 0, path);
    const tally_train_options *again = tally_training_options(r.training);
    assert_true(again->epochs == SIZE_MAX && again->batch == SIZE_MAX && again->patience == SIZE_MAX);
    free_run(&r);
}

/* No epoch after the best one is better, and before it there were never as many in a row without an improvement. */
static void patience_ends_a_run(void **state) {
    (void)state;
    test_case p = test_cases[6];
    p.options.epochs = 200;
    p.options.patience = 3;
    outcome got = run_uninterrupted(&p, 0);
    assert_in_range(got.result.epochs, 4, 199);
    assert_int_equal(got.result.epochs, got.result.best_epoch + 3);
    assert_int_equal(got.result.kept_epoch, got.result.best_epoch);
    p.options.epochs = got.result.epochs;
    p.options.patience = 0;
    outcome whole = run_uninterrupted(&p, 0);
    assert_same(&p, 0, &got, &whole);
    p.options.epochs = got.result.best_epoch;
    p.options.keep = TALLY_KEEP_LAST;
    outcome best = run_uninterrupted(&p, 0);
    assert_string_equal(best.digest, got.digest);
}

typedef struct epochs {
    size_t mistakes[64];
    double losses[64], valid_losses[64];
    tally_model *model;
    const tally_dataset *valid;
} epochs;

/* The validation results in the progress report must be those of tally_test; the loss is the sum of negative
 * logarithms. */
static bool validate_again(void *context, const tally_progress *now) {
    epochs *e = context;
    assert_true(isnan(now->valid_loss) == !now->epoch_done);
    if (!now->epoch_done)
        return true;
    double loss = -1, want = 0;
    tally_test_result again = {.loss = &loss};
    assert_ok(tally_test(e->model, e->valid, 0, e->valid->size, NULL, &again));
    assert_int_equal(again.mistakes, now->valid_mistakes);
    assert_true(loss == now->valid_loss);
    for (size_t n = 0; n < e->valid->size; n++) {
        float x[9], p[10];
        int32_t label;
        assert_ok(e->valid->read(e->valid, &n, 1, x, &label));
        assert_ok(tally_predict(e->model, x, 1, 9, NULL, p));
        want -= log(fmax((double)p[label], 1e-10));
    }
    /* A log is off by at most 2 units of 2^-24, relatively, and none is below 0; the sum in double is off by far
     * less. */
    assert_true(fabs(loss - want) <= 2 * 0x1p-24 * want);
    e->mistakes[now->epoch - 1] = now->valid_mistakes;
    e->losses[now->epoch - 1] = now->epoch_loss;
    e->valid_losses[now->epoch - 1] = now->valid_loss;
    return true;
}

static void the_best_epoch_makes_the_fewest_mistakes(void **state) {
    (void)state;
    test_case p = test_cases[6];
    p.options.epochs = 40;
    p.options.optimizer.rate = 1.0;
    run r = start_run(&p, 0);
    epochs e = {.model = r.model, .valid = valid_of(&p)};
    assert_ok(tally_training_run(r.training, &(tally_observer){validate_again, &e}));
    size_t best = 0, lowest = 0;
    for (size_t i = 1; i < 40; i++) {
        if (e.mistakes[i] < e.mistakes[best] ||
            (e.mistakes[i] == e.mistakes[best] && e.valid_losses[i] < e.valid_losses[best]))
            best = i;
        lowest = e.losses[i] < e.losses[lowest] ? i : lowest;
    }
    tally_train_result result = tally_training_result(r.training);
    assert_int_equal(result.kept_epoch, best + 1);
    assert_int_equal(result.best_epoch, best + 1);
    assert_int_equal(result.valid_mistakes, e.mistakes[best]);
    assert_true(result.valid_loss == e.valid_losses[best] && result.loss == e.losses[best]);
    assert_true(lowest != best); /* otherwise the training loss would do as well */
    free_run(&r);
}

/* Records which sequences are requested. */
static bool asked_for[TRAINED + VALID];

static tally_status note_and_read(const tally_dataset *data, const size_t *numbers, size_t count, float *x,
                                  int32_t *labels) {
    const tally_dataset *of = data->context;
    for (size_t i = 0; i < count; i++)
        asked_for[numbers[i]] = true;
    return of->read(of, numbers, count, x, labels);
}

static void what_is_held_out_is_never_trained_on(void **state) {
    (void)state;
    test_case p = test_cases[7];
    tally_dataset noted = *tally_count_train(strings);
    tally_split *parts;
    noted.context = tally_count_train(strings);
    noted.read = note_and_read;
    assert_ok(tally_split_new(&noted, 0.2, 5, &parts));
    tally_model *model = model_of(&p, 1);
    tally_training *training;
    assert_ok(tally_training_new(model, tally_split_train(parts), NULL, &p.options, &training));
    assert_ok(tally_training_run(training, NULL));
    size_t asked = 0;
    for (size_t i = 0; i < TRAINED + VALID; i++)
        asked += asked_for[i];
    assert_int_equal(asked, TRAINED);
    for (size_t n = 0; n < VALID; n++) /* each of the others is one of those */
        assert_ok(tally_split_valid(parts)->read(tally_split_valid(parts), &n, 1, NULL, (int32_t[1]){0}));
    for (size_t i = 0; i < TRAINED + VALID; i++)
        assert_true(asked_for[i]);
    tally_training_free(training);
    tally_model_free(model);
    tally_split_free(parts);
}

/* With beta1 0, Adam's m is the gradient of the step: as a flat tensor, in the order of the parameters without
 * bias_hh. */
static size_t first_gradient(double clip, int device, const char *path, float *values, double *norm) {
    test_case p = {.layers = 1, .options = {CASE(0.02), .batch = 120, .clip = clip}};
    p.options.optimizer.beta1 = 0;
    run r = start_run(&p, device);
    watch w = {.stop = 1};
    assert_int_equal(continue_run(&r, &w), TALLY_STOPPED);
    assert_ok(tally_training_save(r.training, path, false));
    free_run(&r);
    static tl_model_file file;
    assert_ok(tl_model_file_read(path, &file));
    size_t count = 0;
    for (size_t part = 0; part < file.count; part++)
        for (size_t i = 0;
             i < file.extra[tl_extra_state(TALLY_ADAM, 0)][part]->bytes / 4 && file.parameters[part].role != TL_BIAS_HH;
             i++)
            values[count++] = tl_saved_f32(file.extra[tl_extra_state(TALLY_ADAM, 0)][part], i);
    json_t *note = json_loads(tl_model_file_note(&file, TALLY_TRAINING_NOTE), 0, NULL);
    *norm = strtod(json_string_value(json_object_get(note, "epoch_norm")), NULL);
    json_decref(note);
    tl_model_file_free(&file);
    return count;
}

/* tally_accumulate's order, as tally/tensor.h states it. */
static float sum_of_squares(const float *values, size_t count) {
    size_t half = 64;
    if (count > 64) {
        while (2 * half < count)
            half *= 2;
        return sum_of_squares(values, half) + sum_of_squares(values + half, count - half);
    }
    float lanes[16] = {0};
    for (size_t i = 0; i < count; i++)
        lanes[i % 16] = fmaf(values[i], values[i], lanes[i % 16]);
    for (half = 8; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}

static void a_long_gradient_is_scaled_to_the_bit(void **state) {
    const char *path = scratch_path(*state, "gradient.safetensors");
    enum { MOST = 1024 };
    for (int device = 0; device < 2; device++) {
        float whole[MOST], clipped[MOST];
        double norm, unused;
        size_t count = first_gradient(1e30, device, path, whole, &norm);
        assert_true(norm == sqrt((double)sum_of_squares(whole, count)));
        assert_true(norm > 1);
        const double clips[] = {norm / 3, 0.9 * norm, nextafter(norm, 0), norm};
        for (size_t c = 0; c < 4; c++) {
            float factor = clips[c] < norm ? (float)(clips[c] / norm) : 1.0f;
            assert_int_equal(first_gradient(clips[c], device, path, clipped, &unused), count);
            assert_true(unused == norm);
            for (size_t i = 0; i < count; i++) {
                float want = whole[i] * factor;
                assert_memory_equal(&clipped[i], &want, sizeof want);
            }
        }
        assert_int_equal(first_gradient(0, device, path, clipped, &unused), count);
        assert_memory_equal(clipped, whole, count * sizeof *whole);
    }
}

typedef struct norm_watch {
    double last;
    bool begins, falls;
} norm_watch;

/* The norm does not fall within an epoch and starts again in the next one. */
static bool check_norm(void *context, const tally_progress *now) {
    norm_watch *n = context;
    assert_true(now->norm > 0 && (n->begins || now->norm >= n->last));
    n->falls |= n->begins && now->norm < n->last;
    n->begins = now->epoch_done;
    n->last = now->norm;
    return true;
}

static void the_norm_told_is_the_largest_of_the_epoch(void **state) {
    (void)state;
    run r = start_run(&test_cases[4], 0);
    norm_watch n = {.begins = true};
    assert_ok(tally_training_run(r.training, &(tally_observer){check_norm, &n}));
    assert_true(n.falls);
    free_run(&r);
}

static void a_norm_that_is_not_finite_stops_it(void **state) {
    scratch *s = *state;
    test_case p = {.layers = 1, .options = {CASE(0.02), .batch = 120, .clip = 1}};
    float huge[7 * 10];
    for (size_t i = 0; i < 70; i++)
        huge[i] = i % 2 ? 1e30f : -1e30f; /* the head's weights, with which its gradient reaches the layer */
    run r = {.model = model_of(&p, 0)};
    assert_ok(tally_model_init(r.model, 5));
    assert_ok(tally_model_set(r.model, 1, huge, 70));
    assert_ok(tally_training_new(r.model, data_of(&p), NULL, &p.options, &r.training));
    watch w = {.stop = 0};
    assert_int_equal(continue_run(&r, &w), TALLY_NUMBERS);
    assert_error("step 1 (epoch 1, batch 1): the square of the gradient's norm became inf");
    const char *path = scratch_path(s, "faulty.safetensors");
    assert_int_equal(tally_training_save(r.training, path, false), TALLY_NUMBERS);
    assert_error("the run has failed and has no state to resume from");
    assert_int_equal(scratch_entries(s), 0);
    assert_ok(tally_training_save(r.training, path, true));
    assert_int_equal(continue_run(&r, &w), TALLY_USAGE);
    assert_error("this run has failed and cannot go on");
    free_run(&r);
}

/* Whether the data can still be read. */
static bool readable;

static tally_status read_or_fail(const tally_dataset *data, const size_t *numbers, size_t count, float *x,
                                 int32_t *labels) {
    const tally_dataset *of = data->context;
    return readable ? of->read(of, numbers, count, x, labels) : TALLY_DATA;
}

/* The failure is within a step, or between one and the next epoch, where no run could be resumed. */
static void a_run_that_has_failed_is_over(void **state) {
    scratch *s = *state;
    const test_case *p = &test_cases[6];
    for (int validates = 0; validates < 2; validates++) {
        tally_dataset data = *data_of(p), valid = *valid_of(p), *fails = validates ? &valid : &data;
        fails->context = validates ? valid_of(p) : data_of(p);
        fails->read = read_or_fail;
        readable = false;
        run r = {.model = model_of(p, 1)};
        assert_ok(tally_model_init(r.model, 5));
        assert_ok(tally_training_new(r.model, &data, &valid, &p->options, &r.training));
        char first[65], kept[65];
        assert_ok(tally_model_digest(r.model, first));
        watch w = {.stop = 0};
        assert_int_equal(continue_run(&r, &w), TALLY_DATA);
        assert_int_equal(w.steps, validates ? BATCHES - 1 : 0);
        readable = true;
        assert_int_equal(continue_run(&r, &w), TALLY_USAGE);
        assert_error("this run has failed and cannot go on");
        const char *path = scratch_path(s, "failed.safetensors");
        assert_int_equal(tally_training_save(r.training, path, false), TALLY_DATA);
        assert_error("failed.safetensors: the run has failed and has no state to resume from");
        assert_int_equal(scratch_entries(s), validates); /* the previous iteration's weights */
        assert_ok(tally_training_save(r.training, path, true));
        assert_ok(tally_training_digest(r.training, kept));
        assert_string_equal(kept, first);
        free_run(&r);
    }
}

/* Programs that need only the model can read the file as a model file. */
static void the_file_is_a_model(void **state) {
    scratch *s = *state;
    const test_case *p = &test_cases[7];
    char path[PATH_MAX], digest[65], loaded[65];
    snprintf(path, sizeof path, "%s", scratch_path(s, "run.safetensors"));
    run r = start_run(p, 0);
    assert_ok(tally_model_set_note(r.model, "task", "count"));
    watch w = {.stop = STEPS - 1};
    assert_int_equal(continue_run(&r, &w), TALLY_STOPPED);
    assert_ok(tally_model_digest(r.model, digest));
    for (int weights_only = 0; weights_only < 2; weights_only++) {
        assert_ok(tally_training_save(r.training, path, weights_only));
        tally_model *model;
        assert_ok(tally_model_load(devices[1], path, &model));
        assert_ok(tally_model_digest(model, loaded));
        assert_string_equal(loaded, digest);
        assert_string_equal(tally_model_note(model, "task"), "count");
        assert_true((tally_model_note(model, TALLY_TRAINING_NOTE) == NULL) == weights_only);
        const char *again = scratch_path(s, "again.safetensors");
        assert_ok(tally_model_save(model, again));
        tl_safetensors file;
        assert_ok(tl_safetensors_read(again, &file));
        assert_int_equal(file.count, tally_model_parameters(model));
        assert_null(json_object_get(file.metadata, TALLY_TRAINING_NOTE));
        assert_null(json_object_get(file.metadata, TL_TRAINING_DIGEST));
        tl_safetensors_free(&file);
        tally_model_free(model);
    }
    free_run(&r);
}

/* Saves the last of the first eight cases after a step. */
static void save_at(size_t step, const char *path, bool weights_only) {
    run r = start_run(&test_cases[7], 1);
    watch w = {.stop = step};
    assert_int_equal(continue_run(&r, &w), TALLY_STOPPED);
    assert_ok(tally_training_save(r.training, path, weights_only));
    free_run(&r);
}

static void refuse(tally_status status, const char *path, const tally_dataset *data, const tally_train_options *options,
                   const char *text) {
    tally_model *model = model_of(&test_cases[7], 1);
    tally_training *training;
    assert_int_equal(tally_training_resume(model, data, valid_of(&test_cases[7]), options, path, &training), status);
    assert_null(training);
    assert_error(text);
    tally_model_free(model);
}

static void what_would_change_the_result_is_refused(void **state) {
    const char *path = scratch_path(*state, "run.safetensors");
    const test_case *p = &test_cases[7];
    save_at(4, path, false);
    static const struct {
        const char *name, *other, *text;
    } changes[] = {
        {"batch", "99", "its training run has batch 100 and cannot be resumed with 99"},
        {"optimizer", "adamw", "has optimizer adam and cannot be resumed with adamw"},
        {"learning_rate", "0.5", "has learning_rate 10 and cannot be resumed with 0.5"},
        {"weight_decay", "0.5", "has weight_decay 0 and cannot be resumed with 0.5"},
        {"beta1", "0.5", "has beta1 0.9 and cannot be resumed with 0.5"},
        {"beta2", "0.5", "has beta2 0.999 and cannot be resumed with 0.5"},
        {"epsilon", "0.5", "has epsilon 1e-08 and cannot be resumed with 0.5"},
        {"momentum", "0.5", "adam takes no momentum, which is 0.5"},
        {"nesterov", "true", "adam takes no nesterov, which is true"},
        {"alpha", "0.5", "adam takes no alpha, which is 0.5"},
        {"dropout", "0", "has dropout 0.3 and cannot be resumed with 0"},
        {"seed", "18446744073709551615", "has seed 9 and cannot be resumed with 18446744073709551615"},
        {"shuffle", "false", "has shuffle true and cannot be resumed with false"},
        {"keep", "last", "has keep best and cannot be resumed with last"},
        {"lr_decay", "none", "has lr_decay cosine and cannot be resumed with none"},
        {"clip", "0", "has clip 30 and cannot be resumed with 0"},
    };
    size_t count, refused = 0;
    const tally_setting *settings = tally_train_settings(&count);
    for (size_t i = 0; i < count; i++) {
        if (settings[i].may_change)
            continue;
        tally_train_options options = p->options;
        assert_true(refused < sizeof changes / sizeof *changes);
        assert_string_equal(settings[i].name, changes[refused].name);
        assert_true(tally_setting_parse(&settings[i], &options, changes[refused].other));
        refuse(TALLY_USAGE, path, data_of(p), &options, changes[refused++].text);
    }
    assert_int_equal(refused, sizeof changes / sizeof *changes);
    refuse(TALLY_USAGE, path, tally_count_train(strings), NULL, "has sequences 241 and cannot be resumed with 301");
    tally_model *model = model_of(&test_cases[0], 1);
    tally_training *training;
    assert_int_equal(tally_training_resume(model, data_of(p), valid_of(p), NULL, path, &training), TALLY_USAGE);
    assert_error("its model's sizes differ");
    tally_model_free(model);
    test_case other = *p;
    other.cell = TALLY_LSTM;
    model = model_of(&other, 1);
    assert_int_equal(tally_training_resume(model, data_of(p), valid_of(p), NULL, path, &training), TALLY_USAGE);
    assert_error("has cell gru and cannot be resumed with lstm");
    tally_model_free(model);
    model = model_of(p, 1);
    assert_int_equal(tally_training_resume(model, data_of(p), NULL, NULL, path, &training), TALLY_USAGE);
    assert_error("has valid_sequences 60 and cannot be resumed with 0");
    tally_model_free(model);
}

static void a_file_without_a_state_is_refused(void **state) {
    const char *path = scratch_path(*state, "run.safetensors");
    save_at(4, path, true);
    refuse(TALLY_MODEL, path, data_of(&test_cases[7]), NULL,
           "run.safetensors: it has no training state to resume from");
    refuse(TALLY_IO, "/nowhere/file", data_of(&test_cases[7]), NULL, "/nowhere/file");
}

/* A file with a state of version 1: four bits, a GRU of two units. The model is read, the run is not. */
static void a_file_of_version_1_is_a_model_only(void **state) {
    (void)state;
    const char *path = TALLY_FIXTURES "/version_1.safetensors";
    const tally_count_options data = {.length = 4, .train_size = 8, .seed = 3};
    tally_count *four;
    tally_model *model;
    tally_training *training;
    assert_ok(tally_count_new(&data, &four));
    assert_ok(tally_model_load(devices[1], path, &model));
    assert_string_equal(tally_cell_name(tally_model_get_config(model)->cell), "gru");
    char digest[65];
    assert_ok(tally_model_digest(model, digest));
    assert_string_equal(digest, tally_model_note(model, "weights_sha256"));
    assert_int_equal(tally_model_resumable(model), TALLY_MODEL);
    assert_error("was saved by an earlier tally, which added gradients in another order");
    assert_int_equal(tally_training_resume(model, tally_count_train(four), NULL, NULL, path, &training), TALLY_MODEL);
    assert_error("version_1.safetensors: its training run was saved by an earlier tally");
    assert_null(training);
    tally_model_free(model);
    tally_count_free(four);
}

/* Changes to a file's tensors or note. Its digest is updated unless it is meant to be stale. */
typedef struct changes {
    size_t without;   /* the number of a tensor that is left out; SIZE_MAX: none */
    const char *key;  /* a key of the note; NULL: none */
    json_t *value;    /* its value; NULL: the key is removed */
    const char *text; /* the whole note */
    size_t tensor;    /* a tensor whose first value is set; SIZE_MAX: none */
    float number;
    bool stale;       /* the digest is not updated */
    const char *name; /* a new name for the tensor */
} changes;

static void write_changed(const char *from, const char *to, const changes *c) {
    tl_safetensors file;
    assert_ok(tl_safetensors_read(from, &file));
    json_t *metadata = json_deep_copy(file.metadata);
    json_t *note = json_loads(json_string_value(json_object_get(metadata, TALLY_TRAINING_NOTE)), 0, NULL);
    if (c->key && strcmp(c->key, "*") == 0)
        json_object_update_new(note, c->value);
    else if (c->key && c->value)
        json_object_set_new(note, c->key, c->value);
    else if (c->key)
        json_object_del(note, c->key);
    char *text = json_dumps(note, JSON_COMPACT);
    json_object_set_new(metadata, TALLY_TRAINING_NOTE, json_string(c->text ? c->text : text));
    if (c->tensor != SIZE_MAX) {
        memcpy((unsigned char *)(uintptr_t)file.tensors[c->tensor].data, &c->number, sizeof c->number);
        if (c->name)
            file.tensors[c->tensor].name = c->name;
    }
    if (c->without != SIZE_MAX)
        memmove(&file.tensors[c->without], &file.tensors[c->without + 1],
                (--file.count - c->without) * sizeof *file.tensors);
    static tl_model_file read;
    assert_ok(tl_safetensors_write(to, file.tensors, file.count, metadata));
    if (!c->stale && tl_model_file_read(to, &read) == TALLY_OK) {
        json_object_set_new(metadata, TL_TRAINING_DIGEST, json_string(tl_model_file_state_digest(&read).hex));
        tl_model_file_free(&read);
        assert_ok(tl_safetensors_write(to, file.tensors, file.count, metadata));
    }
    free(text);
    json_decref(note);
    json_decref(metadata);
    tl_safetensors_free(&file);
}

static void damaged_files_are_refused(void **state) {
    scratch *s = *state;
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s", scratch_path(s, "whole.safetensors"));
    const char *path = scratch_path(s, "changed.safetensors");
    save_at(4, whole, false);
    enum { PARTS = 10, M = PARTS, V = 2 * PARTS, PRESENT = 3 * PARTS, NONE = -1 };
    const struct {
        int without;
        const char *key;
        json_t *value;
        const char *text;
        int tensor;
        float number;
        bool stale;
        const char *name, *error;
    } cases[] = {
        {NONE, NULL, NULL, NULL, M, 7, true, NULL, "its training state is damaged: it has SHA-256 "},
        {NONE, "steps_done", json_string("5"), NULL, NONE, 0, true, NULL, "its training state is damaged"},
        {NONE, NULL, NULL, NULL, M, NAN, false, NULL, "element 0 of tensor adam.m.head.bias is nan"},
        {NONE, NULL, NULL, NULL, PRESENT, INFINITY, false, NULL, "element 0 of tensor train.head.bias is inf"},
        {NONE, NULL, NULL, NULL, V, -1, false, NULL,
         "element 0 of tensor adam.v.head.bias is -1, but squares are never negative"},
        {NONE, NULL, NULL, NULL, M, 0, false, "adam.m.other", "tensor adam.m.other is not part of a model"},
        {NONE, NULL, NULL, NULL, M, 0, false, "adam.x.head.bias", "tensor adam.x.head.bias is not part of a model"},
        {M + 1, NULL, NULL, NULL, NONE, 0, false, NULL, "there is no tensor adam.m.head.weight, which its"},
        {V + 9, NULL, NULL, NULL, NONE, 0, false, NULL, "there is no tensor adam.v.rnn.weight_ih_l1, which its"},
        {PRESENT, NULL, NULL, NULL, NONE, 0, false, NULL, "there is no tensor train.head.bias, which its"},
        {NONE, NULL, NULL, "[", NONE, 0, false, NULL, "its note tally.training is not JSON"},
        {NONE, NULL, NULL, "[]", NONE, 0, false, NULL, "its note tally.training has no version"},
        {NONE, "version", json_integer(3), NULL, NONE, 0, false, NULL, "has version 3, expected 2"},
        {NONE, "version", json_integer(1), NULL, NONE, 0, false, NULL, "gradients in another order"},
        {NONE, "best_loss", NULL, NULL, NONE, 0, false, NULL, "has no best_loss"},
        {NONE, "best_loss", json_real(1), NULL, NONE, 0, false, NULL, "has a wrong best_loss"},
        {NONE, "best_loss", json_string("inf"), NULL, NONE, 0, false, NULL, "has a wrong best_loss: inf"},
        {NONE, "batch", json_integer(1), NULL, NONE, 0, false, NULL, "has a wrong batch"},
        {NONE, "batch", json_null(), NULL, NONE, 0, false, NULL, "has a wrong batch"},
        {NONE, "epochs_done", json_string("-1"), NULL, NONE, 0, false, NULL, "has a wrong epochs_done: -1"},
        {NONE, "epochs_done", json_string("18446744073709551616"), NULL, NONE, 0, false, NULL,
         "has a wrong epochs_done: 18446744073709551616"},
        {NONE, "seed", json_string("9x"), NULL, NONE, 0, false, NULL, "has a wrong seed: 9x"},
        {NONE, "shuffle", json_string("yes"), NULL, NONE, 0, false, NULL, "has a wrong shuffle: yes"},
        {NONE, "keep", json_integer(1), NULL, NONE, 0, false, NULL, "has a wrong keep"},
        {NONE, "keep", json_string("1"), NULL, NONE, 0, false, NULL, "has a wrong keep: 1"},
        {NONE, "lr_decay", json_string("linear"), NULL, NONE, 0, false, NULL, "has a wrong lr_decay: linear"},
        {NONE, "steps_done", json_string("5"), NULL, NONE, 0, false, NULL,
         "says epoch 1, batch 1 of 3, step 5, best epoch 1, which cannot be"},
        {NONE, "batches_done", json_string("4"), NULL, NONE, 0, false, NULL, "which cannot be"},
        {NONE, "*", json_pack("{s:s, s:s}", "batches_done", "3", "steps_done", "6"), NULL, NONE, 0, false, NULL,
         "says epoch 1, batch 3 of 3, step 6, best epoch 1, which cannot be"},
        {NONE, "best_epoch", json_string("2"), NULL, NONE, 0, false, NULL, "which cannot be"},
        {NONE, "kept_epoch", json_string("0"), NULL, NONE, 0, false, NULL, "which cannot be"},
        {NONE, "epochs_done", json_string("9223372036854775807"), NULL, NONE, 0, false, NULL, "which cannot be"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const changes c = {.without = cases[i].without == NONE ? SIZE_MAX : (size_t)cases[i].without,
                           .key = cases[i].key,
                           .value = cases[i].value,
                           .text = cases[i].text,
                           .tensor = cases[i].tensor == NONE ? SIZE_MAX : (size_t)cases[i].tensor,
                           .number = cases[i].number,
                           .stale = cases[i].stale,
                           .name = cases[i].name};
        write_changed(whole, path, &c);
        refuse(TALLY_MODEL, path, data_of(&test_cases[7]), NULL, cases[i].error);
    }
    /* Without any change, the file is valid. */
    const changes none = {.without = SIZE_MAX, .tensor = SIZE_MAX};
    write_changed(whole, path, &none);
    run r = resume_run(&test_cases[7], 1, path);
    free_run(&r);
}

static size_t tensor_named(const char *path, const char *name) {
    tl_safetensors file;
    assert_ok(tl_safetensors_read(path, &file));
    size_t at = 0;
    while (at < file.count && strcmp(file.tensors[at].name, name) != 0)
        at++;
    assert_true(at < file.count);
    tl_safetensors_free(&file);
    return at;
}

/* A file has the states that its optimizer has with its settings, under its name; squares must not be negative. */
static void an_optimizers_states_are_its_own(void **state) {
    scratch *s = *state;
    static const struct {
        const char *test_case, *momentum, *negative, *error;
    } cases[] = {
        {"sgd", "0.5", NULL, "there is no tensor sgd.momentum.head.bias, which its training state needs"},
        {"momentum", "0", NULL, "there is a tensor sgd.momentum.head.bias, which its training state does not have"},
        {"rmsprop", "0.5", NULL, "there is no tensor rmsprop.momentum.head.bias, which"},
        {"rmsprop with momentum", "0", NULL, "there is a tensor rmsprop.momentum.head.bias, which"},
        {"rmsprop with momentum", NULL, "rmsprop.square.head.weight", "squares are never negative"},
        {"rmsprop with momentum", NULL, "rmsprop.momentum.head.weight", NULL},
        {"adagrad", NULL, "adagrad.sum.head.bias", "squares are never negative"},
        {"adamw", NULL, "adamw.v.head.bias", "squares are never negative"},
        {"adamw", NULL, "adamw.m.head.bias", NULL},
    };
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s", scratch_path(s, "whole.safetensors"));
    const char *path = scratch_path(s, "changed.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const test_case *p = test_cases;
        while (strcmp(p->name, cases[i].test_case) != 0)
            p++;
        run r = start_run(p, 1);
        watch w = {.stop = 2};
        assert_int_equal(continue_run(&r, &w), TALLY_STOPPED);
        assert_ok(tally_training_save(r.training, whole, false));
        tally_training_free(r.training);
        const changes c = {.without = SIZE_MAX,
                           .key = cases[i].momentum ? "momentum" : NULL,
                           .value = cases[i].momentum ? json_string(cases[i].momentum) : NULL,
                           .tensor = cases[i].negative ? tensor_named(whole, cases[i].negative) : SIZE_MAX,
                           .number = -1};
        write_changed(whole, path, &c);
        tally_status got = tally_training_resume(r.model, data_of(p), NULL, NULL, path, &r.training);
        assert_int_equal(got, cases[i].error ? TALLY_MODEL : TALLY_OK);
        if (cases[i].error)
            assert_error(cases[i].error);
        free_run(&r);
    }
}

/* A file that is truncated anywhere, or has one changed byte in its data, is refused. */
static void no_cut_or_changed_file_is_taken(void **state) {
    scratch *s = *state;
    char whole[PATH_MAX];
    snprintf(whole, sizeof whole, "%s", scratch_path(s, "whole.safetensors"));
    const char *path = scratch_path(s, "cut.safetensors");
    save_at(4, whole, false);
    struct stat info;
    assert_int_equal(stat(whole, &info), 0);
    size_t size = (size_t)info.st_size;
    unsigned char *bytes = calloc(1, size);
    FILE *file = fopen(whole, "rb");
    assert_true(bytes && file);
    assert_int_equal(fread(bytes, 1, size, file), size);
    fclose(file);
    tally_model *model = model_of(&test_cases[7], 1);
    for (size_t at = 0; at < size; at += 997) {
        tally_training *training;
        put_file(path, bytes, at);
        tally_status status =
            tally_training_resume(model, data_of(&test_cases[7]), valid_of(&test_cases[7]), NULL, path, &training);
        assert_int_equal(status, TALLY_MODEL);
    }
    size_t data = 8 + ((size_t)bytes[1] << 8 | bytes[0]); /* after the header */
    for (size_t at = data; at < size; at += 31) {
        tally_training *training;
        bytes[at] ^= 1;
        put_file(path, bytes, size);
        bytes[at] ^= 1;
        tally_status status =
            tally_training_resume(model, data_of(&test_cases[7]), valid_of(&test_cases[7]), NULL, path, &training);
        assert_int_equal(status, TALLY_MODEL);
    }
    tally_model_free(model);
    free(bytes);
}

static void options_that_cannot_be(void **state) {
    (void)state;
    tally_training *training;
    tally_model *model = model_of(&test_cases[0], 1);
    tally_train_options options = test_cases[0].options;
    const double norms[] = {-1, NAN, INFINITY};
    for (size_t i = 0; i < 3; i++) {
        options.clip = norms[i];
        assert_int_equal(tally_training_new(model, data_of(&test_cases[0]), NULL, &options, &training), TALLY_USAGE);
        assert_error("to clip to: it must be finite and not negative");
    }
    options = test_cases[0].options;
    options.decay = (tally_decay)3;
    assert_int_equal(tally_training_new(model, data_of(&test_cases[0]), NULL, &options, &training), TALLY_USAGE);
    assert_error("there is no such way");
    options = test_cases[0].options;
    options.keep = (tally_keep)2;
    assert_int_equal(tally_training_new(model, data_of(&test_cases[0]), NULL, &options, &training), TALLY_USAGE);
    tally_dataset empty = *data_of(&test_cases[0]);
    empty.size = 0;
    options = test_cases[0].options;
    assert_int_equal(tally_training_new(model, data_of(&test_cases[0]), &empty, &options, &training), TALLY_USAGE);
    assert_error("sequences must be at least 1");
    tally_model_free(model);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_stopped_run_ends_as_one_that_was_not),
        TEST(the_cases_differ),
        TEST(saving_in_between_is_the_same),
        TEST(where_it_ends_may_change),
        TEST(a_run_without_an_end_goes_on),
        TEST(patience_ends_a_run),
        TEST(the_best_epoch_makes_the_fewest_mistakes),
        TEST(what_is_held_out_is_never_trained_on),
        TEST(a_long_gradient_is_scaled_to_the_bit),
        TEST(the_norm_told_is_the_largest_of_the_epoch),
        TEST(a_norm_that_is_not_finite_stops_it),
        TEST(a_run_that_has_failed_is_over),
        TEST(the_file_is_a_model),
        TEST(what_would_change_the_result_is_refused),
        TEST(a_file_without_a_state_is_refused),
        TEST(a_file_of_version_1_is_a_model_only),
        TEST(damaged_files_are_refused),
        TEST(an_optimizers_states_are_its_own),
        TEST(no_cut_or_changed_file_is_taken),
        TEST(options_that_cannot_be),
    };
    int status = test_device_find();
    return status ? status : cmocka_run_group_tests_name("resume", tests, start_all, end_all);
}
