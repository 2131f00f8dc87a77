/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An ordinary program that times calls on one file: nanoseconds of CPU time for each, as
 * lines of a name and a number. The first argument is a directory, the second divides
 * how often everything is done.
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

static void files(long divisor)
{
    TIME("open_close", 20000, {
        int fd = open(path, O_RDWR);
        must(close(fd) == 0);
    });
    TIME("open_read_close", 20000, {
        int fd = open(path, O_RDWR);
        must(read(fd, bytes, 4096) == 4096 && close(fd) == 0);
    });
    TIME("create_write_unlink", 3000, {
        int fd = open(other, O_RDWR | O_CREAT, 0644);
        must(write(fd, bytes, 4096) == 4096 && close(fd) == 0 && unlink(other) == 0);
    });
    int fd = open(other, O_RDWR | O_CREAT, 0644);
    TIME("append_4k", 2000, must(write(fd, bytes, 4096) == 4096));
    must(unlink(other) == 0);
    int null = open("/dev/null", O_RDWR);
    TIME("foreign", 100000, must(pread(null, bytes, 1, 0) == 0));
    const long count = 40 / divisor + 1;
    const double begin = used_by_children();
    for (long i = 0; i < count; i++)
        begun();
    printf("exec %.2f\n", (used_by_children() - begin) / count);
}

int main(int argc, char **argv)
{
    must(argc == 3);
    snprintf(path, sizeof(path), "%s/file", argv[1]);
    snprintf(other, sizeof(other), "%s/other", argv[1]);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    for (long at = 0; at < SIZE; at += sizeof(bytes))
        must(write(fd, memset(bytes, 1, sizeof(bytes)), sizeof(bytes)) == sizeof(bytes));
    for (long i = 0; i < PAGES; i++) {
        must(pread(fd, bytes, 4096, i * 4096) == 4096);
        must(pwrite(fd, bytes, 4096, i * 4096) == 4096);
        must(pwrite(fd, bytes, 4096, i * 4096) == 4096);
    }
    for (int i = 0; i < 64; i++)
        must(lseek(fd, 0, SEEK_SET) == 0 && read(fd, bytes, 16) == 16);
    calls(fd, atol(argv[2]));
    files(atol(argv[2]));
    return 0;
}
