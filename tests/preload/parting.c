/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An ordinary program, as traps.c is, whose parts are about who else has a descriptor or
 * this memory, and for how long: children that stay, programs that take its place,
 * commands, threads that are in the middle of a copy, and code that is loaded later.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "traps.h"

/* Reads a byte often enough that an offset could be taken, if it were nobody else's. */
static void read_on(int fd)
{
    for (int i = 0; i < 100; i++)
        CHECK(read(fd, got, 1) == 1 && got[0] == 1);
}

/* Once the other one has read on, so does this one. */
static void wait_for(int go, int fd)
{
    char byte;
    CHECK(read(go, &byte, 1) == 1);
    CHECK(lseek(fd, 0, SEEK_CUR) == 100);
    read_on(fd);
}

/* A child stays: the offset is one, however long both go on. */
static void stays(void)
{
    const char *how = argument;
    int fd = warmed("stays"), go[2];
    CHECK(pipe(go) == 0);
    char *arguments[] = {own[0], "waits", own[2], NULL};
    pid_t child;
    if (strcmp(how, "spawn") == 0) {
        posix_spawn_file_actions_t actions;
        CHECK(posix_spawn_file_actions_init(&actions) == 0);
        CHECK(posix_spawn_file_actions_adddup2(&actions, go[0], 8) == 0);
        CHECK(posix_spawn_file_actions_adddup2(&actions, fd, 9) == 0);
        CHECK(posix_spawn(&child, own[0], &actions, NULL, arguments, environ) == 0);
    } else if (strcmp(how, "vfork") == 0) {
        if ((child = vfork()) == 0) {
            dup2(go[0], 8);
            dup2(fd, 9);
            execv(own[0], arguments);
            _exit(1);
        }
    } else if ((child = strcmp(how, "fork") == 0 ? fork() : _Fork()) == 0) {
        wait_for(go[0], fd);
        _exit(0);
    }
    read_on(fd);
    CHECK(write(go[1], "!", 1) == 1);
    ended(child);
    CHECK(lseek(fd, 0, SEEK_CUR) == 200);
}

/* Says where the offset of a descriptor is. */
static void moved(void)
{
    const char *number = argument;
    CHECK(lseek(atoi(number), 0, SEEK_CUR) == 4 * PAGE);
    CHECK(read(atoi(number), got, PAGE) == PAGE && got[0] == 5);
}

/* Another program takes this one's place, and goes on where it was. */
static void becomes(void)
{
    const char *how = argument;
    int fd = warmed("becomes");
    char number[16];
    snprintf(number, sizeof(number), "%d", fd);
    char *arguments[] = {own[0], "moved", own[2], number, NULL};
    int program = open(own[0], O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 4; i++)
        CHECK(read(fd, got, PAGE) == PAGE && got[0] == i + 1);
    if (strcmp(how, "execl") == 0)
        execl(own[0], own[0], "moved", own[2], number, (char *)NULL);
    else if (strcmp(how, "execle") == 0)
        execle(own[0], own[0], "moved", own[2], number, (char *)NULL, environ);
    else if (strcmp(how, "execlp") == 0)
        execlp(own[0], own[0], "moved", own[2], number, (char *)NULL);
    else if (strcmp(how, "execv") == 0)
        execv(own[0], arguments);
    else if (strcmp(how, "execve") == 0)
        execve(own[0], arguments, environ);
    else if (strcmp(how, "execvp") == 0)
        execvp(own[0], arguments);
    else if (strcmp(how, "execvpe") == 0)
        execvpe(own[0], arguments, environ);
    else if (strcmp(how, "execveat") == 0)
        execveat(AT_FDCWD, own[0], arguments, environ, 0);
    else
        fexecve(program, arguments, environ);
    CHECK(!"it is another program now");
}

