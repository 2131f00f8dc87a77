/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An ordinary program that knows nothing of the library: each of its parts does what
 * would go wrong if that copied carelessly, and says what it saw. The first argument
 * is the part, the second a directory. It passes without the library, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "traps.h"

/* An address that nothing is at. */
static char *volatile nowhere = (char *)8;

/* Has another process do something, without this one's descriptors and libraries. */
static void outside(const char *command)
{
    char line[8192];
    snprintf(line, sizeof(line), "unset LD_PRELOAD; cd '%s' && %s", folder, command);
    CHECK(system(line) == 0);
}

/* An outsider truncates: what is read is what there is, to the byte. */
static void truncated(void)
{
    int fd = warmed("cut");
    outside("truncate -s 10000 cut");
    CHECK(pread(fd, got, PAGE, 0) == PAGE && got[PAGE - 1] == 1);
    CHECK(pread(fd, got, PAGE, 2 * PAGE) == 10000 - 2 * PAGE && got[0] == 3);
    CHECK(pread(fd, got, 100, 9950) == 50);
    CHECK(pread(fd, got, PAGE, 8 * PAGE) == 0);
    CHECK(pread(fd, got, SIZE, 0) == 10000);
    /* A write beyond the end makes it longer, with zeros between. */
    fill(99);
    CHECK(pwrite(fd, page, PAGE, 3 * PAGE) == PAGE);
    struct stat stat;
    CHECK(fstat(fd, &stat) == 0 && stat.st_size == 4 * PAGE);
    CHECK(pread(fd, got, PAGE, 2 * PAGE) == PAGE && got[1807] == 3 && got[1808] == 0);
    /* Nor is what was written into the cut part of a page lost. */
    outside("truncate -s 0 cut; truncate -s 10 cut");
    CHECK(pwrite(fd, page, 10, 100) == 10);
    CHECK(pread(fd, got, PAGE, 0) == 110 && got[100] == 100 && got[50] == 0);
}

/* The same between two writes, so soon after one another that both could be stores. */
static void cut_at_once(void)
{
    for (int i = 0; i < 20; i++) {
        int fd = warmed("soon");
        struct stat stat;
        fill(99);
        CHECK(pwrite(fd, page, PAGE, PAGE) == PAGE && pwrite(fd, page, PAGE, PAGE) == PAGE);
        CHECK(truncate(path("soon"), 10000) == 0);
        CHECK(pwrite(fd, page, 100, 9950) == 100);
        CHECK(fstat(fd, &stat) == 0 && stat.st_size == 10050);
        CHECK(pread(fd, got, PAGE, 9900) == 150 && got[49] == 3 && got[50] == 100);
        CHECK(pread(fd, got, PAGE, 9900) == 150 && got[149] == 100);
        close(fd);
    }
}

/* The same while it is read, over and over. */
static void truncating(void)
{
    int fd = warmed("race");
    pid_t child = fork();
    if (child == 0) {
        int other = open(path("race"), O_RDWR);
        for (int i = 0; i < 3000; i++) {
            CHECK(ftruncate(other, PAGE + 100) == 0);
            for (int at = 1; at < PAGES; at++) {
                fill(at);
                CHECK(pwrite(other, page, PAGE, at * PAGE) == PAGE);
            }
        }
        _exit(0);
    }
    long seen = 0;
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        int at = seen++ % (PAGES - 1) + 1;
        ssize_t length = pread(fd, got, PAGE, at * PAGE);
        CHECK(length == PAGE || length == 0 || (at == 1 && length == 100));
        for (ssize_t i = 0; i < length; i++)
            CHECK(got[i] == at + 1 || got[i] == 0);
        /* What is whole and at once can hold zeros only where it was just cut. */
    }
    CHECK(status == 0);
}

