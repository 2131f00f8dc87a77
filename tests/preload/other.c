/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Another library that is preloaded: it counts the calls of pread that pass through it
 * and says at the end how many there were. It knows nothing of anybody else. With READS it
 * counts those of read instead.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

static unsigned long calls;

#ifdef READS
ssize_t read(int fd, void *buffer, size_t length)
{
    static ssize_t (*next)(int, void *, size_t);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "read");
    calls++;
    return next(fd, buffer, length);
}
#else
ssize_t pread(int fd, void *buffer, size_t length, off_t offset)
{
    static ssize_t (*next)(int, void *, size_t, off_t);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "pread");
    calls++;
    return next(fd, buffer, length, offset);
}
#endif

__attribute__((destructor)) static void say(void)
{
    printf("%lu\n", calls);
}
