// SPDX-License-Identifier: GPL-2.0-only
/*
 * Grants: which large objects a process has borrowed.  Pages of them can be touched
 * only inside the grant.
 *
 * A fault looks for the grant and maps the page under dsm_grants.lock; the end of a
 * grant takes it out under that lock and then the mapping away.  So nothing is
 * mapped afterwards, and what was written is in memory before the ledger says so.
 *
 * An exclusive borrow of an object of another node moves it: every byte is here
 * before it begins.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include "claim.h"
#include "copy.h"
#include "grant.h"
#include "node.h"
#include "object.h"
#include "room.h"

void dsm_grants_init(struct dsm_grants *grants)
{
	init_rwsem(&grants->lock);
	grants->tree = RB_ROOT_CACHED;
}

/**
 * dsm_grant_find() - the grant that a page is in
 * @grants: of the process, locked
 * @pgoff: of the page in the range
 */
const struct dsm_grant *dsm_grant_find(struct dsm_grants *grants, pgoff_t pgoff)
{
	struct interval_tree_node *it;

	it = interval_tree_iter_first(&grants->tree, pgoff, pgoff);
	return it ? container_of(it, struct dsm_grant, it) : NULL;
}

/**
 * dsm_grant_want() - the version that a process may see of a peer's page
 * @grants: of the process, locked
 * @pgoff: of the page in the range
 * @want: out
 *
 * Return: false if it has not borrowed what the page is of.
 */
bool dsm_grant_want(struct dsm_grants *grants, pgoff_t pgoff, struct dsm_want *want)
{
	const struct dsm_grant *grant = dsm_grant_find(grants, pgoff);

	if (!grant)
		return false;
	want->word = grant->ref.version;
	want->first = grant->it.start;
	want->end = grant->it.last + 1;
	return true;
}

static pgoff_t dsm_grant_pgoff(const struct dsm_region *region, const struct dsm_ref *ref)
{
	return (ref->addr - region->node->config.geometry.base) >> PAGE_SHIFT;
}

static bool dsm_grant_local(const struct dsm_region *region, const struct dsm_ref *ref)
{
	return dsm_home(region->node, dsm_grant_pgoff(region, ref)) == region->node->id;
}

/* The grant of just this borrow, under the lock. */
static struct dsm_grant *dsm_grant_of(struct dsm_grants *grants,
				      const struct dsm_region *region,
				      const struct dsm_ref *ref)
{
	struct interval_tree_node *it;
	struct dsm_grant *grant;
	pgoff_t pgoff;

	if (dsm_ref_check(region->node, ref))
		return NULL;
	pgoff = dsm_grant_pgoff(region, ref);
	it = interval_tree_iter_first(&grants->tree, pgoff, pgoff);
	grant = it ? container_of(it, struct dsm_grant, it) : NULL;
	return grant && grant->ref.addr == ref->addr && grant->ref.size == ref->size &&
	       grant->ref.version == ref->version ? grant : NULL;
}

/* A grant that overlaps what a handle names, under the lock. */
static struct dsm_grant *dsm_grant_over(struct dsm_grants *grants,
					const struct dsm_region *region,
					const struct dsm_ref *ref)
{
	pgoff_t first = dsm_grant_pgoff(region, ref);
	struct interval_tree_node *it;

	it = interval_tree_iter_first(&grants->tree, first,
				      first + (ref->size >> PAGE_SHIFT) - 1);
	return it ? container_of(it, struct dsm_grant, it) : NULL;
}

/* What is there is borrowed exclusively: it is this object, or the handle is old. */
static int dsm_grant_why(struct dsm_grants *grants, const struct dsm_region *region,
			 const struct dsm_ref *ref)
{
	return dsm_grant_of(grants, region, ref) ? -EBUSY : -ESTALE;
}

/* Record a grant that was allocated before.  Nothing overlaps it. */
static void dsm_grant_insert(struct dsm_grants *grants, struct dsm_region *region,
			     struct dsm_grant *grant, const struct dsm_ref *ref, bool excl)
{
	grant->ref = *ref;
	grant->excl = excl;
	grant->count = 1;
	grant->it.start = dsm_grant_pgoff(region, ref);
	grant->it.last = grant->it.start + (ref->size >> PAGE_SHIFT) - 1;
	interval_tree_insert(&grant->it, &grants->tree);
}

