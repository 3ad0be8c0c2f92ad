/* Matrix products and sums. */
#include "backend/leaves.h"
#include "parity/checks.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const float factors[] = {0, 1, -0.61f, 0.37f, -2};

static float draw_factor(tl_case *c, bool zero) {
    size_t from = zero ? 0 : 1;
    return factors[from + tl_random_below(&c->random, (uint32_t)(COUNT(factors) - from))];
}

/* The result's values before the call. With beta 0 they are NaN, so that reading them shows. */
static void fill_result(tl_case *c, tl_operand *o, float beta, tl_values kind) {
    if (beta != 0)
        tl_case_fill(c, o, kind);
    else
        tl_case_uniform(c, o, NAN, NAN);
}

static double beta_term(float beta, float before) {
    return beta == 0 ? 0 : (double)beta * (double)before;
}

/* A sum of products. Each term takes part in the stated number of roundings (Higham 2002, 3.1). Near zero, each
 * product and each sum is off by tiny as well, and with flushing so is each operand, times whatever it is
 * multiplied by later. */
typedef struct dot {
    double v, magnitude, largest;
    size_t terms;
} dot;

static void dot_add(dot *d, double a, double b) {
    d->v += a * b;
    d->magnitude += fabs(a * b);
    d->largest = fmax(d->largest, fmax(fabs(a), fabs(b)));
    d->terms++;
}

static tl_bounded dot_end(const dot *d, double roundings, double scale) {
    double lost = (5 * (double)d->terms + 4) * tl_bounded_tiny() * scale * fmax(1, d->largest);
    return (tl_bounded){d->v, tl_bounded_gamma(roundings) * d->magnitude + lost};
}

/* gemm: odd sizes, tails of a vector, more than a work-group, a long K. After these come the cases with alpha 0,
 * one for each form, with beta 0 and without. */
static const size_t products[][3] = {{1, 1, 1},    {2, 3, 7},     {3, 33, 5},    {7, 1, 127},  {31, 33, 127},
                                     {17, 65, 64}, {129, 70, 33}, {24, 500, 24}, {5, 7, 1000}, {3, 5, 20000}};
enum {
    PRODUCTS = COUNT(products),
    FORMS = 4 * TL_VALUES_KINDS,
    ZERO_PRODUCT = 4,
    GEMM_CASES = PRODUCTS * FORMS + 2 * 4
};

static const size_t *product_of(size_t number) {
    return products[number < PRODUCTS * FORMS ? number % PRODUCTS : ZERO_PRODUCT];
}

static size_t gemm_cost(size_t number) {
    const size_t *s = product_of(number);
    return s[0] * s[1] * s[2];
}

static void check_gemm(tl_case *c) {
    const size_t *s = product_of(c->number), m = s[0], n = s[1], k = s[2];
    bool zero = c->number >= PRODUCTS * FORMS;
    size_t form = zero ? c->number - PRODUCTS * FORMS : c->number / PRODUCTS;
    bool transpose_a = form & 1, transpose_b = form & 2, spaced = tl_random_below(&c->random, 2);
    tl_values kind = zero ? TL_VALUES_ORDINARY : (tl_values)(form / 4);
    float alpha = zero ? 0 : draw_factor(c, false), beta = zero ? 0.37f * (float)(form / 4) : draw_factor(c, true);
    tl_case_describe(c, "%zux%zux%zu%s%s, alpha %g, beta %g, %s values", m, n, k, transpose_a ? ", A transposed" : "",
                     transpose_b ? ", B transposed" : "", (double)alpha, (double)beta, tl_values_name(kind));
    size_t a_rows = transpose_a ? k : m, a_columns = transpose_a ? m : k;
    size_t b_rows = transpose_b ? n : k, b_columns = transpose_b ? k : n;
    tl_operand *a = tl_case_operand(c, "A", spaced, 2, (size_t[]){a_rows, a_columns});
    tl_operand *b = tl_case_operand(c, "B", spaced, 2, (size_t[]){b_rows, b_columns});
    c->row_major = !c->same_bits; /* CLBlast writes row-major C only; any other C is computed by the C path */
    tl_operand *to = tl_case_operand(c, "C", spaced, 2, (size_t[]){m, n});
    tl_case_fill(c, a, kind);
    tl_case_fill(c, b, kind);
    fill_result(c, to, beta, kind);
    for (int side = 0; side < TL_SIDES && !c->status; side++)
        tl_case_keep(c, tally_gemm(transpose_a, transpose_b, alpha, &a->on[side], &b->on[side], beta, &to->on[side]));
    tl_case_read(c, to);
    tl_bounded *want = tl_case_memory(c, m * n, sizeof *want);
    for (size_t i = 0; i < m && want; i++)
        for (size_t j = 0; j < n; j++) {
            dot d = {0, 0, 0, 0};
            for (size_t p = 0; p < k; p++)
                dot_add(&d, (double)a->before[transpose_a ? p * m + i : i * k + p],
                        (double)b->before[transpose_b ? j * k + p : p * n + j]);
            d.v *= (double)alpha;
            d.magnitude *= fabs((double)alpha);
            double start = beta_term(beta, to->before[i * n + j]);
            d.v += start;
            d.magnitude += fabs(start);
            d.largest = fmax(d.largest, beta == 0 ? 0 : fabs((double)to->before[i * n + j]));
            want[i * n + j] = dot_end(&d, (double)k + 2, fmax(1, fabs((double)alpha)) * (1 + fabs((double)beta)));
        }
    tl_case_compare(c, to, want);
}

