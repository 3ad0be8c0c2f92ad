/* What stands in for the OpenCL backend where it is not built in. */
#include "backend/backend.h"
#include "core/fail.h"

#include <stdio.h>

static const char WHY[] = "this tally was built without OpenCL (-Dopencl=disabled)";

tally_status tl_opencl_list(tally_device_info **infos, size_t *count, char *note, size_t note_size) {
    *infos = NULL;
    *count = 0;
    snprintf(note, note_size, "%s", WHY);
    return TALLY_OK;
}

tally_status tl_opencl_open(unsigned platform, unsigned device_number, const tally_device_options *options,
                            tally_device **device) {
    (void)platform, (void)device_number, (void)options, (void)device;
    return tl_fail(TALLY_DEVICE, "%s", WHY);
}
