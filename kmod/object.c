// SPDX-License-Identifier: GPL-2.0-only
/*
 * Large objects of the node's own partition: runs of pages that may span chunks.
 *
 * The word of an object's first page is LIVE, EXCL or POISON(DSM_LINES_LARGE, v),
 * the others' are CONT with versions of their own, the last with DSM_LINES_LARGE; when
 * it is frozen all are FROZEN(v + 1), the first with DSM_LINES_LARGE.  So an object's
 * size is read off the ledger, and a handle is checked against it, by a peer without a
 * look at the chunk behind.  An object that spans chunks begins with one.
 *
 *	alloc -> EXCL(v) -> end -> LIVE(v + 1) -> take -> EXCL(v + 1) ...
 *	EXCL -> freeze, poison or free;  LIVE and claimed by a peer -> reclaim
 *
 * Who has it in EXCL is known to the caller, see grant.c.
 */
#include <linux/fs.h>
#include <linux/sched/signal.h>
#include "claimed.h"
#include "node.h"
#include "object.h"

enum { DSM_OBJECT_BATCH = 64 };	/* chunks that are populated in one go */

/* The chunk and word of a page of the partition.  Under dsm_chunks.lock. */
static struct dsm_chunk *dsm_object_chunk(struct dsm_region *region, u64 page)
{
	struct dsm_chunk *chunk;

	chunk = xa_load(&region->node->chunks.table, page / DSM_CHUNK_PAGES);
	if (!chunk || chunk->region != region || chunk->kind != DSM_CHUNK_LARGE ||
	    chunk->dead)
		return NULL;
	return chunk;
}

static u64 dsm_object_word(struct dsm_region *region, u64 page)
{
	struct dsm_chunk *chunk = dsm_object_chunk(region, page);

	return chunk ? READ_ONCE(*dsm_chunk_word(chunk, page % DSM_CHUNK_PAGES)) : 0;
}

static void dsm_object_breathe(u64 page)
{
	if (!(page % DSM_CHUNK_PAGES))
		cond_resched();
}

/* ---- finding ---- */

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

/* Does the object at @page end where the handle says?  Sets @n. */
static int dsm_object_measure(struct dsm_region *region, const struct dsm_ref *ref,
			      u64 page, u64 word, u64 *n)
{
	bool frozen = dsm_word_state(word) == DSM_STATE_FROZEN;
	u64 cont = DSM_WORD(DSM_STATE_FROZEN, 0, dsm_word_version(word));
	u64 i, next;

	if (!PAGE_ALIGNED(ref->size))
		return -ESTALE;
	*n = ref->size >> PAGE_SHIFT;
	for (i = 1; i <= *n; i++) {
		bool inside, behind = i == *n;

		next = dsm_object_word(region, page + i);
		inside = frozen ? next == cont : dsm_word_state(next) == DSM_STATE_CONT;
		if (inside == behind)
			return -ESTALE;
		dsm_object_breathe(i);
	}
	return 0;
}

/*
 * Find the object that @ref names, in whatever state its version is.  Under
 * dsm_chunks.lock.  Sets @page, @n and @word.
 */