const tl_check tl_check_gemm = {"gemm", GEMM_CASES, gemm_cost, check_gemm, true};

static const size_t matrices[][2] = {{1, 1}, {3, 7}, {2, 31}, {33, 16}, {5, 257}, {127, 65}, {4, 20000}};
enum { MATRICES = COUNT(matrices), MATRIX_CASES = MATRICES * TL_VALUES_KINDS };

static size_t matrix_cost(size_t number) {
    const size_t *s = matrices[number % MATRICES];
    return s[0] * s[1];
}

static tl_values matrix_kind(const tl_case *c) {
    return (tl_values)(c->number / MATRICES % TL_VALUES_KINDS);
}

static tl_operand *new_matrix(tl_case *c, const char *name, bool spaced) {
    const size_t *s = matrices[c->number % MATRICES];
    tl_case_describe(c, "%zux%zu%s, %s values", s[0], s[1], spaced ? ", cut out" : "", tl_values_name(matrix_kind(c)));
    tl_operand *o = tl_case_operand(c, name, spaced, 2, s);
    tl_case_fill(c, o, matrix_kind(c));
    return o;
}

static void check_bias(tl_case *c) {
    bool spaced = tl_random_below(&c->random, 2);
    tl_operand *y = new_matrix(c, "Y", spaced);
    size_t m = matrices[c->number % MATRICES][0], n = matrices[c->number % MATRICES][1];
    tl_operand *b = tl_case_operand(c, "bias", spaced, 1, &m);
    tl_case_fill(c, b, matrix_kind(c));
    for (int side = 0; side < TL_SIDES && !c->status; side++)
        tl_case_keep(c, tally_bias(&b->on[side], &y->on[side]));
    tl_case_read(c, y);
    tl_bounded *want = tl_case_memory(c, m * n, sizeof *want);
    for (size_t i = 0; i < m * n && want; i++)
        want[i] = tl_bounded_add(tl_bounded_of((double)y->before[i]), tl_bounded_of((double)b->before[i / n]));
    tl_case_compare(c, y, want);
}

const tl_check tl_check_bias = {"bias", MATRIX_CASES, matrix_cost, check_bias, false};

static void check_add(tl_case *c) {
    bool spaced = tl_random_below(&c->random, 2);
    tl_operand *to = new_matrix(c, "dst", spaced), *from = new_matrix(c, "src", !spaced);
    for (int side = 0; side < TL_SIDES && !c->status; side++)
        tl_case_keep(c, tally_add(&from->on[side], &to->on[side]));
    tl_case_read(c, to);
    tl_bounded *want = tl_case_memory(c, to->elements, sizeof *want);
    for (size_t i = 0; i < to->elements && want; i++)
        want[i] = tl_bounded_add(tl_bounded_of((double)to->before[i]), tl_bounded_of((double)from->before[i]));
    tl_case_compare(c, to, want);
}

const tl_check tl_check_add = {"add", MATRIX_CASES, matrix_cost, check_add, false};

static void compare_exactly(tl_case *c, tl_operand *o, const float *values) {
    tl_case_read(c, o);
    tl_bounded *want = tl_case_memory(c, o->elements, sizeof *want);
    for (size_t i = 0; i < o->elements && want; i++)
        want[i] = (tl_bounded){(double)values[i], 0};
    tl_case_compare(c, o, want);
}

static void check_copy(tl_case *c) {
    bool spaced = tl_random_below(&c->random, 2);
    tl_operand *to = new_matrix(c, "dst", spaced), *from = new_matrix(c, "src", !spaced);
    for (int side = 0; side < TL_SIDES && !c->status; side++)
        tl_case_keep(c, tally_copy(&from->on[side], &to->on[side]));
    compare_exactly(c, to, from->before);
}

const tl_check tl_check_copy = {"copy", MATRIX_CASES, matrix_cost, check_copy, false};

static void check_fill(tl_case *c) {
    tl_operand *to = new_matrix(c, "tensor", tl_random_below(&c->random, 2));
    float value = tl_case_value(c, matrix_kind(c));
    for (int side = 0; side < TL_SIDES && !c->status; side++)
        tl_case_keep(c, tally_fill(&to->on[side], value));
    for (size_t i = 0; i < to->elements && !c->status; i++)
        to->before[i] = value;
    if (!c->status)
        compare_exactly(c, to, to->before);
}

