// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A map like PMDK's example hashmap_tx: chains of entries in persistent memory,
 * each change a transaction with an undo log. Kinder to PMDK than the example in
 * two ways: a value lies in its entry instead of in an object of its own, and
 * there are buckets enough from the start. See pmemobj_tx.rs.
 */
#include <libpmemobj.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	PMEMoid next;
	/* The key, whole words of it, and the value. */
	unsigned char bytes[];
};

struct root {
	uint64_t key_len, value_len, mask, count;
	PMEMoid buckets;
};

struct map {
	PMEMobjpool *pop;
	struct root *root;
};

static struct map *opened(PMEMobjpool *pop)
{
	struct map *map = pop ? malloc(sizeof(*map)) : NULL;
	if (!map)
		return NULL;
	map->pop = pop;
	map->root = pmemobj_direct(pmemobj_root(pop, sizeof(struct root)));
	/* Not kept over a close: without it nobody counts what is allocated. */
	enum pobj_stats_enabled on = POBJ_STATS_ENABLED_PERSISTENT;
	pmemobj_ctl_set(pop, "stats.enabled", &on);
	return map;
}

struct map *bench_map_make(const char *path, uint64_t pairs, uint64_t key_len, uint64_t value_len)
{
	uint64_t buckets = 1024;
	while (buckets < pairs)
		buckets *= 2;
	/* An entry has a header and is rounded up, to a quarter more at most. */
	uint64_t each = (sizeof(struct entry) + key_len + value_len + 16) * 5 / 4 + 64;
	uint64_t bytes = pairs * each + buckets * sizeof(PMEMoid) + (128 << 20);
	PMEMobjpool *pop = pmemobj_create(path, "bench", bytes, 0600);
	struct map *map = opened(pop);
	if (!map)
		return NULL;
	struct root *root = map->root;
	root->key_len = key_len;
	root->value_len = value_len;
	root->mask = buckets - 1;
	pmemobj_persist(pop, root, sizeof(*root));
	if (pmemobj_zalloc(pop, &root->buckets, buckets * sizeof(PMEMoid), 1)) {
		pmemobj_close(pop);
		free(map);
		return NULL;
	}
	return map;
}

struct map *bench_map_open(const char *path)
{
	return opened(pmemobj_open(path, "bench"));
}

void bench_map_close(struct map *map)
{
	pmemobj_close(map->pop);
	free(map);
}

uint64_t bench_map_space(struct map *map)
{
	uint64_t bytes = 0;
	pmemobj_ctl_get(map->pop, "stats.heap.curr_allocated", &bytes);
	return bytes;
}

static int same(const unsigned char *a, const unsigned char *b, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += 8) {
		uint64_t x, y;
		memcpy(&x, a + at, 8);
		memcpy(&y, b + at, 8);
		if (x != y)
			return 0;
	}
	return 1;
}

static PMEMoid *bucket_of(const struct root *root, const unsigned char *key)
{
	uint64_t word;
	memcpy(&word, key, 8);
	word = (word ^ word >> 32) * 0x9e3779b97f4a7c15;
	return (PMEMoid *)pmemobj_direct(root->buckets) + (word >> 20 & root->mask);
}

/* Where the pointer to the entry of a key is, or to none at the chain's end. */
static PMEMoid *find(const struct root *root, const unsigned char *key)
{
	PMEMoid *at = bucket_of(root, key);
	while (!OID_IS_NULL(*at)) {
		struct entry *entry = pmemobj_direct(*at);
		if (same(entry->bytes, key, root->key_len))
			break;
		at = &entry->next;
	}
	return at;
}

const unsigned char *bench_map_get(struct map *map, const unsigned char *key)
{
	PMEMoid *at = find(map->root, key);
	if (OID_IS_NULL(*at))
		return NULL;
	return ((struct entry *)pmemobj_direct(*at))->bytes + map->root->key_len;
}

int bench_map_put(struct map *map, const unsigned char *key, const unsigned char *value)
{
	struct root *root = map->root;
	PMEMoid *at = find(root, key);
	volatile int ret = 0;

	TX_BEGIN(map->pop) {
		if (!OID_IS_NULL(*at)) {
			struct entry *entry = pmemobj_direct(*at);
			unsigned char *old = entry->bytes + root->key_len;
			pmemobj_tx_add_range_direct(old, root->value_len);
			memcpy(old, value, root->value_len);
		} else {
			PMEMoid *bucket = bucket_of(root, key);
			pmemobj_tx_add_range_direct(bucket, sizeof(*bucket));
			pmemobj_tx_add_range_direct(&root->count, sizeof(root->count));
			PMEMoid oid = pmemobj_tx_alloc(
				sizeof(struct entry) + root->key_len + root->value_len, 2);
			struct entry *entry = pmemobj_direct(oid);
			memcpy(entry->bytes, key, root->key_len);
			memcpy(entry->bytes + root->key_len, value, root->value_len);
			entry->next = *bucket;
			*bucket = oid;
			root->count++;
		}
	} TX_ONABORT {
		ret = -1;
	} TX_END
	return ret;
}

/* 1 if it was there, 0 if not, -1 if it could not be done. */
int bench_map_delete(struct map *map, const unsigned char *key)
{
	struct root *root = map->root;
	PMEMoid *at = find(root, key);
	volatile int ret = 1;

	if (OID_IS_NULL(*at))
		return 0;
	TX_BEGIN(map->pop) {
		PMEMoid oid = *at;
		pmemobj_tx_add_range_direct(at, sizeof(*at));
		pmemobj_tx_add_range_direct(&root->count, sizeof(root->count));
		*at = ((struct entry *)pmemobj_direct(oid))->next;
		root->count--;
		pmemobj_tx_free(oid);
	} TX_ONABORT {
		ret = -1;
	} TX_END
	return ret;
}

void bench_map_each(struct map *map, void (*each)(void *, const unsigned char *), void *with)
{
	PMEMoid *buckets = pmemobj_direct(map->root->buckets);
	for (uint64_t i = 0; i <= map->root->mask; i++) {
		for (PMEMoid at = buckets[i]; !OID_IS_NULL(at);) {
			struct entry *entry = pmemobj_direct(at);
			each(with, entry->bytes);
			at = entry->next;
		}
	}
}
