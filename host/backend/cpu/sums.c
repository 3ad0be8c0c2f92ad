/* Sums over columns by the tiles of cl/weight_gradients.h, micro-batches by the tree; see tally_gemm with B transposed,
 * tally_reduce and tally_accumulate. */
#include "backend/cpu/sums.h"

#include "weight_gradients.h"

/* What is summed over: the same columns in each of a number of steps, cut into leaves of a tree. */
typedef struct extent {
    size_t steps, columns, leaf_columns;
} extent;

/* Memory for the sums of a block, and for the partial sums [level][row][column] of the tree. */
typedef struct block_memory {
    tl_sum_workspace workspace;
    float *partials;
} block_memory;

static block_memory block_memory_in(float *scratch, size_t rows, size_t columns) {
    return (block_memory){tl_sum_workspace_in(scratch, rows, columns), scratch + TL_SUM_WORKSPACE_OF(rows, columns)};
}

/* A leaf of the tree: its number, and whether it is the last. */
typedef struct leaf {
    size_t number;
    bool last;
} leaf;

/* Halves the lanes of a leaf's sums and adds them to the tree; after the last leaf the tree's sum to the result. */
TL_TEMPLATE void finish_block(const tl_left_operand *left, size_t row, size_t rows, const tl_right_row *right,
                              size_t columns, float beta, leaf of, const block_memory *memory) {
    const size_t level_size = memory->workspace.rows * memory->workspace.columns;
    for (size_t i = 0; i < rows && row + i < left->rows; i++)
        for (size_t j = 0; j < columns; j++) {
            float sum = tl_block_sum(&memory->workspace, columns, i, j), *partials = memory->partials + i * columns + j;
#define PARTIAL(level) partials[(level)*level_size]
            TL_TREE_ADD(of.number, of.last, sum, PARTIAL);
#undef PARTIAL
            if (!of.last)
                continue;
            float *element = right[j].to + (row + i) * right[j].to_row;
            *element = beta == 0.0f ? sum : tl_scalar_fma(beta, *element, sum);
        }
}

/* A block of the result, leaf by leaf. */
static void add_block(const tl_left_operand *left, size_t row, size_t rows, const tl_right_row *right, size_t columns,
                      float beta, extent over, const block_memory *memory) {
    rows = (rows + TL_TILE_ROWS - 1) / TL_TILE_ROWS * TL_TILE_ROWS;
    for (size_t first = 0, number = 0; first < over.columns; first += over.leaf_columns, number++) {
        size_t rest = over.columns - first, length = rest < over.leaf_columns ? rest : over.leaf_columns;
        tl_sum_columns(left, row, rows, right, columns, over.steps, first, length, &memory->workspace);
        if (over.columns <= over.leaf_columns) /* constants: nothing is decided for each element */
            finish_block(left, row, rows, right, columns, beta, (leaf){0, true}, memory);
        else
            finish_block(left, row, rows, right, columns, beta, (leaf){number, rest == length}, memory);
    }
}

/* result = beta result + the sums of the tree. */
static void sum_products(const tl_left_operand *left, const tl_right_operand *rights, size_t count, float beta,
                         extent over, const block_memory *memory) {
    tl_right_row right[TL_SUM_COLUMNS];
    size_t operand = 0, next = 0, columns, most = memory->workspace.rows;
    while ((columns = tl_next_right_rows(rights, count, memory->workspace.columns, &operand, &next, right)) > 0)
        for (size_t row = 0; row < left->rows; row += most)
            add_block(left, row, left->rows - row < most ? left->rows - row : most, right, columns, beta, over, memory);
}

/* Where no scratch was given: blocks of FEW_ROWS instead of SMALL_ROWS where the tree has more than SMALL_LEVELS. */
enum {
    SMALL_ROWS = 16,
    FEW_ROWS = 4,
    SMALL_COLUMNS = TL_NEAR_ROWS,
    SMALL_LEVELS = 16,
    SMALL_SCRATCH = TL_SUMS_SCRATCH_OF(SMALL_ROWS, SMALL_COLUMNS, SMALL_LEVELS)
};
static_assert(TL_TREE_LEVELS * FEW_ROWS <= SMALL_LEVELS * SMALL_ROWS, "the partial sums of any tree fit");
static_assert(TL_SUM_ROWS % TL_TILE_ROWS == 0 && SMALL_ROWS % TL_TILE_ROWS == 0 && FEW_ROWS % TL_TILE_ROWS == 0 &&
                  TL_NEAR_ROWS % TL_TILE_COLUMNS == 0,
              "blocks are whole tiles");