/* A hole, on a file system without room: an error, not a signal. */
static void hole(void)
{
    int fd = warmed("holes");
    CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4 * PAGE, 4 * PAGE) == 0);
    int rest = open(path("rest"), O_WRONLY | O_CREAT, 0644);
    fill(7);
    while (write(rest, page, PAGE) == PAGE)
        ;
    CHECK(errno == ENOSPC);
    int failed = 0;
    for (int i = 0; i < 200; i++) {
        CHECK(pwrite(fd, page, PAGE, PAGE) == PAGE);
        ssize_t length = pwrite(fd, page, PAGE, (4 + i % 4) * PAGE);
        CHECK(length == PAGE || errno == ENOSPC);
        failed += length != PAGE;
    }
    CHECK(failed > 0);
    CHECK(unlink(path("rest")) == 0);
}

/* A file that was written is newer than it was. */
static void mtime(void)
{
    int fd = warmed("time");
    fill(3);
    for (int i = 0; i < 100; i++)
        CHECK(pwrite(fd, page, PAGE, PAGE) == PAGE);
    for (int i = 0; i < 5; i++) {
        struct stat before, after;
        CHECK(fstat(fd, &before) == 0);
        usleep(20000);
        for (int j = 0; j < 100; j++)
            CHECK(pwrite(fd, page, PAGE, PAGE) == PAGE);
        CHECK(fstat(fd, &after) == 0);
        CHECK(memcmp(&before.st_mtim, &after.st_mtim, sizeof(before.st_mtim)) != 0);
        CHECK(memcmp(&before.st_ctim, &after.st_ctim, sizeof(before.st_ctim)) != 0);
    }
}

/* What was written is made durable before the next write. */
static void synced(void)
{
    int fd = warmed("synced");
    for (int i = 0; i < 200; i++) {
        fill(i % 100);
        CHECK(pwrite(fd, page, PAGE, PAGE) == PAGE);
        CHECK((i % 2 ? fsync(fd) : fdatasync(fd)) == 0);
        CHECK(pread(fd, got, PAGE, PAGE) == PAGE && memcmp(got, page, PAGE) == 0);
    }
    CHECK(fsync(-1) == -1 && errno == EBADF);
}

static volatile int caught;

