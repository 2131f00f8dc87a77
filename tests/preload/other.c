/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Another library that is preloaded: it counts the calls of pread that pass through it
 * and says at the end how many there were. It knows nothing of anybody else. With READS it
 * counts those of read instead; with OPENS those of open, and when one of a file that ends in "slow"
 * is done it says so to descriptor 98, and waits for an answer from 99.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
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
#elif defined(OPENS)
int open(const char *path, int flags, ...)
{
    static int (*next)(const char *, int, ...);
    if (next == NULL)
        *(void **)&next = dlsym(RTLD_NEXT, "open");
    calls++;
    int fd = next(path, flags, 0644);
    size_t length = strlen(path);
    if (length >= 4 && strcmp(path + length - 4, "slow") == 0) {
        char byte;
        if (write(98, "!", 1) != 1 || read(99, &byte, 1) != 1)
            return -1;
    }
    return fd;
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
