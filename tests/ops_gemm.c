/* Matrix products: any order of summation must be within the bound that its length implies; exact products must
 * give the C path's bits. */
#include "compare.h"
#include "guarded.h"
#include "ops.h"
#include "parity/bounded.h"
#include "reference.h"

#include <stdlib.h>

typedef struct product {
    bool transpose_a, transpose_b;
    tl_layout a, b, c;
    size_t m, n, k;
    float alpha, beta;
} product;

static void describe(const product *p) {
    suite_case("gemm %zux%zux%zu%s%s, alpha %g, beta %g, A %s, B %s, C %s", p->m, p->n, p->k,
               p->transpose_a ? ", A transposed" : "", p->transpose_b ? ", B transposed" : "", (double)p->alpha,
               (double)p->beta, tl_layout_name(p->a), tl_layout_name(p->b), tl_layout_name(p->c));
}

static void run_gemm(tally_device *device, const product *p, const float *a, const float *b, const float *c,
                     float *out) {
    tl_guarded ga = guarded_matrix(device, p->a, p->transpose_a ? p->k : p->m, p->transpose_a ? p->m : p->k, a);
    tl_guarded gb = guarded_matrix(device, p->b, p->transpose_b ? p->n : p->k, p->transpose_b ? p->k : p->n, b);
    tl_guarded gc = guarded_matrix(device, p->c, p->m, p->n, c);
    suite_ok(tally_gemm(p->transpose_a, p->transpose_b, p->alpha, &ga.tensor, &gb.tensor, p->beta, &gc.tensor));
    guarded_unchanged(&ga, "A");
    guarded_unchanged(&gb, "B");
    guarded_read(&gc, "C", out);
    tl_guarded_free(&ga);
    tl_guarded_free(&gb);
    tl_guarded_free(&gc);
}

/* A product whose term comes first in its sum is rounded with alpha, as a product, in each of K - 1 additions, by
 * alpha after the sum (CLBlast) and in the addition of beta C: at most K + 2 times, however the terms are grouped
 * (Higham 2002, 3.1). Near zero each product and, with flushing, each operand and each sum may be off by tiny. */
static void bounds(const product *p, const float *a, const float *b, const double *magnitude, double *bound) {
    double largest = 1;
    for (size_t i = 0; i < p->m * p->k; i++)
        largest = isfinite(a[i]) ? fmax(largest, fabs((double)a[i])) : largest;
    for (size_t i = 0; i < p->k * p->n; i++)
        largest = isfinite(b[i]) ? fmax(largest, fabs((double)b[i])) : largest;
    double scale = fmax(1, fabs((double)p->alpha)), k = (double)p->k;
    double lost = (5 * k + 4) * tl_bounded_tiny() * scale * largest * (1 + fabs((double)p->beta));
    for (size_t i = 0; i < p->m * p->n; i++)
        bound[i] = tl_bounded_gamma(k + 2) * magnitude[i] + lost;
}

/* bits: the C path's bits are required even on a device that flushes denormals. */
static void check_values(const product *p, const float *a, const float *b, const float *c, bool bits) {
    size_t elements = p->m * p->n;
    float *got = suite_memory(elements, sizeof *got);
    double *want = suite_memory(elements, sizeof *want), *bound = suite_memory(elements, sizeof *bound);
    describe(p);
    run_gemm(the.device, p, a, b, c, got);
    reference_gemm(p->transpose_a, p->transpose_b, p->m, p->n, p->k, (double)p->alpha, a, b, (double)p->beta, c, want,
                   bound);
    bounds(p, a, b, bound, bound);
    compare_within("C", got, want, bound, elements);
    if (the.exact && (bits || the.keeps_denormal)) {
        float *other = suite_memory(elements, sizeof *other);
        run_gemm(the.peer, p, a, b, c, other);
        compare_bits("C", got, other, elements);
        free(other);
    }
    free(got);
    free(want);
    free(bound);
}

static void check_product(const product *p) {
    float *a = suite_memory(p->m * p->k, sizeof *a), *b = suite_memory(p->k * p->n, sizeof *b);
    float *c = suite_memory(p->m * p->n, sizeof *c);
    suite_uniforms(a, p->m * p->k, -1, 1);
    suite_uniforms(b, p->k * p->n, -1, 1);
    suite_uniforms(c, p->m * p->n, -1, 1);
    for (size_t i = 0; i < p->m * p->n && p->beta == 0; i++)
        c[i] = NAN; /* must not be read */
    check_values(p, a, b, c, true);
    free(a);
    free(b);
    free(c);
}