static int dsm_object_find(struct dsm_region *region, const struct dsm_ref *ref,
			   u64 *page, u64 *n, u64 *word)
{
	struct dsm_chunk *chunk;
	u64 version;
	int err;

	err = dsm_object_page(region, ref, page);
	if (err)
		return err;
	if (READ_ONCE(region->gone))
		return -EIDRM;
	chunk = xa_load(&region->node->chunks.table, *page / DSM_CHUNK_PAGES);
	if (chunk && chunk->region != region)
		return -EXDEV;
	*word = dsm_object_word(region, *page);
	if (dsm_word_lines(*word) != DSM_LINES_LARGE ||
	    dsm_word_lines(ref->version) != DSM_LINES_LARGE)
		return -ESTALE;
	version = dsm_word_version(ref->version);
	switch (dsm_word_state(*word)) {
	case DSM_STATE_FROZEN:
		/* An older handle to what is frozen now is told so. */
		if (ref->version == DSM_WORD(DSM_STATE_LIVE, DSM_LINES_LARGE,
					     dsm_word_version(*word) - 1))
			return -EROFS;
		if (ref->version != *word)
			return -ESTALE;
		break;
	case DSM_STATE_LIVE:
	case DSM_STATE_EXCL:
	case DSM_STATE_POISON:
		if (dsm_word_state(ref->version) != DSM_STATE_LIVE ||
		    version != dsm_word_version(*word))
			return -ESTALE;
		break;
	default:
		return -ESTALE;
	}
	return dsm_object_measure(region, ref, *page, *word, n);
}

/* ---- allocating and freeing ---- */

/* Zero an object's pages and free them; the first word, EXCL, goes last. */
static void dsm_object_release(struct dsm_region *region, u64 page, u64 n)
{
	u64 version = dsm_word_version(dsm_object_word(region, page));
	u64 i;

	for (i = n; i-- > 0;) {
		struct dsm_chunk *chunk = dsm_object_chunk(region, page + i);
		unsigned int k = (page + i) % DSM_CHUNK_PAGES;
		u64 own = dsm_word_version(*dsm_chunk_word(chunk, k));

		clear_highpage(chunk->pages[k]);
		/* Copies of this page say the object's version: it never comes again. */
		dsm_word_store(chunk, k,
			       DSM_WORD(DSM_STATE_FREE, 0, max(own, version)));
		clear_bit(k, chunk->used);
		dsm_object_breathe(i);
	}
}

static u64 dsm_object_pages(struct dsm_region *region, u64 page)
{
	u64 n = 1;

	while (dsm_word_state(dsm_object_word(region, page + n)) == DSM_STATE_CONT)
		n++;
	return n;
}

/* Free what peers have moved away or dropped.  Under dsm_chunks.lock. */
static bool dsm_object_reclaim(struct dsm_chunk *chunk)
{
	struct dsm_region *region = chunk->region;
	bool freed = false;
	unsigned int k;

	for_each_set_bit(k, chunk->used, DSM_CHUNK_PAGES) {
		u64 page = (u64)chunk->index * DSM_CHUNK_PAGES + k;

		/* Who reads it here, against the rules, must not see others' bytes. */
		if (dsm_word_lines(*dsm_chunk_word(chunk, k)) == DSM_LINES_LARGE &&
		    !chunk->readers[k] && dsm_claimed_reclaim(chunk, k)) {
			dsm_object_release(region, page, dsm_object_pages(region, page));
			freed = true;
		}
	}
	return freed;
}

static bool dsm_objects_reclaim(struct dsm_region *region)
{
	struct dsm_chunk *chunk;
	bool freed = false;

	list_for_each_entry(chunk, &region->chunks, list) {
		if (chunk->kind == DSM_CHUNK_LARGE)
			freed |= dsm_object_reclaim(chunk);
		cond_resched();
	}
	return freed;
}

/**
 * dsm_objects_leave() - is there no object in a chunk?
 * @chunk: of large objects
 *
 * Context: process, under dsm_chunks.lock.
 */
bool dsm_objects_leave(struct dsm_chunk *chunk)
{
	dsm_object_reclaim(chunk);
	return bitmap_empty(chunk->used, DSM_CHUNK_PAGES);
}

static bool dsm_object_fit(struct dsm_region *region, u64 n, u64 *page)
{
	struct dsm_chunk *chunk;
	unsigned long first;

	if (n > DSM_CHUNK_PAGES)
		return false;
	list_for_each_entry(chunk, &region->chunks, list) {
		if (chunk->kind != DSM_CHUNK_LARGE)
			continue;
		first = bitmap_find_next_zero_area(chunk->used, DSM_CHUNK_PAGES, 0, n, 0);
		if (first < DSM_CHUNK_PAGES) {
			*page = (u64)chunk->index * DSM_CHUNK_PAGES + first;
			return true;
		}
	}
	return false;
}

