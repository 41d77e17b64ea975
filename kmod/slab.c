// SPDX-License-Identifier: GPL-2.0-only
/*
 * Slabs: pages of the node's own partition that small objects of one size are
 * allocated from.  The pages are handed out here; the objects in them are allocated
 * by their owner's processes, each with one compare-and-swap of its first word.
 *
 *	FREE(n, v)	n lines can be allocated here, as EXCL(n, v + 1)
 *	CONT(v)		nothing begins here
 *	FREE(0, v)	the page is not a slab
 *
 * As the word says n, who holds an old opinion of the page cannot allocate from it.
 * Whoever took the first word to EXCL owns the words of all n lines.  The shape of a
 * page is changed only here: its old words are taken one by one, then CONT is
 * written, and the new FREE(n, v) last, as it promises that nobody writes behind it.
 * Every word keeps its own version for ever.
 */
#include <linux/mm.h>
#include "claim.h"
#include "claimed.h"
#include "node.h"
#include "slab.h"

enum {
	DSM_SLAB_LOOKS = 64,		/* slabs that are looked at before memory is added */
	DSM_SLAB_WORTH = 8,		/* a slab of which 1/8 is free is handed out */
};

static unsigned int dsm_slab_line(unsigned int page)
{
	return page * DSM_PAGE_LINES;
}

/* ---- one slab; under dsm_chunks.lock ---- */

/* How many objects can be allocated from a slab, after reclaiming. */
static unsigned int dsm_slab_refresh(struct dsm_chunk *chunk, unsigned int page)
{
	unsigned int n = chunk->slabs[page].lines, free = 0, i;

	for (i = 0; i + n <= DSM_PAGE_LINES; i += n) {
		unsigned int line = dsm_slab_line(page) + i;
		u64 word;

		if (dsm_claimed_reclaim(chunk, line))
			dsm_word_become(chunk, line, DSM_STATE_FREE, n);
		word = READ_ONCE(*dsm_chunk_word(chunk, line));
		free += dsm_word_state(word) == DSM_STATE_FREE &&
			dsm_word_lines(word) == n;
	}
	return free;
}

/* Make a page that is not a slab into one. */
static void dsm_slab_carve(struct dsm_chunk *chunk, unsigned int page, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < DSM_PAGE_LINES; i++)
		if (i % n || i + n > DSM_PAGE_LINES)
			dsm_word_become(chunk, dsm_slab_line(page) + i, DSM_STATE_CONT, 0);
	for (i = 0; i + n <= DSM_PAGE_LINES; i += n)
		dsm_word_become(chunk, dsm_slab_line(page) + i, DSM_STATE_FREE, n);
	chunk->slabs[page].lines = n;
	chunk->slabs_carved++;
}

/* Take a slab back if nothing is allocated from it. */
static bool dsm_slab_retire(struct dsm_chunk *chunk, unsigned int page)
{
	unsigned int n = chunk->slabs[page].lines, i;

	for (i = 0; i + n <= DSM_PAGE_LINES; i += n) {
		unsigned int line = dsm_slab_line(page) + i;
		u64 word = READ_ONCE(*dsm_chunk_word(chunk, line));

		if (word != DSM_WORD(DSM_STATE_FREE, n, dsm_word_version(word)) ||
		    !dsm_word_change(chunk, line, word,
				     DSM_WORD(DSM_STATE_FREE, 0, dsm_word_version(word))))
			break;
	}
	if (i + n > DSM_PAGE_LINES) {
		chunk->slabs[page].lines = 0;
		chunk->slabs_carved--;
		chunk->slabs[page].owner = NULL;
		return true;
	}
	while (i) {
		i -= n;
		dsm_word_become(chunk, dsm_slab_line(page) + i, DSM_STATE_FREE, n);
	}
	return false;
}

