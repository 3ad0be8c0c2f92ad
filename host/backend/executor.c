#include "backend/executor.h"

#include "backend/backend.h"

tally_status tl_executor_new(tally_device *device, const tl_network *network, const tl_executor_options *options,
                             tl_executor **executor) {
    *executor = NULL;
    return device->backend->executor_new ? device->backend->executor_new(device, network, options, executor) : TALLY_OK;
}
