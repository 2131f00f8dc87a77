/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Calls every function of twz.h, and provokes every kind of failure once, from
 * the side that no Rust test sees. `tests/capi.rs` compiles and runs it:
 *
 *     capi                          in the pool that TWZ_POOL names, made on demand
 *     capi walk POOL NAME FP        walks a list that Rust made, prints its values
 *     capi build POOL NAME FP VALUE...   makes one for Rust to walk
 */
#define _GNU_SOURCE
#include <twz.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RW (TWZ_READ | TWZ_WRITE)

struct node {
    uint64_t value;
    twz_ptr next;
};

static void fail(int line, const char *what, int got)
{
    fprintf(stderr, "capi.c:%d: %s (%d: %s)\n", line, what, got, twz_last_error());
    exit(1);
}

#define CHECK(condition)                            \
    do {                                            \
        if (!(condition))                           \
            fail(__LINE__, #condition, 0);          \
    } while (0)

#define OK(call)                                    \
    do {                                            \
        int got_ = (call);                          \
        if (got_ != 0)                              \
            fail(__LINE__, #call " failed", got_);  \
    } while (0)

/* The call fails with this errno, and says something about it. */
#define FAILS(errno_, call)                                               \
    do {                                                                  \
        int got_ = (call);                                                \
        if (got_ != -(errno_))                                            \
            fail(__LINE__, #call " should have been -" #errno_, got_);    \
        CHECK(twz_last_error()[0] != '\0');                               \
    } while (0)

static twz_id make(twz_space *space, struct twz_new what)
{
    twz_id id;
    OK(twz_object_create(space, &what, &id));
    CHECK(!twz_id_is_null(id));
    return id;
}

static twz_object *make_open(twz_space *space, struct twz_new what)
{
    twz_object *object;
    OK(twz_object_open(space, make(space, what), RW, what.fingerprint, &object));
    return object;
}

static const struct twz_new node_object = {.root_size = sizeof(struct node)};

static void version_and_ids(void)
{
    const twz_id id = {.lo = 0x0011223344556677, .hi = 0x0123456789abcdef};
    twz_id back;
    char text[TWZ_ID_TEXT];

    CHECK(strcmp(twz_last_error(), "") == 0);
    CHECK(twz_abi_version() == TWZ_ABI_VERSION);
    OK(twz_id_format(id, text));
    CHECK(strcmp(text, "0123456789abcdef0011223344556677") == 0);
    OK(twz_id_parse(text, &back));
    CHECK(twz_id_equal(id, back));
    FAILS(EINVAL, twz_id_parse("0123", &back));
    CHECK(twz_id_is_null(back));
    FAILS(EINVAL, twz_id_parse("0123456789abcdef001122334455667g", &back));
    FAILS(EINVAL, twz_id_parse(NULL, &back));
    FAILS(EFAULT, twz_id_parse(text, NULL));
    FAILS(EFAULT, twz_id_format(id, NULL));
}

static void pools(const char *pool)
{
    char other[4096], label[65];
    twz_space *space = (void *)1;

    FAILS(EINVAL, twz_pool_init(NULL, NULL));
    FAILS(EEXIST, twz_pool_init(pool, NULL));
    CHECK(strstr(twz_last_error(), pool) != NULL);
    snprintf(other, sizeof(other), "%s/../other", pool);
    FAILS(EILSEQ, twz_pool_init(other, "\xff"));
    memset(label, 'a', 64);
    label[64] = '\0';
    FAILS(EINVAL, twz_pool_init(other, label));
    FAILS(ENOENT, twz_space_open(other, &space));
    CHECK(space == NULL);
    OK(twz_pool_init(other, "another"));
    OK(twz_space_open(other, &space));
    OK(twz_space_close(space));
    OK(twz_space_close(NULL));
    FAILS(EFAULT, twz_space_open(other, NULL));
}

static void objects(twz_space *space)
{
    struct twz_stat stat;
    struct twz_new what = {0};
    twz_object *object = (void *)1, *second;
    twz_id id, copy, same;
    uint64_t size;
    uint32_t slot;
    unsigned char *bytes;
    char byte;
    int fd;
    const twz_id nobody = {.lo = 5, .hi = 5}, half = {.lo = 5, .hi = 0};

    /* Plain bytes, which begin as zeros and grow in place. */
    OK(twz_object_create(space, NULL, &id));
    OK(twz_object_open(space, id, RW, 0, &object));
    OK(twz_object_id(object, &same));
    CHECK(twz_id_equal(id, same));
    OK(twz_object_size(object, &size));
    CHECK(size == 0);
    OK(twz_object_resize(object, 10000));
    OK(twz_object_size(object, &size));
    CHECK(size == 10000);
    bytes = twz_object_base(object);
    CHECK(bytes[0] == 0 && bytes[9999] == 0);
    memcpy(bytes + 5000, "hello", 5);
    OK(twz_object_sync(object));
    OK(twz_fd(object, RW, &fd));
    CHECK(fd >= 0 && pread(fd, &byte, 1, 0) == 1);
    CHECK(close(fd) == 0);
    FAILS(EINVAL, twz_fd(object, TWZ_WRITE, &fd));
    FAILS(EINVAL, twz_fd(NULL, TWZ_READ, &fd));
    FAILS(EFAULT, twz_fd(object, TWZ_READ, NULL));
    OK(twz_object_slot(object, &slot));
    CHECK(slot != 0);
    FAILS(EINVAL, twz_object_resize(object, TWZ_MAX_DATA + 1));
    FAILS(EBUSY, twz_space_close(space));
    CHECK(bytes[5000] == 'h');

    OK(twz_object_stat(space, id, &stat));
    CHECK(twz_id_equal(stat.id, id) && twz_id_is_null(stat.owner) && stat.size == 10000);
    CHECK(stat.kind == TWZ_KIND_BYTES && stat.fingerprint == 0 && stat.names == 0);
    CHECK(stat.flags == 0 && stat.rights == TWZ_RIGHTS_DEFAULT && stat.reserved == 0);

    /* A copy that never changes. */
    what = (struct twz_new){.flags = TWZ_IMMUTABLE};
    OK(twz_object_copy(space, id, &what, &copy));
    bytes[5000] = 'J';
    OK(twz_object_open(space, copy, TWZ_READ, 0, &second));
    CHECK(memcmp((char *)twz_object_base(second) + 5000, "hello", 5) == 0);
    OK(twz_object_stat(space, copy, &stat));
    CHECK(stat.flags == TWZ_IMMUTABLE);
    FAILS(EPERM, twz_object_resize(second, 1));
    OK(twz_object_close(second));
    FAILS(EACCES, twz_object_open(space, copy, RW, 0, &second));
    CHECK(second == NULL);
    OK(twz_object_copy(space, id, NULL, &copy));
    FAILS(ENOENT, twz_object_copy(space, nobody, NULL, &copy));

    /* Deleted, and here as long as it is open. */
    OK(twz_object_delete(space, id));
    CHECK(bytes[5000] == 'J');
    FAILS(ENOENT, twz_object_delete(space, id));
    OK(twz_object_close(object));
    OK(twz_object_close(NULL));
    FAILS(ENOENT, twz_object_open(space, id, RW, 0, &object));
    CHECK(object == NULL);
    FAILS(ENOENT, twz_object_stat(space, id, &stat));
    CHECK(twz_id_is_null(stat.id) && stat.rights == 0);

    /* A type by its fingerprint. */
    what = (struct twz_new){.root_size = 64, .fingerprint = 77};
    id = make(space, what);
    OK(twz_object_stat(space, id, &stat));
    CHECK(stat.kind == TWZ_KIND_TYPED && stat.fingerprint == 77 && stat.size >= 64);
    OK(twz_object_open(space, id, RW, 77, &object));
    OK(twz_object_close(object));
    FAILS(EINVAL, twz_object_open(space, id, RW, 78, &object));
    FAILS(EINVAL, twz_object_open(space, id, TWZ_WRITE, 0, &object));
    FAILS(EINVAL, twz_object_open(space, id, TWZ_READ | TWZ_DELETE, 0, &object));
    FAILS(EINVAL, twz_object_open(space, id, 64, 0, &object));
    FAILS(EINVAL, twz_object_open(space, half, RW, 0, &object));
    FAILS(EFAULT, twz_object_open(space, id, RW, 0, NULL));
    FAILS(EINVAL, twz_object_open(NULL, id, RW, 0, &object));

    /* Each thing that struct twz_new may not say. */
    what = (struct twz_new){.fingerprint = 1};
    FAILS(EINVAL, twz_object_create(space, &what, &id));
    CHECK(twz_id_is_null(id));
    what = (struct twz_new){.reserved = {0, 1}};
    FAILS(EINVAL, twz_object_create(space, &what, &id));
    what = (struct twz_new){.flags = 2};
    FAILS(EINVAL, twz_object_create(space, &what, &id));
    what = (struct twz_new){.flags = TWZ_IMMUTABLE};
    FAILS(EINVAL, twz_object_create(space, &what, &id));
    what = (struct twz_new){.rights = 64};
    FAILS(EINVAL, twz_object_create(space, &what, &id));
    what = (struct twz_new){.size = TWZ_MAX_DATA + 1};
    FAILS(EINVAL, twz_object_create(space, &what, &id));
    what = (struct twz_new){.root_size = UINT64_MAX};
    FAILS(EINVAL, twz_object_create(space, &what, &id));
    what = (struct twz_new){.root_size = TWZ_MAX_DATA};
    FAILS(EINVAL, twz_object_create(space, &what, &id));
    /* A heap has to be written to. */
    what = (struct twz_new){.root_size = 8, .rights = TWZ_READ};
    FAILS(EACCES, twz_object_create(space, &what, &id));
    FAILS(EFAULT, twz_object_create(space, NULL, NULL));
    FAILS(EINVAL, twz_object_create(NULL, NULL, &id));

    FAILS(EINVAL, twz_object_id(NULL, &id));
    FAILS(EINVAL, twz_object_size(NULL, &size));
    FAILS(EINVAL, twz_object_slot(NULL, &slot));
    FAILS(EINVAL, twz_object_resize(NULL, 1));
    FAILS(EINVAL, twz_object_sync(NULL));
    FAILS(EINVAL, twz_object_delete(NULL, id));
    FAILS(EINVAL, twz_object_stat(NULL, id, &stat));
    FAILS(EINVAL, twz_object_copy(NULL, id, NULL, &copy));
    CHECK(twz_object_base(NULL) == NULL);
}

static void heaps(twz_space *space)
{
    twz_object *object = make_open(space, node_object), *plain, *reader;
    twz_id id;
    void *first, *second;

    OK(twz_alloc(object, 100, 0, &first));
    OK(twz_alloc(object, 100, 4096, &second));
    CHECK((uintptr_t)first % 16 == 0 && (uintptr_t)second % 4096 == 0);
    for (int i = 0; i < 100; i++)
        CHECK(((char *)first)[i] == 0 && ((char *)second)[i] == 0);
    memset(first, 1, 100);
    memset(second, 2, 100);
    CHECK(((char *)first)[99] == 1);
    OK(twz_free(object, first));
    OK(twz_alloc(object, 100, 0, &first));
    for (int i = 0; i < 100; i++)
        CHECK(((char *)first)[i] == 0);
    OK(twz_alloc(object, 0, 1, &first));
    OK(twz_free(object, first));
    OK(twz_free(object, NULL));
    FAILS(EINVAL, twz_alloc(object, 1, 3, &first));
    CHECK(first == NULL);
    FAILS(EINVAL, twz_alloc(object, 1, 8192, &first));
    FAILS(EINVAL, twz_alloc(object, SIZE_MAX, 0, &first));
    FAILS(EFAULT, twz_alloc(object, 1, 0, NULL));
    FAILS(EINVAL, twz_alloc(NULL, 1, 0, &first));
    FAILS(EFAULT, twz_free(object, &first));
    FAILS(EFAULT, twz_free(object, twz_object_base(object)));
    OK(twz_free(object, second));
    FAILS(EFAULT, twz_free(object, second));
    FAILS(EINVAL, twz_free(NULL, &first));

    OK(twz_object_create(space, NULL, &id));
    OK(twz_object_open(space, id, RW, 0, &plain));
    FAILS(EOPNOTSUPP, twz_alloc(plain, 1, 0, &first));
    OK(twz_object_close(plain));

    OK(twz_object_id(object, &id));
    OK(twz_object_open(space, id, TWZ_READ, 0, &reader));
    FAILS(EACCES, twz_alloc(reader, 1, 0, &first));
    OK(twz_object_close(reader));
    OK(twz_object_close(object));
}

static void pointers(twz_space *space)
{
    twz_object *a = make_open(space, node_object), *b = make_open(space, node_object);
    struct node *na = twz_object_base(a), *nb = twz_object_base(b), *inner, *reading;
    struct node stack = {0, 0};
    twz_object *reader;
    twz_id ida, idb, id;
    uint64_t offset, size;
    void *to = &stack;
    const twz_id nobody = {.lo = 5, .hi = 5};

    OK(twz_object_id(a, &ida));
    OK(twz_object_id(b, &idb));
    nb->value = 42;

    /* Within an object, from one into another, and to nothing. */
    CHECK(twz_ptr_is_null(na->next));
    FAILS(EFAULT, twz_lea(&na->next, sizeof(*na), &to));
    CHECK(to == NULL);
    OK(twz_store(&na->next, nb));
    OK(twz_lea(&na->next, sizeof(*nb), &to));
    CHECK(((struct node *)to)->value == 42);
    OK(twz_ptr_target(&na->next, &id, &offset));
    CHECK(twz_id_equal(id, idb) && offset == TWZ_DATA_START);
    OK(twz_ptr_target(&na->next, &id, NULL));
    OK(twz_alloc(a, sizeof(*inner), 0, &to));
    inner = to;
    OK(twz_store(&na->next, inner));
    CHECK(na->next >> 40 == 0);
    OK(twz_lea(&na->next, sizeof(*inner), &to));
    CHECK(to == inner);
    OK(twz_store(&inner->next, na));
    OK(twz_store(&na->next, NULL));
    CHECK(twz_ptr_is_null(na->next));
    FAILS(EFAULT, twz_ptr_target(&na->next, &id, &offset));
    CHECK(twz_id_is_null(id) && offset == 0);

    /* How far one may go. */
    OK(twz_store(&na->next, nb));
    OK(twz_object_size(b, &size));
    OK(twz_lea(&na->next, size, &to));
    FAILS(EFAULT, twz_lea(&na->next, size + 1, &to));
    FAILS(EFAULT, twz_lea(&na->next, SIZE_MAX, &to));
    FAILS(EFAULT, twz_lea(&na->next, (size_t)1 << 40, &to));
    OK(twz_object_resize(b, 100000));
    OK(twz_lea(&na->next, 100000, &to));
    OK(twz_object_resize(b, size));
    FAILS(EFAULT, twz_lea(&na->next, 100000, &to));

    /* Not in an object; not a place for a pointer; not a target. */
    FAILS(EFAULT, twz_lea(&stack.next, 1, &to));
    FAILS(EFAULT, twz_store(&stack.next, nb));
    FAILS(EFAULT, twz_store(&na->next, &stack));
    FAILS(EFAULT, twz_store(&na->next, (char *)nb - 1));
    FAILS(EFAULT, twz_store(&na->next, (char *)nb + size));
    FAILS(EFAULT, twz_lea((twz_ptr *)((char *)nb + size), 1, &to));
    FAILS(EFAULT, twz_lea((twz_ptr *)((char *)nb - 8), 1, &to));
    FAILS(EFAULT, twz_lea((twz_ptr *)(void *)((char *)na + 4), 1, &to));
    FAILS(EFAULT, twz_lea(NULL, 1, &to));
    FAILS(EFAULT, twz_lea(&na->next, 1, NULL));
    FAILS(EFAULT, twz_store(NULL, nb));
    FAILS(EFAULT, twz_ptr_target(&na->next, NULL, NULL));
    FAILS(EFAULT, twz_ptr_target(NULL, &id, NULL));
    FAILS(EFAULT, twz_store_id(NULL, idb, TWZ_DATA_START, 0));
    FAILS(EFAULT, twz_store_derived(NULL, idb, TWZ_DATA_START, 0));
    FAILS(EFAULT, twz_store_name(NULL, "name", TWZ_DATA_START, 0));

    /* Bytes in an object may be anything. */
    const twz_ptr wild[] = {8,
                            TWZ_DATA_START + size,
                            (UINT64_C(1) << 30) - 8,
                            UINT64_C(1) << 35,
                            (UINT64_C(9) << 40) | TWZ_DATA_START,
                            (UINT64_C(0xffffff) << 40) | TWZ_DATA_START,
                            UINT64_MAX};
    for (size_t i = 0; i < sizeof(wild) / sizeof(*wild); i++) {
        nb->next = wild[i];
        FAILS(EFAULT, twz_lea(&nb->next, 1, &to));
        CHECK(to == NULL);
    }

    /* By id, of an object that is there or not. */
    OK(twz_store_id(&na->next, idb, TWZ_DATA_START, RW));
    OK(twz_lea(&na->next, sizeof(*nb), &to));
    CHECK(((struct node *)to)->value == 42);
    OK(twz_store_id(&na->next, nobody, TWZ_DATA_START, 0));
    FAILS(ENOENT, twz_lea(&na->next, 1, &to));
    OK(twz_ptr_target(&na->next, &id, NULL));
    CHECK(twz_id_equal(id, nobody));
    FAILS(EINVAL, twz_store_id(&na->next, idb, 0, 0));
    FAILS(EINVAL, twz_store_id(&na->next, idb, UINT64_C(1) << 30, 0));
    FAILS(EINVAL, twz_store_id(&na->next, idb, TWZ_DATA_START, 64));
    FAILS(EINVAL, twz_store_id(&na->next, (twz_id){0, 0}, TWZ_DATA_START, 0));

    /* A copy on first use. */
    OK(twz_store_derived(&na->next, idb, TWZ_DATA_START, RW));
    OK(twz_lea(&na->next, sizeof(*nb), &to));
    ((struct node *)to)->value = 43;
    CHECK(nb->value == 42);

    /* What may only be read is not stored to. */
    OK(twz_object_open(space, ida, TWZ_READ, 0, &reader));
    reading = twz_object_base(reader);
    CHECK(reading != na);
    FAILS(EACCES, twz_store(&reading->next, NULL));
    FAILS(EACCES, twz_store(&reading->next, nb));
    FAILS(EACCES, twz_store_id(&reading->next, idb, TWZ_DATA_START, 0));
    FAILS(EACCES, twz_store_name(&reading->next, "name", TWZ_DATA_START, 0));
    OK(twz_object_close(reader));

    /* Elsewhere, all at once. */
    twz_object *c = make_open(space, node_object);
    twz_id idc;
    OK(twz_object_id(c, &idc));
    ((struct node *)twz_object_base(c))->value = 7;
    OK(twz_store(&inner->next, nb));
    OK(twz_retarget(a, idb, idc));
    OK(twz_lea(&inner->next, sizeof(*nb), &to));
    CHECK(((struct node *)to)->value == 7);
    FAILS(ENOENT, twz_retarget(b, ida, idc));
    FAILS(EINVAL, twz_retarget(NULL, ida, idc));
    OK(twz_object_close(c));
    OK(twz_object_close(b));
    OK(twz_object_close(a));
}

static void names(twz_space *space)
{
    twz_id first = make(space, node_object), second = make(space, node_object), found;
    const twz_id nobody = {.lo = 5, .hi = 5};
    twz_object *holder = make_open(space, node_object), *object, *plain;
    struct node *node = twz_object_base(holder);
    void *to;

    OK(twz_object_open(space, first, RW, 0, &object));
    ((struct node *)twz_object_base(object))->value = 1;
    OK(twz_object_close(object));
    OK(twz_object_open(space, second, RW, 0, &object));
    ((struct node *)twz_object_base(object))->value = 2;
    OK(twz_object_close(object));

    OK(twz_name_mkdir(space, "dir"));
    FAILS(EEXIST, twz_name_mkdir(space, "dir"));
    FAILS(ENOENT, twz_name_lookup(space, "dir/a", &found));
    CHECK(twz_id_is_null(found));
    OK(twz_name_bind(space, "dir/a", first, 0));
    OK(twz_name_lookup(space, "/dir//a", &found));
    CHECK(twz_id_equal(found, first));
    FAILS(EEXIST, twz_name_bind(space, "dir/a", second, 0));
    FAILS(EINVAL, twz_name_bind(space, "dir/a", second, 2));
    FAILS(ENOENT, twz_name_bind(space, "b", nobody, 0));
    FAILS(EISDIR, twz_name_lookup(space, "dir", &found));
    FAILS(ENOTEMPTY, twz_name_rmdir(space, "dir"));
    FAILS(EBUSY, twz_object_delete(space, first));

    /* Late bound: what the name stands for is asked at each use. */
    OK(twz_store_name(&node->next, "dir/a", TWZ_DATA_START, TWZ_READ));
    OK(twz_lea(&node->next, sizeof(*node), &to));
    CHECK(((struct node *)to)->value == 1);
    OK(twz_name_bind(space, "dir/a", second, TWZ_REPLACE));
    OK(twz_lea(&node->next, sizeof(*node), &to));
    CHECK(((struct node *)to)->value == 2);
    OK(twz_ptr_target(&node->next, &found, NULL));
    CHECK(twz_id_equal(found, second));
    OK(twz_name_rename(space, "dir/a", "b"));
    FAILS(ENOENT, twz_lea(&node->next, 1, &to));
    CHECK(strstr(twz_last_error(), "dir/a") != NULL);
    FAILS(EINVAL, twz_store_name(&node->next, NULL, TWZ_DATA_START, 0));
    FAILS(EINVAL, twz_store_name(&node->next, "b", 4095, 0));
    FAILS(EILSEQ, twz_store_name(&node->next, "\xc3", TWZ_DATA_START, 0));
    OK(twz_object_create(space, &(struct twz_new){.size = 64}, &found));
    OK(twz_object_open(space, found, RW, 0, &plain));
    FAILS(EOPNOTSUPP, twz_store_name(twz_object_base(plain), "b", TWZ_DATA_START, 0));
    OK(twz_object_close(plain));

    OK(twz_name_unbind(space, "b"));
    FAILS(ENOENT, twz_name_unbind(space, "b"));
    FAILS(ENOENT, twz_name_rename(space, "b", "c"));
    OK(twz_name_rmdir(space, "dir"));
    FAILS(ENOENT, twz_name_rmdir(space, "dir"));

    FAILS(EILSEQ, twz_name_bind(space, "\xff", first, 0));
    FAILS(EILSEQ, twz_name_lookup(space, "\xff", &found));
    FAILS(EILSEQ, twz_name_unbind(space, "\xff"));
    FAILS(EILSEQ, twz_name_rename(space, "a", "\xff"));
    FAILS(EILSEQ, twz_name_mkdir(space, "\xff"));
    FAILS(EINVAL, twz_name_bind(space, NULL, first, 0));
    FAILS(EINVAL, twz_name_bind(NULL, "a", first, 0));
    FAILS(EINVAL, twz_name_lookup(space, NULL, &found));
    FAILS(EFAULT, twz_name_lookup(space, "a", NULL));
    FAILS(EINVAL, twz_name_rename(space, NULL, NULL));
    FAILS(EINVAL, twz_name_rmdir(NULL, "a"));
    OK(twz_object_close(holder));
}

static void views(twz_space *space)
{
    twz_id first, second, view, found;
    twz_object *object;
    uint32_t slots, rights;
    void *address;

    first = make(space, node_object);
    second = make(space, node_object);
    OK(twz_object_open(space, first, RW, 0, &object));
    ((struct node *)twz_object_base(object))->value = 42;
    FAILS(EBUSY, twz_view_switch(space, NULL));
    OK(twz_object_close(object));

    OK(twz_view_slots(space, &slots));
    CHECK(slots > 16);
    OK(twz_view_get(space, 9, &found, &rights));
    CHECK(twz_id_is_null(found) && rights == 0);
    OK(twz_view_set(space, 9, first, TWZ_READ));
    OK(twz_view_get(space, 9, &found, &rights));
    CHECK(twz_id_equal(found, first) && rights == TWZ_READ);
    OK(twz_view_address(space, 9, &address));
    CHECK(((struct node *)address)->value == 42); /* mapped by this touch */
    OK(twz_view_set(space, 9, second, TWZ_READ));
    CHECK(((struct node *)address)->value == 42);
    OK(twz_view_invalidate(space, 9, 1));
    CHECK(((struct node *)address)->value == 0);
    OK(twz_view_clear(space, 9));
    OK(twz_view_get(space, 9, &found, NULL));
    CHECK(twz_id_is_null(found));

    OK(twz_view_create(space, &view));
    OK(twz_view_switch(space, &view));
    OK(twz_view_set(space, 7, first, TWZ_READ));
    OK(twz_view_address(space, 7, &address));
    CHECK(((struct node *)address)->value == 42);
    FAILS(EOPNOTSUPP, twz_view_switch(space, &first));
    OK(twz_view_switch(space, NULL));
    OK(twz_view_get(space, 7, &found, &rights));
    CHECK(twz_id_is_null(found));

    FAILS(EINVAL, twz_view_set(space, 0, first, TWZ_READ));
    FAILS(EINVAL, twz_view_set(space, slots, first, TWZ_READ));
    FAILS(EINVAL, twz_view_set(space, 9, (twz_id){0, 1}, TWZ_READ));
    FAILS(EINVAL, twz_view_set(space, 9, first, 64));
    FAILS(EINVAL, twz_view_get(space, slots, &found, &rights));
    FAILS(EFAULT, twz_view_get(space, 9, NULL, &rights));
    FAILS(EINVAL, twz_view_clear(space, 0));
    FAILS(EINVAL, twz_view_address(space, slots, &address));
    FAILS(EFAULT, twz_view_address(space, 9, NULL));
    FAILS(EINVAL, twz_view_slots(NULL, &slots));
    FAILS(EINVAL, twz_view_invalidate(NULL, 1, 1));
    FAILS(EFAULT, twz_view_create(space, NULL));
    FAILS(EINVAL, twz_view_switch(NULL, NULL));
    OK(twz_view_invalidate(space, 0, UINT32_MAX));
}

struct shared {
    twz_object *object;
    int rounds;
};

static void *count(void *arg)
{
    struct shared *shared = arg;
    volatile struct node *node = twz_object_base(shared->object);

    for (int i = 0; i < shared->rounds; i++) {
        OK(twz_lock(shared->object));
        node->value = node->value + 1;
        OK(twz_unlock(shared->object));
    }
    OK(twz_lock(shared->object));
    return NULL; /* ... and the lock ends with the thread */
}

static void locks(twz_space *space, const char *pool)
{
    twz_object *object = make_open(space, node_object);
    struct shared shared = {object, 200};
    pthread_t threads[3];
    int status;
    pid_t child;

    FAILS(EPERM, twz_unlock(object));
    OK(twz_lock(object));
    FAILS(EDEADLK, twz_lock(object));
    FAILS(EBUSY, twz_object_close(object));
    OK(twz_unlock(object));
    FAILS(EINVAL, twz_lock(NULL));
    FAILS(EINVAL, twz_unlock(NULL));

    /* A child forked meanwhile has nothing of the lock. */
    OK(twz_lock(object));
    child = fork();
    if (child == 0) {
        alarm(60);
        pause();
        _exit(0);
    }
    CHECK(child > 0);
    OK(twz_unlock(object));
    OK(twz_lock(object));
    OK(twz_unlock(object));
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child);

    /* Among threads, and a process that ends with the lock. */
    child = fork();
    if (child == 0) {
        alarm(60);
        twz_space *again;
        twz_object *theirs;
        twz_id id;
        OK(twz_object_id(object, &id));
        OK(twz_space_open(pool, &again));
        OK(twz_object_open(again, id, RW, 0, &theirs));
        struct shared mine = {theirs, 200};
        count(&mine);
        _exit(0);
    }
    CHECK(child > 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, count, &shared) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    OK(twz_lock(object));
    CHECK(((struct node *)twz_object_base(object))->value == 4 * 200);
    OK(twz_unlock(object));
    OK(twz_object_close(object));
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 0);
}

static int walk(const char *pool, const char *name, uint64_t fingerprint)
{
    twz_space *space;
    twz_object *head;
    twz_id id;

    OK(twz_space_open(pool, &space));
    OK(twz_name_lookup(space, name, &id));
    FAILS(EINVAL, twz_object_open(space, id, TWZ_READ, fingerprint + 1, &head));
    OK(twz_object_open(space, id, TWZ_READ, fingerprint, &head));
    for (const struct node *node = twz_object_base(head);;) {
        void *next;
        printf("%" PRIu64 "\n", node->value);
        if (twz_ptr_is_null(node->next))
            break;
        OK(twz_lea(&node->next, sizeof(*node), &next));
        node = next;
    }
    OK(twz_object_close(head));
    OK(twz_space_close(space));
    return 0;
}

static int build(const char *pool, const char *name, uint64_t fingerprint, char **values)
{
    struct twz_new what = {.root_size = sizeof(struct node), .fingerprint = fingerprint};
    twz_space *space;
    twz_object *last = NULL;

    OK(twz_space_open(pool, &space));
    for (; *values; values++) {
        twz_object *object = make_open(space, what);
        struct node *node = twz_object_base(object);
        twz_id id;
        node->value = number(*values);
        OK(twz_object_id(object, &id));
        if (last) {
            OK(twz_store(&((struct node *)twz_object_base(last))->next, node));
            OK(twz_object_close(last));
        } else {
            OK(twz_name_bind(space, name, id, 0));
        }
        last = object;
    }
    OK(twz_object_close(last));
    OK(twz_space_close(space));
    return 0;
}

static int resumed(void *context, const struct twz_lost *lost)
{
    struct twz_lost *seen = context;
    *seen = *lost;
    return lost->mark == 7 ? 0 : -ECANCELED;
}

/* A process that is lost: it leaves a mark, and dies. */
static void lose(twz_space *space, uint64_t mark)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        twz_thread *thread;
        OK(twz_resume_register(space, "capi", NULL, NULL, &thread));
        OK(twz_resume_set_mark(thread, mark));
        _exit(0);
    }
    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static int swap(twz_space *space, struct node *a, struct node *b, int how)
{
    int error;

    TWZ_TXSTART(space, error) {
        TWZ_TXRECORD(error, &a->value);
        TWZ_TXRECORD(error, &b->value);
        uint64_t value = a->value;
        a->value = b->value;
        if (how != 0)
            TWZ_TXABORT(error, how);
        b->value = value;
    } TWZ_TXEND(error);
    return error;
}

