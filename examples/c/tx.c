/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two accounts in two objects, and money that is always in one of them: a
 * transfer that fails leaves nothing behind, nor does a process that is killed
 * in the middle of one. Whoever opens an account next finds it whole.
 *
 *     gcc -std=c11 -Wall -Wextra -o tx tx.c $(pkg-config --cflags --libs twz)
 *     TWZ_POOL=/tmp/tx-pool ./tx
 */
#define _POSIX_C_SOURCE 200809L
#include <twz.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct account {
    uint64_t cents;
};

#define ACCOUNT_TYPE UINT64_C(0x6163636f756e74)

static void must(int result, const char *what)
{
    if (result != 0) {
        fprintf(stderr, "tx: cannot %s: %s\n", what, twz_last_error());
        exit(1);
    }
}

/* Moves money, if there is enough; `then` may happen before it is over. */
static int transfer(twz_space *space, struct account *from, struct account *to, uint64_t cents,
                    void (*then)(void))
{
    int error;

    TWZ_TXSTART(space, error) {
        TWZ_TXRECORD(error, &from->cents);
        TWZ_TXRECORD(error, &to->cents);
        if (from->cents < cents)
            TWZ_TXABORT(error, -ERANGE);
        from->cents -= cents;
        if (then)
            then();
        to->cents += cents;
    } TWZ_TXEND(error);
    return error;
}

static void die(void)
{
    raise(SIGKILL);
}

static struct account *open_account(twz_space *space, const char *name, twz_object **object)
{
    const struct twz_new what = {.root_size = sizeof(struct account),
                                 .fingerprint = ACCOUNT_TYPE};
    twz_id id;

    if (twz_name_lookup(space, name, &id) != 0) {
        must(twz_object_create(space, &what, &id), "make an account");
        must(twz_name_bind(space, name, id, 1), "name it");
    }
    must(twz_object_open(space, id, TWZ_READ | TWZ_WRITE, ACCOUNT_TYPE, object), "open it");
    return twz_object_base(*object);
}

int main(void)
{
    twz_space *space;
    twz_object *objects[2];
    struct account *mine, *yours;
    pid_t child;

    must(twz_space_open(NULL, &space), "open the pool");
    mine = open_account(space, "mine", &objects[0]);
    yours = open_account(space, "yours", &objects[1]);
    mine->cents = 100;
    yours->cents = 0;

    must(transfer(space, mine, yours, 30, NULL), "transfer");
    printf("mine %" PRIu64 ", yours %" PRIu64 "\n", mine->cents, yours->cents);
    if (transfer(space, mine, yours, 500, NULL) == -ERANGE)
        printf("500 more: refused\n");

    child = fork();
    if (child == 0) {
        /* Killed when the money has left, and has not arrived. */
        transfer(space, mine, yours, 70, die);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    /* The next transfer meets what the dead one left, and undoes it first. */
    must(transfer(space, mine, yours, 1, NULL), "transfer");
    printf("after a kill: mine %" PRIu64 ", yours %" PRIu64 "\n", mine->cents, yours->cents);

    must(twz_object_close(objects[0]), "close");
    must(twz_object_close(objects[1]), "close");
    must(twz_space_close(space), "close the pool");
    return 0;
}
