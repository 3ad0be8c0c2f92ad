#include "backend/cells.h"
#include "core/fail.h"
#include "tensor/dispatch.h"
#include "tensor/shapes.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

#define CELL_LABEL(ID, name, gates, weights, first_hh, state, previous, bypass, torch_ih, torch_hh, label) label,
const char *const tl_cell_names[TALLY_CELLS + 1] = {TL_CELLS(CELL_LABEL) NULL};

const char *tally_cell_name(tally_cell cell) {
    return cell < TALLY_CELLS ? tl_cell_names[cell] : "unknown";
}

size_t tally_cell_gates(tally_cell cell) {
    return tl_cell_gates(cell);
}

size_t tally_cell_weights(tally_cell cell) {
    return tl_cell_weights(cell);
}

/* One that the cell has, or that must be NULL. */
typedef struct part {
    const char *name;
    const tally_tensor *tensor;
    bool there;
} part;

/* gates, first, and parts that are all as large as it. */
static tally_status check(const char *operation, tally_cell cell, const tally_tensor *gates, const char *first_name,
                          const tally_tensor *first, const part *parts, size_t count) {
    if (cell >= TALLY_CELLS)
        return tl_fail(TALLY_USAGE, "%s: there is no cell %d", operation, (int)cell);
    size_t units = first ? first->shape[0] : 0, n = first && first->ndim > 1 ? first->shape[1] : 0;
    tl_expected expected[5] = {
        {first_name, first, TALLY_F32, 2, {0, 0}, TL_ANY},
        {"gates", gates, TALLY_F32, 2, {tl_cell_gates(cell) * units, n}, TL_ANY},
    };
    size_t used = 2;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].there)
            expected[used++] = (tl_expected){parts[i].name, parts[i].tensor, TALLY_F32, 2, {units, n}, TL_ANY};
        else if (parts[i].tensor)
            return tl_fail(TALLY_USAGE, "%s: %s given, which %s has not", operation, parts[i].name,
                           tally_cell_name(cell));
    }
    return tl_check_tensors(operation, expected, used);
}

tally_status tally_cell_forward(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                const tally_tensor *c, const tally_tensor *tanh_c, const tally_tensor *h) {
    const part parts[] = {{"previous", previous, tl_cell_previous(cell) != TL_READS_NOTHING},
                          {"c", c, tl_cell_state(cell)},
                          {"tanh_c", tanh_c, tl_cell_state(cell)}};
    tally_status status = check("tally_cell_forward", cell, gates, "h", h, parts, COUNT(parts));
    if (status)
        return status;
    return TL_DISPATCH_WITH(cell_forward, (.gates = gates, .previous = previous, .c = c, .tanh_c = tanh_c, .h = h),
                            (.cell = cell), cell, gates, previous, c, tanh_c, h);
}

tally_status tally_cell_backward(tally_cell cell, const tally_tensor *gates, const tally_tensor *previous,
                                 const tally_tensor *tanh_c, const tally_tensor *dh, const tally_tensor *dc) {
    const part parts[] = {{"previous", previous, tl_cell_previous(cell) != TL_READS_NOTHING},
                          {"tanh_c", tanh_c, tl_cell_state(cell)},
                          {"dc", dc, tl_cell_state(cell)}};
    tally_status status = check("tally_cell_backward", cell, gates, "dh", dh, parts, COUNT(parts));
    if (status)
        return status;
    return TL_DISPATCH_WITH(cell_backward, (.gates = gates, .previous = previous, .tanh_c = tanh_c, .dh = dh, .dc = dc),
                            (.cell = cell), cell, gates, previous, tanh_c, dh, dc);
}
