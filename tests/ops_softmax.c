/* Softmax with cross-entropy. */
#include "compare.h"
#include "guarded.h"
#include "ops.h"
#include "parity/bounded_model.h"
#include "reference.h"

#include <stdlib.h>
#include <string.h>

typedef struct batch {
    size_t classes, columns;
    tl_layout how;
    bool in_place; /* probabilities replace the logits, dlogits replaces the probabilities */
} batch;

static tl_layout along(tl_layout how) {
    return how == TL_TRANSPOSED ? TL_STRIDED : how;
}

static void run_forward(tally_device *device, const batch *b, const float *logits, const int32_t *labels,
                        float *probabilities, float *loss) {
    tl_guarded glogits = guarded_matrix(device, b->how, b->classes, b->columns, logits);
    tl_guarded gprobabilities = guarded_matrix(device, b->how, b->classes, b->columns, NULL);
    tl_guarded glabels = guarded_ints(device, along(b->how), b->columns, labels);
    tl_guarded gloss = guarded_vector(device, along(b->how), b->columns, NULL);
    tl_guarded *out = b->in_place ? &glogits : &gprobabilities, *rest = b->in_place ? &gprobabilities : &glogits;
    suite_ok(tally_softmax_loss(&glogits.tensor, &glabels.tensor, &out->tensor, &gloss.tensor));
    guarded_unchanged(rest, b->in_place ? "an unused tensor" : "logits");
    guarded_unchanged(&glabels, "labels");
    guarded_read(out, "probabilities", probabilities);
    guarded_read(&gloss, "loss", loss);
    tl_guarded_free(&glogits);
    tl_guarded_free(&gprobabilities);
    tl_guarded_free(&glabels);
    tl_guarded_free(&gloss);
}

static void run_backward(tally_device *device, const batch *b, const float *probabilities, const int32_t *labels,
                         float *dlogits) {
    tl_guarded gprobabilities = guarded_matrix(device, b->how, b->classes, b->columns, probabilities);
    tl_guarded gdlogits = guarded_matrix(device, b->how, b->classes, b->columns, NULL);
    tl_guarded glabels = guarded_ints(device, along(b->how), b->columns, labels);
    tl_guarded *out = b->in_place ? &gprobabilities : &gdlogits, *rest = b->in_place ? &gdlogits : &gprobabilities;
    suite_ok(tally_softmax_loss_backward(&gprobabilities.tensor, &glabels.tensor, &out->tensor));
    guarded_unchanged(rest, b->in_place ? "an unused tensor" : "probabilities");
    guarded_unchanged(&glabels, "labels");
    guarded_read(out, "dlogits", dlogits);
    tl_guarded_free(&gprobabilities);
    tl_guarded_free(&gdlogits);
    tl_guarded_free(&glabels);
}

