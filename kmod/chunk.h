/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_CHUNK_H
#define DSM_CHUNK_H

#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include "dir.h"
#include "mr.h"

struct dsm_node;
struct dsm_region;

/**
 * struct dsm_chunk - 2 MiB of the node's own partition
 * @ref: owners: the node's table, each lookup
 * @node: whose it is
 * @index: in the partition
 * @region: that it belongs to; lives as long as the chunk is in the table
 * @lock: read: to map a page as its ledger word allows; write: to take a right
 *	  to map away, with the words and @dead that say so.  A word that gives
 *	  a right is written under dsm_chunks.lock alone
 * @dead: it is being given back: nothing of it may be mapped any more
 * @pages: payload
 * @huge: they are one order-9 page
 * @ledger: one word a page; READ by peers
 * @claims: one word a page; changed by the NIC alone
 * @used: pages of objects; protected by dsm_chunks.lock
 * @payload_mr: registration of @pages
 * @ledger_mr: of @ledger
 * @claims_mr: of @claims
 * @list: of the region's chunks; protected by dsm_chunks.lock
 */
struct dsm_chunk {
	refcount_t ref;
	struct rcu_head rcu;		/* within the first page: kfree_rcu() */
	struct dsm_node *node;
	unsigned int index;
	struct dsm_region *region;
	struct rw_semaphore lock;
	bool dead;
	struct page *pages[DSM_CHUNK_PAGES];
	bool huge;
	u64 *ledger;
	u64 *claims;
	DECLARE_BITMAP(used, DSM_CHUNK_PAGES);
	struct dsm_mr payload_mr;
	struct dsm_mr ledger_mr;
	struct dsm_mr claims_mr;
	struct list_head list;
};

/**
 * struct dsm_chunks - the populated part of a partition
 * @lock: protects all allocation: @busy, @floor, chunks' bitmaps and lists
 * @nr: how many chunks the memory limit allows
 * @busy: bit by chunk: populated
 * @floor: by chunk: the highest version that its earlier ledgers reached
 * @table: by chunk; readers under RCU
 */
struct dsm_chunks {
	struct mutex lock;	/* all allocation */
	unsigned int nr;
	unsigned long *busy;
	u64 *floor;
	struct xarray table;
};

u64 dsm_clock(void);
int dsm_chunks_alloc(struct dsm_node *node, unsigned int nr);
void dsm_chunks_free(struct dsm_node *node);

struct dsm_chunk *dsm_chunk_get(struct dsm_node *node, unsigned int index);
void dsm_chunk_put(struct dsm_chunk *chunk);

int dsm_object_alloc(struct dsm_region *region, struct dsm_ref *ref);
int dsm_object_free(struct dsm_region *region, const struct dsm_ref *ref);
int dsm_object_freeze(struct dsm_region *region, struct dsm_ref *ref);
int dsm_object_check(struct dsm_region *region, const struct dsm_ref *ref);
void dsm_chunks_hide(struct dsm_region *region);
void dsm_chunks_release(struct dsm_region *region);

static inline unsigned int dsm_word_state(u64 word)
{
	return word >> DSM_WORD_STATE_SHIFT;
}

static inline unsigned int dsm_word_lines(u64 word)
{
	return (word >> DSM_WORD_LINES_SHIFT) & DSM_WORD_LINES_MASK;
}

static inline u64 dsm_word_version(u64 word)
{
	return word & DSM_WORD_VERSION_MASK;
}

#endif /* DSM_CHUNK_H */