/* Could all of a slab be free, once what peers took is reclaimed? */
static bool dsm_slab_may_leave(const struct dsm_chunk *chunk, unsigned int page)
{
	unsigned int n = chunk->slabs[page].lines, i;

	for (i = 0; n && i + n <= DSM_PAGE_LINES; i += n) {
		unsigned int line = dsm_slab_line(page) + i;
		u64 word = READ_ONCE(*dsm_chunk_word(chunk, line));

		if (dsm_word_state(word) != DSM_STATE_FREE &&
		    READ_ONCE(*dsm_chunk_claim(chunk, line)) !=
		    DSM_CLAIM(DSM_CLAIM_FREED, 0, dsm_word_version(word)))
			return false;
	}
	return true;
}

/**
 * dsm_slabs_leave() - is there no object in a chunk?  Then it has no slabs any more
 * @chunk: of small objects
 *
 * Context: process, under dsm_chunks.lock.
 */
bool dsm_slabs_leave(struct dsm_chunk *chunk)
{
	unsigned int page, n;

	for (page = 0; page < DSM_CHUNK_PAGES; page++)
		if (!dsm_slab_may_leave(chunk, page))
			return false;
	for (page = 0; page < DSM_CHUNK_PAGES; page++) {
		n = chunk->slabs[page].lines;
		if (n && dsm_slab_refresh(chunk, page) < DSM_PAGE_LINES / n)
			return false;
		cond_resched();
	}
	for (page = 0; page < DSM_CHUNK_PAGES; page++)
		if (chunk->slabs[page].lines && !dsm_slab_retire(chunk, page))
			return false;
	return true;
}

/* ---- finding one; under dsm_chunks.lock ---- */

struct dsm_slab_place {
	struct dsm_chunk *chunk;
	unsigned int page;
};

static struct dsm_chunk *dsm_slab_chunk(struct dsm_region *region, unsigned int *nr)
{
	struct dsm_chunk *chunk, *first = NULL;

	*nr = 0;
	list_for_each_entry(chunk, &region->chunks, list) {
		if (chunk->kind != DSM_CHUNK_SMALL)
			continue;
		if (!first)
			first = chunk;
		++*nr;
	}
	return first;
}

/*
 * Go around the region's pages from where the last search ended: to a slab of @lines
 * that is @owner's or nobody's and has room for 1/@worth of what it can hold, looking
 * at @looks of them; else to a page that is none.
 */
static bool dsm_slab_look(struct dsm_region *region, const void *owner,
			  unsigned int lines, unsigned int worth, unsigned long looks,
			  struct dsm_slab_place *found)
{
	unsigned int enough = max_t(unsigned int, DSM_PAGE_LINES / lines / worth, 1);
	struct dsm_chunk *chunk;
	unsigned int nr, k;

	found->chunk = NULL;
	chunk = dsm_slab_chunk(region, &nr);
	/* The first one twice: the search may begin in the middle of it. */
	for (k = 0; k <= nr && chunk && looks; k++) {
		for (; chunk->slab_at < DSM_CHUNK_PAGES && looks; chunk->slab_at++) {
			unsigned int page = chunk->slab_at;
			const struct dsm_slab *slab = &chunk->slabs[page];

			if (!slab->lines && !found->chunk) {
				found->chunk = chunk;
				found->page = page;
			}
			if (slab->lines != lines || (slab->owner && slab->owner != owner))
				continue;
			looks--;
			if (dsm_slab_refresh(chunk, page) < enough)
				continue;
			found->chunk = chunk;
			found->page = page;
			return true;
		}
		if (chunk->slab_at == DSM_CHUNK_PAGES) {
			chunk->slab_at = 0;
			list_move_tail(&chunk->list, &region->chunks);
			chunk = dsm_slab_chunk(region, &nr);
		}
		cond_resched();
	}
	return found->chunk;
}

/* A page that is no slab. */
static bool dsm_slab_unused(struct dsm_region *region, struct dsm_slab_place *found)
{
	struct dsm_chunk *chunk;
	unsigned int page = 0;

	list_for_each_entry(chunk, &region->chunks, list) {
		if (chunk->kind != DSM_CHUNK_SMALL || chunk->slabs_carved == DSM_CHUNK_PAGES)
			continue;
		while (chunk->slabs[page].lines)
			page++;
		found->chunk = chunk;
		found->page = page;
		return true;
	}
	return false;
}

