/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for kmod/sys. Only what bindings.list names of it is bound.
 */
#include <linux/anon_inodes.h>
#include <linux/binfmts.h>
#include <linux/blkdev.h>
#include <linux/dax.h>
#include <linux/debugfs.h>
#include <linux/falloc.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/huge_mm.h>
#include <linux/libnvdimm.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mm_types.h>
#include <linux/mman.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/pfn.h>
#include <linux/pgtable.h>
#include <linux/pid.h>
#include <linux/poll.h>
#include <linux/pseudo_fs.h>
#include <linux/ratelimit.h>
#include <linux/rwsem.h>
#include <linux/sched.h>
#include <linux/sched/exec_state.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <asm/cacheflush.h>
#include <asm/pgtable.h>

/* Macros that bindgen cannot read, because of their casts. */
static const unsigned int TWZ_IOCB_APPEND = IOCB_APPEND;
static const unsigned int TWZ_IOCB_DSYNC = IOCB_DSYNC;
/* The kernel crate takes VM_MAYEXEC for this one. */
static const unsigned long TWZ_VM_MAYSHARE = VM_MAYSHARE;
/* Where the registers of a program end on the stack of its thread. */
static const unsigned long TWZ_STACK_TOP = THREAD_SIZE - TOP_OF_KERNEL_STACK_PADDING;