static void on_segv(int number, siginfo_t *info, void *context)
{
    (void)context;
    CHECK(number == SIGSEGV && info->si_addr == nowhere);
    caught++;
    /* Once more, by default: that ends the process. */
    if (caught == 2)
        signal(SIGSEGV, SIG_DFL);
    else
        mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* A bad pointer is EFAULT; a program's own faults are its own. */
static void efault(void)
{
    int fd = warmed("bad");
    char *gone = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(munmap(gone + PAGE, PAGE) == 0);
    char *half = gone + PAGE - 100;
    CHECK(pread(fd, gone + PAGE, PAGE, 0) == -1 && errno == EFAULT);
    CHECK(pwrite(fd, gone + PAGE, PAGE, PAGE) == -1 && errno == EFAULT);
    CHECK(pread(fd, nowhere, PAGE, 0) == -1 && errno == EFAULT);
    ssize_t part = pread(fd, half, PAGE, 0);
    CHECK((part == -1 && errno == EFAULT) || (part > 0 && part <= 100));
    CHECK(readv(fd, (struct iovec *)nowhere, 2) == -1 && errno == EFAULT);
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    CHECK(read(fd, nowhere, PAGE) == -1 && errno == EFAULT);
    CHECK(lseek(fd, 0, SEEK_CUR) == 0);
    /* In a thread that blocks every signal it is the same. */
    sigset_t all, now;
    sigfillset(&all);
    CHECK(sigprocmask(SIG_SETMASK, &all, NULL) == 0);
    CHECK(pread(fd, nowhere, PAGE, 0) == -1 && errno == EFAULT);
    CHECK(sigprocmask(SIG_UNBLOCK, &all, &now) == 0);
    CHECK(sigismember(&now, SIGSEGV) == 1 && sigismember(&now, SIGUSR1) == 1);
    CHECK(sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGSEGV) == 0);

    pid_t child = fork();
    if (child == 0) {
        struct sigaction mine = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO}, old;
        CHECK(sigaction(SIGSEGV, &mine, NULL) == 0);
        CHECK(sigaction(SIGSEGV, NULL, &old) == 0 && old.sa_sigaction == on_segv);
        CHECK(pread(fd, nowhere, PAGE, 0) == -1 && errno == EFAULT);
        CHECK(caught == 0);
        *nowhere = 1;
        CHECK(!"a fault of the program's own went by");
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

/* A vfork child closes and reopens what its parent goes on reading. */
static void vforked(void)
{
    int fd = warmed("parent"), other = make("other"), status;
    CHECK(lseek(other, 0, SEEK_SET) == 0);
    CHECK(pwrite(other, "zzzz", 4, 0) == 4);
    pid_t child = vfork();
    if (child == 0) {
        close(fd);
        dup2(other, fd);
        _exit(pread(fd, got, 4, 0) == 4 && memcmp(got, "zzzz", 4) == 0 ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    for (int i = 0; i < 100; i++) {
        CHECK(pread(fd, got, PAGE, PAGE) == PAGE && got[0] == 2);
        CHECK(pread(fd, got, 4, 0) == 4 && got[0] == 1);
    }
    CHECK(lseek(fd, 5, SEEK_SET) == 5 && read(fd, got, 1) == 1);
    CHECK(lseek(fd, 0, SEEK_CUR) == 6);
}

/* A number is closed in the way `argument` says, and means another file. */
static void reused(void)
{
    const char *how = argument;
    int fd = warmed("first");
    int other = make("second");
    for (int i = 0; i < PAGES; i++) {
        memset(page, 200, PAGE);
        CHECK(pwrite(other, page, PAGE, i * PAGE) == PAGE);
    }
    close(other);
    if (strcmp(how, "close") == 0)
        close(fd);
    else if (strcmp(how, "fclose") == 0)
        fclose(fdopen(fd, "r+"));
    else if (strcmp(how, "syscall") == 0)
        syscall(SYS_close, fd);
    else if (strcmp(how, "close_range") == 0)
        CHECK(close_range(fd, fd, 0) == 0);
    else if (strcmp(how, "closefrom") == 0)
        closefrom(fd);
    else if (strcmp(how, "dup2") == 0) {
        int third = open(path("second"), O_RDWR);
        CHECK(dup2(third, fd) == fd);
#ifdef RAW /* In a program of its own: it is to be known by its code. */
    } else if (strcmp(how, "raw") == 0) {
        long answer;
        __asm__ volatile("syscall" : "=a"(answer) : "a"(SYS_close), "D"((long)fd)
                         : "rcx", "r11", "memory");
        CHECK(answer == 0);
#endif
    } else if (strcmp(how, "freopen") == 0) {
        FILE *file = fdopen(fd, "r+");
        CHECK(fileno(freopen(path("second"), "r+", file)) == fd);
    }
    if (strcmp(how, "dup2") != 0 && strcmp(how, "freopen") != 0) {
        FILE *file = fopen(path("second"), "r+");
        CHECK(file && fileno(file) == fd);
    }
    for (int i = 0; i < 100; i++) {
        CHECK(pread(fd, got, PAGE, PAGE) == PAGE && (unsigned char)got[0] == 200);
        CHECK(pwrite(fd, "new", 3, PAGE) == 3);
        CHECK(pread(fd, got, 3, PAGE) == 3 && memcmp(got, "new", 3) == 0);
        CHECK(pwrite(fd, page, 3, PAGE) == 3);
    }
    int first = open(path("first"), O_RDONLY);
    CHECK(pread(first, got, PAGE, PAGE) == PAGE && got[0] == 2 && got[3] == 2);
}

/* Says where the offset of descriptor 9 is, and moves it on: for other processes. */
static void child_moves(void)
{
    CHECK(lseek(9, 0, SEEK_CUR) == 4 * PAGE);
    CHECK(read(9, got, PAGE) == PAGE && got[0] == 5);
}

/* An offset that others see is one offset. */
static void offset(void)
{
    const char *how = argument;
    int fd = warmed("offset");
    for (int i = 0; i < 4; i++)
        CHECK(read(fd, got, PAGE) == PAGE && got[0] == i + 1);
    if (strcmp(how, "fork") == 0) {
        pid_t child = fork();
        if (child == 0) {
            CHECK(read(fd, got, PAGE) == PAGE && got[0] == 5);
            _exit(0);
        }
        ended(child);
    } else if (strcmp(how, "spawn") == 0 || strcmp(how, "exec") == 0) {
        char *arguments[] = {own[0], "child_moves", own[2], NULL};
        pid_t child;
        if (strcmp(how, "spawn") == 0) {
            posix_spawn_file_actions_t actions;
            CHECK(posix_spawn_file_actions_init(&actions) == 0);
            CHECK(posix_spawn_file_actions_adddup2(&actions, fd, 9) == 0);
            CHECK(posix_spawn(&child, own[0], &actions, NULL, arguments, environ) == 0);
        } else if ((child = vfork()) == 0) {
            dup2(fd, 9);
            execl(own[0], own[0], "child_moves", own[2], (char *)NULL);
            _exit(1);
        }
        ended(child);
    } else if (strcmp(how, "dup") == 0) {
        int other = dup(fd);
        CHECK(read(other, got, PAGE) == PAGE && got[0] == 5);
        for (int i = 0; i < 100; i++)
            CHECK(pread(other, got, 1, 0) == 1 && got[0] == 1);
        /* Nor is it ever two again, however long they go on. */
        for (int i = 0; i < 100; i++) {
            CHECK(lseek(i % 2 ? fd : other, i, SEEK_SET) == i);
            CHECK(read(fd, got, 1) == 1 && read(other, got, 1) == 1);
            CHECK(lseek(fd, 0, SEEK_CUR) == i + 2 && lseek(other, 0, SEEK_CUR) == i + 2);
        }
        CHECK(lseek(other, 5 * PAGE, SEEK_SET) == 5 * PAGE);
    } else if (strcmp(how, "pass") == 0) {
        int pair[2];
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        char byte = 0, control[CMSG_SPACE(sizeof(int))] = {0};
        struct iovec vec = {&byte, 1};
        struct msghdr message = {.msg_iov = &vec, .msg_iovlen = 1, .msg_control = control,
                                 .msg_controllen = sizeof(control)};
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &fd, sizeof(int));
        CHECK(sendmsg(pair[0], &message, 0) == 1);
        CHECK(recvmsg(pair[1], &message, 0) == 1);
        int other;
        memcpy(&other, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
        CHECK(read(other, got, PAGE) == PAGE && got[0] == 5);
    } else if (strcmp(how, "sendfile") == 0) {
        int to = open(path("to"), O_RDWR | O_CREAT, 0644);
        CHECK(sendfile(to, fd, NULL, PAGE) == PAGE);
        CHECK(pread(to, got, PAGE, 0) == PAGE && got[0] == 5);
    } else {
        FILE *file = fdopen(fd, "r");
        setvbuf(file, NULL, _IONBF, 0);
        CHECK(fread(got, PAGE, 1, file) == 1 && got[0] == 5);
    }
    CHECK(lseek(fd, 0, SEEK_CUR) == 5 * PAGE);
    CHECK(read(fd, got, PAGE) == PAGE && got[0] == 6);
    for (int i = 0; i < 100; i++)
        CHECK(pread(fd, got, 1, PAGE) == 1 && got[0] == 2);
}

/* An outsider appends and overwrites. */
static void written(void)
{
    int fd = warmed("shared");
    outside("printf more >> shared; printf XY | dd of=shared bs=1 seek=5000 conv=notrunc 2>/dev/null");
    CHECK(pread(fd, got, 2, 5000) == 2 && memcmp(got, "XY", 2) == 0);
    CHECK(pread(fd, got, PAGE, SIZE) == 4 && memcmp(got, "more", 4) == 0);
    CHECK(pread(fd, got, PAGE, SIZE - 2) == 6);
    fill(50);
    for (int i = 0; i < 50; i++)
        CHECK(pwrite(fd, page, PAGE, 2 * PAGE) == PAGE);
    outside("test \"$(dd if=shared bs=4096 skip=2 count=1 2>/dev/null | tr -d '\\063' | wc -c)\" = 0");
}

/* Closes every descriptor there may be, and goes on. */
static void closes_all(void)
{
    int fd = warmed("all");
    CHECK(dup2(2, 100) == 100);
    for (int i = 3; i < 100; i++)
        close(i);
    for (int i = 101; i < 70000; i++)
        close(i);
    CHECK(pread(fd, got, 1, 0) == -1 && errno == EBADF);
    CHECK(warmed("again") == fd);
    warm(fd);
}

static volatile int stop;

/* Writes in order through one descriptor: each block once, none over another. */
static void *writes(void *argument)
{
    int fd = *(int *)argument;
    char block[PAGE];
    memset(block, 77, PAGE);
    for (int i = 0; i < 200000 && !stop; i++) {
        if (write(fd, block, PAGE) != PAGE || (i % 8 == 7 && lseek(fd, 0, SEEK_SET) != 0))
            return "a write failed";
    }
    return NULL;
}

/* One thread writes, another forks: nobody waits for a lock of the dead. */
static void forks(void)
{
    int fd = warmed("forks");
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, writes, &fd) == 0);
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        if (child == 0) {
            int own = warmed("own");
            CHECK(pread(own, got, PAGE, 2 * PAGE) == PAGE && got[0] == 3);
            CHECK(pread(fd, got, PAGE, 12 * PAGE) == PAGE && got[0] == 13);
            _exit(0);
        }
        ended(child);
    }
    stop = 1;
    void *said;
    CHECK(pthread_join(thread, &said) == 0);
    CHECK(said == NULL);
    CHECK(pread(fd, got, 1, 0) == 1 && got[0] == 77);
}