/* A page from which nothing is allocated, of whatever size. */
static bool dsm_slab_steal(struct dsm_region *region, struct dsm_slab_place *found)
{
	struct dsm_chunk *chunk;
	unsigned int page;

	list_for_each_entry(chunk, &region->chunks, list) {
		for (page = 0; chunk->slabs && page < DSM_CHUNK_PAGES; page++) {
			if (!chunk->slabs[page].lines || !dsm_slab_refresh(chunk, page) ||
			    !dsm_slab_retire(chunk, page))
				continue;
			found->chunk = chunk;
			found->page = page;
			return true;
		}
		cond_resched();
	}
	return false;
}

static int dsm_slab_find(struct dsm_region *region, const void *owner,
			 unsigned int lines, struct dsm_slab_place *found)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	unsigned long index;
	int err = -ENOSPC;

	/* A little patience for what was freed, before memory is added. */
	if (dsm_slab_look(region, owner, lines, DSM_SLAB_WORTH, DSM_SLAB_LOOKS, found) ||
	    dsm_slab_unused(region, found))
		return 0;
	index = find_first_zero_bit(chunks->busy, chunks->nr);
	if (index < chunks->nr) {
		err = dsm_chunk_populate(region, index, DSM_CHUNK_SMALL);
		if (!err) {
			found->chunk = xa_load(&chunks->table, index);
			found->page = 0;
			list_move(&found->chunk->list, &region->chunks);
			return 0;
		}
		if (err != -ENOMEM)
			return err;
	}
	if (dsm_slab_look(region, owner, lines, DSM_PAGE_LINES, ULONG_MAX, found) ||
	    dsm_slab_steal(region, found))
		return 0;
	return err;
}

static u64 dsm_slab_addr(struct dsm_region *region, const struct dsm_slab_place *at)
{
	struct dsm_node *node = region->node;
	pgoff_t pgoff = dsm_partition(node, node->id) +
			(pgoff_t)at->chunk->index * DSM_CHUNK_PAGES + at->page;

	return node->config.geometry.base + ((u64)pgoff << PAGE_SHIFT);
}

static int dsm_slab_own(struct dsm_region *region, const void *owner, unsigned int lines,
			struct dsm_slab_place *at)
{
	int err;

	err = READ_ONCE(region->gone) ? -EIDRM : dsm_slab_find(region, owner, lines, at);
	if (err)
		return err;
	if (!at->chunk->slabs[at->page].lines)
		dsm_slab_carve(at->chunk, at->page, lines);
	at->chunk->slabs[at->page].owner = owner;
	return 0;
}

/**
 * dsm_slab_get() - hand a slab out
 * @region: to allocate in
 * @owner: an attached file, until dsm_slabs_disown()
 * @lines: of each object
 * @addr: out: the slab
 *
 * Context: process, sleeps.
 * Return: 0, -EINVAL, -ENOSPC, -ENOMEM, -EIDRM, -EHOSTDOWN, -EINTR.
 */
int dsm_slab_get(struct dsm_region *region, const void *owner, unsigned int lines,
		 u64 *addr)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	struct dsm_slab_place at;
	int err;

	if (!lines || lines > DSM_MAX_LINES)
		return -EINVAL;
	mutex_lock(&chunks->lock);
	err = dsm_slab_own(region, owner, lines, &at);
	if (!err)
		*addr = dsm_slab_addr(region, &at);
	mutex_unlock(&chunks->lock);
	return err;
}

/**
 * dsm_slab_alloc() - allocate a small object, for another node
 * @region: to allocate in
 * @ref: in: size; out: the handle of an object of zeroes that nobody borrows
 *
 * Context: process, sleeps.
 * Return: as dsm_slab_get().
 */