/* A command reads from the offset, and leaves it behind what it read. */
static void commands(void)
{
    const char *how = argument;
    int fd = warmed("commands");
    CHECK(fd < 10 && lseek(fd, 4 * PAGE, SEEK_SET) == 4 * PAGE);
    char line[100];
    snprintf(line, sizeof(line), "dd bs=%d count=1 status=none <&%d", PAGE, fd);
    if (strcmp(how, "system") == 0) {
        CHECK(system(strcat(line, " | grep -q \x05")) == 0);
    } else {
        FILE *said = popen(line, "r");
        CHECK(said && fread(got, PAGE, 1, said) == 1 && got[0] == 5 && pclose(said) == 0);
    }
    CHECK(lseek(fd, 0, SEEK_CUR) == 5 * PAGE);
}

/* A page that is not there until it is given, and who says that somebody wants it. */
static char *wanted;
static int watch;

static void begin_watch(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
    wanted = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(wanted != MAP_FAILED);
    range.range.start = (unsigned long)wanted, range.range.len = PAGE;
    /* By this program: the kernel gets EFAULT, so who waits is in the middle of a copy. */
    watch = syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (watch < 0)
        _exit(77);
    CHECK(ioctl(watch, UFFDIO_API, &api) == 0 && ioctl(watch, UFFDIO_REGISTER, &range) == 0);
}

static void end_watch(void)
{
    struct uffdio_zeropage zeros = {.range = {(unsigned long)wanted, PAGE}};
    CHECK(ioctl(watch, UFFDIO_ZEROPAGE, &zeros) == 0);
}

struct page_of {
    int fd, number;
    ssize_t length;
};

static void *reads_wanted(void *argument)
{
    struct page_of *of = argument;
    of->length = pread(of->fd, wanted, PAGE, of->number * PAGE);
    return NULL;
}

/* Starts a thread that reads a page of a file, and waits until it is in the middle. */
static pthread_t in_the_middle(struct page_of *of)
{
    pthread_t thread;
    struct uffd_msg message;
    begin_watch();
    CHECK(pthread_create(&thread, NULL, reads_wanted, of) == 0);
    CHECK(read(watch, &message, sizeof(message)) == sizeof(message));
    CHECK(message.event == UFFD_EVENT_PAGEFAULT);
    return thread;
}

static int is_mapped(const char *name)
{
    char line[8192];
    int found = 0;
    FILE *maps = fopen("/proc/self/maps", "r");
    CHECK(maps);
    while (fgets(line, sizeof(line), maps))
        found |= strstr(line, name) != NULL;
    fclose(maps);
    return found;
}

/* The file is cut while a page of it is read: what comes is of one time or another. */
static void cut_inside(void)
{
    const char *number = argument;
    struct page_of of = {warmed("inside"), atoi(number), 0};
    pthread_t thread = in_the_middle(&of);
    CHECK(truncate(path("inside"), of.number * PAGE + 100) == 0);
    end_watch();
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(of.length == 100 || of.length == PAGE);
    for (ssize_t i = 0; i < of.length; i++)
        CHECK(wanted[i] == of.number + 1);
}

/* A child is born while another thread copies, which it has not: it lets go of the file. */
static void copied_at_birth(void)
{
    struct page_of of = {warmed("birth"), 2, 0};
    pthread_t thread = in_the_middle(&of);
    CHECK(is_mapped("/birth"));
    pid_t child = fork();
    if (child == 0) {
        CHECK(pread(of.fd, got, PAGE, 3 * PAGE) == PAGE && got[0] == 4);
        close(of.fd);
        CHECK(!is_mapped("/birth"));
        _exit(0);
    }
    ended(child);
    end_watch();
    CHECK(pthread_join(thread, NULL) == 0 && of.length == PAGE && wanted[0] == 3);
    close(of.fd);
    CHECK(!is_mapped("/birth"));
}

static volatile int stop;

static void *opens(void *argument)
{
    char bytes[PAGE];
    (void)argument;
    while (!stop) {
        int fd = open(path("opened"), O_RDONLY);
        for (int i = 0; i < 16; i++)
            if (pread(fd, bytes, PAGE, PAGE) != PAGE || bytes[0] != 2)
                return "it reads something else";
        close(fd);
    }
    return NULL;
}

