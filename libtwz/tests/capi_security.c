/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Keys, contexts and grants from C: beside capi.c, which has all the rest.
 */
#include <twz.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(int line, const char *what, int got)
{
    fprintf(stderr, "capi_security.c:%d: %s (%d: %s)\n", line, what, got, twz_last_error());
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

#define FAILS(errno_, call)                                               \
    do {                                                                  \
        int got_ = (call);                                                \
        if (got_ != -(errno_))                                            \
            fail(__LINE__, #call " should have been -" #errno_, got_);    \
        CHECK(twz_last_error()[0] != '\0');                               \
    } while (0)

static const twz_id none;

static twz_key *keys(void)
{
    twz_key *key, *same;

    FAILS(EFAULT, twz_key_generate(NULL));
    OK(twz_key_generate(&key));
    OK(twz_key_save(key, "plain", NULL));
    FAILS(EEXIST, twz_key_save(key, "plain", NULL));
    OK(twz_key_save(key, "sealed", "word"));
    FAILS(EACCES, twz_key_read("sealed", NULL, &same));
    FAILS(EACCES, twz_key_read("sealed", "other", &same));
    CHECK(same == NULL);
    OK(twz_key_read("sealed", "word", &same));
    OK(twz_key_close(same));
    FAILS(ENOENT, twz_key_read("no such file", NULL, &same));
    OK(twz_key_close(NULL));
    return key;
}

int main(void)
{
    twz_space *space;
    twz_key *key = keys(), *stranger;
    twz_object *object;
    struct twz_new what = {0};
    struct twz_terms grant = {0};
    struct twz_attached attached;
    twz_id owner, again, secret, context, other;
    uint32_t rights;

    OK(twz_space_open(NULL, &space));
    FAILS(EINVAL, twz_key_publish(NULL, space, &owner));
    OK(twz_key_publish(key, space, &owner));
    OK(twz_key_publish(key, space, &again));
    CHECK(twz_id_equal(owner, again));

    /* Everybody may delete it, and nobody read it. */
    what.size = 64;
    what.owner = owner;
    what.rights = TWZ_DELETE;
    OK(twz_object_create(space, &what, &secret));
    FAILS(EACCES, twz_object_open(space, secret, TWZ_READ, 0, &object));

    FAILS(EINVAL, twz_ctx_create(space, owner, 64, 0, TWZ_RIGHTS_DEFAULT, &context));
    FAILS(EINVAL, twz_ctx_create(space, owner, TWZ_READ, 4, TWZ_RIGHTS_DEFAULT, &context));
    OK(twz_ctx_create(space, owner, TWZ_READ | TWZ_DELETE, 0, TWZ_RIGHTS_DEFAULT, &context));
    OK(twz_ctx_create(space, owner, TWZ_READ, TWZ_CTX_UNDETACHABLE, TWZ_READ, &other));

    grant.target = secret;
    grant.accessor = context;
    grant.rights = TWZ_READ | TWZ_WRITE | TWZ_DELEGATE;
    OK(twz_key_generate(&stranger));
    FAILS(EPERM, twz_grant(space, &grant, stranger));
    FAILS(EINVAL, twz_grant(space, NULL, key));
    grant.expires = 1;
    grant.not_before = 2;
    FAILS(EINVAL, twz_grant(space, &grant, key));
    grant.expires = grant.not_before = 0;
    OK(twz_grant(space, &grant, key));
    OK(twz_allowed(space, context, secret, &rights));
    CHECK(rights == (TWZ_READ | TWZ_WRITE | TWZ_DELEGATE | TWZ_DELETE));
    OK(twz_ctx_mask(space, context, secret, 0));
    OK(twz_allowed(space, context, secret, &rights));
    CHECK(rights == (TWZ_READ | TWZ_WRITE | TWZ_DELEGATE));
    OK(twz_allowed(space, none, secret, &rights));
    CHECK(rights == TWZ_DELETE);

    FAILS(ENOENT, twz_ctx_switch(space, context));
    FAILS(EINVAL, twz_ctx_attach(space, context, 8, NULL));
    OK(twz_ctx_attach(space, context, TWZ_CTX_SWITCH | TWZ_CTX_CLOEXEC, NULL));
    OK(twz_ctx_attached(space, &attached));
    CHECK(attached.count == 2 && twz_id_equal(attached.active, context));
    CHECK(twz_id_is_null(attached.all[0]) && twz_id_equal(attached.all[1], context));
    OK(twz_object_open(space, secret, TWZ_READ | TWZ_WRITE, 0, &object));
    memset(twz_object_base(object), 7, 64);
    FAILS(EBUSY, twz_ctx_detach(space, context));

    /* Neither the right to use it, nor its owner's key; then the key. */
    FAILS(EACCES, twz_ctx_attach(space, other, 0, NULL));
    FAILS(EACCES, twz_ctx_attach(space, other, 0, stranger));
    OK(twz_ctx_attach(space, other, 0, key));
    FAILS(EBUSY, twz_ctx_detach(space, other));

    FAILS(EPERM, twz_revoke(space, secret, 1, stranger));
    OK(twz_revoke(space, secret, 1, key));
    FAILS(EPERM, twz_revoke(space, secret, 1, key));
    OK(twz_object_close(object));
    FAILS(EACCES, twz_object_open(space, secret, TWZ_READ, 0, &object));

    /* Granted anew, and passed on. */
    OK(twz_ctx_switch(space, none));
    OK(twz_grant(space, &grant, key));
    OK(twz_ctx_load(space, context));
    OK(twz_ctx_create(space, owner, 0, 0, TWZ_RIGHTS_DEFAULT, &other));
    grant.grantor = context;
    grant.accessor = other;
    grant.rights = TWZ_READ;
    OK(twz_grant(space, &grant, key));
    OK(twz_allowed(space, other, secret, &rights));
    CHECK(rights == TWZ_READ);
    OK(twz_ctx_detach(space, context));
    OK(twz_key_close(stranger));
    OK(twz_key_close(key));
    OK(twz_space_close(space));
    puts("every rule held");
    return 0;
}