/* bits: no denormals occur, so that every device must give the same bits. */
static void check_softmax_loss(const batch *b, const float *logits, const int32_t *labels, bool bits) {
    size_t classes = b->classes, n = b->columns, count = classes * n;
    suite_case("softmax_loss, %zu classes, %zu columns, %s%s", classes, n, tl_layout_name(b->how),
               b->in_place ? ", in place" : "");
    float *got = suite_memory(count, sizeof *got), *other = suite_memory(count, sizeof *other);
    float *loss = suite_memory(n, sizeof *loss), *other_loss = suite_memory(n, sizeof *other_loss);
    double *want = suite_memory(count, sizeof *want), *want_loss = suite_memory(n, sizeof *want_loss);
    double *bound = suite_memory(count, sizeof *bound), *bound_loss = suite_memory(n, sizeof *bound_loss);
    tl_bounded *running = suite_memory(count, sizeof *running);
    for (size_t i = 0; i < count; i++) {
        want[i] = (double)logits[i];
        running[i] = tl_bounded_of(want[i]);
    }
    for (size_t column = 0; column < n; column++) {
        reference_softmax(classes, n, want + column, want + column);
        want_loss[column] = reference_loss(classes, n, want + column, labels[column]);
        tl_bounded_softmax(classes, n, running + column, running + column);
        bound_loss[column] = tl_bounded_loss(classes, n, running + column, labels[column]).e;
    }
    for (size_t i = 0; i < count; i++)
        bound[i] = running[i].e;

    run_forward(the.device, b, logits, labels, got, loss);
    compare_within("probabilities", got, want, bound, count);
    compare_within("loss", loss, want_loss, bound_loss, n);
    if (bits || the.keeps_denormal) {
        run_forward(the.peer, b, logits, labels, other, other_loss);
        compare_bits("probabilities", got, other, count);
        compare_bits("loss", loss, other_loss, n);
    }

    /* One exactly rounded subtraction from the device's own probabilities. */
    suite_case("softmax_loss_backward, %zu classes, %zu columns, %s%s", classes, n, tl_layout_name(b->how),
               b->in_place ? ", in place" : "");
    run_backward(the.device, b, got, labels, other);
    for (size_t i = 0; i < count; i++) {
        int32_t label = labels[i % n];
        double exact = (double)got[i] - (label >= 0 && (size_t)label == i / n ? 1.0 : 0.0);
        bool flushed = !the.keeps_denormal && fabs(exact) < 0x1p-126;
        want[i] = label < 0 ? 0 : (double)(float)exact;
        bound[i] = flushed ? 0x1p-126 : 0;
    }
    compare_within("dlogits", other, want, bound, count);
    free(got);
    free(other);
    free(loss);
    free(other_loss);
    free(want);
    free(want_loss);
    free(bound);
    free(bound_loss);
    free(running);
}

static void every_size(void **state) {
    (void)state;
    for (size_t i = 0; i < odd_sizes_used(); i++)
        for (size_t j = 0; j < odd_sizes_used(); j++)
            for (int how = 0; how < TL_MATRIX_LAYOUTS; how++) {
                batch b = {odd_sizes[i], odd_sizes[j], (tl_layout)how, suite_pick(2)};
                if (the.small && (i + j) % TL_MATRIX_LAYOUTS != (size_t)how)
                    continue;
                float *logits = suite_memory(b.classes * b.columns, sizeof *logits);
                int32_t *labels = suite_memory(b.columns, sizeof *labels);
                suite_uniforms(logits, b.classes * b.columns, -9, 9);
                for (size_t column = 0; column < b.columns; column++)
                    labels[column] = suite_label(b.classes);
                check_softmax_loss(&b, logits, labels, true);
                free(logits);
                free(labels);
            }
}

enum { CLASSES = 5, COLUMNS = 19 };

static void from(float values[CLASSES * COLUMNS], const float *choices, size_t count) {
    for (size_t i = 0; i < CLASSES * COLUMNS; i++)
        values[i] = choices[suite_pick(count)];
}

static void extreme_logits(void **state) {
    (void)state;
    static const float far_apart[] = {1e4f, -1e4f, 0, -0.0f, 1e4f - 20, 88, -104, 1e30f};
    static const float just_clipped[] = {0, -23, -23.1f, -22.9f, -30, -90, -102};
    static const float not_finite[] = {1, 2, NAN, -INFINITY};
    for (int round = 0; round < 20; round++) {
        float logits[CLASSES * COLUMNS];
        int32_t labels[COLUMNS];
        batch b = {CLASSES, COLUMNS, TL_FLAT, round % 2};
        for (size_t column = 0; column < COLUMNS; column++)
            labels[column] = suite_label(CLASSES);
        from(logits, far_apart, 8);
        check_softmax_loss(&b, logits, labels, false);
        from(logits, just_clipped, 7);
        check_softmax_loss(&b, logits, labels, false);
        from(logits, not_finite, 4);
        for (size_t column = 0; column < COLUMNS; column++)
            logits[column] = 0; /* a column of nothing but -infinity has no softmax, in double neither */
        check_softmax_loss(&b, logits, labels, false);
    }
}

