/* core.h: status codes, error texts, version.
 *
 * Every function that can fail returns a tally_status. Unless that is TALLY_OK, the reason is kept as text for the
 * calling thread until that thread's next failing call. The library never exits, prints or aborts.
 */
#ifndef TALLY_CORE_H
#define TALLY_CORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TALLY_API __attribute__((visibility("default")))
#else
#define TALLY_API
#endif

/* The values are the exit codes of the tally command. */
typedef enum tally_status {
    TALLY_OK = 0,
    TALLY_MEMORY = 1,   /* the host is out of memory, or a size does not fit its type */
    TALLY_USAGE = 2,    /* an argument, option or shape is wrong */
    TALLY_DATA = 3,     /* input data is wrong */
    TALLY_MODEL = 4,    /* a model file is wrong */
    TALLY_DEVICE = 5,   /* no such device, or a device failed */
    TALLY_NUMBERS = 6,  /* a NaN or an infinity in the loss or the weights */
    TALLY_IO = 7,       /* reading or writing failed */
    TALLY_PARITY = 8,   /* command only: a parity check failed */
    TALLY_STOPPED = 130 /* the observer asked to stop */
} tally_status;

/* Why this thread's last failing call failed; "" before the first. Valid until its next failing call. */
TALLY_API const char *tally_error_text(void);

/* The library's version, "major.minor.patch". */
TALLY_API const char *tally_version(void);

#ifdef __cplusplus
}
#endif
#endif
