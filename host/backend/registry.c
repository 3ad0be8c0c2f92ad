#include "backend/registry.h"

#include "built_in_backends.h"

#define REGISTRATION(name) tl_##name##_registration
#define DECLARE(name) extern const tl_registration REGISTRATION(name);
#define ADDRESS(name) &REGISTRATION(name),

TL_BUILT_IN_BACKENDS(DECLARE)

const tl_registration *const tl_registry[] = {TL_BUILT_IN_BACKENDS(ADDRESS) NULL};
const char tl_registry_note[] = TL_BUILT_IN_NOTE;
