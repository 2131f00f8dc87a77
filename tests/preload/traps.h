/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the programs traps.c, parting.c and streams.c share: a file whose pages are known,
 * how it is used until the library has taken over, and how a part is found by its name.
 */
#ifndef TWZ_TRAPS_H
#define TWZ_TRAPS_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 16
#define SIZE (PAGE * PAGES)

#define CHECK(what)                                                                    \
    do {                                                                               \
        if (!(what)) {                                                                 \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #what, errno); \
            _exit(1);                                                                  \
        }                                                                              \
    } while (0)

static char page[PAGE], got[SIZE];
/* What a program was called with: its own name and all, where its files are, and the rest. */
static char **own;
static const char *folder, *argument;

static const char *path(const char *name)
{
    static char paths[4][4096];
    static int next;
    char *to = paths[next++ % 4];
    snprintf(to, 4096, "%s/%s", folder, name);
    return to;
}

/* What a page of the file holds: its number plus one, all over. */
static void fill(int number)
{
    memset(page, number + 1, PAGE);
}

static int make(const char *name)
{
    int fd = open(path(name), O_RDWR | O_CREAT | O_TRUNC, 0644);
    CHECK(fd >= 0);
    for (int i = 0; i < PAGES; i++) {
        fill(i);
        CHECK(write(fd, page, PAGE) == PAGE);
    }
    return fd;
}

/* Reads and writes until whoever takes over has taken over, then is at offset 0. */
static void warm(int fd)
{
    for (int i = 0; i < 40; i++)
        CHECK(pread(fd, got, PAGE, 0) == PAGE && got[0] == 1);
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    for (int i = 0; i < 40; i++) {
        CHECK(read(fd, got, 1) == 1);
        CHECK(lseek(fd, 0, SEEK_SET) == 0);
    }
}

static int warmed(const char *name)
{
    int fd = make(name);
    warm(fd);
    return fd;
}

static void ended(pid_t child)
{
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

struct part {
    const char *name;
    void (*run)(void);
};

/* PROGRAM PART FOLDER [ARGUMENT]: runs the one of `count` parts that has this name. */
static int run_part(const struct part *parts, size_t count, int argc, char **argv)
{
    CHECK(argc >= 3);
    own = argv, folder = argv[2], argument = argc > 3 ? argv[3] : "";
    for (size_t i = 0; i < count; i++)
        if (strcmp(argv[1], parts[i].name) == 0) {
            parts[i].run();
            return 0;
        }
    CHECK(!"a part of this name");
    return 1;
}

#define RUN_PART(parts, argc, argv) run_part(parts, sizeof(parts) / sizeof((parts)[0]), argc, argv)

#endif