void TL_ISA_NAME(gemm_dots)(float alpha, const tally_tensor *a, bool transpose_a, const tally_tensor *b, float beta,
                            const tally_tensor *c) {
    size_t k = a->shape[transpose_a ? 0 : 1];
    tl_left_operand left = {
        {tl_view_floats(a), a->stride[transpose_a ? 1 : 0], 0, a->stride[transpose_a ? 0 : 1]}, c->shape[0], alpha};
    tl_right_operand right = {
        {tl_view_floats(b), b->stride[0], 0, b->stride[1]}, c->shape[1], tl_view_floats(c), c->stride[0], c->stride[1]};
    float scratch[SMALL_SCRATCH];
    block_memory memory = block_memory_in(scratch, SMALL_ROWS, SMALL_COLUMNS);
    sum_products(&left, &right, 1, beta, (extent){1, k, k}, &memory);
}

static float row_sum(const float *row, size_t step, size_t n) {
    size_t whole = n - n % TL_LANES;
    tl_vf acc[TL_PARTS];
    for (int q = 0; q < TL_PARTS; q++)
        acc[q] = TL_SPLAT(0.0f);
    for (size_t p = 0; p < whole; p += TL_LANES)
        for (size_t q = 0; q < TL_PARTS; q++)
            acc[q] = acc[q] + tl_v_load_some(row + (p + q * TL_W) * step, step, TL_W);
    if (whole == n)
        return tl_lanes_sum(acc);
    float lanes[TL_LANES];
    for (int q = 0; q < TL_PARTS; q++)
        tl_v_store(lanes + q * TL_W, acc[q]);
    for (size_t p = whole; p < n; p++)
        lanes[p - whole] += row[p * step];
    for (int q = 0; q < TL_PARTS; q++)
        acc[q] = tl_v_load(lanes + q * TL_W);
    return tl_lanes_sum(acc);
}

tally_status TL_ISA_NAME(reduce)(const tally_tensor *x, float beta, const tally_tensor *out) {
    tl_operand rows = {tl_view_floats(x), x->stride[0], 0, x->stride[1]};
    for (size_t m = 0; m < x->shape[0]; m++) {
        float sum = row_sum(rows.data + m * rows.row, rows.column, x->shape[1]);
        float *element = tl_view_floats(out) + m * out->stride[0];
        *element = beta == 0.0f ? sum : tl_scalar_fma(beta, *element, sum);
    }
    return TALLY_OK;
}

static tl_operand operand_of(const tally_tensor *t) {
    return (tl_operand){tl_view_floats(t), t->stride[0], t->stride[1], t->stride[2]};
}

static tl_right_operand right_of(const tl_sum_right *r) {
    const tally_tensor *to = r->gradient;
    if (!r->right)
        return (tl_right_operand){{NULL, 0, 0, 0}, 1, tl_view_floats(to), to->stride[0], 0};
    return (tl_right_operand){operand_of(r->right), r->right->shape[0], tl_view_floats(to), to->stride[0],
                              to->stride[1]};
}

static void accumulate(const tally_tensor *left, const tl_sum_right *rights, size_t count, const block_memory *memory) {
    tl_right_operand operands[TL_SUMS_RIGHTS];
    for (size_t i = 0; i < count; i++)
        operands[i] = right_of(&rights[i]);
    tl_left_operand rows = {operand_of(left), left->shape[0], 1.0f};
    sum_products(&rows, operands, count, 1.0f, (extent){left->shape[1], left->shape[2], TL_MICRO_BATCH}, memory);
}

void TL_ISA_NAME(accumulate_all)(const tally_tensor *left, const tl_sum_right *rights, size_t count, float *scratch) {
    const block_memory memory = block_memory_in(scratch, TL_SUM_ROWS, TL_SUM_COLUMNS);
    accumulate(left, rights, count, &memory);
}

tally_status TL_ISA_NAME(accumulate)(const tally_tensor *left, const tally_tensor *right,
                                     const tally_tensor *gradient) {
    float scratch[SMALL_SCRATCH];
    size_t rows = tl_leaf_levels(left->shape[2]) <= SMALL_LEVELS ? SMALL_ROWS : FEW_ROWS;
    const block_memory memory = block_memory_in(scratch, rows, SMALL_COLUMNS);
    accumulate(left, &(tl_sum_right){right, gradient}, 1, &memory);
    return TALLY_OK;
}
