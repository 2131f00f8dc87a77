/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An ordinary program, as traps.c is, that works with streams: what libc reads and writes
 * for them, it does within itself. Each part checks what it sees, byte by byte and
 * offset by offset; all pass without the library, too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <wchar.h>

#include "traps.h"

/* A stream on a file of known pages, read so often that whoever takes over has, at 0. */
static FILE *streamed(const char *name, const char *mode)
{
    close(make(name));
    FILE *file = fopen(path(name), mode);
    CHECK(file);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < PAGES; i++)
            CHECK(fread(got, PAGE, 1, file) == 1 && got[0] == i + 1 && got[PAGE - 1] == i + 1);
        CHECK(fread(got, 1, 1, file) == 0 && feof(file) && !ferror(file));
        CHECK(ftell(file) == SIZE);
        rewind(file);
    }
    /* At its end the offset was the kernel's: once more, without getting there. */
    for (int i = 0; i < 60; i++) {
        int at = i * 3 % (PAGES - 1);
        CHECK(fseek(file, at * PAGE, SEEK_SET) == 0);
        CHECK(fread(got, PAGE, 1, file) == 1 && got[0] == at + 1);
    }
    rewind(file);
    return file;
}

/* Lines, characters, blocks, and where they are. */
static void reads(void)
{
    FILE *file = fopen(path("lines"), "w");
    for (int i = 0; i < 20000; i++)
        CHECK(fprintf(file, "%d\n", i) > 0);
    CHECK(fclose(file) == 0);
    file = fopen(path("lines"), "r");
    char line[64], *whole = NULL;
    size_t room = 0;
    for (int round = 0; round < 3; round++) {
        long at = 0;
        for (int i = 0; i < 20000; i++) {
            CHECK(ftell(file) == at);
            if (i % 3 == 0) {
                CHECK(fgets(line, sizeof(line), file) && atoi(line) == i);
                at += strlen(line);
            } else if (i % 3 == 1) {
                ssize_t length = getline(&whole, &room, file);
                CHECK(length > 0 && atoi(whole) == i);
                at += length;
            } else {
                int value = 0, byte;
                for (; (byte = getc(file)) != '\n'; at++)
                    value = value * 10 + byte - '0';
                CHECK(value == i);
                at++;
            }
        }
        CHECK(getc(file) == EOF && feof(file) && !ferror(file));
        CHECK(fseek(file, 0, SEEK_SET) == 0);
    }
    /* Where a line is, counted from either end. */
    CHECK(fseek(file, -6, SEEK_END) == 0 && fgets(line, sizeof(line), file) && atoi(line) == 19999);
    CHECK(fseek(file, -12, SEEK_CUR) == 0 && fgets(line, sizeof(line), file) && atoi(line) == 19998);
    CHECK(fclose(file) == 0);
}

/* Random calls on one stream and its number, and what the file is to hold after each. */
static void model(void)
{
    unsigned seed = atoi(argument);
    static unsigned char want[2 * SIZE], bytes[2 * SIZE];
    long length = SIZE, at = 0;
    FILE *file = streamed("model", "r+");
    for (int i = 0; i < SIZE; i++)
        want[i] = i / PAGE + 1;
    for (int i = 0; i < 50000; i++) {
        long from = rand_r(&seed) % SIZE, much = rand_r(&seed) % (i % 10 ? 600 : 20000);
        int what = rand_r(&seed) % 32;
        if (what < 8) {
            CHECK(fseek(file, from, SEEK_SET) == 0 && ftell(file) == from);
            at = from;
        } else if (what < 18) {
            long there = at >= length ? 0 : at + much > length ? length - at : much;
            /* Between a write and a read there is to be a seek. */
            CHECK(fseek(file, 0, SEEK_CUR) == 0);
            CHECK(fread(bytes, 1, much, file) == (size_t)there);
            CHECK(memcmp(bytes, want + at, there) == 0);
            at += there;
        } else if (what < 26 && at + much < SIZE) {
            memset(bytes, i, much);
            CHECK(fseek(file, 0, SEEK_CUR) == 0);
            CHECK(fwrite(bytes, 1, much, file) == (size_t)much);
            memset(want + at, i, much);
            at += much;
            if (much && at > length)
                length = at;
        } else if (what < 29) {
            /* The number sees what the stream wrote, and has the same offset. */
            CHECK(fflush(file) == 0 && lseek(fileno(file), 0, SEEK_CUR) == at);
            long there = at >= length ? 0 : at + 100 > length ? length - at : 100;
            CHECK(read(fileno(file), bytes, 100) == there && memcmp(bytes, want + at, there) == 0);
            CHECK(lseek(fileno(file), at, SEEK_SET) == at);
        } else if (what == 29) {
            CHECK(fseek(file, 0, SEEK_END) == 0 && ftell(file) == length);
            at = length;
        } else if (what == 30 && i % 16 == 0) {
            CHECK(fflush(file) == 0 && ftruncate(fileno(file), from) == 0);
            CHECK(fseek(file, at, SEEK_SET) == 0);
            if (from < length)
                memset(want + from, 0, sizeof(want) - from);
            length = from;
        }
    }
    CHECK(fseek(file, 0, SEEK_SET) == 0);
    CHECK(fread(bytes, 1, sizeof(bytes), file) == (size_t)length && memcmp(bytes, want, length) == 0);
    CHECK(fclose(file) == 0);
    int fd = open(path("model"), O_RDONLY);
    CHECK(read(fd, bytes, sizeof(bytes)) == length && memcmp(bytes, want, length) == 0);
}

