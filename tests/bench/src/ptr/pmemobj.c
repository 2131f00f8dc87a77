// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The chase by PMDK's pointers. pmemobj_direct is inline in C only, so the loop
 * has to be C; the pool and its nodes are made here too, the list by the caller.
 */
#include <libpmemobj.h>
#include <stdint.h>

struct node {
	PMEMoid next;
	uint64_t value;
	uint64_t rest[5];
};

/* Makes a pool with room for `count` nodes, and says where they are. */
PMEMobjpool *bench_pm_make(const char *path, uint64_t count, PMEMoid *first)
{
	uint64_t bytes = (count + 1) * sizeof(struct node);
	/* A root takes whole chunks of 256 KiB. */
	uint64_t pool = PMEMOBJ_MIN_POOL + bytes + bytes / 4 + (2 << 20);
	PMEMobjpool *pop = pmemobj_create(path, "bench", pool, 0600);
	if (!pop)
		return NULL;
	*first = pmemobj_root(pop, bytes);
	if (OID_IS_NULL(*first)) {
		pmemobj_close(pop);
		return NULL;
	}
	uintptr_t at = (uintptr_t)pop + first->off;
	first->off += (64 - at % 64) % 64;
	return pop;
}

void bench_pm_close(PMEMobjpool *pop)
{
	pmemobj_close(pop);
}

void bench_pm_put(PMEMoid at, uint64_t value, PMEMoid next)
{
	struct node *node = pmemobj_direct(at);
	node->next = next;
	node->value = value;
}

/* The first step leads to the node that the caller names. */
uint64_t bench_pm_chase(PMEMoid *at, uint64_t steps)
{
	struct node *node = pmemobj_direct(*at);
	uint64_t sum = 0;
	for (uint64_t i = 1; i < steps; i++) {
		sum += node->value;
		node = pmemobj_direct(node->next);
	}
	sum += node->value;
	*at = node->next;
	return sum;
}

#undef pmemobj_direct
extern void *pmemobj_direct(PMEMoid oid);

uint64_t bench_pm_chase_called(PMEMoid *at, uint64_t steps)
{
	struct node *node = pmemobj_direct(*at);
	uint64_t sum = 0;
	for (uint64_t i = 1; i < steps; i++) {
		sum += node->value;
		node = pmemobj_direct(node->next);
	}
	sum += node->value;
	*at = node->next;
	return sum;
}