static void equal_logits_are_equally_probable(void **state) {
    (void)state;
    suite_case("softmax_loss of equal logits");
    static const float values[] = {0, -0.0f, 1e4f, -1e4f, 0x1p-149f, 3.0e38f};
    batch b = {4, 1, TL_FLAT, false};
    for (size_t v = 0; v < 6; v++) {
        float logits[] = {values[v], values[v], values[v], values[v]}, probabilities[4], loss;
        run_forward(the.device, &b, logits, &(int32_t){2}, probabilities, &loss);
        for (size_t k = 0; k < 4; k++)
            assert_true(probabilities[k] == 0.25f); /* exp(0) is 1, and 1/4 is exact */
        compare_within("loss", &loss, &(double){log(4)}, &(double){TL_LOG_ULPS * tl_bounded_ulp(log(4))}, 1);
    }
}

static void a_clipped_loss_has_its_gradient(void **state) {
    (void)state;
    suite_case("softmax_loss below the clip");
    batch b = {2, 1, TL_FLAT, false};
    float logits[] = {0, -200}, probabilities[2], loss, dlogits[2];
    run_forward(the.device, &b, logits, &(int32_t){1}, probabilities, &loss);
    compare_within("loss", &loss, &(double){-log(1e-10)}, &(double){TL_LOG_ULPS * tl_bounded_ulp(23) + 2 * TL_UNIT}, 1);
    run_backward(the.device, &b, probabilities, &(int32_t){1}, dlogits);
    assert_true(dlogits[0] == 1.0f && dlogits[1] == -1.0f);
}

static void labels_outside_the_classes(void **state) {
    (void)state;
    enum { C = 3, N = 5 };
    float logits[C * N], probabilities[C * N], loss[N], dlogits[C * N];
    suite_uniforms(logits, C * N, -1, 1);
    for (size_t k = 0; k < C; k++)
        logits[k * N + 4] = NAN;
    static const int32_t labels[N] = {-1, INT32_MIN, C, INT32_MAX, -1};
    batch b = {C, N, TL_FLAT, false};
    check_softmax_loss(&b, logits, labels, true);
    run_forward(the.device, &b, logits, labels, probabilities, loss);
    run_backward(the.device, &b, probabilities, labels, dlogits);
    assert_true(loss[0] == 0 && loss[1] == 0 && loss[4] == 0); /* ignored, even though the logits are NaN */
    assert_true(isnan(loss[2]) && isnan(loss[3]));
    for (size_t k = 0; k < C; k++)
        assert_true(dlogits[k * N] == 0 && dlogits[k * N + 1] == 0 && dlogits[k * N + 4] == 0);
}

/* An index past the last class is no class: here it would hit finite logits of another class. */
static void the_label_behind_the_last_class(void **state) {
    (void)state;
    suite_case("softmax_loss of the first classes of more");
    enum { C = 3, N = 5 };
    float values[(C + 1) * N], loss[N];
    suite_uniforms(values, (C + 1) * N, 0.1f, 1);
    static const int32_t classes[N] = {C, C, C, C, C};
    tl_guarded all = guarded_matrix(the.device, TL_FLAT, C + 1, N, values);
    tl_guarded labels = guarded_ints(the.device, TL_FLAT, N, classes),
               losses = guarded_vector(the.device, TL_FLAT, N, NULL);
    tally_tensor first;
    suite_ok(tally_tensor_slice(&all.tensor, 0, 0, C, &first));
    suite_ok(tally_softmax_loss(&first, &labels.tensor, &first, &losses.tensor));
    guarded_read(&losses, "loss", loss);
    for (size_t n = 0; n < N; n++)
        assert_true(isnan(loss[n]));
    tl_guarded_free(&all);
    tl_guarded_free(&labels);
    tl_guarded_free(&losses);
}

int ops_softmax(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size),
        cmocka_unit_test(extreme_logits),
        cmocka_unit_test(equal_logits_are_equally_probable),
        cmocka_unit_test(a_clipped_loss_has_its_gradient),
        cmocka_unit_test(labels_outside_the_classes),
        cmocka_unit_test(the_label_behind_the_last_class),
    };
    return cmocka_run_group_tests_name("softmax_loss", tests, NULL, NULL);
}
