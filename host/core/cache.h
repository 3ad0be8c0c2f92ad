/* cache.h: what is worth keeping from one run to the next, in $XDG_CACHE_HOME/tally, else ~/.cache/tally.
 *
 * Nothing here is ever needed: without a folder, with one that cannot be written or is someone else's, or with TALLY_CACHE=off
 * nothing is kept, and no call changes tally_error_text(). Entries are whole: written at once, and read only if their digest is
 * right for their name and bytes. Several processes may use them at the same time. */
#ifndef TALLY_CORE_CACHE_H
#define TALLY_CORE_CACHE_H

#include <stdbool.h>
#include <stddef.h>

enum { TL_CACHE_NAME = 80 };

/* The name of an entry that depends on these texts, NULL at their end, and on nothing else: their SHA-256 and an ending. */
void tl_cache_name(char name[TL_CACHE_NAME], const char *ending, const char *const *texts);

/* Whether there is a folder to keep things in; makes it if need be, for this user alone. */
bool tl_cache_ready(void);

/* False if there is none. One that is damaged, or another's under this name, is removed. The caller frees *data, which has a zero
 * behind its bytes. */
bool tl_cache_read(const char *name, unsigned char **data, size_t *bytes);
void tl_cache_write(const char *name, const void *data, size_t bytes);
/* For what is whole and of no use. */
void tl_cache_remove(const char *name);

#endif
