/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * twz.h - objects with 128-bit ids, pointers that outlive programs, and views
 * resolved at the fault.
 *
 * A space is a pool opened by this process. Objects of the pool are memory: an
 * open one is mapped, and its data is read and written with plain loads and
 * stores. A twz_ptr that lies in an object leads to a place in the same object
 * or in another one, at whatever address either is mapped, in every process
 * and after every restart.
 *
 *     struct node { uint64_t value; twz_ptr next; };
 *
 *     twz_space *space;
 *     twz_object *a, *b;
 *     struct twz_new what = { .root_size = sizeof(struct node) };
 *     twz_id id;
 *
 *     twz_space_open("pool", &space);
 *     twz_object_create(space, &what, &id);
 *     twz_object_open(space, id, TWZ_READ | TWZ_WRITE, 0, &a);
 *     ...
 *     struct node *head = twz_object_base(a), *second = twz_object_base(b);
 *     twz_store(&head->next, second);                  // from a into b
 *
 *     void *to;                                        // any process, any time
 *     twz_lea(&head->next, sizeof(struct node), &to);
 *
 * Rules that hold for every function here:
 *
 *  - What returns int returns 0, or a negative errno and changes nothing the
 *    caller can see but its results: those are set to NULL, 0 or an id of
 *    nothing. twz_last_error() then says in words what is wrong and what to do.
 *  - NULL for a space, an object or a text is -EINVAL; NULL where a result is
 *    to be put, or for a place in memory, is -EFAULT. Where NULL has a meaning,
 *    the function says so.
 *  - A text ends in a NUL. Names and labels are UTF-8, or -EILSEQ; paths are
 *    whatever the file system takes.
 *  - A handle (twz_space *, twz_object *) is one that this library gave out and
 *    that is not closed before the call returns. What a pointer argument points
 *    to is valid and aligned, as in any C function. Only the bytes *in objects*
 *    may be anything at all: no pointer found there leads this library outside
 *    of an object's data.
 *  - Every function may be called from any thread, and from several at once. Do
 *    not call them from a signal handler.
 *  - A failure inside the library itself is -EIO, and never unwinds into C.
 *
 * A touch of an object may fault where nothing is mapped yet. The library has a
 * handler for SIGSEGV and SIGBUS that maps it, and passes every other fault on
 * to the handler that was there before. A program that installs its own after
 * twz_space_open() must pass on what it does not know.
 *
 * Link with what `pkg-config --cflags --libs twz` prints.
 */
#ifndef TWZ_H
#define TWZ_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------ version */

/* The release this header is of. */
#define TWZ_VERSION_MAJOR 0
#define TWZ_VERSION_MINOR 1
#define TWZ_VERSION_PATCH 0

/* Counts changes after which a program has to be compiled again. */
#define TWZ_ABI_VERSION 1

/*
 * The TWZ_ABI_VERSION that the library at hand was built with. A program that
 * finds another one than in its header must not go on.
 */
uint32_t twz_abi_version(void);

/* ------------------------------------------------------------------- errors */

/*
 * What went wrong in the last call of this thread that failed, in one sentence
 * without a full stop; "" if none has failed. Never NULL. The text is this
 * thread's, and stays until its next call that fails.
 */
const char *twz_last_error(void);

/* ---------------------------------------------------------------------- ids */

/* The name of an object, the same on every machine. Both halves 0: of nothing. */
typedef struct twz_id {
    uint64_t lo; /* least significant half */
    uint64_t hi; /* most significant half */
} twz_id;

/* Bytes that the text form of an id takes: 32 hex digits and a NUL. */
#define TWZ_ID_TEXT 33

/* Whether an id is the id of nothing. */
#define twz_id_is_null(id) (((id).lo | (id).hi) == 0)

/* Whether two ids are the same. */
#define twz_id_equal(a, b) ((a).lo == (b).lo && (a).hi == (b).hi)

/* Writes an id as text: 32 lower-case hex digits, most significant first. */
int twz_id_format(twz_id id, char text[TWZ_ID_TEXT]);

/* Reads what twz_id_format() wrote. -EINVAL for any other text. */
int twz_id_parse(const char *text, twz_id *id);

