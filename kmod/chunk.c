// SPDX-License-Identifier: GPL-2.0-only
/*
 * The node's own partition: chunks, their ledgers and the large objects in them.
 *
 * The ledger is the truth.  Of a large object of n pages the first page's word
 * is LIVE(DSM_LINES_LARGE, v), the others' are CONT with versions of their own;
 * when it is frozen all are FROZEN(v + 1), the first with DSM_LINES_LARGE.  So
 * an object's size is read off the ledger, and a handle is checked against it.
 * Versions of a word only grow, over frees and over lives of the chunk.
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
	if (!refcount_dec_and_test(&chunk->ref))
		return;
	dsm_mr_unregister(chunk->node, &chunk->claims_mr);
	dsm_mr_unregister(chunk->node, &chunk->ledger_mr);
	dsm_mr_unregister(chunk->node, &chunk->payload_mr);
	dsm_chunk_free_pages(chunk);
	free_page((unsigned long)chunk->claims);
	free_page((unsigned long)chunk->ledger);
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

static int dsm_chunk_register(struct dsm_chunk *chunk)
{
	struct page *ledger = virt_to_page(chunk->ledger);
	struct page *claims = virt_to_page(chunk->claims);
	int err;

	err = dsm_mr_register(chunk->node, &chunk->payload_mr, chunk->pages,
			      DSM_CHUNK_PAGES, IB_ACCESS_REMOTE_READ);
	if (!err)
		err = dsm_mr_register(chunk->node, &chunk->ledger_mr, &ledger, 1,
				      IB_ACCESS_REMOTE_READ);
	if (!err)
		err = dsm_mr_register(chunk->node, &chunk->claims_mr, &claims, 1,
				      IB_ACCESS_LOCAL_WRITE | IB_ACCESS_REMOTE_READ |
				      IB_ACCESS_REMOTE_ATOMIC);
	return err;
}

/* Populate chunk @index, which is not busy.  Under dsm_chunks.lock. */
static int dsm_chunk_populate(struct dsm_region *region, unsigned int index)
{
	struct dsm_node *node = region->node;
	struct dsm_chunks *chunks = &node->chunks;
	struct dsm_wire_chunk entry = {};
	struct dsm_chunk *chunk;
	unsigned int i;
	u64 born;
	int err;

	lockdep_assert_held(&chunks->lock);
	chunk = kzalloc(sizeof(*chunk), GFP_KERNEL);
	if (!chunk)
		return -ENOMEM;
	refcount_set(&chunk->ref, 1);
	chunk->node = node;
	chunk->index = index;
	chunk->region = region;
	init_rwsem(&chunk->lock);
	INIT_LIST_HEAD(&chunk->list);
	chunk->ledger = (u64 *)get_zeroed_page(GFP_KERNEL);
	chunk->claims = (u64 *)get_zeroed_page(GFP_KERNEL);
	err = chunk->ledger && chunk->claims ? dsm_chunk_alloc_pages(chunk) : -ENOMEM;
	if (err)
		goto put;
	born = max(chunks->floor[index] + 1, dsm_clock());
	for (i = 0; i < DSM_CHUNK_PAGES; i++)
		chunk->ledger[i] = DSM_WORD(DSM_STATE_FREE, 0, born);
	err = dsm_chunk_register(chunk);
	if (err)
		goto put;
	err = xa_err(xa_store(&chunks->table, index, chunk, GFP_KERNEL));
	if (err)
		goto put;

	set_bit(index, chunks->busy);
	list_add_tail(&chunk->list, &region->chunks);
	entry.kind = DSM_CHUNK_LARGE;
	entry.region = cpu_to_le64(region->id);
	entry.born = cpu_to_le64(born);
	entry.payload_addr = cpu_to_le64(chunk->payload_mr.mr->iova);
	entry.payload_key = cpu_to_le32(chunk->payload_mr.mr->rkey);
	entry.ledger_addr = cpu_to_le64(chunk->ledger_mr.mr->iova);
	entry.ledger_key = cpu_to_le32(chunk->ledger_mr.mr->rkey);
	entry.claims_addr = cpu_to_le64(chunk->claims_mr.mr->iova);
	entry.claims_key = cpu_to_le32(chunk->claims_mr.mr->rkey);
	dsm_dir_write(node, index, &entry);
	dsm_stat_add(node->stat, DSM_COUNTER_CHUNKS_POPULATED, 1);
	dsm_stat_add(region->stat, DSM_COUNTER_CHUNKS_POPULATED, 1);
	dsm_stat_add(node->stat, DSM_COUNTER_GAUGE_CHUNKS, 1);
	dsm_stat_add(region->stat, DSM_COUNTER_GAUGE_CHUNKS, 1);
	trace_dsm_chunk(node->id, index, region->id, true);
	return 0;
put:
	dsm_chunk_put(chunk);
	return err;
}

