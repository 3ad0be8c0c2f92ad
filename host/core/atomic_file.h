/* atomic_file.h: replacing a whole file at once. */
#ifndef TALLY_CORE_ATOMIC_FILE_H
#define TALLY_CORE_ATOMIC_FILE_H

#include <tally/core.h>

/* Writes a temporary file beside path, syncs it, renames it over path and syncs the folder, so that path holds the old
 * file or the new one, whole. On a failure before the rename the old file is untouched and the temporary is removed; a
 * folder that cannot be synced is a failure too, but then the new file is there. A symbolic link stays and what it
 * points to is replaced. The new file has the old one's permissions, or those of any new file; hard links to the old
 * file keep the old contents. What is there and not a regular file, or is write-protected for this process, is left
 * alone. TALLY_IO names the file and the reason. A process killed meanwhile may leave a temporary, named
 * .tally-PID-NUMBER. */
tally_status tl_atomic_write(const char *path, const void *data, size_t bytes);

#endif
