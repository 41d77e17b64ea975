// SPDX-License-Identifier: GPL-2.0-only
/*
 * The node's own partition: chunks with their ledgers and claims.
 *
 * The ledger is the truth, and this node's CPUs alone write it.  Versions of a
 * word only grow, over frees and over lives of the chunk.  Claims are written by
 * RDMA devices alone: peers', and this node's over its link to itself.
 */
#include <linux/fs.h>
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>
#include "chunk.h"
#include "node.h"
#include "trace.h"

enum { DSM_HUGE_ORDER = DSM_CHUNK_SHIFT - PAGE_SHIFT };

#define DSM_CLOCK_EPOCH_SECONDS	1735689600LL	/* 2025-01-01 */
#define DSM_CLOCK_UNIT_NS	32

/**
 * dsm_clock() - ledger time: a version above all that an earlier life reached
 *
 * 54 bits of 32 ns last until 2043, and no word grows faster than that.
 */
u64 dsm_clock(void)
{
	u64 ns = ktime_get_real_ns();
	u64 epoch = DSM_CLOCK_EPOCH_SECONDS * NSEC_PER_SEC;

	return ns > epoch ? div_u64(ns - epoch, DSM_CLOCK_UNIT_NS) : 1;
}

int dsm_chunks_alloc(struct dsm_node *node, unsigned int nr)
{
	struct dsm_chunks *chunks = &node->chunks;

	mutex_init(&chunks->lock);
	xa_init(&chunks->table);
	init_waitqueue_head(&chunks->changed);
	chunks->nr = nr;
	chunks->busy = bitmap_zalloc(nr, GFP_KERNEL);
	chunks->floor = kvcalloc(nr, sizeof(*chunks->floor), GFP_KERNEL);
	return chunks->busy && chunks->floor ? 0 : -ENOMEM;
}

void dsm_chunks_free(struct dsm_node *node)
{
	bitmap_free(node->chunks.busy);
	kvfree(node->chunks.floor);
	xa_destroy(&node->chunks.table);
}

/* ---- one chunk ---- */

/* Its first page in the range. */
static pgoff_t dsm_chunk_first(const struct dsm_chunk *chunk)
{
	return dsm_partition(chunk->node, chunk->node->id) +
	       (pgoff_t)chunk->index * DSM_CHUNK_PAGES;
}

static void dsm_chunk_free_pages(struct dsm_chunk *chunk)
{
	unsigned int i;

	if (chunk->huge) {
		__free_pages(chunk->pages[0], DSM_HUGE_ORDER);
		return;
	}
	for (i = 0; i < DSM_CHUNK_PAGES; i++)
		if (chunk->pages[i])
			__free_page(chunk->pages[i]);
}

/**
 * dsm_chunk_put() - end the use of a chunk
 * @chunk: of dsm_chunk_get()
 *
 * The last one frees it.  Context: process.
 */
void dsm_chunk_put(struct dsm_chunk *chunk)
{
	unsigned int i;

	if (!refcount_dec_and_test(&chunk->ref))
		return;
	dsm_mr_unregister(chunk->node, &chunk->claims_mr);
	dsm_mr_unregister(chunk->node, &chunk->ledger_mr);
	dsm_mr_unregister(chunk->node, &chunk->payload_mr);
	dsm_chunk_free_pages(chunk);
	for (i = 0; i < DSM_SMALL_WORD_PAGES; i++) {
		if (chunk->claims[i])
			__free_page(chunk->claims[i]);
		if (chunk->ledger[i])
			__free_page(chunk->ledger[i]);
	}
	kfree(chunk->readers);
	kfree(chunk->slabs);
	kfree_rcu(chunk, rcu);
}

/**
 * dsm_chunk_get() - find a populated chunk of the node's own partition
 * @node: ours
 * @index: of the chunk
 *
 * Return: the chunk, to be put after use, or NULL.
 */
struct dsm_chunk *dsm_chunk_get(struct dsm_node *node, unsigned int index)
{
	struct dsm_chunk *chunk;

	rcu_read_lock();
	chunk = xa_load(&node->chunks.table, index);
	if (chunk && !refcount_inc_not_zero(&chunk->ref))
		chunk = NULL;
	rcu_read_unlock();
	return chunk;
}

