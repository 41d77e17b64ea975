/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_COPY_H
#define DSM_COPY_H

#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include "compat.h"

struct dsm_node;
struct dsm_region;
struct dsm_shadow;

enum {
	DSM_COPY_LOCKED,	/* bit lock: being fetched, mapped or evicted */
	DSM_COPY_PRESENT,	/* the page may be mapped */
	DSM_COPY_SMALL,		/* of small objects */
	DSM_COPY_REFERENCED,	/* mapped since the hand came by */
	DSM_COPY_MARK,		/* a fault here begins the next readahead */
	DSM_COPY_DEAD,		/* not in the cache any more */
};

/**
 * struct dsm_copy - a page of a peer that is cached here
 * @ref: owners: the cache, each lookup, a fetch
 * @region: that it belongs to
 * @pgoff: page of the range
 * @flags: DSM_COPY_*; LOCKED protects @page's contents and the others but
 *	   REFERENCED and MARK
 * @err: why the last fetch failed; protected by LOCKED
 * @tried: the word of the version that it was for, or 0; protected by LOCKED
 * @page: its memory
 * @word: of a page of a large object: the version of the object that it holds
 * @end: of the first page of an object that is not frozen: the page behind it
 * @born: of small objects: life of the chunk that it holds; 0: not known
 * @lines: of small objects: lines of each that @shadow has words of
 * @busy: of small objects: lines that are being fetched; bits are set under LOCKED
 * @shadow: of small objects: where its words are
 * @lru: place under the hand; protected by dsm_copies.lock
 * @rcu: who looks it up may find it just freed
 */
struct dsm_copy {
	refcount_t ref;
	struct dsm_region *region;
	pgoff_t pgoff;
	unsigned long flags;
	int err;
	u64 tried;
	struct page *page;
	u64 word;
	pgoff_t end;
	u64 born;
	u8 lines;
	atomic64_t busy;
	struct dsm_shadow *shadow;
	struct list_head lru;
	struct rcu_head rcu;
};

/**
 * struct dsm_want - which version of a large object is wanted
 * @word: the ledger word of its first page
 * @first: that page, in the range
 * @end: the page behind the last
 *
 * Where there is none, frozen pages are wanted.
 */
struct dsm_want {
	u64 word;
	pgoff_t first;
	pgoff_t end;
};

/**
 * struct dsm_copies - all copies of a node
 * @lock: protects @lru
 * @lru: a clock; the hand is at its head
 * @nr: how many
 * @limit: how many there may be
 * @shrinker: gives them back when memory is short
 */
struct dsm_copies {
	spinlock_t lock;	/* lru */
	struct list_head lru;
	atomic_long_t nr;
	unsigned long limit;
	struct dsm_shrinker *shrinker;
};

int dsm_copy_init(void);
void dsm_copy_exit(void);
int dsm_copies_alloc(struct dsm_node *node, unsigned long limit);
void dsm_copies_free(struct dsm_node *node);

struct dsm_copy *dsm_copy_find(struct dsm_region *region, pgoff_t pgoff);
struct dsm_copy *dsm_copy_make(struct dsm_region *region, pgoff_t pgoff, bool wait);
void dsm_copy_put(struct dsm_copy *copy);
bool dsm_copy_trylock(struct dsm_copy *copy);
int dsm_copy_lock(struct dsm_copy *copy, unsigned int state);
void dsm_copy_unlock(struct dsm_copy *copy);
bool dsm_copy_test(const struct dsm_copy *copy, unsigned int flag);
bool dsm_copy_is(const struct dsm_copy *copy, const struct dsm_want *want);

int dsm_copy_fetch(struct dsm_copy *copy, const struct dsm_want *want,
		   unsigned int state, pgoff_t ahead, unsigned int window);
unsigned int dsm_copy_readahead(struct dsm_region *region, const struct dsm_want *want,
				pgoff_t pgoff, unsigned int nr);

bool dsm_copy_knows(struct dsm_region *region, const struct dsm_want *want);

void dsm_copy_drop(struct dsm_region *region, pgoff_t first, pgoff_t last);
void dsm_copy_drop_region(struct dsm_region *region);
void dsm_copy_drop_home(struct dsm_node *node, u32 home);

#endif /* DSM_COPY_H */