static const float alphas[] = {1, 0.37f, -2, 0}, betas[] = {0, 1, -0.61f};
enum { ALPHAS = 4, BETAS = 3 };

static void every_size(void **state) {
    (void)state;
    for (size_t i = 0; i < odd_sizes_used(); i++)
        for (size_t j = 0; j < odd_sizes_used(); j++)
            for (size_t l = 0; l < odd_sizes_used(); l++)
                for (int transposes = 0; transposes < 4; transposes++) {
                    /* A simulator gets every pair of sizes instead of every triple. */
                    if (the.small && (l != (i + j) % odd_sizes_used() || transposes != (int)((i + 2 * j) % 4)))
                        continue;
                    check_product(&(product){.transpose_a = transposes & 1,
                                             .transpose_b = transposes & 2,
                                             .a = (tl_layout)suite_pick(TL_MATRIX_LAYOUTS),
                                             .b = (tl_layout)suite_pick(TL_MATRIX_LAYOUTS),
                                             .c = (tl_layout)suite_pick(TL_MATRIX_LAYOUTS),
                                             .m = odd_sizes[i],
                                             .n = odd_sizes[j],
                                             .k = odd_sizes[l],
                                             .alpha = alphas[suite_pick(ALPHAS)],
                                             .beta = betas[suite_pick(BETAS)]});
                }
}

static void every_form(void **state) {
    (void)state;
    enum { FORMS = 4 * TL_MATRIX_LAYOUTS * TL_MATRIX_LAYOUTS * TL_MATRIX_LAYOUTS * ALPHAS * BETAS };
    for (int form = 0; form < FORMS; form += the.small ? 37 : 1) {
        int rest = form;
        product p = {.m = 5, .n = 19, .k = 9};
        p.transpose_a = rest & 1;
        p.transpose_b = rest & 2;
        rest /= 4;
        p.a = (tl_layout)(rest % TL_MATRIX_LAYOUTS);
        rest /= TL_MATRIX_LAYOUTS;
        p.b = (tl_layout)(rest % TL_MATRIX_LAYOUTS);
        rest /= TL_MATRIX_LAYOUTS;
        p.c = (tl_layout)(rest % TL_MATRIX_LAYOUTS);
        rest /= TL_MATRIX_LAYOUTS;
        p.alpha = alphas[rest % ALPHAS];
        p.beta = betas[rest / ALPHAS];
        check_product(&p);
    }
}

static void long_sums(void **state) {
    (void)state;
    static const size_t lengths[] = {1000, 4097};
    static const size_t sides[] = {1, 3, 33};
    for (size_t l = 0; l < (the.small ? 1 : 2); l++)
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < 3; j++)
                for (int transposes = 0; transposes < 4; transposes++)
                    if (!the.small || (i + j == 1 && transposes == 2))
                        check_product(&(product){.transpose_a = transposes & 1,
                                                 .transpose_b = transposes & 2,
                                                 .m = sides[i],
                                                 .n = sides[j],
                                                 .k = lengths[l],
                                                 .alpha = 1,
                                                 .beta = betas[suite_pick(BETAS)]});
}

/* Whole tiles of rows and lanes: if alpha is 1 and A's columns are contiguous, the C path reads A in place, panel by
 * panel. */
static void whole_tiles(void **state) {
    (void)state;
    static const size_t lengths[] = {32, 416}; /* one panel, and two */
    for (size_t l = 0; l < (the.small ? 1 : 2); l++)
        for (int form = 0; form < 4 * TL_MATRIX_LAYOUTS; form += the.small ? 5 : 1)
            check_product(&(product){.transpose_a = form & 1,
                                     .transpose_b = true,
                                     .a = (tl_layout)(form / 4),
                                     .m = 8,
                                     .n = 5,
                                     .k = lengths[l],
                                     .alpha = alphas[form / 2 % 2],
                                     .beta = 1});
}