/* Of what is being given up the process maps nothing any more. */
static void dsm_grant_zap(struct dsm_region *region, const struct dsm_ref *ref)
{
	struct vm_area_struct *vma;

	mmap_read_lock(current->mm);
	vma = vma_lookup(current->mm, ref->addr);
	if (vma && vma->vm_file && vma->vm_file->f_mapping == region->mapping)
		zap_vma_ptes(vma, ref->addr, ref->size);
	mmap_read_unlock(current->mm);
}

/* ---- beginning ---- */

/**
 * dsm_grant_alloc() - allocate a large object, exclusively borrowed
 * @grants: of the caller
 * @region: to allocate in
 * @ref: in: size; out: the handle
 *
 * Return: as dsm_room_object().
 */
int dsm_grant_alloc(struct dsm_grants *grants, struct dsm_region *region,
		    struct dsm_ref *ref)
{
	struct dsm_grant *grant = kzalloc(sizeof(*grant), GFP_KERNEL);
	int err;

	if (!grant)
		return -ENOMEM;
	err = dsm_room_object(region, ref, 0);
	if (err) {
		kfree(grant);
		return err;
	}
	down_write(&grants->lock);
	dsm_grant_insert(grants, region, grant, ref, true);
	up_write(&grants->lock);
	return 0;
}

/* Pages of an object that this node has in EXCL. */
static struct page **dsm_grant_pages(struct dsm_region *region, const struct dsm_ref *ref)
{
	struct dsm_node *node = region->node;
	u64 i, n = ref->size >> PAGE_SHIFT;
	u64 page = dsm_grant_pgoff(region, ref) - dsm_partition(node, node->id);
	struct page **pages = kvmalloc_array(n, sizeof(*pages), GFP_KERNEL);

	if (!pages)
		return NULL;
	rcu_read_lock();
	for (i = 0; i < n; i++) {
		struct dsm_chunk *chunk = xa_load(&node->chunks.table,
						  (page + i) / DSM_CHUNK_PAGES);

		if (!chunk)
			break;
		pages[i] = chunk->pages[(page + i) % DSM_CHUNK_PAGES];
	}
	rcu_read_unlock();
	if (i == n)
		return pages;
	kvfree(pages);
	return NULL;
}

/* Take an object of a peer into a new one of ours. */
static int dsm_grant_move(struct dsm_region *region, struct dsm_ref *ref,
			  unsigned int flags)
{
	struct dsm_ref to = { .size = ref->size };
	struct page **pages = NULL;
	struct dsm_claim *claim;
	int err;

	err = dsm_room_object(region, &to, 0);
	if (err)
		return err;
	if (!(flags & DSM_BORROW_DISCARD)) {
		/* They stay until the region ends, and then nothing is posted. */
		pages = dsm_grant_pages(region, &to);
		err = pages ? 0 : -ENOMEM;
	}
	err = err ?: dsm_claim_take(region, ref, flags, pages, 0, &claim);
	kvfree(pages);
	if (err) {
		dsm_object_free(region, &to);
		return err;
	}
	dsm_claim_settle(claim, true);
	*ref = to;
	return 0;
}

static int dsm_grant_exclusive(struct dsm_grants *grants, struct dsm_region *region,
			       struct dsm_ref *ref, unsigned int flags)
{
	struct dsm_grant *grant = kzalloc(sizeof(*grant), GFP_KERNEL), *mine;
	int err = 0;

	if (!grant)
		return -ENOMEM;
	down_read(&grants->lock);
	mine = dsm_grant_over(grants, region, ref);
	if (mine)
		err = mine->excl ? dsm_grant_why(grants, region, ref) : -EBUSY;
	up_read(&grants->lock);
	if (err)
		goto free;
	if (dsm_grant_local(region, ref))
		err = dsm_object_take(region, ref, flags);
	else
		err = dsm_grant_move(region, ref, flags);
	if (err)
		goto free;
	down_write(&grants->lock);
	dsm_grant_insert(grants, region, grant, ref, true);
	up_write(&grants->lock);
	return 0;
free:
	kfree(grant);
	return err;
}