/* Children are born while another thread opens and closes, and has some lock or other. */
static void opened_at_birth(void)
{
    pthread_t thread;
    void *said;
    close(make("opened"));
    int fd = warmed("other");
    CHECK(pthread_create(&thread, NULL, opens, NULL) == 0);
    for (int i = 0; i < 200; i++) {
        pid_t child = fork();
        if (child == 0) {
            CHECK(pread(fd, got, PAGE, 2 * PAGE) == PAGE && got[0] == 3);
            snprintf(got, sizeof(got), "mine%d", getpid());
            char *name = strdup(got);
            warm(make(name));
            CHECK(unlink(path(name)) == 0);
            _exit(0);
        }
        ended(child);
    }
    stop = 1;
    CHECK(pthread_join(thread, &said) == 0 && said == NULL);
}

static void *opens_slowly(void *to)
{
    *(int *)to = open(path("slow"), O_RDONLY);
    return NULL;
}

/*
 * A child is born when another thread has been given a descriptor, and has not been told
 * yet: the offset is that of both.
 */
static void born_while_opened(void)
{
    int asks[2], answers[2], go[2], fd = -1;
    char byte;
    pthread_t thread;
    close(make("slow_not_yet"));
    CHECK(rename(path("slow_not_yet"), path("slow")) == 0);
    CHECK(pipe(asks) == 0 && pipe(answers) == 0 && pipe(go) == 0);
    CHECK(dup2(asks[1], 98) == 98 && dup2(answers[0], 99) == 99);
    CHECK(pthread_create(&thread, NULL, opens_slowly, &fd) == 0);
    CHECK(read(asks[0], &byte, 1) == 1);
    pid_t child = fork();
    if (child == 0) {
        CHECK(read(go[0], &fd, sizeof(fd)) == sizeof(fd));
        CHECK(lseek(fd, 0, SEEK_CUR) == 100);
        read_on(fd);
        _exit(0);
    }
    CHECK(write(answers[1], "!", 1) == 1 && pthread_join(thread, NULL) == 0 && fd >= 0);
    read_on(fd);
    CHECK(write(go[1], &fd, sizeof(fd)) == sizeof(fd));
    ended(child);
    CHECK(lseek(fd, 0, SEEK_CUR) == 200);
}

/* Code that is loaded when files are mapped already closes behind everybody's back. */
static void loads(void)
{
    const char *library = argument;
    int fd = warmed("first"), second = make("second");
    memset(page, 99, PAGE);
    CHECK(pwrite(second, page, PAGE, PAGE) == PAGE && close(second) == 0);
    CHECK(pread(fd, got, PAGE, PAGE) == PAGE && got[0] == 2);
    void *code = dlopen(library, RTLD_NOW);
    CHECK(code);
    long (*raw_close)(long);
    *(void **)&raw_close = dlsym(code, "raw_close");
    CHECK(pread(fd, got, PAGE, PAGE) == PAGE && got[0] == 2);
    CHECK(raw_close(fd) == 0);
    /* As a stream, for which libc opens by itself. */
    FILE *file = fopen(path("second"), "r+");
    CHECK(file && fileno(file) == fd);
    for (int i = 0; i < 100; i++)
        CHECK(pread(fd, got, PAGE, PAGE) == PAGE && got[0] == 99);
}

/* The child of `stays`, whose descriptors have these numbers. */
static void waits(void)
{
    wait_for(8, 9);
}

int main(int argc, char **argv)
{
    static const struct part parts[] = {
        {"stays", stays}, {"waits", waits}, {"moved", moved}, {"becomes", becomes},
        {"commands", commands}, {"cut_inside", cut_inside},
        {"copied_at_birth", copied_at_birth}, {"opened_at_birth", opened_at_birth},
        {"born_while_opened", born_while_opened},
        {"loads", loads},
    };
    return RUN_PART(parts, argc, argv);
}
