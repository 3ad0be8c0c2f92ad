/* Row sums and the gradients of weights, in their stated order. */
#include "backend/leaves.h"
#include "compare.h"
#include "guarded.h"
#include "ops.h"
#include "parity/bounded.h"
#include "reference.h"

#include <stdlib.h>

static const float betas[] = {0, 1, -0.61f};
enum { BETAS = 3 };

static void run_reduce(tally_device *device, tl_layout how, size_t m, size_t n, const float *x, float beta,
                       const float *old, float *out) {
    tl_layout row = how == TL_TRANSPOSED ? TL_STRIDED : how;
    tl_guarded gx = guarded_matrix(device, how, m, n, x), gout = guarded_vector(device, row, m, old);
    suite_ok(tally_reduce(&gx.tensor, beta, &gout.tensor));
    guarded_unchanged(&gx, "X");
    guarded_read(&gout, "out", out);
    tl_guarded_free(&gx);
    tl_guarded_free(&gout);
}

/* 16 lanes: the first addition of each is to 0 and exact, ceil(n / 16) - 1 more follow, then 4 halvings and one
 * fma. */
static void check_reduce(tl_layout how, size_t m, size_t n, float *x, float beta, float *old) {
    suite_case("reduce %zux%zu %s, beta %g", m, n, tl_layout_name(how), (double)beta);
    float *got = suite_memory(m, sizeof *got), *other = suite_memory(m, sizeof *other);
    double *want = suite_memory(m, sizeof *want), *bound = suite_memory(m, sizeof *bound);
    for (size_t i = 0; i < m && beta == 0; i++)
        old[i] = NAN;
    run_reduce(the.device, how, m, n, x, beta, old, got);
    run_reduce(the.peer, how, m, n, x, beta, old, other);
    reference_reduce(m, n, x, (double)beta, old, want, bound);
    for (size_t i = 0; i < m; i++)
        bound[i] = tl_bounded_gamma((double)((n + 15) / 16 + 4)) * bound[i];
    compare_within("out", got, want, bound, m);
    compare_bits("out", got, other, m);
    free(got);
    free(other);
    free(want);
    free(bound);
}

static void sums_of_rows(void **state) {
    (void)state;
    static const size_t lengths[] = {1, 2, 3, 7, 15, 16, 17, 31, 33, 127, 1000, 4097};
    for (size_t i = 0; i < odd_sizes_used(); i++)
        for (size_t j = 0; j < 12; j++)
            for (int how = 0; how < TL_MATRIX_LAYOUTS; how++) {
                size_t m = odd_sizes[i], n = lengths[j];
                if (m * n > (the.small ? 500 : 200000))
                    continue;
                float *x = suite_memory(m * n, sizeof *x), *old = suite_memory(m, sizeof *old);
                suite_uniforms(x, m * n, -1, 1);
                suite_uniforms(old, m, -1, 1);
                check_reduce((tl_layout)how, m, n, x, betas[suite_pick(BETAS)], old);
                free(x);
                free(old);
            }
}

static void sums_of_special_values(void **state) {
    (void)state;
    static const float specials[] = {NAN, INFINITY, -INFINITY};
    enum { M = 5, N = 77 };
    for (size_t s = 0; s < 3; s++) {
        float x[M * N], old[M];
        suite_uniforms(x, M * N, -1, 1);
        suite_uniforms(old, M, -1, 1);
        x[suite_pick(M * N)] = specials[s];
        check_reduce(TL_FLAT, M, N, x, 1, old);
    }
}

/* The operands of tally_accumulate: left [M, T, N] and right [J, T, N]. */
typedef struct accumulation {
    size_t m, j, steps, columns; /* j 0: right is ones */
    tl_layout how, right;
} accumulation;

static void run_accumulate(tally_device *device, const accumulation *s, const float *left, const float *right,
                           const float *before, float *after) {
    tl_guarded gl = guarded_cube(device, s->how, (size_t[]){s->m, s->steps, s->columns}, left), gr, gg;
    if (s->j) {
        gr = guarded_cube(device, s->right, (size_t[]){s->j, s->steps, s->columns}, right);
        gg = guarded_matrix(device, s->how, s->m, s->j, before);
        suite_ok(tally_accumulate(&gl.tensor, &gr.tensor, &gg.tensor));
        guarded_unchanged(&gr, "right");
        tl_guarded_free(&gr);
    } else {
        gg = guarded_vector(device, s->how == TL_TRANSPOSED ? TL_STRIDED : s->how, s->m, before);
        suite_ok(tally_accumulate(&gl.tensor, NULL, &gg.tensor));
    }
    guarded_unchanged(&gl, "left");
    guarded_read(&gg, "gradient", after);
    tl_guarded_free(&gl);
    tl_guarded_free(&gg);
}