static int dsm_chunk_alloc_pages(struct dsm_chunk *chunk)
{
	struct page *huge;
	unsigned int i;

	/* One big page if it comes cheap; no compaction for its sake. */
	huge = alloc_pages((GFP_HIGHUSER & ~__GFP_HIGHMEM & ~__GFP_RECLAIM) |
			   __GFP_ZERO | __GFP_NOWARN | __GFP_COMP, DSM_HUGE_ORDER);
	if (huge) {
		chunk->huge = true;
		for (i = 0; i < DSM_CHUNK_PAGES; i++)
			chunk->pages[i] = huge + i;
		return 0;
	}
	for (i = 0; i < DSM_CHUNK_PAGES; i++) {
		chunk->pages[i] = alloc_page(GFP_USER | __GFP_ZERO | __GFP_NOWARN |
					     __GFP_RETRY_MAYFAIL);
		if (!chunk->pages[i])
			return -ENOMEM;
	}
	return 0;
}

static int dsm_chunk_alloc_words(struct dsm_chunk *chunk)
{
	unsigned int i, k;

	for (i = 0; i < dsm_chunk_word_pages(chunk); i++) {
		chunk->ledger[i] = alloc_page(GFP_USER | __GFP_ZERO);
		chunk->claims[i] = alloc_page(GFP_USER | __GFP_ZERO);
		if (!chunk->ledger[i] || !chunk->claims[i])
			return -ENOMEM;
		for (k = 0; k < DSM_PAGE_WORDS; k++)
			*dsm_chunk_word(chunk, i * DSM_PAGE_WORDS + k) =
				DSM_WORD(DSM_STATE_FREE, 0, chunk->born);
	}
	if (chunk->kind == DSM_CHUNK_SMALL)
		chunk->slabs = kcalloc(DSM_CHUNK_PAGES, sizeof(*chunk->slabs), GFP_KERNEL);
	else
		chunk->readers = kcalloc(DSM_CHUNK_PAGES, sizeof(*chunk->readers),
					 GFP_KERNEL);
	return chunk->slabs || chunk->readers ? 0 : -ENOMEM;
}

/* Words of a chunk of small objects begin or end.  Processes see them. */
static void dsm_chunk_window_changed(struct dsm_chunk *chunk)
{
	if (chunk->kind == DSM_CHUNK_SMALL)
		dsm_region_window_changed(chunk->region, dsm_chunk_first(chunk),
					  DSM_CHUNK_PAGES);
}

static void dsm_chunk_enlist(struct dsm_chunk *chunk)
{
	struct dsm_wire_chunk entry = {
		.kind = chunk->kind,
		.region = cpu_to_le64(chunk->region->id),
		.born = cpu_to_le64(chunk->born),
		.payload_addr = cpu_to_le64(chunk->payload_mr.mr->iova),
		.payload_key = cpu_to_le32(chunk->payload_mr.mr->rkey),
		.ledger_addr = cpu_to_le64(chunk->ledger_mr.mr->iova),
		.ledger_key = cpu_to_le32(chunk->ledger_mr.mr->rkey),
		.claims_addr = cpu_to_le64(chunk->claims_mr.mr->iova),
		.claims_key = cpu_to_le32(chunk->claims_mr.mr->rkey),
	};

	dsm_dir_write(chunk->node, chunk->index, &entry);
}

static void dsm_chunk_unlist(struct dsm_chunk *chunk)
{
	static const struct dsm_wire_chunk none;

	dsm_dir_write(chunk->node, chunk->index, &none);
}

static int dsm_chunk_register(struct dsm_chunk *chunk)
{
	unsigned int words = dsm_chunk_word_pages(chunk);
	int err;

	err = dsm_mr_register(chunk->node, &chunk->payload_mr, chunk->pages,
			      DSM_CHUNK_PAGES, IB_ACCESS_REMOTE_READ);
	if (!err)
		err = dsm_mr_register(chunk->node, &chunk->ledger_mr, chunk->ledger,
				      words, IB_ACCESS_REMOTE_READ);
	if (!err)
		err = dsm_mr_register(chunk->node, &chunk->claims_mr, chunk->claims,
				      words, IB_ACCESS_LOCAL_WRITE |
				      IB_ACCESS_REMOTE_READ | IB_ACCESS_REMOTE_ATOMIC);
	return err;
}