/* Count a shared borrow in if there is one already. */
static int dsm_grant_join(struct dsm_grants *grants, struct dsm_region *region,
			  const struct dsm_ref *ref, struct dsm_grant *new)
{
	struct dsm_grant *grant;
	int err = 0;

	down_write(&grants->lock);
	grant = dsm_grant_over(grants, region, ref);
	if (!grant) {
		if (new)
			dsm_grant_insert(grants, region, new, ref, false);
		else
			err = -ENOENT;
	} else if (grant->excl) {
		err = dsm_grant_why(grants, region, ref);
	} else if (dsm_grant_of(grants, region, ref) != grant) {
		err = -ESTALE;
	} else {
		grant->count++;
		err = 1;
	}
	up_write(&grants->lock);
	return err;
}

/* Nothing is asked of the network for a version that is cached. */
static int dsm_grant_check(struct dsm_region *region, const struct dsm_ref *ref)
{
	struct dsm_want want = {
		.word = ref->version,
		.first = dsm_grant_pgoff(region, ref),
		.end = dsm_grant_pgoff(region, ref) + (ref->size >> PAGE_SHIFT),
	};

	return dsm_copy_knows(region, &want) ? 0 : dsm_claim_check(region, ref);
}

static int dsm_grant_shared(struct dsm_grants *grants, struct dsm_region *region,
			    const struct dsm_ref *ref)
{
	struct dsm_grant *grant;
	int err;

	/* Frozen: no grant is needed anywhere. */
	if (dsm_word_state(ref->version) == DSM_STATE_FROZEN) {
		if (!dsm_grant_local(region, ref))
			return 0;
		err = dsm_object_share(region, ref);
		return min(err, 0);
	}
	err = dsm_grant_join(grants, region, ref, NULL);
	if (err != -ENOENT)
		return min(err, 0);
	grant = kzalloc(sizeof(*grant), GFP_KERNEL);
	if (!grant)
		return -ENOMEM;
	if (dsm_grant_local(region, ref))
		err = dsm_object_share(region, ref);
	else
		err = dsm_grant_check(region, ref);
	if (!err)
		err = dsm_grant_join(grants, region, ref, grant);
	else
		goto free;
	if (!err)
		return 0;
	/* Another thread was faster; for the home one grant is one reader. */
	if (dsm_grant_local(region, ref))
		dsm_object_unshare(region, ref);
free:
	kfree(grant);
	return min(err, 0);
}

/**
 * dsm_grant_borrow() - borrow a large object
 * @grants: of the caller
 * @region: that it belongs to
 * @ref: in: its handle; out: where it is now
 * @flags: DSM_BORROW_*
 *
 * Context: process, killable.
 * Return: 0, -EINVAL, -ERANGE, -ESTALE, -EBUSY, -EOWNERDEAD, -EROFS, -ENOSPC, -EACCES,
 * -EHOSTDOWN, -EIDRM, -EINTR, -ENOMEM.
 */
int dsm_grant_borrow(struct dsm_grants *grants, struct dsm_region *region,
		     struct dsm_ref *ref, unsigned int flags)
{
	int err;

	if (flags & ~(DSM_BORROW_EXCL | DSM_BORROW_DISCARD | DSM_BORROW_ACCEPT))
		return -EINVAL;
	if (!(flags & DSM_BORROW_EXCL) && flags)
		return -EINVAL;
	err = dsm_ref_check(region->node, ref);
	if (err)
		return err;
	if (dsm_word_lines(ref->version) != DSM_LINES_LARGE)
		return -EINVAL;
	if (!dsm_grant_local(region, ref) &&
	    !region->node->links[dsm_home(region->node, dsm_grant_pgoff(region, ref))])
		return -EACCES;
	if (!(flags & DSM_BORROW_EXCL))
		err = dsm_grant_shared(grants, region, ref);
	else if (dsm_word_state(ref->version) == DSM_STATE_FROZEN)
		err = -EROFS;
	else
		err = dsm_grant_exclusive(grants, region, ref, flags);
	/* Another region's is the same error on all nodes. */
	return err == -EXDEV ? -EACCES : err;
}

/**
 * dsm_grant_prefetch() - begin to fetch a large object that is borrowed
 * @grants: of the caller
 * @region: that it belongs to
 * @ref: its handle, from user space
 *
 * A hint; as much as the cache takes.
 */
