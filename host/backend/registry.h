/* registry.h: the backends that are built in. */
#ifndef TALLY_BACKEND_REGISTRY_H
#define TALLY_BACKEND_REGISTRY_H

#include <tally/device.h>

/* What a backend tells of itself. Everything else is behind the devices that it opens. */
typedef struct tl_registration {
    const char *name; /* tally_device_info.backend */
    /* Its devices, always in the same order. infos: *count entries, which the caller frees with free(). Where there
     * is none that is no error, and note says why; else note stays as it is. */
    tally_status (*list)(tally_device_info **infos, size_t *count, char *note, size_t note_size);
    /* Opens the device that list() gives this selector. options is not NULL. */
    tally_status (*open)(const char *selector, const tally_device_options *options, tally_device **device);
} tl_registration;

/* Ends with NULL. The first is the reference, which has one device; its selector is the backend's name.
 * host/meson.build names the others. */
extern const tl_registration *const tl_registry[];
/* Why a backend that tally knows is not among them; "" where all are. */
extern const char tl_registry_note[];

#endif