/**
 * dsm_chunk_populate() - add a chunk to a region
 * @region: that it will belong to
 * @index: of a chunk that is not busy
 * @kind: DSM_CHUNK_LARGE or DSM_CHUNK_SMALL
 *
 * Context: process, under dsm_chunks.lock.
 * Return: 0, -ENOMEM, -EHOSTDOWN, -EINTR.
 */
int dsm_chunk_populate(struct dsm_region *region, unsigned int index,
		       enum dsm_chunk_kind kind)
{
	struct dsm_node *node = region->node;
	struct dsm_chunks *chunks = &node->chunks;
	struct dsm_chunk *chunk;
	int err;

	lockdep_assert_held(&chunks->lock);
	chunk = kzalloc(sizeof(*chunk), GFP_KERNEL);
	if (!chunk)
		return -ENOMEM;
	refcount_set(&chunk->ref, 1);
	chunk->node = node;
	chunk->index = index;
	chunk->kind = kind;
	chunk->region = region;
	init_rwsem(&chunk->lock);
	INIT_LIST_HEAD(&chunk->list);
	chunk->born = max(chunks->floor[index] + 1, dsm_clock());
	chunk->since = ktime_get_ns();
	err = dsm_chunk_alloc_words(chunk) ?: dsm_chunk_alloc_pages(chunk);
	if (err)
		goto put;
	err = dsm_chunk_register(chunk);
	if (err)
		goto put;
	err = xa_err(xa_store(&chunks->table, index, chunk, GFP_KERNEL));
	if (err)
		goto put;

	set_bit(index, chunks->busy);
	list_add_tail(&chunk->list, &region->chunks);
	dsm_chunk_enlist(chunk);
	dsm_stat_add(node->stat, DSM_COUNTER_CHUNKS_POPULATED, 1);
	dsm_stat_add(region->stat, DSM_COUNTER_CHUNKS_POPULATED, 1);
	dsm_stat_add(node->stat, DSM_COUNTER_GAUGE_CHUNKS, 1);
	dsm_stat_add(region->stat, DSM_COUNTER_GAUGE_CHUNKS, 1);
	trace_dsm_chunk(node->id, index, region->id, true);
	dsm_chunk_window_changed(chunk);
	return 0;
put:
	dsm_chunk_put(chunk);
	return err;
}

/* ---- giving chunks back ---- */

static void dsm_chunk_set_dead(struct dsm_chunk *chunk, bool dead)
{
	down_write(&chunk->lock);
	chunk->dead = dead;
	up_write(&chunk->lock);
	WRITE_ONCE(chunk->node->chunks.leaving,
		   chunk->node->chunks.leaving + (dead ? 1 : -1));
}

/**
 * dsm_chunks_hide() - a region has ended: nothing of its chunks may be used
 * @region: gone, so nothing new is populated
 *
 * Afterwards no process of this node maps any of it.  Peers may still READ it.
 */
void dsm_chunks_hide(struct dsm_region *region)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	struct dsm_chunk *chunk;

	mutex_lock(&chunks->lock);
	list_for_each_entry(chunk, &region->chunks, list)
		dsm_chunk_set_dead(chunk, true);
	unmap_mapping_pages(region->mapping, 0, 0, false);
	mutex_unlock(&chunks->lock);
}

/**
 * dsm_chunks_unlist() - the directory names a region's chunks no more
 * @region: hidden
 */
void dsm_chunks_unlist(struct dsm_region *region)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	struct dsm_chunk *chunk;

	mutex_lock(&chunks->lock);
	list_for_each_entry(chunk, &region->chunks, list)
		dsm_chunk_unlist(chunk);
	mutex_unlock(&chunks->lock);
}

/**
 * dsm_chunk_hide() - a chunk of a region that goes on is given back
 * @chunk: nothing is in it
 * @hidden: list that it goes to
 *
 * Nothing maps it and nothing names it any more.  Context: under dsm_chunks.lock.
 */