/* ---- large objects: runs of pages that may span chunks ---- */

/* The chunk and word of a page of the partition.  Under dsm_chunks.lock. */
static struct dsm_chunk *dsm_object_chunk(struct dsm_region *region, u64 page)
{
	struct dsm_chunk *chunk;

	chunk = xa_load(&region->node->chunks.table, page / DSM_CHUNK_PAGES);
	return chunk && chunk->region == region ? chunk : NULL;
}

static u64 dsm_object_word(struct dsm_region *region, u64 page)
{
	struct dsm_chunk *chunk = dsm_object_chunk(region, page);

	return chunk ? READ_ONCE(chunk->ledger[page % DSM_CHUNK_PAGES]) : 0;
}

/* Every ledger store is a locked exchange: a NIC must not see it late. */
static void dsm_word_store(struct dsm_chunk *chunk, unsigned int i, u64 word)
{
	xchg(&chunk->ledger[i], word);
}

static void dsm_object_breathe(u64 page)
{
	if (!(page % DSM_CHUNK_PAGES))
		cond_resched();
}

/* Find @n free pages in a row, populating chunks.  Under dsm_chunks.lock. */
static int dsm_object_place(struct dsm_region *region, u64 n, u64 *page)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	unsigned long first, k, i;
	struct dsm_chunk *chunk;
	int err;

	if (n <= DSM_CHUNK_PAGES) {
		list_for_each_entry(chunk, &region->chunks, list) {
			first = bitmap_find_next_zero_area(chunk->used, DSM_CHUNK_PAGES,
							   0, n, 0);
			if (first < DSM_CHUNK_PAGES) {
				*page = (u64)chunk->index * DSM_CHUNK_PAGES + first;
				return 0;
			}
		}
	}
	k = DIV_ROUND_UP(n, DSM_CHUNK_PAGES);
	if (k > chunks->nr)
		return -ENOSPC;
	first = bitmap_find_next_zero_area(chunks->busy, chunks->nr, 0, k, 0);
	if (first >= chunks->nr)
		return -ENOSPC;
	for (i = 0; i < k; i++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		/* On failure those that were populated stay, free, for the next. */
		err = dsm_chunk_populate(region, first + i);
		if (err)
			return err;
		cond_resched();
	}
	*page = (u64)first * DSM_CHUNK_PAGES;
	return 0;
}

/**
 * dsm_object_alloc() - allocate a large object
 * @region: that it will belong to
 * @ref: in: size; out: the handle, size rounded up to pages
 *
 * Context: process, sleeps.
 * Return: 0, -EINVAL, -ENOSPC, -ENOMEM, -EIDRM, -EHOSTDOWN, -EINTR.
 */
int dsm_object_alloc(struct dsm_region *region, struct dsm_ref *ref)
{
	const struct dsm_geometry *geometry = &region->node->config.geometry;
	struct dsm_chunks *chunks = &region->node->chunks;
	u64 n, page, i, version = 0;
	struct dsm_chunk *chunk;
	int err;

	if (!ref->size || ref->addr || ref->version)
		return -EINVAL;
	if (ref->size > geometry->span)
		return -EINVAL;
	n = DIV_ROUND_UP_ULL(ref->size, PAGE_SIZE);

	mutex_lock(&chunks->lock);
	err = READ_ONCE(region->gone) ? -EIDRM : dsm_object_place(region, n, &page);
	if (err)
		goto unlock;
	for (i = 0; i < n; i++) {
		version = max(version, dsm_word_version(dsm_object_word(region, page + i)));
		dsm_object_breathe(i);
	}
	version++;
	/* The first word last: it makes the object. */
	for (i = n; i-- > 0;) {
		unsigned int k = (page + i) % DSM_CHUNK_PAGES;

		chunk = dsm_object_chunk(region, page + i);
		set_bit(k, chunk->used);
		dsm_word_store(chunk, k, i ?
			       DSM_WORD(DSM_STATE_CONT, 0, dsm_word_version(chunk->ledger[k])) :
			       DSM_WORD(DSM_STATE_LIVE, DSM_LINES_LARGE, version));
		dsm_object_breathe(i);
	}
	ref->addr = geometry->base +
		    ((dsm_partition(region->node, region->node->id) + page) << PAGE_SHIFT);
	ref->version = DSM_WORD(DSM_STATE_LIVE, DSM_LINES_LARGE, version);
	ref->size = n << PAGE_SHIFT;
unlock:
	mutex_unlock(&chunks->lock);
	return err;
}