/* Find free chunks in a row that were populated, or can be. */
static int dsm_object_chunks(struct dsm_region *region, unsigned long k,
			     unsigned long *first)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	unsigned long at, run = 0;

	for (at = 0; at < chunks->nr; at++) {
		bool free = !test_bit(at, chunks->busy);

		if (!free) {
			struct dsm_chunk *chunk = dsm_object_chunk(region,
								   (u64)at * DSM_CHUNK_PAGES);

			free = chunk && bitmap_empty(chunk->used, DSM_CHUNK_PAGES);
		}
		run = free ? run + 1 : 0;
		if (run == k) {
			*first = at + 1 - k;
			return 0;
		}
	}
	return -ENOSPC;
}

/*
 * Find @n free pages in a row, populating chunks.  Under dsm_chunks.lock; -EAGAIN: others
 * may want it, too.
 */
static int dsm_object_place(struct dsm_region *region, u64 n, u64 *page)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	u64 k = DIV_ROUND_UP(n, DSM_CHUNK_PAGES);
	unsigned long first, i;
	unsigned int added = 0;
	int err;

	if (k > chunks->nr)
		return -ENOSPC;
	if (dsm_object_fit(region, n, page))
		return 0;
	err = dsm_object_chunks(region, k, &first);
	/* Peers' claims are looked at before memory is added. */
	if (dsm_objects_reclaim(region)) {
		if (dsm_object_fit(region, n, page))
			return 0;
		err = dsm_object_chunks(region, k, &first);
	}
	if (err)
		return err;
	for (i = 0; i < k; i++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		if (test_bit(first + i, chunks->busy))
			continue;
		/* On failure those that were populated stay, free, for the next. */
		if (added++ == DSM_OBJECT_BATCH)
			return -EAGAIN;
		err = dsm_chunk_populate(region, first + i, DSM_CHUNK_LARGE);
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
 * @end: jiffies after which to give up, or 0
 *
 * The object is zeroed and in EXCL.
 *
 * Context: process, sleeps.
 * Return: 0, -EINVAL, -ENOSPC, -ENOMEM, -EIDRM, -EHOSTDOWN, -EINTR, -EAGAIN (@end; the
 * next try has less to do).
 */
int dsm_object_alloc(struct dsm_region *region, struct dsm_ref *ref, unsigned long end)
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
	region->placing++;
	for (;;) {
		err = READ_ONCE(region->gone) ? -EIDRM : dsm_object_place(region, n, &page);
		if (err != -EAGAIN || (end && time_after(jiffies, end)))
			break;
		mutex_unlock(&chunks->lock);
		cond_resched();
		mutex_lock(&chunks->lock);
	}
	region->placing--;
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
		if (i)
			dsm_word_become(chunk, k, DSM_STATE_CONT,
					i == n - 1 ? DSM_LINES_LARGE : 0);
		else
			dsm_word_store(chunk, k, DSM_WORD(DSM_STATE_EXCL, DSM_LINES_LARGE,
							  version));
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

/* ---- borrowing ---- */

/* LIVE -> EXCL, unless a peer claims it.  Under dsm_chunks.lock. */
static int dsm_object_grab(struct dsm_region *region, u64 page, u64 word)
{
	struct dsm_chunk *chunk = dsm_object_chunk(region, page);
	unsigned int k = page % DSM_CHUNK_PAGES;
	u64 claim;

	dsm_word_store(chunk, k, DSM_WORD(DSM_STATE_EXCL, DSM_LINES_LARGE,
					  dsm_word_version(word)));
	/* The exchange orders this behind it; pairs with the mover's CAS, then READ. */
	claim = READ_ONCE(*dsm_chunk_claim(chunk, k));
	if (dsm_claim_state(claim) == DSM_CLAIM_NONE ||
	    dsm_word_version(claim) != dsm_word_version(word))
		return 0;
	dsm_word_store(chunk, k, word);
	return dsm_claim_state(claim) == DSM_CLAIM_MOVING ? -EBUSY : -ESTALE;
}

/**
 * dsm_object_take() - LIVE -> EXCL
 * @region: that it belongs to
 * @ref: its handle
 * @flags: DSM_BORROW_ACCEPT: or POISON -> EXCL
 *
 * Return: 0, -EBUSY, -ESTALE, -EOWNERDEAD, -EROFS, -EINVAL, -ERANGE, -EXDEV, -EIDRM.
 */
int dsm_object_take(struct dsm_region *region, const struct dsm_ref *ref,
		    unsigned int flags)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	u64 page, n, word;
	int err;

	mutex_lock(&chunks->lock);
	err = dsm_object_find(region, ref, &page, &n, &word);
	if (err)
		goto unlock;
	switch (dsm_word_state(word)) {
	case DSM_STATE_POISON:
		if (!(flags & DSM_BORROW_ACCEPT)) {
			err = -EOWNERDEAD;
			break;
		}
		fallthrough;
	case DSM_STATE_LIVE:
		err = dsm_object_chunk(region, page)->readers[page % DSM_CHUNK_PAGES] ?
		      -EBUSY : dsm_object_grab(region, page, word);
		break;
	case DSM_STATE_FROZEN:
		err = -EROFS;
		break;
	default:
		err = -EBUSY;
		break;
	}
unlock:
	mutex_unlock(&chunks->lock);
	return err;
}

