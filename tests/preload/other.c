/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Another library that is preloaded: it counts the calls of pread that pass through it
 * and says at the end how many there were. It knows nothing of anybody else.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

static unsigned long calls;

ssize_t pread(int fd, void *buffer, size_t length, off_t offset)
{
    static ssize_t (*next)(int, void *, size_t, off_t);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "pread");
    calls++;
    return next(fd, buffer, length, offset);
}

__attribute__((destructor)) static void say(void)
{
    printf("%lu\n", calls);
}