/* ------------------------------------------------------------------- rights */

#define TWZ_READ 1u      /* load from the object */
#define TWZ_WRITE 2u     /* store into the object */
#define TWZ_EXEC 4u      /* run code in the object */
#define TWZ_USE 8u       /* attach to it as a security context */
#define TWZ_DELETE 16u   /* delete the object */
#define TWZ_DELEGATE 32u /* pass rights on */

/* What a new object grants to everybody unless its maker says otherwise. */
#define TWZ_RIGHTS_DEFAULT (TWZ_READ | TWZ_WRITE | TWZ_USE | TWZ_DELETE)

/* --------------------------------------------------------- pools and spaces */

/* A pool, opened by this process. */
typedef struct twz_space twz_space;

/*
 * Makes a pool in a directory, which must not exist or be empty (-EEXIST).
 * The label is text for people, of at most 63 bytes; NULL for none.
 */
int twz_pool_init(const char *path, const char *label);

/*
 * Opens the pool at a path: a directory, or the kernel module's device. NULL
 * opens the user's own: $TWZ_POOL, else what the kernel module serves, if it is
 * there, else $XDG_DATA_HOME/twz, else ~/.local/share/twz, made on demand.
 * TWZ_BACKEND=kernel and TWZ_BACKEND=embedded insist on the one or the other.
 * -ENOENT: there is no pool at that path.
 */
int twz_space_open(const char *path, twz_space **space);

/*
 * Closes a space and unmaps all of it: no address in it means anything any
 * more. -EBUSY while objects are open in it; NULL is fine, and nothing happens.
 */
int twz_space_close(twz_space *space);

/* ------------------------------------------------------------------ objects */

/* Slot offset of an object's first data byte: what a pointer to its root holds. */
#define TWZ_DATA_START 4096u

/* The most bytes of data that an object can have: a slot less two pages. */
#define TWZ_MAX_DATA ((uint64_t)(1u << 30) - 2u * 4096u)

/* Flag: the contents never change, and the id covers them. */
#define TWZ_IMMUTABLE 1u

/* Kinds of objects (struct twz_stat). Others may come. */
#define TWZ_KIND_BYTES 0u   /* bytes; a file */
#define TWZ_KIND_TYPED 1u   /* a root whose type the fingerprint names */
#define TWZ_KIND_VIEW 2u    /* a view */
#define TWZ_KIND_NAMES 3u   /* a directory of names */
#define TWZ_KIND_CONTEXT 4u /* a security context */
#define TWZ_KIND_LOG 5u     /* a log of transactions */
#define TWZ_KIND_THREAD 6u  /* a program that goes on after a power cut */
#define TWZ_KIND_PROCESSES 7u /* who has the pool open */
#define TWZ_KIND_KEY 8u     /* a public key */
#define TWZ_KIND_SECRET 9u  /* a secret key, sealed or not */
#define TWZ_KIND_PART 10u /* what is of a long file past its first object */

/* What an object shall be. Zeros (`= {0}`) are sensible throughout. */
struct twz_new {
    uint64_t size;        /* bytes of data; raised to what the root needs */
    uint64_t root_size;   /* bytes of the root; a heap (twz_alloc) begins after it. 0: no heap */
    uint64_t fingerprint; /* names the root's type, of your choosing; 0: bytes */
    twz_id owner;         /* the object with the owner's public key; zeros: nobody */
    uint32_t rights;      /* rights that everybody has; 0: TWZ_RIGHTS_DEFAULT */
    uint32_t flags;       /* 0; TWZ_IMMUTABLE is for twz_object_copy() */
    uint64_t reserved[2]; /* 0 */
};

/* What an object is. */
struct twz_stat {
    twz_id id;            /* its id */
    twz_id owner;         /* the object with the owner's public key */
    uint64_t size;        /* bytes of data */
    uint64_t stored;      /* bytes it takes on the medium */
    uint64_t names;       /* names bound to it */
    uint64_t fingerprint; /* of the root's type, or 0 */
    uint32_t kind;        /* TWZ_KIND_... */
    uint32_t flags;       /* TWZ_IMMUTABLE */
    uint32_t rights;      /* rights that everybody has */
    uint32_t reserved;    /* 0 */
};