/* A stream and its number have one offset. */
static void mixed(void)
{
    FILE *file = streamed("mixed", "r");
    int fd = fileno(file);
    setvbuf(file, NULL, _IONBF, 0);
    for (int i = 0; i < 100; i++) {
        CHECK(lseek(fd, 0, SEEK_SET) == 0);
        CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == 1 && lseek(fd, 0, SEEK_CUR) == PAGE);
        CHECK(read(fd, got, PAGE) == PAGE && got[0] == 2);
        CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == 3);
        CHECK(lseek(fd, 0, SEEK_CUR) == 3 * PAGE);
        rewind(file);
    }
}

/* A child has the stream, too: it reads on, and so does its parent, behind it. */
static void forked(void)
{
    FILE *file = streamed("forked", "r+");
    setvbuf(file, NULL, _IONBF, 0);
    CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == 1);
    pid_t child = fork();
    if (child == 0) {
        CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == 2);
        /* A stream of its own is as any. */
        FILE *other = streamed("child", "r");
        CHECK(fread(got, 1, PAGE, other) == PAGE && got[0] == 1);
        _exit(0);
    }
    ended(child);
    CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == 3);
    CHECK(lseek(fileno(file), 0, SEEK_CUR) == 3 * PAGE);
}

/* A vfork child's number is its own, and the stream's is what it was. */
static void vforked(void)
{
    FILE *file = streamed("vforked", "r");
    int other = make("other"), status;
    CHECK(pwrite(other, "z", 1, 0) == 1 && lseek(other, 0, SEEK_SET) == 0);
    setvbuf(file, NULL, _IONBF, 0);
    CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == 1);
    pid_t child = vfork();
    if (child == 0) {
        dup2(other, fileno(file));
        _exit(fread(got, 1, 1, file) == 1 && got[0] == 'z' ? 0 : 1);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == 2);
}

/* An outsider cuts the file: that is its end, and no error. */
static void cut(void)
{
    FILE *file = streamed("cut", "r");
    pid_t child = fork();
    if (child == 0)
        _exit(truncate(path("cut"), PAGE + 100) != 0);
    ended(child);
    CHECK(fread(got, 1, SIZE, file) == PAGE + 100 && feof(file) && !ferror(file));
    CHECK(got[0] == 1 && got[PAGE + 99] == 2);
}

/* The same, by this process, of a stream that nobody else has: by memory until then. */
static void cut_here(void)
{
    FILE *file = streamed("here", "r");
    setvbuf(file, NULL, _IONBF, 0);
    for (int i = 0; i < 40; i++) {
        CHECK(fseek(file, 0, SEEK_SET) == 0);
        CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == 1);
    }
    CHECK(truncate(path("here"), 100) == 0);
    CHECK(fread(got, 1, PAGE, file) == 0 && feof(file) && !ferror(file));
    rewind(file);
    CHECK(fread(got, 1, PAGE, file) == 100 && feof(file) && !ferror(file) && got[99] == 1);
}

/* Nowhere to put it is an error of the stream. */
static void efault(void)
{
    FILE *file = streamed("bad", "r+");
    char *gone = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    setvbuf(file, NULL, _IONBF, 0);
    errno = 0;
    CHECK(fread(gone, 1, PAGE, file) == 0 && ferror(file) && errno == EFAULT);
    clearerr(file);
    CHECK(fseek(file, 0, SEEK_CUR) == 0 && ftell(file) == 0);
    CHECK(fwrite(gone, 1, PAGE, file) == 0 && ferror(file) && errno == EFAULT);
    clearerr(file);
    CHECK(fseek(file, 0, SEEK_SET) == 0 && fread(got, 1, PAGE, file) == PAGE && got[0] == 1);
}