static void transactions(twz_space *space)
{
    twz_object *one = make_open(space, node_object), *two = make_open(space, node_object);
    struct node *a = twz_object_base(one), *b = twz_object_base(two), local = {0};
    uint64_t value = 7;
    uint32_t durability;
    void *block;

    FAILS(EPERM, twz_tx_end(0));
    FAILS(EPERM, twz_tx_record(a, 8));
    FAILS(EINVAL, twz_tx_begin(NULL));
    for (uint32_t i = TWZ_PROCESS; i <= TWZ_POWER; i++) {
        OK(twz_set_durability(space, i));
        OK(twz_durability(space, &durability));
        CHECK(durability == i);
        a->value = 1;
        b->value = 2;
        OK(swap(space, a, b, 0));
        CHECK(a->value == 2 && b->value == 1);
        FAILS(ERANGE, swap(space, a, b, -ERANGE));
        CHECK(a->value == 2 && b->value == 1);

        OK(twz_tx_begin(space));
        OK(twz_tx_lock(one));
        OK(twz_tx_write(&a->value, &value, sizeof(value)));
        CHECK(a->value == 2);
        OK(twz_tx_read(&a->value, &local.value, sizeof(value)));
        CHECK(local.value == 7);
        OK(twz_tx_alloc(one, 100, 0, &block));
        CHECK(*(unsigned char *)block == 0);
        OK(twz_tx_store(&a->next, block));
        OK(twz_tx_begin(space));
        OK(twz_tx_store(&a->next, b));
        FAILS(ECANCELED, twz_tx_end(-ECANCELED));
        FAILS(EFAULT, twz_tx_record(&local, sizeof(local)));
        OK(twz_tx_end(0));
        OK(twz_lea(&a->next, 1, &block));
        CHECK(a->value == 7 && block > (void *)a && block < (void *)(a + 65536));
        OK(twz_tx_begin(space));
        OK(twz_tx_free(one, block));
        FAILS(EFAULT, twz_tx_free(one, block));
        OK(twz_tx_store(&a->next, NULL));
        OK(twz_tx_end(0));
        CHECK(twz_ptr_is_null(a->next));
        OK(twz_flush(one, a, sizeof(*a)));
        OK(twz_fence(space));
        OK(twz_persist(one, a, sizeof(*a)));
        FAILS(EFAULT, twz_persist(one, &local, sizeof(local)));
    }
    OK(twz_set_durability(space, TWZ_PROCESS));
    FAILS(EINVAL, twz_set_durability(space, 2));
    FAILS(EFAULT, twz_durability(space, NULL));
    OK(twz_object_close(one));
    OK(twz_object_close(two));
}