/* The order stated in tally/tensor.h, term by term. */
static float stated(const product *p, const float *a, const float *b, float c) {
    float lanes[16] = {0}, *chain = lanes;
    if (!p->transpose_b)
        *chain = p->beta == 0 ? 0 : p->beta * c;
    for (size_t k = 0; k < p->k; k++) {
        float *sum = p->transpose_b ? &lanes[k % 16] : chain;
        *sum = fmaf(p->alpha * a[k * (p->transpose_a ? p->m : 1)], b[k * (p->transpose_b ? 1 : p->n)], *sum);
    }
    if (!p->transpose_b)
        return *chain;
    for (size_t half = 8; half > 0; half /= 2)
        for (size_t l = 0; l < half; l++)
            lanes[l] += lanes[l + half];
    return p->beta == 0 ? lanes[0] : fmaf(p->beta, c, lanes[0]);
}

static void the_order_is_the_stated_one(void **state) {
    (void)state;
    enum { M = 6, N = 18, K = 150 };
    static const size_t ms[] = {1, 6}, ns[] = {1, 2, 18}, ks[] = {1, 15, 16, 17, 40, 150};
    for (int form = 0; form < 2 * 3 * 6 * 4 && the.exact; form += the.small ? 7 : 1) {
        product p = {.m = ms[form % 2],
                     .n = ns[form / 2 % 3],
                     .k = ks[form / 6 % 6],
                     .transpose_a = form / 36 % 2,
                     .transpose_b = form / 72,
                     .alpha = alphas[suite_pick(ALPHAS)],
                     .beta = betas[suite_pick(BETAS)]};
        float a[M * K], b[K * N], c[M * N], got[M * N], want[M * N];
        suite_uniforms(a, p.m * p.k, -1, 1);
        suite_uniforms(b, p.k * p.n, -1, 1);
        suite_uniforms(c, p.m * p.n, -1, 1);
        for (size_t i = 0; i < p.m; i++)
            for (size_t j = 0; j < p.n; j++)
                want[i * p.n + j] =
                    stated(&p, a + i * (p.transpose_a ? 1 : p.k), b + j * (p.transpose_b ? p.k : 1), c[i * p.n + j]);
        describe(&p);
        run_gemm(the.device, &p, a, b, c, got);
        compare_bits("C", got, want, p.m * p.n);
    }
}

/* A NaN or infinity reaches its row or column, and nothing else. */
static void special_values(void **state) {
    (void)state;
    static const float specials[] = {NAN, INFINITY, -INFINITY};
    enum { M = 7, N = 33, K = 19 };
    for (size_t s = 0; s < 3; s++)
        for (int transposes = 0; transposes < 4; transposes++)
            for (int where = 0; where < 3; where++) {
                float a[M * K], b[K * N], c[M * N];
                suite_uniforms(a, M * K, 0.1f, 1);
                suite_uniforms(b, K * N, 0.1f, 1);
                suite_uniforms(c, M * N, 0.1f, 1);
                if (where == 0)
                    a[suite_pick(M * K)] = specials[s];
                else if (where == 1)
                    b[suite_pick(K * N)] = specials[s];
                else
                    c[suite_pick(M * N)] = specials[s];
                check_values(&(product){.transpose_a = transposes & 1,
                                        .transpose_b = transposes & 2,
                                        .m = M,
                                        .n = N,
                                        .k = K,
                                        .alpha = 1,
                                        .beta = 1},
                             a, b, c, true);
            }
}

static void tiny_values(void **state) {
    (void)state;
    enum { M = 7, N = 17, K = 33 };
    static const float scales[] = {0x1p-64f, 0x1p-72f, 0x1p-80f}; /* products around, below and far below 2^-126 */
    for (size_t s = 0; s < 3; s++)
        for (int transposes = 0; transposes < 4; transposes++) {
            float a[M * K], b[K * N], c[M * N];
            suite_uniforms(a, M * K, -scales[s], scales[s]);
            suite_uniforms(b, K * N, -scales[s], scales[s]);
            suite_uniforms(c, M * N, -0x1p-130f, 0x1p-130f);
            check_values(&(product){.transpose_a = transposes & 1,
                                    .transpose_b = transposes & 2,
                                    .m = M,
                                    .n = N,
                                    .k = K,
                                    .alpha = 1,
                                    .beta = 1},
                         a, b, c, false);
        }
}

int ops_gemm(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_size),  cmocka_unit_test(every_form),     cmocka_unit_test(long_sums),
        cmocka_unit_test(whole_tiles), cmocka_unit_test(special_values), cmocka_unit_test(the_order_is_the_stated_one),
        cmocka_unit_test(tiny_values),
    };
    return cmocka_run_group_tests_name("gemm", tests, NULL, NULL);
}