/* An open object: what keeps it mapped. */
typedef struct twz_object twz_object;

/*
 * Makes an object of zeros; NULL makes an empty one of plain bytes. It is
 * persistent and stays until it is deleted: bind a name to it, point to it, or
 * keep its id.
 *
 * A root that a Rust program is to open as a type needs that type's
 * `T::FINGERPRINT`. -EINVAL: a fingerprint without a root_size, an unknown
 * right or flag, a size above TWZ_MAX_DATA, or a reserved field that is not 0.
 */
int twz_object_create(twz_space *space, const struct twz_new *what, twz_id *id);

/*
 * Makes a copy, with the data, the pointers and the type of `source`; pages are
 * shared until written where the medium can. Of `what`, which may be NULL, the
 * rights, flags and owner count. With TWZ_IMMUTABLE the copy never changes, and
 * its id covers its data.
 */
int twz_object_copy(twz_space *space, twz_id source, const struct twz_new *what, twz_id *id);

/*
 * Deletes an object. Whoever has it mapped keeps it until they let go.
 * -EBUSY while names are bound to it.
 */
int twz_object_delete(twz_space *space, twz_id id);

/* Says what an object is, after having verified that its id is earned. */
int twz_object_stat(twz_space *space, twz_id id, struct twz_stat *stat);

/*
 * Opens an object with TWZ_READ, and TWZ_WRITE and TWZ_EXEC if wanted. What is
 * asked for is granted or the call fails (-EACCES): so a store into what was
 * opened for writing does not fault. With a fingerprint other than 0 the
 * object must carry that very one (-EINVAL).
 */
int twz_object_open(twz_space *space, twz_id id, uint32_t rights, uint64_t fingerprint,
                    twz_object **object);

/*
 * Closes a handle: addresses in the object mean nothing any more, unless another
 * handle of it is open. -EBUSY while the calling thread holds the object's lock;
 * NULL is fine, and nothing happens.
 */
int twz_object_close(twz_object *object);

/* The id of an open object. */
int twz_object_id(const twz_object *object, twz_id *id);

/*
 * The address of data byte 0, in this process, while the handle is open. NULL
 * for NULL. A touch at or beyond twz_object_size() may raise SIGBUS. So may the
 * first store to a page on a full disk, but not in a root or in what twz_alloc()
 * gave: those have their storage.
 */
void *twz_object_base(const twz_object *object);

/* The slot it is mapped at in this process's view. */
int twz_object_slot(const twz_object *object, uint32_t *slot);

/* Bytes of data it has now. */
int twz_object_size(const twz_object *object, uint64_t *size);

/* Changes how many bytes of data it has. New ones are zeros. Addresses stay. */
int twz_object_resize(twz_object *object, uint64_t size);

/*
 * A descriptor of the object's data, for read(2), mmap(2) and whatever else
 * wants one: with TWZ_READ, and TWZ_WRITE if wanted (-EACCES if the object was
 * not opened with them). It is close-on-exec, and the caller closes it; it stays
 * good when the object is closed. Byte 0 is the first of the data.
 */
int twz_fd(const twz_object *object, uint32_t rights, int *fd);

/* Makes everything stored in it so far survive a power cut. */
int twz_object_sync(twz_object *object);

/*
 * Waits until no other thread of any process holds the object's lock, and takes
 * it. It keeps out others who lock, not readers. It belongs to the calling
 * thread and ends with twz_unlock(), with the thread, or with the process,
 * however that ends; a child that is forked meanwhile does not have it.
 * -EDEADLK: the calling thread has it already.
 */
int twz_lock(twz_object *object);

/* Gives the lock back. -EPERM: the calling thread does not have it. */
int twz_unlock(twz_object *object);

/* ------------------------------------------------------------- transactions */

/*
 * What transactions, and changes of containers, survive: the death of any
 * process at any instant, or a power cut as well. The latter is what a space
 * begins with where it costs no system call: on persistent memory.
 */
