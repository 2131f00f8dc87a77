/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An ordinary program that times calls on a file: nanoseconds for each, as lines of a name
 * and a number. Its arguments: a directory, what divides how often everything is done, and
 * what is to be done (`calls`, `files`, `sync`, `process`, `memory`, `stream`, `mount`). Times
 * are the CPU's, but of `sync`, whose cost is to wait, and of `mount`, where another process
 * works: there it is the clock's, of a few calls at a time, and of all these the median, for
 * whatever else runs on the machine is in some of them.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZE (4L << 20)
#define PAGES 900L

static char bytes[1 << 20], path[4096], other[4200];
static double spans[4096];

static void must(int done)
{
    if (!done) {
        perror("posix bench");
        exit(1);
    }
}

static double used(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e9 + time.tv_nsec;
}

static int order(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double used_by_children(void)
{
    struct rusage usage;
    getrusage(RUSAGE_CHILDREN, &usage);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e9 +
           (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e3;
}

#define TIME(name, times, what)                                       \
    do {                                                              \
        const long count = (times) / divisor + 1;                     \
        const double begin = used();                                  \
        for (long i = 0; i < count; i++) {                            \
            what;                                                     \
        }                                                             \
        printf("%s %.2f\n", name, (used() - begin) / count);          \
    } while (0)

#define CLOCK(name, times, each, what)                                \
    do {                                                              \
        const long count = (times) / divisor + 1;                     \
        for (long n = 0; n < count; n++) {                            \
            const double begin = now();                               \
            for (long i = n * (each); i < (n + 1) * (each); i++) {    \
                what;                                                 \
            }                                                         \
            spans[n] = (now() - begin) / (each);                      \
        }                                                             \
        qsort(spans, count, sizeof(spans[0]), order);                 \
        printf("%s %.2f\n", name, spans[count / 2]);                  \
    } while (0)

static void begun(void)
{
    extern char **environ;
    char *arguments[] = {"/bin/true", NULL};
    pid_t child;
    int status;
    must(posix_spawn(&child, arguments[0], NULL, NULL, arguments, environ) == 0);
    must(waitpid(child, &status, 0) == child && status == 0);
}

static void calls(int fd, long divisor)
{
    struct stat stat_;
    TIME("pread_1", 100000, must(pread(fd, bytes, 1, i % PAGES * 4096) == 1));
    TIME("pread_4k", 50000, must(pread(fd, bytes, 4096, i % PAGES * 4096) == 4096));
    TIME("pread_64k", 3000, must(pread(fd, bytes, 65536, i % 50 * 65536) == 65536));
    TIME("pread_1m", 200, must(pread(fd, bytes, 1 << 20, i % 3 << 20) == 1 << 20));
    TIME("pwrite_4k", 50000, must(pwrite(fd, bytes, 4096, i % PAGES * 4096) == 4096));
    TIME("pwrite_64k", 3000, must(pwrite(fd, bytes, 65536, i % 50 * 65536) == 65536));
    TIME("read_1_lseek", 50000, must(read(fd, bytes, 1) == 1 && lseek(fd, 0, SEEK_SET) == 0));
    TIME("lseek", 100000, must(lseek(fd, i, SEEK_SET) == i));
    TIME("fstat", 50000, must(fstat(fd, &stat_) == 0));
    TIME("stat", 20000, must(stat(path, &stat_) == 0));
    TIME("stat_enoent", 20000, must(stat(other, &stat_) == -1));
}

static void open_and_close(void)
{
    int fd = open(path, O_RDWR);
    must(close(fd) == 0);
}

static void create_and_unlink(size_t written)
{
    int fd = open(other, O_RDWR | O_CREAT, 0644);
    must(written == 0 || write(fd, bytes, written) == (ssize_t)written);
    must(close(fd) == 0 && unlink(other) == 0);
}

static void files(long divisor)
{
    TIME("open_close", 20000, open_and_close());
    TIME("open_read_close", 20000, {
        int fd = open(path, O_RDWR);
        must(read(fd, bytes, 4096) == 4096 && close(fd) == 0);
    });
    TIME("create_unlink", 3000, create_and_unlink(0));
    TIME("create_write_unlink", 3000, create_and_unlink(4096));
    int fd = open(other, O_RDWR | O_CREAT, 0644);
    TIME("append_4k", 2000, must(write(fd, bytes, 4096) == 4096));
    must(unlink(other) == 0);
}

static void synced(int fd, long divisor)
{
    CLOCK("pwrite_fsync", 200, 8,
          must(pwrite(fd, bytes, 4096, i % PAGES * 4096) == 4096 && fsync(fd) == 0));
}

static void process(long divisor)
{
    int null = open("/dev/null", O_RDWR);
    TIME("foreign", 100000, must(pread(null, bytes, 1, 0) == 0));
    const long count = 40 / divisor + 1;
    const double begin = used_by_children();
    for (long i = 0; i < count; i++)
        begun();
    printf("exec %.2f\n", (used_by_children() - begin) / count);
}

/* What is resident, in KiB. */
static void memory(void)
{
    static const char *const wanted[] = {"RssAnon:", "RssFile:", "RssShmem:"};
    char line[256];
    long total = 0, some;
    FILE *status = fopen("/proc/self/status", "r");
    must(status != NULL);
    while (fgets(line, sizeof(line), status))
        for (int i = 0; i < 3; i++)
            if (!strncmp(line, wanted[i], strlen(wanted[i])) &&
                sscanf(line + strlen(wanted[i]), "%ld", &some) == 1)
                total += some;
    fclose(status);
    printf("rss %ld\n", total);
}

/* What makes the library look for libc's own calls: the first stream of a process. */
static void stream(void)
{
    FILE *file = fopen(path, "r");
    must(file != NULL && fread(bytes, 1, 65536, file) == 65536 && fclose(file) == 0);
}

/* What a mount is asked most. */
static void mounted(int fd, long divisor)
{
    CLOCK("pread_4k", 800, 64, must(pread(fd, bytes, 4096, i % PAGES * 4096) == 4096));
    CLOCK("pwrite_4k", 300, 64, must(pwrite(fd, bytes, 4096, i % PAGES * 4096) == 4096));
    CLOCK("open_close", 1000, 1, open_and_close());
    CLOCK("create_unlink", 500, 1, create_and_unlink(0));
    CLOCK("create_write_unlink", 500, 1, create_and_unlink(4096));
}

int main(int argc, char **argv)
{
    must(argc == 4);
    const long divisor = atol(argv[2]);
    const char *what = argv[3];
    /* Beside the process itself the file is to be next to nothing. */
    const int little = !strcmp(what, "memory") || !strcmp(what, "stream");
    const long pages = little ? 8 : PAGES;
    snprintf(path, sizeof(path), "%s/file", argv[1]);
    snprintf(other, sizeof(other), "%s/other", argv[1]);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    for (long at = 0; at < (little ? 131072 : SIZE); at += 65536)
        must(write(fd, memset(bytes, 1, 65536), 65536) == 65536);
    for (long i = 0; i < pages; i++) {
        must(pread(fd, bytes, 4096, i * 4096) == 4096);
        must(pwrite(fd, bytes, 4096, i * 4096) == 4096);
        must(pwrite(fd, bytes, 4096, i * 4096) == 4096);
    }
    for (int i = 0; i < 64; i++)
        must(lseek(fd, 0, SEEK_SET) == 0 && read(fd, bytes, 16) == 16);
    if (!strcmp(what, "calls"))
        calls(fd, divisor);
    else if (!strcmp(what, "files"))
        files(divisor);
    else if (!strcmp(what, "sync"))
        synced(fd, divisor);
    else if (!strcmp(what, "process"))
        process(divisor);
    else if (!strcmp(what, "memory"))
        memory();
    else if (!strcmp(what, "stream"))
        stream();
    else if (!strcmp(what, "mount"))
        mounted(fd, divisor);
    else
        must(0);
    return 0;
}