/* What a stream holds is written where the stream is, when it is closed, at the latest. */
static void closing(void)
{
    const char *how = argument;
    FILE *file = streamed("closing", "r+");
    fill(99);
    CHECK(fseek(file, 3 * PAGE, SEEK_SET) == 0 && fwrite(page, 1, 100, file) == 100);
    if (strcmp(how, "fclose") == 0)
        CHECK(fclose(file) == 0);
    else if (strcmp(how, "freopen") == 0)
        CHECK(freopen(path("closing"), "r", file) && fgetc(file) == 1);
    else if (strcmp(how, "fcloseall") == 0)
        CHECK(fcloseall() == 0);
    else if (strcmp(how, "exit") == 0) {
        pid_t child = fork();
        if (child == 0)
            exit(0);
        ended(child);
    } else
        exit(0); /* Who started this one looks at the file. */
    int fd = open(path("closing"), O_RDONLY);
    CHECK(read(fd, got, SIZE) == SIZE);
    for (int i = 0; i < SIZE; i++)
        CHECK(got[i] == (i >= 3 * PAGE && i < 3 * PAGE + 100 ? 100 : i / PAGE + 1));
}

/* A stream that is made of a number goes on where that is. */
static void wrapped(void)
{
    int fd = warmed("wrapped");
    CHECK(lseek(fd, PAGE, SEEK_SET) == PAGE);
    FILE *file = fdopen(fd, "r+");
    for (int i = 1; i < PAGES; i++)
        CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == i + 1);
    for (int round = 0; round < 4; round++) {
        rewind(file);
        for (int i = 0; i < PAGES; i++)
            CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == i + 1);
    }
    CHECK(fseek(file, PAGE, SEEK_SET) == 0 && fputc('x', file) == 'x' && fclose(file) == 0);
    /* One that appends does, wherever the number was. */
    fd = warmed("appended");
    file = fdopen(fd, "a");
    CHECK(fputs("more", file) >= 0 && fflush(file) == 0);
    CHECK(pwrite(fd, "!", 1, 5) == 1);
    struct stat stat;
    CHECK(fstat(fd, &stat) == 0 && stat.st_size == SIZE + 5);
    CHECK(pread(fd, got, SIZE, 0) == SIZE && got[0] == 1 && got[5] == 1);
    CHECK(pread(fd, got, SIZE, SIZE) == 5 && memcmp(got, "more!", 5) == 0);
    CHECK(fclose(file) == 0);
}

/* Modes in which libc goes other ways. */
static void modes(void)
{
    const char *modes[] = {"rc", "rm", "rce", "r,ccs=UTF-8"};
    for (int i = 0; i < 4; i++) {
        close(make("modes"));
        FILE *file = fopen(path("modes"), modes[i]);
        int fd = fileno(file);
        warm(fd);
        if (i < 3)
            CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == 1 && got[PAGE - 1] == 1);
        else
            CHECK(fgetwc(file) == 1);
        CHECK(fclose(file) == 0);
        /* Another name of the same file, the same way round. */
        fd = warmed("modes");
        CHECK(lseek(fd, PAGE, SEEK_SET) == PAGE);
        CHECK((file = fdopen(fd, "rc")));
        CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == 2);
        CHECK(fclose(file) == 0);
    }
}

static unsigned owner[256];

/* Reads blocks from one stream with others: each goes to one of them. */
static void *takes(void *stream)
{
    unsigned char bytes[64];
    while (fread(bytes, sizeof(bytes), 1, stream) == 1) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            if (bytes[i] != bytes[0])
                return "a block of two";
        __atomic_add_fetch(&owner[bytes[0]], 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void joined(pthread_t thread)
{
    void *said;
    CHECK(pthread_join(thread, &said) == 0 && said == NULL);
}

static void threads(void)
{
    FILE *file = streamed("threads", "r");
    for (int round = 0; round < 100; round++) {
        memset(owner, 0, sizeof(owner));
        rewind(file);
        pthread_t some[3];
        for (int i = 0; i < 3; i++)
            CHECK(pthread_create(&some[i], NULL, takes, file) == 0);
        for (int i = 0; i < 3; i++)
            joined(some[i]);
        for (int i = 0; i < PAGES; i++)
            CHECK(owner[i + 1] == PAGE / 64);
    }
}

static int door[2];

static void *waits(void *nothing)
{
    (void)nothing;
    char byte;
    return read(door[0], &byte, 1) == 1 ? NULL : "a read failed";
}

/* The first stream is opened when there are threads. */
static void late(void)
{
    pthread_t thread;
    CHECK(pipe(door) == 0 && pthread_create(&thread, NULL, waits, NULL) == 0);
    FILE *file = streamed("late", "r");
    CHECK(fread(got, 1, SIZE, file) == SIZE && got[SIZE - 1] == PAGES);
    CHECK(write(door[1], "!", 1) == 1);
    joined(thread);
    mixed();
}

static void *blocked(void *stream)
{
    char byte;
    if (stream)
        fread(&byte, 1, 1, stream);
    else
        CHECK(read(door[0], &byte, 1) == 1);
    return "it was not cancelled";
}

/* Who waits in a read can be cancelled, and the stream is free afterwards. */
static void cancelled(void)
{
    FILE *file = streamed("cancelled", "r");
    alarm(60);
    CHECK(pipe(door) == 0);
    FILE *stream = fdopen(door[0], "r");
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        void *said;
        CHECK(pthread_create(&thread, NULL, blocked, i ? NULL : stream) == 0);
        usleep(50000);
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &said) == 0);
        CHECK(said == PTHREAD_CANCELED);
    }
    CHECK(ftrylockfile(stream) == 0);
    CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == 1);
}

