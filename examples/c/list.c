/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A list over several objects, from C: one program builds it, another walks it,
 * and the pointers in it are the same bytes for both, though neither has the
 * objects at the other's addresses.
 *
 *     gcc -std=c11 -Wall -Wextra -o list list.c $(pkg-config --cflags --libs twz)
 *     TWZ_POOL=/tmp/list-pool ./list
 */
#define _POSIX_C_SOURCE 200809L
#include <twz.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What lies in each object. Nothing in it depends on where it is mapped. */
struct city {
    char name[24];
    uint64_t people;
    twz_ptr next; /* to the root of another object, or null */
};

/* A number that names this layout: opening anything else as one is refused. */
#define CITY_TYPE UINT64_C(0x63697479000001)

static const struct {
    const char *name;
    uint64_t people;
} cities[] = {{"Lisbon", 546000}, {"Oslo", 717000}, {"Quito", 1763000}, {"Hanoi", 8054000}};

#define COUNT (sizeof(cities) / sizeof(cities[0]))

/* Every call can fail, and says in words why it did. */
static void must(int result, const char *what)
{
    if (result != 0) {
        fprintf(stderr, "list: cannot %s: %s\n", what, twz_last_error());
        exit(1);
    }
}

static void build(twz_space *space)
{
    const struct twz_new what = {.root_size = sizeof(struct city), .fingerprint = CITY_TYPE};
    twz_object *objects[COUNT];
    char text[TWZ_ID_TEXT];
    twz_id id;

    for (size_t i = 0; i < COUNT; i++) {
        must(twz_object_create(space, &what, &id), "make an object");
        must(twz_object_open(space, id, TWZ_READ | TWZ_WRITE, CITY_TYPE, &objects[i]),
             "open the object");
        struct city *city = twz_object_base(objects[i]);
        snprintf(city->name, sizeof(city->name), "%s", cities[i].name);
        city->people = cities[i].people;
        must(twz_id_format(id, text), "write an id as text");
        printf("  made object %s for %s, here at %p\n", text, city->name, (void *)city);
        if (i == 0)
            must(twz_name_bind(space, "cities", id, TWZ_REPLACE), "bind the name");
    }
    printf("  bound the name 'cities' to the first\n");
    for (size_t i = 0; i + 1 < COUNT; i++) {
        struct city *city = twz_object_base(objects[i]);
        const struct city *next = twz_object_base(objects[i + 1]);
        must(twz_store(&city->next, next), "store a pointer");
        printf("  %s points to %s: the 8 bytes are %#" PRIx64 "\n", city->name, next->name,
               city->next);
    }
    for (size_t i = 0; i < COUNT; i++)
        must(twz_object_close(objects[i]), "close the object");
}

static void walk(twz_space *space)
{
    twz_object *head;
    twz_id id;
    uint64_t people = 0;
    void *next;

    must(twz_name_lookup(space, "cities", &id), "look up 'cities'");
    must(twz_object_open(space, id, TWZ_READ, CITY_TYPE, &head), "open the first object");
    printf("  found the first by its name\n");
    const struct city *city = twz_object_base(head);
    for (;;) {
        printf("  %s, here at %p, has %" PRIu64 " people\n", city->name, (const void *)city,
               city->people);
        people += city->people;
        if (twz_ptr_is_null(city->next))
            break;
        must(twz_lea(&city->next, sizeof(*city), &next), "follow the pointer");
        city = next;
    }
    printf("  %" PRIu64 " people in all\n", people);
    must(twz_object_close(head), "close the first object");
}

int main(int argc, char **argv)
{
    const int walking = argc == 2 && strcmp(argv[1], "walk") == 0;
    twz_space *space;

    if (twz_abi_version() != TWZ_ABI_VERSION) {
        fprintf(stderr, "list: compiled for another version of libtwz\n");
        return 1;
    }
    must(twz_space_open(NULL, &space), "open the pool");
    printf("Process %ld %s the list:\n", (long)getpid(), walking ? "walks" : "builds");
    (walking ? walk : build)(space);
    must(twz_space_close(space), "close the pool");
    if (walking)
        return 0;

    /* The same program, begun anew: nothing of this process is left in it. */
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", argv[0], "walk", (char *)NULL);
        perror("list: exec");
        _exit(127);
    }
    int status = 1;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("list: fork");
        return 1;
    }
    return status == 0 ? 0 : 1;
}