static void check_accumulate(const accumulation *s, bool tiny) {
    suite_case("accumulate [%zu, %zu, %zu] by %zu, %s by %s%s", s->m, s->steps, s->columns, s->j,
               tl_layout_name(s->how), tl_layout_name(s->right), tiny ? ", tiny" : "");
    size_t k = s->steps * s->columns, wide = s->j ? s->j : 1, elements = s->m * wide;
    float *left = suite_memory(s->m * k, sizeof *left), *right = suite_memory(wide * k, sizeof *right);
    float *before = suite_memory(elements, sizeof *before), *got = suite_memory(elements, sizeof *got);
    float *other = suite_memory(elements, sizeof *other);
    double *want = suite_memory(elements, sizeof *want), *bound = suite_memory(elements, sizeof *bound);
    float scale = tiny ? 0x1p-70f : 1;
    suite_uniforms(left, s->m * k, -scale, scale);
    suite_uniforms(right, wide * k, -scale, scale);
    for (size_t i = 0; i < k && !s->j; i++)
        right[i] = 1;
    suite_uniforms(before, elements, -scale * scale, scale * scale);
    run_accumulate(the.device, s, left, right, before, got);
    reference_gemm(false, true, s->m, wide, k, 1, left, right, 1, before, want, bound);
    /* CLBlast adds k terms in any order. Otherwise a term is rounded in its lane's chain, in 4 halvings, at each
     * level of the tree, and when it is added to the gradient. */
    size_t levels = tl_leaf_levels(s->columns);
    double roundings = the.exact ? (double)(s->steps * (TALLY_MICRO_BATCH / 16) + 4 + levels + 1) : (double)k + 2;
    for (size_t i = 0; i < elements; i++)
        bound[i] = tl_bounded_gamma(roundings) * bound[i] + (5 * (double)k + 4) * tl_bounded_tiny();
    compare_within("gradient", got, want, bound, elements);
    run_accumulate(the.peer, s, left, right, before, other);
    if ((the.exact || !s->j) && (!tiny || the.keeps_denormal))
        compare_bits("gradient", got, other, elements);
    float *floats[] = {left, right, before, got, other};
    for (size_t i = 0; i < 5; i++)
        free(floats[i]);
    free(want);
    free(bound);
}

static tl_layout cube_layout(void) {
    static const tl_layout layouts[] = {TL_FLAT, TL_PADDED, TL_TRANSPOSED};
    return layouts[suite_pick(3)];
}

static void gradients_of_weights(void **state) {
    (void)state;
    static const size_t rows[] = {1, 2, 5, 9, 33}, columns[] = {1, 15, 16, 17, 48, 63, 64, 65, 128, 150, 1008};
    size_t number = 0;
    for (size_t i = 0; i < 5; i++)
        for (size_t n = 0; n < 11; n++)
            for (size_t steps = 1; steps <= 3; steps++) {
                accumulation s = {rows[i], rows[suite_pick(5)], steps, columns[n], cube_layout(), cube_layout()};
                if (suite_pick(3) == 0)
                    s.j = 0;
                if (!the.small || (number++ % 13 == 0 && columns[n] < 200))
                    check_accumulate(&s, false);
            }
    /* More than a device with limited loops adds at a time. */
    for (int how = TL_FLAT; how < TL_MATRIX_LAYOUTS && !the.small; how++)
        if (how != TL_STRIDED) {
            check_accumulate(&(accumulation){5, 3, 33, 150, (tl_layout)how, cube_layout()}, false);
            check_accumulate(&(accumulation){5, 0, 33, 150, (tl_layout)how, TL_FLAT}, false);
        }
    if (!the.small) /* more short time steps than the C path packs at a time, for a whole block */
        check_accumulate(&(accumulation){33, 33, 20, 17, TL_FLAT, TL_FLAT}, false);
    if (!the.small) /* more leaves than are kept at a time (sums_group.c), and a result larger than that */
        check_accumulate(&(accumulation){127, 127, 1, 4163, TL_FLAT, TL_FLAT}, false);
    if (!the.small)
        check_accumulate(&(accumulation){1030, 1025, 1, 3, TL_FLAT, TL_FLAT}, false);
    /* Whole tiles of rows and lanes in two micro-batches, which the C path reads where they are. */
    check_accumulate(&(accumulation){8, 5, 2, 128, TL_FLAT, TL_FLAT}, false);
    check_accumulate(&(accumulation){6, 5, 2, 70, TL_FLAT, TL_FLAT}, true);
    check_accumulate(&(accumulation){6, 0, 2, 70, TL_FLAT, TL_FLAT}, true);
}

/* The definition in tally/tensor.h: element i of the sum of leaves lo to hi - 1 [leaf][element]. */
static float tree_sum(const float *leaves, size_t elements, size_t i, size_t lo, size_t hi) {
    if (hi - lo == 1)
        return leaves[lo * elements + i];
    size_t half = 1;
    while (2 * half < hi - lo)
        half *= 2;
    return tree_sum(leaves, elements, i, lo, lo + half) + tree_sum(leaves, elements, i, lo + half, hi);
}