#define TWZ_PROCESS 0
#define TWZ_POWER 1
int twz_set_durability(twz_space *space, uint32_t durability);
int twz_durability(const twz_space *space, uint32_t *durability);

/*
 * A transaction changes any number of objects of a space as one: all of it
 * happens, or nothing, whatever dies meanwhile. It belongs to the thread that
 * began it, and locks each object that it touches until its end. Begun inside
 * another one it is a part of that, and alone is undone if it fails.
 *
 *     int error;
 *     TWZ_TXSTART(space, error) {
 *         TWZ_TXRECORD(error, &from->cents);     // is put back if it fails
 *         TWZ_TXRECORD(error, &to->cents);
 *         if (from->cents < 30)
 *             TWZ_TXABORT(error, -ERANGE);
 *         from->cents -= 30;
 *         to->cents += 30;
 *     } TWZ_TXEND(error);
 *
 * After TWZ_TXEND `error` is 0, and it has happened, or a negative errno, and
 * nothing has. -EBUSY: another transaction has one of the objects; do it again.
 * TWZ_TXRECORD and TWZ_TXABORT leave the innermost loop or switch, so in one of
 * those call the functions. Do not leave the block by return or goto: call
 * twz_tx_end() first.
 */
#define TWZ_TXSTART(space, error) \
    do { \
        if (((error) = twz_tx_begin(space)) == 0) { \
            do

#define TWZ_TXRECORD(error, address) \
    if (((error) = twz_tx_record((address), sizeof(*(address)))) != 0) \
    break

#define TWZ_TXABORT(error, why) \
    { \
        (error) = (why); \
        break; \
    } \
    (void)0

#define TWZ_TXEND(error) \
    while (0) \
        ; \
    (error) = twz_tx_end(error); \
    } \
    } \
    while (0)

int twz_tx_begin(twz_space *space);

/*
 * Commits the innermost transaction if `error` is 0, and aborts it otherwise;
 * returns `error` then. -EPERM: this thread has none open.
 */
int twz_tx_end(int error);

/* Locks an object from now on. */
int twz_tx_lock(twz_object *object);

/*
 * Keeps what `len` bytes at an address in an object hold, so that they may be
 * changed in place and are put back if the transaction does not commit.
 */
int twz_tx_record(const void *address, size_t len);

/*
 * Copies bytes to an address in an object once the transaction commits. Cheaper
 * than to record them first; but only twz_tx_read() sees them before.
 */
int twz_tx_write(void *address, const void *from, size_t len);

/* Copies bytes from an object as the transaction sees them. */
int twz_tx_read(const void *address, void *to, size_t len);

/* The same as without tx_, but undone if the transaction does not commit. */
int twz_tx_alloc(twz_object *object, size_t len, size_t align, void **address);
int twz_tx_free(twz_object *object, void *address);

/*
 * For programs that order their stores themselves: sends bytes of an object on
 * their way to the medium; waits until all that were sent are there; or both.
 */
int twz_flush(twz_object *object, const void *address, size_t len);
int twz_fence(twz_space *space);
int twz_persist(twz_object *object, const void *address, size_t len);

/* --------------------------------------------------------------------- heap */

/*
 * Allocates `len` bytes of zeros in an object that was made with a root_size.
 * `align` is a power of two of at most 4096; 0 stands for 16. The object grows
 * as needed. -EOPNOTSUPP: it has no heap; -ENOSPC: it is full.
 */
int twz_alloc(twz_object *object, size_t len, size_t align, void **address);

/*
 * Gives back what twz_alloc() gave, found through a handle of the same object
 * with the same rights. -EFAULT: it is no such block, or was given back already.
 * NULL is fine, and nothing happens.
 */
int twz_free(twz_object *object, void *address);

/* ----------------------------------------------------------------- pointers */

/*
 * A pointer that lives in an object: 24 bits that choose an entry of the
 * object's foreign object table (0: this object), 40 bits of slot offset (0:
 * null). It means something only where it lies: never copy one to another
 * place, call twz_store() there. Zeros are a null pointer.
 *
 * Everywhere below, `where` is the address of a twz_ptr in the data of an
 * object of an open space, a multiple of 8; else -EFAULT. To store one needs
 * the right to write there; else -EACCES.
 */