/* The word of an object that the caller has in EXCL, under dsm_chunks.lock. */
static void dsm_object_put_word(struct dsm_region *region, const struct dsm_ref *ref,
				u64 word)
{
	u64 page;

	if (dsm_object_page(region, ref, &page) || !dsm_object_chunk(region, page))
		return;
	dsm_word_store(dsm_object_chunk(region, page), page % DSM_CHUNK_PAGES, word);
}

/**
 * dsm_object_end() - EXCL -> LIVE, as a new version
 * @region: that it belongs to
 * @ref: of dsm_object_take() or _alloc(); out: names the new version
 *
 * Nothing maps it writable any more.
 */
void dsm_object_end(struct dsm_region *region, struct dsm_ref *ref)
{
	struct dsm_chunks *chunks = &region->node->chunks;

	ref->version = DSM_WORD(DSM_STATE_LIVE, DSM_LINES_LARGE,
				dsm_word_version(ref->version) + 1);
	mutex_lock(&chunks->lock);
	dsm_object_put_word(region, ref, ref->version);
	mutex_unlock(&chunks->lock);
}

/**
 * dsm_object_poison() - EXCL -> POISON: who had it died
 * @region: that it belongs to
 * @ref: of dsm_object_take() or _alloc()
 */
void dsm_object_poison(struct dsm_region *region, const struct dsm_ref *ref)
{
	struct dsm_chunks *chunks = &region->node->chunks;

	mutex_lock(&chunks->lock);
	dsm_object_put_word(region, ref,
			    DSM_WORD(DSM_STATE_POISON, DSM_LINES_LARGE,
				     dsm_word_version(ref->version)));
	mutex_unlock(&chunks->lock);
}

/**
 * dsm_object_free() - EXCL -> FREE
 * @region: that it belongs to
 * @ref: of dsm_object_take() or _alloc()
 *
 * Nothing maps it any more.
 */
void dsm_object_free(struct dsm_region *region, const struct dsm_ref *ref)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	u64 page;

	mutex_lock(&chunks->lock);
	if (!dsm_object_page(region, ref, &page) && dsm_object_chunk(region, page))
		dsm_object_release(region, page, ref->size >> PAGE_SHIFT);
	mutex_unlock(&chunks->lock);
}

