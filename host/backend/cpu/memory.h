/* memory.h: storage of the C path, the same for every instruction set. */
#ifndef TALLY_BACKEND_CPU_MEMORY_H
#define TALLY_BACKEND_CPU_MEMORY_H

#include "backend/backend.h"

tally_status tl_cpu_storage_new(tally_device *device, size_t bytes, tl_storage **storage);
void tl_cpu_storage_free(tl_storage *storage);
tally_status tl_cpu_storage_map(tl_storage *storage);
tally_status tl_cpu_storage_unmap(tl_storage *storage);
tally_status tl_cpu_write(tl_storage *storage, size_t offset, const void *data, size_t bytes);
tally_status tl_cpu_read(tl_storage *storage, size_t offset, void *data, size_t bytes);

#endif