typedef uint64_t twz_ptr;

/* The bits of a twz_ptr that hold the offset. */
#define TWZ_PTR_OFFSET_MASK ((UINT64_C(1) << 40) - 1)

/* Whether a twz_ptr leads nowhere, whichever table entry it names. */
#define twz_ptr_is_null(ptr) (((ptr) & TWZ_PTR_OFFSET_MASK) == 0)

/*
 * Where a pointer leads, as an address in this process of at least `len` bytes
 * of data. Its target is mapped if need be, and stays so as long as any object
 * is open in the space and the view does not change.
 *
 * -EFAULT: the pointer is null, or does not lead to that many bytes of data.
 * -ENOENT: the object or the name it names is not there (now). -EACCES: the
 * object cannot be read. The rights to the target are those the pointer asks
 * for, as far as they are granted: a store to a target that grants no writing
 * faults.
 */
int twz_lea(const twz_ptr *where, size_t len, void **out);

/*
 * Makes a pointer lead to an address in an object of the same space: in the
 * same object or another. NULL makes it null.
 */
int twz_store(twz_ptr *where, const void *target);

/* The same in a transaction, once that commits. */
int twz_tx_store(twz_ptr *where, const void *target);

/*
 * Makes a pointer lead to a slot offset (TWZ_DATA_START: the root) of an object
 * that need not be mapped, nor even exist yet. Rights of 0 ask for what
 * programs commonly need: reading and writing. -EINVAL: no id, an offset that
 * is in no object's data, or unknown rights.
 */
int twz_store_id(twz_ptr *where, twz_id id, uint64_t offset, uint32_t rights);

/*
 * The same, into a private copy of the object, which is made on first use.
 */
int twz_store_derived(twz_ptr *where, twz_id id, uint64_t offset, uint32_t rights);

/*
 * Makes a pointer lead into whatever object a name is bound to at each use. A
 * rebinding is seen by running programs. The name's text is kept in the heap of
 * the object that the pointer lies in (-EOPNOTSUPP: it has none).
 */
int twz_store_name(twz_ptr *where, const char *name, uint64_t offset, uint32_t rights);

/*
 * The object and slot offset that a pointer leads to now, without mapping the
 * object. `offset` may be NULL.
 */
int twz_ptr_target(const twz_ptr *where, twz_id *id, uint64_t *offset);

/*
 * Makes every pointer in an object that leads into `from` lead into `to`, by
 * one atomic store, whatever the contents. -ENOENT: no pointer can lead there,
 * as the object's table has no entry for `from`.
 */
int twz_retarget(twz_object *object, twz_id from, twz_id to);

/* -------------------------------------------------------------------- names */

/*
 * Names are paths in the pool's own tree of directories: "list", "maps/world".
 */

/* Flag of twz_name_bind(): take the name from whatever has it. */
#define TWZ_REPLACE 1u

/* Binds a name to an object. -EEXIST: it is taken, and flags are 0. */
int twz_name_bind(twz_space *space, const char *name, twz_id id, uint32_t flags);

/* The object a name is bound to. -ENOENT: there is none; -EISDIR: a directory. */
int twz_name_lookup(twz_space *space, const char *name, twz_id *id);

/* Takes a name away. The object stays. */
int twz_name_unbind(twz_space *space, const char *name);

/* Renames, in one step, replacing what `to` was bound to. */
int twz_name_rename(twz_space *space, const char *from, const char *to);

/* Makes a directory of names. */
int twz_name_mkdir(twz_space *space, const char *name);

/* Removes an empty directory of names. -ENOTEMPTY: it is not. */
int twz_name_rmdir(twz_space *space, const char *name);

/* -------------------------------------------------------------------- views */

/*
 * The view of a space says which slot of the address space shows which object.
 * A space begins with a view of its own. Storing an entry is enough to map: the
 * next touch of the slot resolves it. Slots count from 1, below
 * twz_view_slots(); any other is -EINVAL.
 */