/* The sums of single micro-batches, added as the definition says, must equal the sum over all columns. j 0: right
 * is ones. */
static void check_tree(size_t j, size_t n) {
    enum { M = 5, T = 2 };
    suite_case("accumulate %d by %zu over %zu columns by the tree", M, j, n);
    size_t wide = j ? j : 1, elements = M * wide, count = (n + TALLY_MICRO_BATCH - 1) / TALLY_MICRO_BATCH;
    float *left = suite_memory(M * T * n, sizeof *left), *right = suite_memory(wide * T * n, sizeof *right);
    float *before = suite_memory(elements, sizeof *before), *got = suite_memory(elements, sizeof *got);
    float *leaves = suite_memory(count * elements, sizeof *leaves), *want = suite_memory(elements, sizeof *want);
    suite_uniforms(left, M * T * n, -1, 1);
    suite_uniforms(right, wide * T * n, -1, 1);
    suite_uniforms(before, elements, -1, 1);
    run_accumulate(the.device, &(accumulation){M, j, T, n, TL_FLAT, TL_FLAT}, left, right, before, got);
    tally_tensor l, r, leaf, l_part, r_part;
    suite_ok(tally_tensor_new(the.device, TALLY_F32, 3, (size_t[]){M, T, n}, &l));
    suite_ok(tally_tensor_new(the.device, TALLY_F32, 3, (size_t[]){wide, T, n}, &r));
    suite_ok(tally_tensor_new(the.device, TALLY_F32, j ? 2 : 1, (size_t[]){M, j}, &leaf));
    suite_ok(tally_tensor_write(&l, left, M * T * n));
    suite_ok(tally_tensor_write(&r, right, wide * T * n));
    for (size_t i = 0; i < count; i++) {
        size_t first = i * TALLY_MICRO_BATCH, length = n - first < TALLY_MICRO_BATCH ? n - first : TALLY_MICRO_BATCH;
        suite_ok(tally_tensor_slice(&l, 2, first, length, &l_part));
        suite_ok(tally_tensor_slice(&r, 2, first, length, &r_part));
        suite_ok(tally_fill(&leaf, 0.0f));
        suite_ok(tally_accumulate(&l_part, j ? &r_part : NULL, &leaf));
        suite_ok(tally_tensor_read(&leaf, leaves + i * elements, elements));
    }
    for (size_t i = 0; i < elements; i++)
        want[i] = before[i] + tree_sum(leaves, elements, i, 0, count);
    compare_bits("gradient", got, want, elements);
    tally_tensor_free(&l);
    tally_tensor_free(&r);
    tally_tensor_free(&leaf);
    float *floats[] = {left, right, before, got, leaves, want};
    for (size_t i = 0; i < 6; i++)
        free(floats[i]);
}

static void micro_batches_by_the_tree(void **state) {
    (void)state;
    static const size_t columns[] = {1, 64, 65, 129, 192, 257, 321, 448, 450, 576, 705, 832, 1008, 4096, 4163};
    for (size_t i = 0; i < 15 && the.exact; i++)
        if (!the.small || columns[i] < 500) {
            check_tree(3, columns[i]);
            check_tree(0, columns[i]);
        }
}

/* Products that underflow make every lane -0, which the padding of the last lanes must not change. */
static void lanes_keep_the_sign_of_zero(void **state) {
    (void)state;
    enum { M = 5, J = 7, T = 3, MOST = 70 };
    static const size_t columns[] = {16, 17, 31, 48, 70};
    float left[M * T * MOST], right[J * T * MOST], before[M * J], after[M * J];
    for (size_t i = 0; i < M * T * MOST; i++)
        left[i] = 0x1p-100f;
    for (size_t i = 0; i < J * T * MOST; i++)
        right[i] = -0x1p-100f;
    for (size_t i = 0; i < M * J; i++)
        before[i] = -0.0f;
    for (size_t n = 0; n < 5; n++) {
        accumulation s = {M, J, T, columns[n], TL_FLAT, TL_FLAT};
        suite_case("accumulate -0 over %zu columns", s.columns);
        run_accumulate(the.device, &s, left, right, before, after);
        /* The second micro-batch has only 6 columns, so some of its lanes are +0. */
        for (size_t i = 0; i < M * J && the.exact; i++)
            compare_bits("gradient", &after[i], columns[n] < TALLY_MICRO_BATCH ? &before[i] : &(float){0.0f}, 1);
    }
}

int ops_sums(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_of_rows),
        cmocka_unit_test(sums_of_special_values),
        cmocka_unit_test(gradients_of_weights),
        cmocka_unit_test(micro_batches_by_the_tree),
        cmocka_unit_test(lanes_keep_the_sign_of_zero),
    };
    return cmocka_run_group_tests_name("sums", tests, NULL, NULL);
}