void dsm_chunk_hide(struct dsm_chunk *chunk, struct list_head *hidden)
{
	lockdep_assert_held(&chunk->node->chunks.lock);
	dsm_chunk_set_dead(chunk, true);
	dsm_chunk_unlist(chunk);
	unmap_mapping_pages(chunk->region->mapping, dsm_chunk_first(chunk),
			    DSM_CHUNK_PAGES, false);
	dsm_chunk_window_changed(chunk);
	list_move_tail(&chunk->list, hidden);
}

/**
 * dsm_chunks_show() - hidden chunks are of their region again
 * @region: theirs
 * @hidden: list of them
 *
 * Return: false, and nothing was done, if the region has ended meanwhile.
 */
bool dsm_chunks_show(struct dsm_region *region, struct list_head *hidden)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	struct dsm_chunk *chunk;
	bool gone;

	mutex_lock(&chunks->lock);
	/* If not, dsm_chunks_hide() is still to come. */
	gone = READ_ONCE(region->gone);
	if (!gone) {
		list_for_each_entry(chunk, hidden, list) {
			dsm_chunk_set_dead(chunk, false);
			dsm_chunk_enlist(chunk);
			dsm_chunk_window_changed(chunk);
		}
		list_splice_init(hidden, &region->chunks);
	}
	mutex_unlock(&chunks->lock);
	return !gone;
}

/*
 * The highest version in a chunk.  Processes write words of small objects: what no
 * word can have reached since the chunk was born is none, or they could drive the
 * versions of later regions ahead.
 */
static u64 dsm_chunk_reached(const struct dsm_chunk *chunk)
{
	u64 limit = chunk->born + div_u64(ktime_get_ns() - chunk->since,
					  DSM_CLOCK_UNIT_NS);
	u64 reached = chunk->born;
	unsigned int i;

	for (i = 0; i < dsm_chunk_word_pages(chunk) * DSM_PAGE_WORDS; i++) {
		u64 version = dsm_word_version(READ_ONCE(*dsm_chunk_word(chunk, i)));

		if (chunk->kind != DSM_CHUNK_SMALL || version <= limit)
			reached = max(reached, version);
	}
	return reached;
}

/* One of the hidden chunks is not in the table any more; NULL: none is left. */
static struct dsm_chunk *dsm_chunk_take_out(struct dsm_chunks *chunks,
					    struct list_head *hidden)
{
	struct dsm_chunk *chunk;

	mutex_lock(&chunks->lock);
	chunk = list_first_entry_or_null(hidden, struct dsm_chunk, list);
	if (chunk) {
		chunks->floor[chunk->index] = max(chunks->floor[chunk->index],
						  dsm_chunk_reached(chunk));
		list_del(&chunk->list);
		xa_erase(&chunks->table, chunk->index);
		clear_bit(chunk->index, chunks->busy);
		WRITE_ONCE(chunks->leaving, chunks->leaving - 1);
		WRITE_ONCE(chunks->released, chunks->released + 1);
	}
	mutex_unlock(&chunks->lock);
	return chunk;
}

/**
 * dsm_chunks_release() - give hidden chunks back
 * @node: ours
 * @region: theirs
 * @hidden: the chunks, of which no peer holds a key any more
 */
void dsm_chunks_release(struct dsm_node *node, struct dsm_region *region,
			struct list_head *hidden)
{
	struct dsm_chunks *chunks = &node->chunks;
	struct dsm_chunk *chunk;

	while ((chunk = dsm_chunk_take_out(chunks, hidden))) {
		dsm_stat_add(node->stat, DSM_COUNTER_CHUNKS_RELEASED, 1);
		dsm_stat_add(region->stat, DSM_COUNTER_CHUNKS_RELEASED, 1);
		dsm_stat_add(node->stat, DSM_COUNTER_GAUGE_CHUNKS, -1);
		dsm_stat_add(region->stat, DSM_COUNTER_GAUGE_CHUNKS, -1);
		trace_dsm_chunk(node->id, chunk->index, region->id, false);
		dsm_chunk_put(chunk);
		cond_resched();
	}
	wake_up_all(&chunks->changed);
}
