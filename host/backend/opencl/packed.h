/* packed.h: where the packed weights of a layer lie, one part behind the other; see cl/recurrent.h. */
#ifndef TALLY_BACKEND_OPENCL_PACKED_H
#define TALLY_BACKEND_OPENCL_PACKED_H

#include "backend/opencl/opencl.h"

typedef struct tl_cl_packed {
    size_t hh, ih; /* where the transposes of w_hh and w_ih begin, behind what forward needs */
    size_t floats; /* of all */
    size_t blocks; /* the most of a part: a work-item packs one of each */
} tl_cl_packed;

tl_cl_packed tl_cl_packed_layer(const tl_cl_device *device, tally_cell cell, size_t inputs, size_t hidden);

#endif