static FILE *first;

static void opens(int number)
{
    (void)number;
    if (first == NULL)
        first = streamed("first", "r");
}

/* Waits until a process waits, or is gone. */
static void sleeps(pid_t process)
{
    char line[512], name[64];
    snprintf(name, sizeof(name), "/proc/%d/stat", process);
    for (int i = 0; i < 2000; i++) {
        int fd = open(name, O_RDONLY);
        ssize_t length = read(fd, line, sizeof(line) - 1);
        close(fd);
        line[length > 0 ? length : 0] = 0;
        char *state = strrchr(line, ')');
        if (state == NULL || state[2] == 'S')
            return;
        usleep(10000);
    }
}

/*
 * The first stream is opened by a handler, while a read waits in libc: that goes on, or
 * ends, as it would have.
 */
static void interrupted(void)
{
    const char *how = argument;
    int restart = strcmp(how, "restart") == 0;
    struct sigaction action = {.sa_handler = opens, .sa_flags = restart ? SA_RESTART : 0};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && pipe(door) == 0);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        sleeps(parent);
        kill(parent, SIGUSR1);
        usleep(100000);
        sleeps(parent);
        CHECK(write(door[1], "!", 1) == 1);
        _exit(0);
    }
    char byte = 0;
    ssize_t length = read(door[0], &byte, 1);
    CHECK(first);
    CHECK(restart ? length == 1 && byte == '!' : length == -1 && errno == EINTR);
    ended(child);
    CHECK(restart || (read(door[0], &byte, 1) == 1 && byte == '!'));
    CHECK(fread(got, 1, PAGE, first) == PAGE && got[0] == 1);
}

static FILE *listed;

static int each(struct dl_phdr_info *info, size_t size, void *nothing)
{
    (void)info, (void)size, (void)nothing;
    /* Whoever has the stream is at work, and needs nothing of this thread. */
    CHECK(write(door[1], "!", 1) == 1);
    flockfile(listed);
    funlockfile(listed);
    return 1;
}

static void *lists(void *nothing)
{
    dl_iterate_phdr(each, nothing);
    return NULL;
}

/* One thread has a stream, another the list of loaded code, and waits for the stream. */
static void locked(void)
{
    close(make("listed"));
    CHECK(pipe(door) == 0 && (listed = fopen(path("listed"), "r")));
    setvbuf(listed, NULL, _IONBF, 0);
    flockfile(listed);
    pthread_t thread;
    char byte;
    alarm(60);
    CHECK(pthread_create(&thread, NULL, lists, NULL) == 0 && read(door[0], &byte, 1) == 1);
    usleep(20000);
    for (int i = 0; i < 100; i++) {
        rewind(listed);
        CHECK(fread(got, 1, PAGE, listed) == PAGE && got[0] == 1);
    }
    funlockfile(listed);
    joined(thread);
}

/* Code is loaded while streams are open. */
static void loads(void)
{
    const char *library = argument;
    FILE *file = streamed("loads", "r");
    CHECK(dlopen(library, RTLD_NOW));
    for (int i = 0; i < PAGES; i++)
        CHECK(fread(got, 1, PAGE, file) == PAGE && got[0] == i + 1);
    /* And the function that libc has, looked up in it, is not another one. */
    ssize_t (*from_libc)(int, void *, size_t);
    *(void **)&from_libc = dlsym(dlopen("libc.so.6", RTLD_NOW), "read");
    int fd = warmed("looked");
    CHECK(from_libc(fd, got, PAGE) == PAGE && got[0] == 1 && read(fd, got, 1) == 1 && got[0] == 2);
    CHECK(lseek(fd, 0, SEEK_CUR) == PAGE + 1);
}

int main(int argc, char **argv)
{
    static const struct part parts[] = {
        {"reads", reads}, {"model", model}, {"mixed", mixed}, {"closing", closing},
        {"forked", forked}, {"vforked", vforked}, {"cut", cut}, {"cut_here", cut_here},
        {"efault", efault}, {"wrapped", wrapped}, {"modes", modes}, {"threads", threads},
        {"late", late}, {"cancelled", cancelled}, {"interrupted", interrupted},
        {"locked", locked}, {"loads", loads},
    };
    return RUN_PART(parts, argc, argv);
}
