/* atomic_file.h: replaces a whole file atomically. */
#ifndef TALLY_CORE_ATOMIC_FILE_H
#define TALLY_CORE_ATOMIC_FILE_H

#include <tally/core.h>

/* Writes a temporary file beside path, syncs it, renames it over path and syncs the folder, so that path holds
 * either the old file or the complete new one. If it fails before the rename, the old file is unchanged and the
 * temporary file removed. If the folder cannot be synced, that is a failure too, although the new file is in place.
 * A symbolic link is kept and its target replaced. The new file has the old one's permissions, or those of any new
 * file; hard links to the old file keep the old contents. An existing path that is not a regular file, or is
 * write-protected for this process, is left unchanged. TALLY_IO: the text names the file and the reason. If the
 * process is killed, a temporary file named .tally-PID-NUMBER may remain. */
tally_status tl_atomic_write(const char *path, const void *data, size_t bytes);

#endif