static void resuming(twz_space *space)
{
    struct twz_lost lost = {0};
    twz_thread *thread, *other;
    uint64_t mark;
    twz_id view;

    FAILS(EINVAL, twz_resume_register(NULL, "capi", NULL, NULL, &thread));
    FAILS(EINVAL, twz_resume_register(space, NULL, NULL, NULL, &thread));
    FAILS(EFAULT, twz_resume_register(space, "capi", NULL, NULL, NULL));
    FAILS(EOPNOTSUPP, twz_resume_register(space, "a/b", NULL, NULL, &thread));
    lose(space, 6);
    FAILS(ECANCELED, twz_resume_register(space, "capi", resumed, &lost, &thread));
    CHECK(thread == NULL && lost.generation == 1 && lost.mark == 6);
    lose(space, 7);
    OK(twz_resume_register(space, "capi", resumed, &lost, &thread));
    CHECK(lost.cause == TWZ_LOST_KILLED && lost.mark == 7 && lost.generation == 3);
    FAILS(EBUSY, twz_resume_register(space, "capi", NULL, NULL, &other));
    OK(twz_resume_mark(thread, &mark));
    CHECK(mark == 7);
    OK(twz_view_create(space, &view));
    OK(twz_resume_set_view(thread, space, &view));
    OK(twz_resume_set_view(thread, space, NULL));
    FAILS(EINVAL, twz_resume_finish(NULL));
    OK(twz_resume_finish(thread));
    OK(twz_resume_register(space, "capi", resumed, &lost, &thread));
    OK(twz_resume_mark(thread, &mark));
    CHECK(mark == 0);
    OK(twz_resume_finish(thread));
}

int main(int argc, char **argv)
{
    const char *pool = getenv("TWZ_POOL"), *backend = getenv("TWZ_BACKEND");
    twz_space *space;

    if (argc == 5 && strcmp(argv[1], "walk") == 0)
        return walk(argv[2], argv[3], number(argv[4]));
    if (argc > 5 && strcmp(argv[1], "build") == 0)
        return build(argv[2], argv[3], number(argv[4]), argv + 5);
    CHECK(pool != NULL && argc == 1);
    alarm(60); /* whoever hangs has failed */
    version_and_ids();
    OK(twz_space_open(NULL, &space));
    /* What the kernel serves was made before it was loaded. */
    if (!backend || strcmp(backend, "kernel") != 0)
        pools(pool);
    objects(space);
    heaps(space);
    pointers(space);
    names(space);
    views(space);
    locks(space, pool);
    transactions(space);
    resuming(space);
    OK(twz_space_close(space));
    puts("every function of twz.h did what it says");
    return 0;
}
