#include "backend/cpu/layer.h"

size_t tl_isa_layer_scratch(tally_device *device, size_t inputs, size_t hidden, size_t steps, size_t columns) {
    (void)device;
    sizes s = {inputs, hidden, steps, columns};
    size_t forward = tl_isa_layer_forward_scratch(s), backward = tl_isa_layer_backward_scratch(s);
    return forward > backward ? forward : backward;
}

/* The gate math alone, for any strides. */
tally_status tl_isa_cell_forward(const tally_tensor *gates, const tally_tensor *c_prev, const tally_tensor *c,
                                 const tally_tensor *tanh_c, const tally_tensor *h) {
    size_t hidden = h->shape[0], n = h->shape[1];
    for (size_t unit = 0; unit < hidden; unit++)
        for (size_t column = 0; column < n; column += TL_W) {
            size_t valid = n - column < TL_W ? n - column : TL_W;
            float *out[4];
            tl_vf gate[4], new_c, new_tanh_c, new_h;
            for (size_t g = 0; g < 4; g++) {
                out[g] = tl_view_floats(gates) + (g * hidden + unit) * gates->stride[0] + column * gates->stride[1];
                gate[g] = tl_v_load_some(out[g], gates->stride[1], valid);
            }
            const float *previous = tl_view_floats(c_prev) + unit * c_prev->stride[0] + column * c_prev->stride[1];
            tl_v_lstm_cell(gate, tl_v_load_some(previous, c_prev->stride[1], valid), &new_c, &new_tanh_c, &new_h);
            for (size_t g = 0; g < 4; g++)
                tl_v_store_some(out[g], gates->stride[1], valid, gate[g]);
            tl_v_store_some(tl_view_floats(c) + unit * c->stride[0] + column * c->stride[1], c->stride[1], valid,
                            new_c);
            tl_v_store_some(tl_view_floats(tanh_c) + unit * tanh_c->stride[0] + column * tanh_c->stride[1],
                            tanh_c->stride[1], valid, new_tanh_c);
            tl_v_store_some(tl_view_floats(h) + unit * h->stride[0] + column * h->stride[1], h->stride[1], valid,
                            new_h);
        }
    return TALLY_OK;
}

tally_status tl_isa_cell_backward(const tally_tensor *gates, const tally_tensor *c_prev, const tally_tensor *tanh_c,
                                  const tally_tensor *dh, const tally_tensor *dc) {
    size_t hidden = dh->shape[0], n = dh->shape[1];
    for (size_t unit = 0; unit < hidden; unit++)
        for (size_t column = 0; column < n; column += TL_W) {
            size_t valid = n - column < TL_W ? n - column : TL_W;
            float *out[4];
            tl_vf gate[4];
            for (size_t g = 0; g < 4; g++) {
                out[g] = tl_view_floats(gates) + (g * hidden + unit) * gates->stride[0] + column * gates->stride[1];
                gate[g] = tl_v_load_some(out[g], gates->stride[1], valid);
            }
            const float *c_at = tl_view_floats(c_prev) + unit * c_prev->stride[0] + column * c_prev->stride[1];
            const float *t_at = tl_view_floats(tanh_c) + unit * tanh_c->stride[0] + column * tanh_c->stride[1];
            const float *dh_at = tl_view_floats(dh) + unit * dh->stride[0] + column * dh->stride[1];
            float *dc_at = tl_view_floats(dc) + unit * dc->stride[0] + column * dc->stride[1];
            tl_vf new_dc = tl_v_load_some(dc_at, dc->stride[1], valid);
            tl_v_lstm_cell_backward(gate, tl_v_load_some(c_at, c_prev->stride[1], valid),
                                    tl_v_load_some(t_at, tanh_c->stride[1], valid),
                                    tl_v_load_some(dh_at, dh->stride[1], valid), &new_dc);
            for (size_t g = 0; g < 4; g++)
                tl_v_store_some(out[g], gates->stride[1], valid, gate[g]);
            tl_v_store_some(dc_at, dc->stride[1], valid, new_dc);
        }
    return TALLY_OK;
}