static volatile unsigned char owner[SIZE];

/* Reads bytes from one offset with others: each byte goes to one of them. */
static void *reads(void *argument)
{
    int fd = *(int *)argument;
    unsigned char bytes[64];
    for (;;) {
        ssize_t length = read(fd, bytes, sizeof(bytes));
        if (length <= 0)
            return length == 0 ? NULL : "a read failed";
        for (ssize_t i = 0; i < length; i++)
            __atomic_add_fetch(&owner[bytes[i]], 1, __ATOMIC_RELAXED);
    }
}

static void threads(void)
{
    int fd = make("threads");
    /* 64 bytes of each number, 255 numbers: so each is to be counted 64 times. */
    for (int i = 0; i < 255; i++) {
        memset(page, i, 64);
        CHECK(pwrite(fd, page, 64, i * 64) == 64);
    }
    CHECK(ftruncate(fd, 255 * 64) == 0);
    for (int round = 0; round < 200; round++) {
        memset((void *)owner, 0, sizeof(owner));
        CHECK(lseek(fd, 0, SEEK_SET) == 0);
        pthread_t some[3];
        for (int i = 0; i < 3; i++)
            CHECK(pthread_create(&some[i], NULL, reads, &fd) == 0);
        for (int i = 0; i < 3; i++) {
            void *said;
            CHECK(pthread_join(some[i], &said) == 0 && said == NULL);
        }
        for (int i = 0; i < 255; i++)
            CHECK(owner[i] == 64);
    }
}

