/* Products through CLBlast, in its own order. */
#include "backend/opencl/opencl.h"
#include "backend/view.h"
#include "core/fail.h"
#include "core/size.h"

#include <clblast_c.h>
#include <pthread.h>

/* CLBlast 1.5.3's cache of programs is not thread-safe (fixed in 1.6.1). */
static pthread_mutex_t clblast = PTHREAD_MUTEX_INITIALIZER;

/* Row-major with a leading dimension CLBlast takes. A matrix of one row has no use for its row stride. */
static bool row_major(const tally_tensor *t) {
    if (t->shape[1] != 1 && t->stride[1] != 1)
        return false;
    return t->shape[0] == 1 || t->stride[0] >= t->shape[1];
}

static size_t leading(const tally_tensor *t) {
    return t->shape[0] == 1 ? t->shape[1] : t->stride[0];
}

bool tl_cl_clblast_supports(const tally_tensor *a, const tally_tensor *b, const tally_tensor *c) {
    return row_major(a) && row_major(b) && row_major(c);
}

/* Rows and columns that CLBlast copies a matrix to at most, for its tiles. */
static size_t padded(size_t n) {
    enum { TILE = 256 };
    return (n / TILE + 1) * TILE;
}

/* Whether the matrix ends where an int still counts. */
static bool counted(const tally_tensor *t) {
    size_t last;
    return t->shape[0] <= INT32_MAX && t->shape[1] <= INT32_MAX && t->offset <= INT32_MAX &&
           tl_size_mul(t->shape[0], leading(t), &last) && last <= INT32_MAX - t->offset;
}

bool tl_cl_clblast_counts(const tally_tensor *a, const tally_tensor *b, const tally_tensor *c, size_t k) {
    if (!counted(a) || !counted(b) || !counted(c))
        return false;
    size_t m = padded(c->shape[0]), n = padded(c->shape[1]),
           inner = padded(k); /* no product of two is too large for a size */
    return m * inner + inner * n + m * n <= INT32_MAX;
}

tally_status tl_cl_clblast_gemm(bool transpose_a, bool transpose_b, float alpha, const tally_tensor *a,
                                const tally_tensor *b, float beta, const tally_tensor *c) {
    tl_cl_device *device = tl_cl_device_of(c);
    size_t k = a->shape[transpose_a ? 0 : 1];
    /* Its loops would be cut short like any, where a chain of tally's goes on in the next launch; tally's kernels count
     * in 64 bits. */
    if (!tl_cl_sum_supports(device, k) || !tl_cl_clblast_counts(a, b, c, k))
        return tl_cl_gemm(transpose_a, transpose_b, alpha, a, b, beta, c);
    pthread_mutex_lock(&clblast);
    CLBlastStatusCode code =
        CLBlastSgemm(CLBlastLayoutRowMajor, transpose_a ? CLBlastTransposeYes : CLBlastTransposeNo,
                     transpose_b ? CLBlastTransposeYes : CLBlastTransposeNo, c->shape[0], c->shape[1], k, alpha,
                     tl_cl_memory(a), a->offset, leading(a), tl_cl_memory(b), b->offset, leading(b), beta,
                     tl_cl_memory(c), c->offset, leading(c), &device->queue, NULL);
    pthread_mutex_unlock(&clblast);
    if (code == CLBlastSuccess)
        return TALLY_OK;
    return tl_fail(TALLY_DEVICE, "%s: CLBlastSgemm of %zu x %zu x %zu: %s (%d)", device->base.info.name, c->shape[0],
                   c->shape[1], k, tl_cl_error_name((cl_int)code), (int)code);
}

tally_status tl_cl_clblast_accumulate(const tally_tensor *left, const tally_tensor *right,
                                      const tally_tensor *gradient) {
    size_t steps = left->shape[1];
    bool rows = right != NULL;
    const tally_tensor *operands[2] = {left, right};
    for (int i = 0; i < 2 && rows; i++) /* steps behind one another make one long row */
        rows = operands[i]->stride[2] == 1 && (steps == 1 || operands[i]->stride[1] == operands[i]->shape[2]);
    if (rows) {
        tally_tensor all_left = tl_view_rows(left, steps), all_right = tl_view_rows(right, steps);
        if (tl_cl_sum_supports(tl_cl_device_of(left), all_left.shape[1]) &&
            tl_cl_clblast_supports(&all_left, &all_right, gradient) &&
            tl_cl_clblast_counts(&all_left, &all_right, gradient, all_left.shape[1]))
            return tl_cl_clblast_gemm(false, true, 1.0f, &all_left, &all_right, 1.0f, gradient);
    }
    return tl_cl_accumulate(left, right, gradient);
}

void tl_cl_clblast_end(void) {
    pthread_mutex_lock(&clblast);
    CLBlastClearCache();
    pthread_mutex_unlock(&clblast);
}