/* Where a handle points in this partition, or why it cannot be one of ours. */
static int dsm_object_page(struct dsm_region *region, const struct dsm_ref *ref,
			   u64 *page)
{
	const struct dsm_geometry *geometry = &region->node->config.geometry;
	u64 pgoff;

	if (ref->addr < geometry->base || ref->addr - geometry->base >= geometry->span ||
	    ref->size > geometry->span - (ref->addr - geometry->base))
		return -ERANGE;
	if (!PAGE_ALIGNED(ref->addr) || !ref->size)
		return -EINVAL;
	pgoff = (ref->addr - geometry->base) >> PAGE_SHIFT;
	if (dsm_home(region->node, pgoff) != region->node->id)
		return -EXDEV;
	*page = pgoff - dsm_partition(region->node, region->node->id);
	return 0;
}

/*
 * Does @ref name a whole object in @state?  Under dsm_chunks.lock.
 * Sets @page and @n.
 */
static int dsm_object_find(struct dsm_region *region, const struct dsm_ref *ref,
			   enum dsm_state state, u64 *page, u64 *n)
{
	struct dsm_chunk *chunk;
	u64 word, i;
	int err;

	err = dsm_object_page(region, ref, page);
	if (err)
		return err;
	if (READ_ONCE(region->gone))
		return -EIDRM;
	chunk = xa_load(&region->node->chunks.table, *page / DSM_CHUNK_PAGES);
	if (chunk && chunk->region != region)
		return -EXDEV;
	word = dsm_object_word(region, *page);
	if (dsm_word_lines(word) != DSM_LINES_LARGE)
		return -ESTALE;
	/* An older handle to what is frozen now is told so. */
	if (state == DSM_STATE_LIVE && dsm_word_state(word) == DSM_STATE_FROZEN &&
	    (ref->version == word ||
	     ref->version == DSM_WORD(DSM_STATE_LIVE, DSM_LINES_LARGE,
				      dsm_word_version(word) - 1)))
		return -EROFS;
	if (ref->version != word)
		return -ESTALE;
	if (dsm_word_state(word) != state)
		return -EINVAL;
	for (i = 1; i < ref->size >> PAGE_SHIFT; i++) {
		u64 next = dsm_object_word(region, *page + i);

		if (state == DSM_STATE_FROZEN ?
		    next != DSM_WORD(DSM_STATE_FROZEN, 0, dsm_word_version(word)) :
		    dsm_word_state(next) != DSM_STATE_CONT)
			return -ESTALE;
		dsm_object_breathe(i);
	}
	/* It must end where the handle says. */
	if (!PAGE_ALIGNED(ref->size))
		return -ESTALE;
	*n = i;
	word = dsm_object_word(region, *page + i);
	if (dsm_word_state(word) == DSM_STATE_CONT ||
	    (dsm_word_state(word) == DSM_STATE_FROZEN && !dsm_word_lines(word)))
		return -ESTALE;
	return 0;
}

/* Change the words of an object's pages chunk by chunk, with nothing mapped. */
static void dsm_object_change(struct dsm_region *region, u64 page, u64 n,
			      enum dsm_state state, u64 version)
{
	pgoff_t base = dsm_partition(region->node, region->node->id);
	u64 i = 0;

	while (i < n) {
		struct dsm_chunk *chunk = dsm_object_chunk(region, page + i);
		unsigned int k = (page + i) % DSM_CHUNK_PAGES;
		u64 last = min_t(u64, n - i, DSM_CHUNK_PAGES - k) + k;

		down_write(&chunk->lock);
		unmap_mapping_pages(region->mapping, base + page + i, last - k, false);
		for (; k < last; k++, i++) {
			u64 word = chunk->ledger[k];

			if (state == DSM_STATE_FROZEN) {
				word = DSM_WORD(DSM_STATE_FROZEN,
						i ? 0 : DSM_LINES_LARGE, version);
			} else {
				clear_highpage(chunk->pages[k]);
				word = DSM_WORD(DSM_STATE_FREE, 0, dsm_word_version(word));
				clear_bit(k, chunk->used);
			}
			dsm_word_store(chunk, k, word);
		}
		up_write(&chunk->lock);
		cond_resched();
	}
}