/* How many slots there are, counting slot 0, which is not for objects. */
int twz_view_slots(twz_space *space, uint32_t *slots);

/* Stores an entry. What is mapped stays until twz_view_invalidate(). */
int twz_view_set(twz_space *space, uint32_t slot, twz_id id, uint32_t rights);

/*
 * What a slot shows: the id of nothing, and no rights, for an empty entry.
 * `rights` may be NULL.
 */
int twz_view_get(twz_space *space, uint32_t slot, twz_id *id, uint32_t *rights);

/* Empties an entry. What is mapped stays until twz_view_invalidate(). */
int twz_view_clear(twz_space *space, uint32_t slot);

/*
 * Says that `count` entries from `first` on have changed: they are unmapped,
 * and the next touch reads the view again. -EBUSY: an object is open there.
 * Entries that do not exist are passed over.
 */
int twz_view_invalidate(twz_space *space, uint32_t first, uint32_t count);

/* Where data byte 0 of what a slot shows is in this process. */
int twz_view_address(twz_space *space, uint32_t slot, void **address);

/* Makes an object that is an empty view, for processes to share. */
int twz_view_create(twz_space *space, twz_id *id);

/*
 * Switches the space to a view object; NULL to a new, empty view of its own.
 * -EBUSY while objects are open in it: their addresses would change meaning.
 */
int twz_view_switch(twz_space *space, const twz_id *view);

/* ------------------------------------------------------------------ resuming */

/*
 * A program that registers is a thread of its pool: twzd starts it again when it
 * is gone without having called twz_resume_finish(), after a power cut or after it
 * was killed. RESUME.md says what that promises.
 */

#define TWZ_LOST_POWER 1u  /* the machine was started anew */
#define TWZ_LOST_KILLED 2u /* the process ended, was killed or crashed */

/* What there is to know of the run that was lost. */
struct twz_lost {
    uint64_t generation; /* which run it was, counted from 1 */
    uint64_t mark;       /* what it left with twz_resume_set_mark() */
    uint32_t cause;      /* TWZ_LOST_... */
    uint32_t reserved;   /* 0 */
};

/* This process as a thread. */
typedef struct twz_thread twz_thread;

/*
 * Makes this process the thread of that name, one word, which is made if there is
 * none; to be called before any object is opened. If the thread was lost, `resume`
 * is called, with `context`, once its view is attached and every transaction of a
 * dead process is undone or finished. If it does not return 0 nor does this, and
 * the thread is as lost as before; a negative errno is passed on. `resume` may be
 * NULL. -EBUSY: another process is the thread. -EOPNOTSUPP: it is another user's.
 */
int twz_resume_register(twz_space *space, const char *name,
                        int (*resume)(void *context, const struct twz_lost *lost),
                        void *context, twz_thread **thread);

/* What was last left with twz_resume_set_mark(), in whatever run; at first 0. */
int twz_resume_mark(const twz_thread *thread, uint64_t *mark);

/* Leaves a number for the next run. It is durable when this returns. */
int twz_resume_set_mark(twz_thread *thread, uint64_t mark);

/* As twz_view_switch(), and the view is attached again when it is resumed. */
int twz_resume_set_view(twz_thread *thread, twz_space *space, const twz_id *view);

/* Says that the thread is done, and is not to be started again; ends the handle. */
int twz_resume_finish(twz_thread *thread);

/* ------------------------------------------------------- who may do what */

/*
 * An object that somebody owns (struct twz_new) is open to what its rights say,
 * and besides to those who act in a context that holds a grant on it, signed with
 * the owner's key. A process acts in one context at a time, of those that it is
 * attached to; it begins in the default one, whose id is zeros. Where the active
 * context does not allow something, the library says -EACCES, and a plain load or
 * store raises the signal.
 */

/* A key pair in memory. */
typedef struct twz_key twz_key;

/* Makes a new one. */
int twz_key_generate(twz_key **key);

/*
 * Reads one from a file that nobody else may read, -EACCES if others may, or if the
 * passphrase is another one; NULL where it is not sealed. -EUCLEAN: altered bytes.
 */
