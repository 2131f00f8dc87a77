/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One thing, two ways: a name is bound to an object, and the same name is a file. What
 * is written through the file is what the object holds, and which object a file is can
 * be asked of its descriptor.
 *
 *     gcc -std=c11 -o posix posix.c $(pkg-config --cflags --libs twz) -ltwz_posix
 *     TWZ_POOL=/tmp/posix-pool ./posix
 */
#define _POSIX_C_SOURCE 200809L
#include <twz_posix.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int done, const char *what)
{
    if (!done) {
        fprintf(stderr, "posix: cannot %s: %s\n", what, twz_last_error());
        exit(1);
    }
}

int main(void)
{
    const struct twz_new what = {.root_size = 4096};
    const char *pool = getenv("TWZ_POOL");
    char path[4096], text[6] = "", words[TWZ_ID_TEXT];
    twz_space *space;
    twz_object *object;
    twz_id id, same;

    must(pool != NULL, "do without TWZ_POOL");
    must(twz_space_open(NULL, &space) == 0, "open the pool");
    must(twz_object_create(space, &what, &id) == 0, "make an object");
    must(twz_name_bind(space, "note", id, TWZ_REPLACE) == 0, "bind the name");

    snprintf(path, sizeof(path), "%s/names/note", pool);
    int fd = twz_open(path, O_RDWR, 0);
    must(fd >= 0, "open the file");
    must(twz_fd_object(fd, &same) == 0 && twz_id_equal(id, same), "find the object again");
    must(twz_id_format(same, words) == 0, "write an id as text");
    printf("%s is %s\n", path, words);

    must(twz_pwrite(fd, "hello", 5, 0) == 5, "write");
    must(twz_lseek(fd, 0, SEEK_SET) == 0 && twz_read(fd, text, 5) == 5, "read");
    must(twz_object_open(space, id, TWZ_READ, 0, &object) == 0, "open the object");
    must(memcmp(twz_object_base(object), text, 5) == 0, "see the same bytes");
    printf("the file and the object say %s\n", text);

    must(twz_object_close(object) == 0, "close the object");
    must(twz_close(fd) == 0 && twz_close(fd) == -1 && errno == EBADF, "close the file");
    must(twz_space_close(space) == 0, "close the pool");
    return 0;
}