const tl_check tl_check_fill = {"fill", MATRIX_CASES, matrix_cost, check_fill, false};

static void check_reduce(tl_case *c) {
    bool spaced = tl_random_below(&c->random, 2);
    tl_operand *x = new_matrix(c, "X", spaced);
    size_t m = matrices[c->number % MATRICES][0], n = matrices[c->number % MATRICES][1];
    float beta = draw_factor(c, true);
    tl_operand *out = tl_case_operand(c, "out", spaced, 1, &m);
    fill_result(c, out, beta, matrix_kind(c));
    for (int side = 0; side < TL_SIDES && !c->status; side++)
        tl_case_keep(c, tally_reduce(&x->on[side], beta, &out->on[side]));
    tl_case_read(c, out);
    tl_bounded *want = tl_case_memory(c, m, sizeof *want);
    for (size_t i = 0; i < m && want; i++) {
        dot d = {0, 0, 0, 0};
        for (size_t j = 0; j < n; j++)
            dot_add(&d, (double)x->before[i * n + j], 1);
        dot_add(&d, (double)beta, beta == 0 ? 0 : (double)out->before[i]);
        /* 16 lanes: the first addition of each is exact, the rest round, then 4 halvings and one fma. */
        want[i] = dot_end(&d, (double)((n + 15) / 16 + 4), 1 + fabs((double)beta));
    }
    tl_case_compare(c, out, want);
}

const tl_check tl_check_reduce = {"reduce", MATRIX_CASES, matrix_cost, check_reduce, false};

/* accumulate: rows of left and of right (0: right is ones), steps, columns. Sizes around a micro-batch, and as long
 * as the counting model's. */
static const size_t sums[][4] = {{1, 1, 1, 1},  {3, 2, 2, 7},   {5, 0, 3, 16},   {4, 5, 1, 63},  {4, 5, 2, 64},
                                 {7, 3, 2, 65}, {33, 9, 2, 48}, {9, 0, 2, 1000}, {6, 5, 3, 200}, {5, 4, 20, 1008}};
enum { SUMS = COUNT(sums), ACCUMULATE_CASES = SUMS * TL_VALUES_KINDS };

static size_t accumulate_cost(size_t number) {
    const size_t *s = sums[number % SUMS];
    return s[0] * (s[1] ? s[1] : 1) * s[2] * s[3];
}

static void check_accumulate(tl_case *c) {
    const size_t *s = sums[c->number % SUMS], m = s[0], j = s[1], steps = s[2], n = s[3], k = steps * n;
    tl_values kind = (tl_values)(c->number / SUMS);
    bool spaced = tl_random_below(&c->random, 2);
    tl_case_describe(c, "%zu by %zu rows of %zu steps and %zu columns%s, %s values", m, j, steps, n,
                     j ? "" : ", right is ones", tl_values_name(kind));
    tl_operand *left = tl_case_operand(c, "left", spaced, 3, (size_t[]){m, steps, n});
    tl_operand *right = tl_case_operand(c, "right", spaced, 3, (size_t[]){j ? j : 1, steps, n});
    tl_operand *to = tl_case_operand(c, "gradient", spaced, j ? 2 : 1, (size_t[]){m, j});
    tl_case_fill(c, left, kind);
    tl_case_fill(c, right, kind);
    tl_case_fill(c, to, kind);
    for (int side = 0; side < TL_SIDES && !c->status; side++)
        tl_case_keep(c, tally_accumulate(&left->on[side], j ? &right->on[side] : NULL, &to->on[side]));
    tl_case_read(c, to);
    size_t wide = j ? j : 1;
    /* A lane adds its columns of a micro-batch at every time step, then come 4 halvings, the levels of the tree and
     * the gradient. CLBlast adds in any order. */
    double exact = (double)(steps * (TALLY_MICRO_BATCH / 16) + 4 + tl_leaf_levels(n) + 1);
    double roundings = c->same_bits || !j ? exact : (double)k + 2;
    tl_bounded *want = tl_case_memory(c, m * wide, sizeof *want);
    for (size_t i = 0; i < m * wide && want; i++) {
        dot d = {0, 0, 0, 0};
        for (size_t p = 0; p < k; p++)
            dot_add(&d, (double)left->before[i / wide * k + p], j ? (double)right->before[i % wide * k + p] : 1);
        dot_add(&d, (double)to->before[i], 1);
        want[i] = dot_end(&d, fmax(roundings, 1), 1);
    }
    tl_case_compare(c, to, want);
}

const tl_check tl_check_accumulate = {"accumulate", ACCUMULATE_CASES, accumulate_cost, check_accumulate, true};