int dsm_slab_alloc(struct dsm_region *region, struct dsm_ref *ref)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	unsigned int n = DIV_ROUND_UP(ref->size, DSM_LINE_SIZE), i;
	struct dsm_slab_place at;
	int err;

	mutex_lock(&chunks->lock);
	err = dsm_slab_own(region, region, n, &at);
	if (err)
		goto unlock;
	err = -ENOSPC;
	for (i = 0; i + n <= DSM_PAGE_LINES; i += n) {
		unsigned int line = dsm_slab_line(at.page) + i;
		u64 word = READ_ONCE(*dsm_chunk_word(at.chunk, line));
		u64 v = dsm_word_version(word) + 1;

		if (word != DSM_WORD(DSM_STATE_FREE, n, v - 1) ||
		    !dsm_word_change(at.chunk, line, word, DSM_WORD(DSM_STATE_EXCL, n, v)))
			continue;
		memset(page_address(at.chunk->pages[at.page]) + i * DSM_LINE_SIZE, 0,
		       n * DSM_LINE_SIZE);
		ref->addr = dsm_slab_addr(region, &at) + i * DSM_LINE_SIZE;
		ref->version = DSM_WORD(DSM_STATE_LIVE, n, v + 1);
		ref->size = n * DSM_LINE_SIZE;
		dsm_word_store(at.chunk, line, ref->version);
		err = 0;
		break;
	}
unlock:
	mutex_unlock(&chunks->lock);
	return err;
}

/**
 * dsm_slab_move() - take a small object of a peer
 * @region: that it belongs to
 * @ref: its handle
 * @flags: DSM_BORROW_DISCARD, DSM_BORROW_ACCEPT
 * @to: address of an object of the same size here, that the caller has in EXCL
 *
 * Context: process, killable.
 * Return: 0, -EINVAL, -ERANGE, -EXDEV (@to), or as dsm_claim_take().
 */
int dsm_slab_move(struct dsm_region *region, const struct dsm_ref *ref,
		  unsigned int flags, u64 to)
{
	struct dsm_node *node = region->node;
	struct dsm_ref here = { .addr = to, .version = ref->version, .size = ref->size };
	struct dsm_chunk *chunk;
	struct dsm_claim *claim;
	struct page *page;
	pgoff_t pgoff;
	u64 word;
	int err;

	err = dsm_ref_check(node, ref) ?: dsm_ref_check(node, &here);
	if (err)
		return err;
	if (dsm_word_lines(ref->version) == DSM_LINES_LARGE || dsm_ref_local(node, ref))
		return -EINVAL;
	if (!dsm_ref_local(node, &here))
		return -EXDEV;
	if (!node->links[dsm_ref_home(node, ref)])
		return -EACCES;
	pgoff = ((to - node->config.geometry.base) >> PAGE_SHIFT) -
		dsm_partition(node, node->id);
	chunk = dsm_chunk_get(node, pgoff / DSM_CHUNK_PAGES);
	if (!chunk)
		return -EXDEV;
	err = -EXDEV;
	if (chunk->region != region || chunk->kind != DSM_CHUNK_SMALL || chunk->dead)
		goto put;
	word = READ_ONCE(*dsm_chunk_word(chunk, dsm_slab_line(pgoff % DSM_CHUNK_PAGES) +
					 ((to % PAGE_SIZE) >> DSM_LINE_SHIFT)));
	err = -EINVAL;
	if (dsm_word_state(word) != DSM_STATE_EXCL ||
	    dsm_word_lines(word) != dsm_word_lines(ref->version))
		goto put;
	page = chunk->pages[pgoff % DSM_CHUNK_PAGES];
	err = dsm_claim_take(region, ref, flags,
			     flags & DSM_BORROW_DISCARD ? NULL : &page, to % PAGE_SIZE,
			     &claim);
	if (!err)
		dsm_claim_settle(claim, true);
put:
	dsm_chunk_put(chunk);
	return err;
}

/**
 * dsm_slabs_disown() - anybody may have a process's slabs
 * @region: of the slabs
 * @owner: of dsm_slab_get()
 */
void dsm_slabs_disown(struct dsm_region *region, const void *owner)
{
	struct dsm_chunks *chunks = &region->node->chunks;
	struct dsm_chunk *chunk;
	unsigned int page;

	mutex_lock(&chunks->lock);
	list_for_each_entry(chunk, &region->chunks, list)
		for (page = 0; chunk->slabs && page < DSM_CHUNK_PAGES; page++)
			if (chunk->slabs[page].owner == owner)
				chunk->slabs[page].owner = NULL;
	mutex_unlock(&chunks->lock);
}
