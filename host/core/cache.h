/* cache.h: a cache on disk, in $XDG_CACHE_HOME/tally or else ~/.cache/tally.
 *
 * The cache is optional: if its folder cannot be used, belongs to another user or is disabled by TALLY_CACHE=off,
 * nothing is stored. No function changes tally_error_text(). Entries are written atomically, and returned only if
 * their digest matches their name and contents. Several processes may use the cache at the same time.
 */
#ifndef TALLY_CORE_CACHE_H
#define TALLY_CORE_CACHE_H

#include <stdbool.h>
#include <stddef.h>

enum { TL_CACHE_NAME = 80 };

/* The name of an entry that depends on exactly these texts, terminated by NULL: their SHA-256 and an ending. */
void tl_cache_name(char name[TL_CACHE_NAME], const char *ending, const char *const *texts);

/* Whether the cache can be used. Creates its folder if necessary, accessible only to this user. */
bool tl_cache_ready(void);

/* Returns false if there is no such entry. A damaged entry, or one stored under another name, is removed. The caller
 * frees *data, which has a NUL after its bytes. */
bool tl_cache_read(const char *name, unsigned char **data, size_t *bytes);
void tl_cache_write(const char *name, const void *data, size_t bytes);
/* Removes an intact entry that is of no use. */
void tl_cache_remove(const char *name);

#endif