int twz_key_read(const char *path, const char *passphrase, twz_key **key);

/* Writes one to a new file, sealed unless the passphrase is NULL. */
int twz_key_save(const twz_key *key, const char *path, const char *passphrase);

/* The object with its public half: the owner in struct twz_new. Made if need be. */
int twz_key_publish(const twz_key *key, twz_space *space, twz_id *id);

/* Forgets a key pair, and wipes it. NULL is fine. */
int twz_key_close(twz_key *key);

#define TWZ_CTX_UNDETACHABLE 1u /* who is attached stays attached */
#define TWZ_CTX_CONFINED 2u     /* it is left through a gate, or not at all */

/*
 * Makes a context. `owner` is the key that speaks for it, or zeros; `mask` is what
 * it leaves of default rights, `rights` what everybody may do with the context itself.
 */
int twz_ctx_create(twz_space *space, twz_id owner, uint32_t mask, uint32_t flags,
                   uint32_t rights, twz_id *id);

/* Says what a context leaves of one object's default rights, in place of its mask. */
int twz_ctx_mask(twz_space *space, twz_id context, twz_id target, uint32_t rights);

/* What is granted. */
struct twz_terms {
    twz_id target;        /* on this object */
    twz_id accessor;      /* to this context */
    twz_id grantor;       /* by this one, which holds it with TWZ_DELEGATE; zeros: by the owner */
    uint64_t not_before;  /* nanoseconds since 1970 from which it holds */
    uint64_t expires;     /* and from which it does not; 0: for good */
    uint64_t gate_offset; /* where its code may be entered: slot offset, */
    uint64_t gate_length; /* bytes, or 0 for anywhere, */
    uint64_t gate_align;  /* and how far apart the places are, a power of two */
    uint32_t rights;      /* TWZ_READ ... */
    uint32_t reserved;    /* 0 */
};

/*
 * Signs a grant with the key of the target's owner, or of the grantor's, and puts
 * it into its context. -EPERM: the key is not that owner's. Who is attached has
 * it after twz_ctx_load().
 */
int twz_grant(twz_space *space, const struct twz_terms *grant, const twz_key *key);

/* What a context allows on an object now. */
int twz_allowed(twz_space *space, twz_id context, twz_id object, uint32_t *rights);

#define TWZ_CTX_SWITCH 1u  /* act in it at once */
#define TWZ_CTX_CLOEXEC 2u /* not beyond exec */
#define TWZ_CTX_MOST 16u   /* contexts that one is attached to, at most */

/*
 * Attaches this process to a context. That takes the right TWZ_USE on it, or the key
 * of its owner; else NULL. -EACCES: neither. -EPERM: the active context is confined.
 * -ENOSPC: TWZ_CTX_MOST are attached. -EUCLEAN: the object is no whole context.
 */
int twz_ctx_attach(twz_space *space, twz_id context, uint32_t flags, const twz_key *key);

/* What this process is attached to, in the order of attaching. */
struct twz_attached {
    twz_id active;            /* the one it acts in */
    twz_id all[TWZ_CTX_MOST]; /* all of them; zeros are the default context */
    uint32_t count;           /* how many */
    uint32_t flags;           /* TWZ_CTX_... of the active one */
};
int twz_ctx_attached(twz_space *space, struct twz_attached *attached);

/*
 * Acts in another context that this process is attached to, all its threads. What
 * it does not allow is out of reach when this returns. -ENOENT: not attached.
 */
int twz_ctx_switch(twz_space *space, twz_id context);

/* Is attached no longer. -EBUSY: it is active, or cannot be detached. */
int twz_ctx_detach(twz_space *space, twz_id context);

/* Has a context read anew, for all that are attached to it. */
int twz_ctx_load(twz_space *space, twz_id context);

/*
 * Raises an object's epoch with the key of its owner: what was granted on it before,
 * or by it if it is a context, is void when this returns. -EPERM: the key is not
 * its owner's, or the epoch not above the one it has.
 */
int twz_revoke(twz_space *space, twz_id object, uint64_t epoch, const twz_key *key);

#ifdef __cplusplus
}
#endif

#endif /* TWZ_H */