/**
 * dsm_object_freeze() - EXCL -> FROZEN: read-only for ever
 * @region: that it belongs to
 * @ref: in: of dsm_object_take() or _alloc(); out: the frozen object's
 *
 * Nothing maps it any more: what was written is what every node will read.
 */
void dsm_object_freeze(struct dsm_region *region, struct dsm_ref *ref)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	u64 version = dsm_word_version(ref->version) + 1;
	u64 page, i;

	mutex_lock(&chunks->lock);
	ref->version = DSM_WORD(DSM_STATE_FROZEN, DSM_LINES_LARGE, version);
	if (dsm_object_page(region, ref, &page) || !dsm_object_chunk(region, page))
		goto unlock;
	for (i = ref->size >> PAGE_SHIFT; i-- > 0;) {
		dsm_word_store(dsm_object_chunk(region, page + i),
			       (page + i) % DSM_CHUNK_PAGES,
			       i ? DSM_WORD(DSM_STATE_FROZEN, 0, version) : ref->version);
		dsm_object_breathe(i);
	}
unlock:
	mutex_unlock(&chunks->lock);
}

/**
 * dsm_object_share() - count a reader in
 * @region: that it belongs to
 * @ref: its handle
 *
 * What readers of this node do not exclude is a peer that moves it away.
 *
 * Return: 0; 1: it is frozen and needs no count; -EBUSY, -ESTALE, -EOWNERDEAD,
 * -EINVAL, -ERANGE, -EXDEV, -EIDRM.
 */
int dsm_object_share(struct dsm_region *region, const struct dsm_ref *ref)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	u64 page, n, word;
	int err;

	mutex_lock(&chunks->lock);
	err = dsm_object_find(region, ref, &page, &n, &word);
	if (err) {
		/* A handle from before the freeze is just old, for a reader. */
		if (err == -EROFS)
			err = -ESTALE;
		goto unlock;
	}
	switch (dsm_word_state(word)) {
	case DSM_STATE_LIVE:
		dsm_object_chunk(region, page)->readers[page % DSM_CHUNK_PAGES]++;
		break;
	case DSM_STATE_FROZEN:
		err = 1;
		break;
	case DSM_STATE_POISON:
		err = -EOWNERDEAD;
		break;
	default:
		err = -EBUSY;
		break;
	}
unlock:
	mutex_unlock(&chunks->lock);
	return err;
}

/**
 * dsm_object_unshare() - count a reader out
 * @region: that it belongs to
 * @ref: of dsm_object_share()
 */
void dsm_object_unshare(struct dsm_region *region, const struct dsm_ref *ref)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	u64 page;

	mutex_lock(&chunks->lock);
	if (!dsm_object_page(region, ref, &page) && dsm_object_chunk(region, page))
		dsm_object_chunk(region, page)->readers[page % DSM_CHUNK_PAGES]--;
	mutex_unlock(&chunks->lock);
}

/**
 * dsm_object_check() - can this handle of a large object be given away?
 * @region: that it must belong to
 * @ref: the handle
 *
 * Return: 0, -EXDEV (another partition: its home knows), -EBUSY, -EOWNERDEAD,
 * -EINVAL, -ERANGE, -ESTALE, -EIDRM.
 */
int dsm_object_check(struct dsm_region *region, const struct dsm_ref *ref)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	u64 page, n, word;
	int err;

	mutex_lock(&chunks->lock);
	err = dsm_object_find(region, ref, &page, &n, &word);
	if (!err && dsm_word_state(word) == DSM_STATE_EXCL)
		err = -EBUSY;
	if (!err && dsm_word_state(word) == DSM_STATE_POISON)
		err = -EOWNERDEAD;
	mutex_unlock(&chunks->lock);
	return err == -EROFS ? -ESTALE : err;
}
