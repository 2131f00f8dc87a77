/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * twz_posix.h - files that are objects, read and written from memory.
 *
 * Every file beneath a pool's names/ is an object, and every descriptor of one is an
 * ordinary one. These functions are open, read, write, pread, pwrite, lseek and close,
 * with their arguments, answers and errno; what a mapping of the file can answer is
 * copied, without a system call. Descriptors may be mixed freely with libc's functions.
 *
 * Link with -ltwz_posix, and set TWZ_POOL to the pool (or TWZ_POSIX to directories, with
 * a colon between). Elsewhere, and without either, they are libc's.
 */
#ifndef TWZ_POSIX_H
#define TWZ_POSIX_H

#include <sys/types.h>
#include <twz.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The mode is looked at where flags have O_CREAT or O_TMPFILE. */
int twz_open(const char *path, int flags, mode_t mode);
ssize_t twz_read(int fd, void *buffer, size_t length);
ssize_t twz_write(int fd, const void *buffer, size_t length);
ssize_t twz_pread(int fd, void *buffer, size_t length, int64_t offset);
ssize_t twz_pwrite(int fd, const void *buffer, size_t length, int64_t offset);
int64_t twz_lseek(int fd, int64_t by, int whence);
int twz_close(int fd);

/*
 * Which object an open file is. 0, or -EBADF; -ENOTTY: it is not beneath a pool's
 * names/; -ENODATA: nobody has asked for it as an object yet, as twz_name_lookup() does.
 */
int twz_fd_object(int fd, twz_id *id);

#ifdef __cplusplus
}
#endif

#endif