void dsm_grant_prefetch(struct dsm_grants *grants, struct dsm_region *region,
			const struct dsm_ref *ref)
{
	struct dsm_want want;
	pgoff_t pgoff, end;
	bool borrowed;

	if (dsm_ref_check(region->node, ref) || dsm_ref_local(region->node, ref))
		return;
	down_read(&grants->lock);
	borrowed = dsm_grant_of(grants, region, ref) &&
		   dsm_grant_want(grants, dsm_grant_pgoff(region, ref), &want);
	up_read(&grants->lock);
	if (!borrowed)
		return;
	end = min_t(pgoff_t, want.end, want.first + region->node->copies.limit);
	for (pgoff = want.first; pgoff < end && !fatal_signal_pending(current);
	     pgoff = round_down(pgoff, DSM_CHUNK_PAGES) + DSM_CHUNK_PAGES)
		dsm_copy_readahead(region, &want, pgoff, DSM_CHUNK_PAGES);
}

/* ---- ending ---- */

/* Take an exclusive grant out: nobody writes any more. */
static int dsm_grant_remove(struct dsm_grants *grants, struct dsm_region *region,
			    const struct dsm_ref *ref)
{
	struct dsm_grant *grant;

	down_write(&grants->lock);
	grant = dsm_grant_of(grants, region, ref);
	if (grant && grant->excl)
		interval_tree_remove(&grant->it, &grants->tree);
	up_write(&grants->lock);
	if (!grant || !grant->excl)
		return -EPERM;
	kfree(grant);
	dsm_grant_zap(region, ref);
	return 0;
}

/**
 * dsm_grant_return() - end a borrow
 * @grants: of the caller
 * @region: that it belongs to
 * @ref: in: as the borrow left it; out: after an exclusive one the new version
 * @excl: it is an exclusive one
 *
 * Return: 0, -EINVAL, -ERANGE, -EPERM (not borrowed, or not so).
 */
int dsm_grant_return(struct dsm_grants *grants, struct dsm_region *region,
		     struct dsm_ref *ref, bool excl)
{
	int err = dsm_ref_check(region->node, ref);
	struct dsm_grant *grant;
	bool last;

	if (err)
		return err;
	if (dsm_word_lines(ref->version) != DSM_LINES_LARGE)
		return -EINVAL;
	if (dsm_word_state(ref->version) == DSM_STATE_FROZEN)
		return excl ? -EPERM : 0;
	down_write(&grants->lock);
	grant = dsm_grant_of(grants, region, ref);
	if (grant && grant->excl != excl)
		grant = NULL;
	last = grant && !--grant->count;
	if (last)
		interval_tree_remove(&grant->it, &grants->tree);
	up_write(&grants->lock);
	if (!grant)
		return -EPERM;
	if (!last)
		return 0;
	kfree(grant);
	dsm_grant_zap(region, ref);
	if (excl)
		dsm_object_end(region, ref);
	else if (dsm_grant_local(region, ref))
		dsm_object_unshare(region, ref);
	return 0;
}

/**
 * dsm_grant_freeze() - end an exclusive borrow: read-only for ever
 * @grants: of the caller
 * @region: that it belongs to
 * @ref: in: as the borrow left it; out: the frozen object's handle
 *
 * Return: 0, -EINVAL, -ERANGE, -EPERM (not borrowed), -EROFS (frozen already).
 */
int dsm_grant_freeze(struct dsm_grants *grants, struct dsm_region *region,
		     struct dsm_ref *ref)
{
	int err = dsm_ref_check(region->node, ref);

	if (err)
		return err;
	if (dsm_word_lines(ref->version) != DSM_LINES_LARGE)
		return -EINVAL;
	if (dsm_word_state(ref->version) == DSM_STATE_FROZEN)
		return -EROFS;
	err = dsm_grant_remove(grants, region, ref);
	if (!err)
		dsm_object_freeze(region, ref);
	return err;
}

/**
 * dsm_grants_end() - a process is gone, or has let go of the range
 * @grants: its own
 * @region: that it was attached to
 *
 * What it was writing is half written.
 */
void dsm_grants_end(struct dsm_grants *grants, struct dsm_region *region)
{
	struct interval_tree_node *it;

	for (;;) {
		struct dsm_grant *grant;

		down_write(&grants->lock);
		it = interval_tree_iter_first(&grants->tree, 0, ULONG_MAX);
		if (it)
			interval_tree_remove(it, &grants->tree);
		up_write(&grants->lock);
		if (!it)
			break;
		grant = container_of(it, struct dsm_grant, it);
		if (grant->excl)
			dsm_object_poison(region, &grant->ref);
		else if (dsm_grant_local(region, &grant->ref))
			dsm_object_unshare(region, &grant->ref);
		kfree(grant);
	}
}