/* Random calls on one descriptor, and what a file is to hold after each. */
static void model(void)
{
    unsigned seed = atoi(argument);
    static unsigned char want[2 * SIZE], bytes[2 * SIZE];
    long length = SIZE, at = 0;
    int fd = make("model");
    for (int i = 0; i < SIZE; i++)
        want[i] = i / PAGE + 1;
    CHECK(lseek(fd, 0, SEEK_SET) == 0);
    for (int i = 0; i < 100000; i++) {
        long from = rand_r(&seed) % SIZE, much = rand_r(&seed) % (i % 10 ? 300 : 9000);
        int what = rand_r(&seed) % 64;
        long there = from >= length ? 0 : from + much > length ? length - from : much;
        if (what < 20) {
            CHECK(pread(fd, bytes, much, from) == there && memcmp(bytes, want + from, there) == 0);
        } else if (what < 30) {
            memset(bytes, i, much);
            CHECK(pwrite(fd, bytes, much, from) == much);
            memset(want + from, i, much);
            if (much && from + much > length)
                length = from + much;
        } else if (what < 45) {
            there = at >= length ? 0 : at + much > length ? length - at : much;
            struct iovec two[] = {{bytes, much / 2}, {bytes + much / 2, much - much / 2}};
            CHECK((what % 2 ? readv(fd, two, 2) : read(fd, bytes, much)) == there);
            CHECK(memcmp(bytes, want + at, there) == 0);
            at += there;
        } else if (what < 52 && at + much < SIZE) {
            memset(bytes, i, much);
            struct iovec two[] = {{bytes, much / 3}, {bytes + much / 3, much - much / 3}};
            CHECK((what % 2 ? writev(fd, two, 2) : write(fd, bytes, much)) == much);
            memset(want + at, i, much);
            at += much;
            if (much && at > length)
                length = at;
        } else if (what < 60) {
            CHECK(lseek(fd, from, SEEK_SET) == from);
            at = from;
        } else if (what == 60) {
            CHECK(lseek(fd, 0, SEEK_CUR) == at && lseek(fd, 0, SEEK_END) == length);
            at = length;
        } else if (what == 61 && i % 16 == 0) {
            CHECK(ftruncate(fd, from) == 0);
            if (from < length)
                memset(want + from, 0, sizeof(want) - from);
            length = from;
        } else if (what == 62 && length < SIZE) {
            memset(bytes, i, SIZE - length);
            CHECK(pwrite(fd, bytes, SIZE - length, length) == SIZE - length);
            memset(want + length, i, SIZE - length);
            length = SIZE;
        }
    }
}