/**
 * dsm_object_free() - free a large object that is not frozen
 * @region: that it belongs to
 * @ref: its handle
 *
 * Return: 0, -EINVAL, -ERANGE, -EXDEV, -ESTALE, -EROFS, -EIDRM.
 */
int dsm_object_free(struct dsm_region *region, const struct dsm_ref *ref)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	u64 page, n;
	int err;

	mutex_lock(&chunks->lock);
	err = dsm_object_find(region, ref, DSM_STATE_LIVE, &page, &n);
	if (!err)
		dsm_object_change(region, page, n, DSM_STATE_FREE, 0);
	mutex_unlock(&chunks->lock);
	return err;
}

/**
 * dsm_object_freeze() - make a large object read-only for ever
 * @region: that it belongs to
 * @ref: in: its handle; out: the frozen object's
 *
 * When it returns no process of this node can write to the object any more, and
 * what they wrote is what every node will read.
 *
 * Return: 0, -EINVAL, -ERANGE, -EXDEV, -ESTALE, -EROFS, -EIDRM.
 */
int dsm_object_freeze(struct dsm_region *region, struct dsm_ref *ref)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	u64 page, n, version;
	int err;

	mutex_lock(&chunks->lock);
	err = dsm_object_find(region, ref, DSM_STATE_LIVE, &page, &n);
	if (!err) {
		version = dsm_word_version(ref->version) + 1;
		dsm_object_change(region, page, n, DSM_STATE_FROZEN, version);
		ref->version = DSM_WORD(DSM_STATE_FROZEN, DSM_LINES_LARGE, version);
	}
	mutex_unlock(&chunks->lock);
	return err;
}

/**
 * dsm_object_check() - is this the handle of a frozen object of this partition?
 * @region: that it must belong to
 * @ref: the handle
 *
 * Return: 0, -EXDEV (another partition: the caller asks its home), -EINVAL (not
 * frozen), -ERANGE, -ESTALE, -EIDRM.
 */
int dsm_object_check(struct dsm_region *region, const struct dsm_ref *ref)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	u64 page, n;
	int err;

	mutex_lock(&chunks->lock);
	err = dsm_object_find(region, ref, DSM_STATE_FROZEN, &page, &n);
	mutex_unlock(&chunks->lock);
	return err;
}

/* ---- giving chunks back ---- */

/**
 * dsm_chunks_hide() - a region has ended: nothing of its chunks may be used
 * @region: gone, so nothing new is populated
 *
 * Afterwards no process of this node maps any of it and the directory no longer
 * names it.  Peers may still READ it.
 */
void dsm_chunks_hide(struct dsm_region *region)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	static const struct dsm_wire_chunk none;
	struct dsm_chunk *chunk;

	mutex_lock(&chunks->lock);
	list_for_each_entry(chunk, &region->chunks, list) {
		down_write(&chunk->lock);
		chunk->dead = true;
		up_write(&chunk->lock);
		dsm_dir_write(region->node, chunk->index, &none);
	}
	unmap_mapping_pages(region->mapping, 0, 0, false);
	mutex_unlock(&chunks->lock);
}

/**
 * dsm_chunks_release() - give a hidden region's chunks back
 * @region: hidden, and no peer holds a key of it any more
 */
void dsm_chunks_release(struct dsm_region *region)
{
	struct dsm_node *node = region->node;
	struct dsm_chunks *chunks = &node->chunks;
	struct dsm_chunk *chunk, *next;
	unsigned int i;

	mutex_lock(&chunks->lock);
	list_for_each_entry_safe(chunk, next, &region->chunks, list) {
		for (i = 0; i < DSM_CHUNK_PAGES; i++)
			chunks->floor[chunk->index] =
				max(chunks->floor[chunk->index],
				    dsm_word_version(chunk->ledger[i]));
		list_del(&chunk->list);
		xa_erase(&chunks->table, chunk->index);
		clear_bit(chunk->index, chunks->busy);
		dsm_stat_add(node->stat, DSM_COUNTER_CHUNKS_RELEASED, 1);
		dsm_stat_add(region->stat, DSM_COUNTER_CHUNKS_RELEASED, 1);
		dsm_stat_add(node->stat, DSM_COUNTER_GAUGE_CHUNKS, -1);
		dsm_stat_add(region->stat, DSM_COUNTER_GAUGE_CHUNKS, -1);
		trace_dsm_chunk(node->id, chunk->index, region->id, false);
		dsm_chunk_put(chunk);
	}
	mutex_unlock(&chunks->lock);
}
