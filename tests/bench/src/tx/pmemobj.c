// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The same transactions with libpmemobj. Its macros are C's only.
 */
#include <libpmemobj.h>
#include <stdint.h>
#include <string.h>

#define BUCKETS (1 << 18)

struct entry {
	uint64_t key, value;
	PMEMoid next;
};

struct root {
	uint64_t first;
	uint64_t apart[15];
	uint64_t second;
	uint64_t more[15];
	unsigned char bytes[128];
	PMEMoid block;
	uint64_t count;
	PMEMoid buckets[BUCKETS];
};

static struct root *root_of(PMEMobjpool *pop)
{
	return pmemobj_direct(pmemobj_root(pop, sizeof(struct root)));
}

PMEMobjpool *bench_tx_make(const char *path)
{
	PMEMobjpool *pop = pmemobj_create(path, "bench", 256 << 20, 0600);
	if (pop)
		(void)root_of(pop);
	return pop;
}

void bench_tx_close(PMEMobjpool *pop)
{
	pmemobj_close(pop);
}

int bench_tx_two_words(PMEMobjpool *pop, uint64_t times)
{
	struct root *root = root_of(pop);
	for (uint64_t i = 0; i < times; i++) {
		TX_BEGIN(pop) {
			pmemobj_tx_add_range_direct(&root->first, 8);
			root->first++;
			pmemobj_tx_add_range_direct(&root->second, 8);
			root->second++;
		} TX_END
	}
	return root->first == root->second ? 0 : -1;
}

int bench_tx_hundred_bytes(PMEMobjpool *pop, uint64_t times)
{
	struct root *root = root_of(pop);
	unsigned char bytes[100];
	for (uint64_t i = 0; i < times; i++) {
		memset(bytes, (int)i, sizeof(bytes));
		TX_BEGIN(pop) {
			pmemobj_tx_add_range_direct(root->bytes, 100);
			memcpy(root->bytes, bytes, 100);
		} TX_END
	}
	return memcmp(root->bytes, bytes, 100) == 0 ? 0 : -1;
}

int bench_tx_alloc_free(PMEMobjpool *pop, uint64_t times)
{
	struct root *root = root_of(pop);
	for (uint64_t i = 0; i < times; i++) {
		TX_BEGIN(pop) {
			PMEMoid oid = pmemobj_tx_alloc(64, 1);
			*(uint64_t *)pmemobj_direct(oid) = i;
			pmemobj_tx_add_range_direct(&root->block, sizeof(PMEMoid));
			root->block = oid;
		} TX_END
		TX_BEGIN(pop) {
			pmemobj_tx_add_range_direct(&root->block, sizeof(PMEMoid));
			pmemobj_tx_free(root->block);
			root->block = OID_NULL;
		} TX_END
	}
	return OID_IS_NULL(root->block) ? 0 : -1;
}

static uint64_t mixed(uint64_t key)
{
	key = (key ^ key >> 32) * 0x9e3779b97f4a7c15;
	return key >> 40;
}

/* As PMDK's example hashmap_tx does it, with buckets enough from the start. */
int bench_tx_insert(PMEMobjpool *pop, uint64_t key, uint64_t value)
{
	struct root *root = root_of(pop);
	PMEMoid *bucket = &root->buckets[mixed(key) % BUCKETS];
	struct entry *entry;
	int ret = 0;

	for (PMEMoid at = *bucket; !OID_IS_NULL(at); at = entry->next) {
		entry = pmemobj_direct(at);
		if (entry->key == key)
			return 1;
	}
	TX_BEGIN(pop) {
		pmemobj_tx_add_range_direct(bucket, sizeof(*bucket));
		pmemobj_tx_add_range_direct(&root->count, sizeof(root->count));
		PMEMoid oid = pmemobj_tx_alloc(sizeof(struct entry), 2);
		entry = pmemobj_direct(oid);
		entry->key = key;
		entry->value = value;
		entry->next = *bucket;
		*bucket = oid;
		root->count++;
	} TX_ONABORT {
		ret = -1;
	} TX_END
	return ret;
}

int bench_tx_get(PMEMobjpool *pop, uint64_t key, uint64_t *value)
{
	struct root *root = root_of(pop);
	struct entry *entry;
	PMEMoid at = root->buckets[mixed(key) % BUCKETS];

	for (; !OID_IS_NULL(at); at = entry->next) {
		entry = pmemobj_direct(at);
		if (entry->key == key) {
			*value = entry->value;
			return 0;
		}
	}
	return -1;
}