/*
 * Two processes, each with half of every page of one file and a model of its own half:
 * what one writes never changes what the other has, and both see all of it in the end.
 */
static void mixed(void)
{
    static unsigned char want[SIZE / 2], bytes[PAGE];
    int half = argument[0] - '0';
    unsigned seed = 7 + half;
    int fd = open(path("mixed"), O_RDWR);
    CHECK(fd >= 0);
    for (int i = 0; i < SIZE / 2; i++)
        want[i] = i / (PAGE / 2) + 1;
    for (int i = 0; i < 100000; i++) {
        int number = rand_r(&seed) % PAGES, from = rand_r(&seed) % (PAGE / 2);
        int much = rand_r(&seed) % (PAGE / 2 - from) + 1;
        off_t at = number * PAGE + half * (PAGE / 2) + from;
        unsigned char *mine = want + number * (PAGE / 2) + from;
        if (i % 3) {
            CHECK(pread(fd, bytes, much, at) == much && memcmp(bytes, mine, much) == 0);
        } else {
            memset(bytes, i, much);
            CHECK(pwrite(fd, bytes, much, at) == much);
            memset(mine, i, much);
        }
    }
    for (int i = 0; i < SIZE; i += PAGE / 2)
        if (i / (PAGE / 2) % 2 == half)
            CHECK(write(1, want + i / PAGE * (PAGE / 2), PAGE / 2) == PAGE / 2);
}

/* Counts upwards in every page for ever: killed, it leaves whole pages, but for one. */
static void counts(void)
{
    int fd = warmed("counts");
    CHECK(write(1, "!", 1) == 1);
    for (unsigned char i = 1;; i = i % 250 + 1)
        for (int at = 0; at < PAGES; at++) {
            memset(page, i, PAGE);
            CHECK(pwrite(fd, page, PAGE, at * PAGE) == PAGE);
        }
}

/* Leaves a file as the others make it. */
static void makes(void)
{
    make(argument);
}

int main(int argc, char **argv)
{
    static const struct part parts[] = {
        {"make", makes}, {"truncated", truncated}, {"cut_at_once", cut_at_once},
        {"truncating", truncating}, {"hole", hole}, {"mtime", mtime}, {"synced", synced}, {"efault", efault},
        {"vforked", vforked}, {"written", written}, {"forks", forks},
        {"closes_all", closes_all}, {"reused", reused}, {"offset", offset},
        {"child_moves", child_moves}, {"threads", threads}, {"model", model}, {"mixed", mixed},
        {"counts", counts},
    };
    return RUN_PART(parts, argc, argv);
}
