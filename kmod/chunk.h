/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef DSM_CHUNK_H
#define DSM_CHUNK_H

#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/refcount.h>
#include <linux/rwsem.h>
#include <linux/wait.h>
#include "dir.h"
#include "mr.h"

struct dsm_node;
struct dsm_region;

enum {
	DSM_PAGE_LINES = PAGE_SIZE / DSM_LINE_SIZE,
	DSM_PAGE_WORDS = PAGE_SIZE / sizeof(u64),
	DSM_CHUNK_LINES = DSM_CHUNK_SIZE / DSM_LINE_SIZE,
	DSM_SMALL_WORD_PAGES = DSM_CHUNK_LINES / DSM_PAGE_WORDS,
	DSM_WINDOW_SHIFT = 3,		/* pages of the range to a page of words */
};

/**
 * struct dsm_slab - a page that small objects of one size are allocated from
 * @owner: the attached file that allocates from it; NULL: anybody may have it
 * @lines: of an object; 0: the page was never used
 */
struct dsm_slab {
	const void *owner;
	u8 lines;
};

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
 * @born: version at which its ledger began
 * @since: when that was, ns
 * @kind: DSM_CHUNK_LARGE: one word a page; DSM_CHUNK_SMALL: one word a line
 * @ledger: pages of words, READ by peers.  Of small objects processes of the
 *	    region write them too: to the kernel they are hints
 * @claims: pages of words, changed by RDMA devices alone
 * @used: large: pages of objects; protected by dsm_chunks.lock
 * @readers: large: by first page, shared borrows of this node's processes;
 *	     protected by dsm_chunks.lock
 * @slabs: small: by page; protected by dsm_chunks.lock
 * @slabs_carved: small: pages that are slabs; protected by dsm_chunks.lock
 * @slab_at: page where the next one is looked for; protected by dsm_chunks.lock
 * @payload_mr: registration of @pages
 * @ledger_mr: of @ledger
 * @claims_mr: of @claims
 * @list: of the region's chunks, or of hidden ones; protected by dsm_chunks.lock
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
	u64 born;
	u64 since;
	enum dsm_chunk_kind kind;
	struct page *ledger[DSM_SMALL_WORD_PAGES];
	struct page *claims[DSM_SMALL_WORD_PAGES];
	DECLARE_BITMAP(used, DSM_CHUNK_PAGES);
	u32 *readers;
	struct dsm_slab *slabs;
	unsigned int slabs_carved;
	unsigned int slab_at;
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
 * @leaving: chunks that are hidden, not yet given back; written under @lock
 * @released: chunks that were given back, ever; written under @lock
 * @changed: woken when that grows
 */
struct dsm_chunks {
	struct mutex lock;	/* all allocation */
	unsigned int nr;
	unsigned long *busy;
	u64 *floor;
	struct xarray table;
	unsigned int leaving;
	unsigned long released;
	wait_queue_head_t changed;
};

u64 dsm_clock(void);
int dsm_chunks_alloc(struct dsm_node *node, unsigned int nr);
void dsm_chunks_free(struct dsm_node *node);

struct dsm_chunk *dsm_chunk_get(struct dsm_node *node, unsigned int index);
void dsm_chunk_put(struct dsm_chunk *chunk);

int dsm_chunk_populate(struct dsm_region *region, unsigned int index,
		       enum dsm_chunk_kind kind);
void dsm_chunks_hide(struct dsm_region *region);
void dsm_chunks_unlist(struct dsm_region *region);
void dsm_chunk_hide(struct dsm_chunk *chunk, struct list_head *hidden);
bool dsm_chunks_show(struct dsm_region *region, struct list_head *hidden);
void dsm_chunks_release(struct dsm_node *node, struct dsm_region *region,
			struct list_head *hidden);

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

/* Words of a chunk, pages of words. */
static inline unsigned int dsm_chunk_word_pages(const struct dsm_chunk *chunk)
{
	return chunk->kind == DSM_CHUNK_SMALL ? DSM_SMALL_WORD_PAGES : 1;
}

static inline u64 *dsm_chunk_word(const struct dsm_chunk *chunk, unsigned int i)
{
	return (u64 *)page_address(chunk->ledger[i / DSM_PAGE_WORDS]) +
	       i % DSM_PAGE_WORDS;
}

static inline u64 *dsm_chunk_claim(const struct dsm_chunk *chunk, unsigned int i)
{
	return (u64 *)page_address(chunk->claims[i / DSM_PAGE_WORDS]) +
	       i % DSM_PAGE_WORDS;
}

/* Every ledger store is a locked exchange: a NIC must not see it late. */
static inline void dsm_word_store(struct dsm_chunk *chunk, unsigned int i, u64 word)
{
	xchg(dsm_chunk_word(chunk, i), word);
}

/* Why an object cannot be borrowed: @want says LIVE(v), its word something else. */
static inline int dsm_word_refuses(u64 want, u64 word)
{
	if (dsm_word_version(word) != dsm_word_version(want) ||
	    dsm_word_lines(word) != dsm_word_lines(want))
		return -ESTALE;
	switch (dsm_word_state(word)) {
	case DSM_STATE_EXCL:
		return -EBUSY;
	case DSM_STATE_POISON:
		return -EOWNERDEAD;
	default:
		return -ESTALE;
	}
}

/* Another state, the word's own version. */
static inline void dsm_word_become(struct dsm_chunk *chunk, unsigned int i,
				   enum dsm_state state, unsigned int lines)
{
	u64 version = dsm_word_version(*dsm_chunk_word(chunk, i));

	dsm_word_store(chunk, i, DSM_WORD(state, lines, version));
}

static inline bool dsm_word_change(struct dsm_chunk *chunk, unsigned int i, u64 from,
				   u64 to)
{
	return cmpxchg(dsm_chunk_word(chunk, i), from, to) == from;
}

static inline unsigned int dsm_claim_state(u64 claim)
{
	return claim >> DSM_CLAIM_STATE_SHIFT;
}

static inline unsigned int dsm_claim_node(u64 claim)
{
	return (claim >> DSM_CLAIM_NODE_SHIFT) & 0xff;
}

#endif /* DSM_CHUNK_H */
