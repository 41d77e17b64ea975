// SPDX-License-Identifier: GPL-2.0-only
/*
 * Copies: peers' pages that are cached on this node, for all processes that are
 * attached to the region.
 *
 *	make -> lock -> post ... completion: PRESENT or err, unlock
 *	find -> lock -> PRESENT: map, REFERENCED, unlock
 *	hand -> trylock -> REFERENCED: clear, unmap, unlock
 *			-> else: DEAD, unmap, free
 *
 * A fetch holds the lock of its copies from before the post until the bytes are
 * in; who waits for it may leave at any time.  Who finds a copy locked waits and
 * then checks for itself; it never takes over an older fetch's failure.
 *
 * Of a large object, bytes are cached as frozen only if the page's ledger word said
 * FROZEN before they were sampled: FROZEN is final, so they are too.  (A word sampled
 * after the bytes would not do: the page may have been written and frozen in between.)
 * They are cached as those of version v, for a process that has borrowed v, if the
 * object's word says LIVE(v) after they were sampled; it did so before, when v was
 * borrowed.
 *
 * Pages of small objects are filled object by object, see shadow.c, and whole where
 * one was evicted under a reader: there a value stays in the table, the life of the
 * chunk, so that the reader never sees another life's bytes.
 */
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include "copy.h"
#include "fetch.h"
#include "node.h"
#include "shadow.h"
#include "trace.h"

enum {
	DSM_FETCH_MS = 4000,		/* a fetch is tried again for so long */
	DSM_COPY_WAIT_TRIES = 500,	/* of a jiffy, for room in the cache */
	DSM_EVICT_LOOKS = 64,		/* for a copy that is not in use */
};

static struct kmem_cache *dsm_copy_cache;

int dsm_copy_init(void)
{
	dsm_copy_cache = KMEM_CACHE(dsm_copy, 0);
	return dsm_copy_cache ? 0 : -ENOMEM;
}

void dsm_copy_exit(void)
{
	rcu_barrier();
	kmem_cache_destroy(dsm_copy_cache);
}

/* ---- one copy ---- */

static void dsm_copy_free_rcu(struct rcu_head *rcu)
{
	kmem_cache_free(dsm_copy_cache, container_of(rcu, struct dsm_copy, rcu));
}

/* Context: any. */
void dsm_copy_put(struct dsm_copy *copy)
{
	if (!refcount_dec_and_test(&copy->ref))
		return;
	__free_page(copy->page);
	call_rcu(&copy->rcu, dsm_copy_free_rcu);
}

bool dsm_copy_test(const struct dsm_copy *copy, unsigned int flag)
{
	return test_bit(flag, &copy->flags);
}

bool dsm_copy_trylock(struct dsm_copy *copy)
{
	return !test_and_set_bit_lock(DSM_COPY_LOCKED, &copy->flags);
}

/**
 * dsm_copy_lock() - lock a copy
 * @copy: that the caller has a reference to
 * @state: TASK_INTERRUPTIBLE, TASK_KILLABLE or TASK_UNINTERRUPTIBLE
 *
 * Return: 0 or -EINTR.
 */
int dsm_copy_lock(struct dsm_copy *copy, unsigned int state)
{
	return wait_on_bit_lock(&copy->flags, DSM_COPY_LOCKED, state) ? -EINTR : 0;
}

/* Context: any. */
void dsm_copy_unlock(struct dsm_copy *copy)
{
	clear_bit_unlock(DSM_COPY_LOCKED, &copy->flags);
	smp_mb__after_atomic();	/* pairs with the waiters' prepare_to_wait() */
	wake_up_bit(&copy->flags, DSM_COPY_LOCKED);
}

/**
 * dsm_copy_find() - look a page up in the cache
 * @region: of the page
 * @pgoff: of the page in the range
 *
 * Return: the copy, to be put, or NULL.
 */
struct dsm_copy *dsm_copy_find(struct dsm_region *region, pgoff_t pgoff)
{
	struct dsm_copy *copy;

	rcu_read_lock();
	copy = xa_load(&region->copies, pgoff);
	if (xa_is_value(copy) || (copy && !refcount_inc_not_zero(&copy->ref)))
		copy = NULL;
	rcu_read_unlock();
	return copy;
}

/**
 * dsm_copy_is() - does a copy hold what is wanted?
 * @copy: locked
 * @want: the version; NULL: a frozen page, or one of small objects
 */
bool dsm_copy_is(const struct dsm_copy *copy, const struct dsm_want *want)
{
	if (!dsm_copy_test(copy, DSM_COPY_PRESENT))
		return false;
	if (want)
		return copy->word == want->word;
	return dsm_copy_test(copy, DSM_COPY_SMALL) ||
	       dsm_word_state(copy->word) == DSM_STATE_FROZEN;
}

/*
 * Take a locked copy that is not busy out of the cache, unmapped.  Consumes the
 * cache's reference.
 */
static void dsm_copy_kill(struct dsm_copy *copy)
{
	struct dsm_region *region = copy->region;
	struct dsm_node *node = region->node;
	/* One that nothing was fetched into yet has its value from the last one. */
	bool keep = copy->born && (dsm_copy_test(copy, DSM_COPY_SMALL) ||
				   !dsm_copy_test(copy, DSM_COPY_PRESENT));

	set_bit(DSM_COPY_DEAD, &copy->flags);
	dsm_shadow_detach(copy);
	unmap_mapping_pages(region->mapping, copy->pgoff, 1, false);
	spin_lock(&node->copies.lock);
	list_del_init(&copy->lru);
	spin_unlock(&node->copies.lock);
	atomic_long_dec(&node->copies.nr);
	dsm_stat_add(node->stat, DSM_COUNTER_GAUGE_COPIES, -1);
	dsm_stat_add(region->stat, DSM_COUNTER_GAUGE_COPIES, -1);
	/* Last: once the copy cannot be found the region may end. */
	if (keep && !READ_ONCE(region->gone))
		xa_store(&region->copies, copy->pgoff, xa_mk_value(copy->born), 0);
	else
		xa_erase(&region->copies, copy->pgoff);
	dsm_copy_unlock(copy);
	dsm_copy_put(copy);
}

/*
 * Move the hand over one copy.  @force: even if it is in use.  Returns whether it
 * was evicted.
 */
static bool dsm_copy_hand(struct dsm_node *node, bool force)
{
	struct dsm_copies *copies = &node->copies;
	struct dsm_copy *copy = NULL, *c;
	struct dsm_region *region;
	bool evicted = false;

	spin_lock(&copies->lock);
	c = list_first_entry_or_null(&copies->lru, struct dsm_copy, lru);
	if (c) {
		list_move_tail(&c->lru, &copies->lru);
		if (refcount_inc_not_zero(&c->ref))
			copy = c;
	}
	spin_unlock(&copies->lock);
	if (!copy)
		return false;
	if (!dsm_copy_trylock(copy))
		goto put;
	region = copy->region;
	if (dsm_copy_test(copy, DSM_COPY_DEAD) || atomic64_read(&copy->busy)) {
		dsm_copy_unlock(copy);
	} else if (test_and_clear_bit(DSM_COPY_REFERENCED, &copy->flags) && !force) {
		/* Whoever still uses it faults and sets the bit again. */
		unmap_mapping_pages(region->mapping, copy->pgoff, 1, false);
		dsm_copy_unlock(copy);
	} else {
		trace_dsm_evict(node->id, copy->pgoff);
		dsm_stat_add(node->stat, DSM_COUNTER_PAGES_EVICTED, 1);
		dsm_stat_add(region->stat, DSM_COUNTER_PAGES_EVICTED, 1);
		dsm_copy_kill(copy);
		evicted = true;
	}
put:
	dsm_copy_put(copy);
	return evicted;
}

/* Evict one copy, within a bounded time.  Returns whether there was one. */
static bool dsm_copies_evict(struct dsm_node *node)
{
	unsigned int looks;

	/* Where all are in use the oldest goes, rather than a sweep of the cache. */
	for (looks = 0; looks < 2 * DSM_EVICT_LOOKS; looks++) {
		if (dsm_copy_hand(node, looks >= DSM_EVICT_LOOKS))
			return true;
		cond_resched();
	}
	return false;
}

/* Count one more copy in, making room for it.  @wait: even if that takes time. */
static bool dsm_copies_reserve(struct dsm_node *node, bool wait)
{
	struct dsm_copies *copies = &node->copies;
	unsigned int tries = 0;

	while (atomic_long_inc_return(&copies->nr) > copies->limit) {
		atomic_long_dec(&copies->nr);
		if (dsm_copies_evict(node))
			continue;
		/* All of the cache is in flight. */
		if (!wait || tries++ == DSM_COPY_WAIT_TRIES ||
		    fatal_signal_pending(current))
			return false;
		schedule_timeout_killable(1);
	}
	return true;
}

static struct dsm_copy *dsm_copy_add(struct dsm_region *region, pgoff_t pgoff,
				     bool wait)
{
	struct dsm_node *node = region->node;
	struct dsm_copy *copy, *old = NULL;
	int err = -ENOMEM;

	if (!dsm_copies_reserve(node, wait))
		return ERR_PTR(-ENOMEM);
	copy = kmem_cache_zalloc(dsm_copy_cache, GFP_KERNEL);
	if (!copy)
		goto release;
	copy->page = alloc_page(GFP_USER | __GFP_NOWARN |
				(wait ? __GFP_RETRY_MAYFAIL : __GFP_NORETRY));
	if (!copy->page)
		goto free;
	refcount_set(&copy->ref, 2);	/* the cache's and the caller's */
	copy->region = region;
	copy->pgoff = pgoff;
	INIT_LIST_HEAD(&copy->lru);
	/* Counted before it can be found, as who finds it may count it out. */
	dsm_stat_add(node->stat, DSM_COUNTER_GAUGE_COPIES, 1);
	dsm_stat_add(region->stat, DSM_COUNTER_GAUGE_COPIES, 1);
	/* A region that ends waits for this, and then drops what was added. */
	if (!dsm_region_fetch_begin(region)) {
		err = -EIDRM;
		goto uncount;
	}
	old = xa_cmpxchg(&region->copies, pgoff, NULL, copy, GFP_KERNEL);
	if (xa_is_value(old)) {
		void *was = old;

		copy->born = xa_to_value(old);
		old = xa_cmpxchg(&region->copies, pgoff, was, copy, GFP_KERNEL);
		if (old == was)
			old = NULL;
		else if (!xa_is_err(old))
			old = was;	/* not stored: look again */
	}
	if (old) {
		dsm_region_fetch_end(region);
		goto uncount;
	}
	spin_lock(&node->copies.lock);
	/* Who killed it already has counted it out and will not come again. */
	if (!dsm_copy_test(copy, DSM_COPY_DEAD))
		list_add_tail(&copy->lru, &node->copies.lru);
	spin_unlock(&node->copies.lock);
	dsm_region_fetch_end(region);
	return copy;

uncount:
	dsm_stat_add(node->stat, DSM_COUNTER_GAUGE_COPIES, -1);
	dsm_stat_add(region->stat, DSM_COUNTER_GAUGE_COPIES, -1);
	__free_page(copy->page);
free:
	kmem_cache_free(dsm_copy_cache, copy);
release:
	atomic_long_dec(&node->copies.nr);
	/* NULL: somebody was faster. */
	return !old || xa_is_err(old) ? ERR_PTR(err) : NULL;
}

/**
 * dsm_copy_make() - look a page up in the cache and add it if it is not there
 * @region: of the page
 * @pgoff: of the page in the range
 *
 * @wait: for room in a cache that is in flight; killable
 *
 * Context: process; sleeps for memory.
 * Return: the copy, to be put, perhaps not present; or ERR_PTR: -ENOMEM, -EIDRM.
 */
struct dsm_copy *dsm_copy_make(struct dsm_region *region, pgoff_t pgoff, bool wait)
{
	struct dsm_copy *copy;

	do {
		copy = dsm_copy_find(region, pgoff);
		if (!copy)
			copy = dsm_copy_add(region, pgoff, wait);
	} while (!copy);
	return copy;
}

/* ---- fetching ---- */

/* How many pages from @pgoff on are known to be what is wanted, in its chunk. */
static unsigned int dsm_copy_known(struct dsm_region *region, const struct dsm_want *want,
				   pgoff_t pgoff)
{
	struct dsm_node *node = region->node;
	u32 home = dsm_home(node, pgoff);
	unsigned int first = pgoff % DSM_CHUNK_PAGES;
	struct dsm_far *far;

	if (want)
		return pgoff < want->end ?
		       min_t(u64, want->end - pgoff, DSM_CHUNK_PAGES - first) : 0;
	far = xa_load(&node->links[home]->far,
		      (pgoff - dsm_partition(node, home)) / DSM_CHUNK_PAGES);
	if (!far)
		return 0;
	return find_next_zero_bit(far->frozen, DSM_CHUNK_PAGES, first) - first;
}

/* What a locked copy holds is not wanted any more. */
static void dsm_copy_clear(struct dsm_copy *copy)
{
	if (test_and_clear_bit(DSM_COPY_PRESENT, &copy->flags))
		unmap_mapping_pages(copy->region->mapping, copy->pgoff, 1, false);
}

/* A locked copy of a page that is not here; NULL if it is, or is on its way. */
static struct dsm_copy *dsm_copy_absent(struct dsm_region *region,
					const struct dsm_want *want, pgoff_t pgoff)
{
	struct dsm_copy *copy = dsm_copy_find(region, pgoff);

	if (!copy)
		copy = dsm_copy_add(region, pgoff, false);
	if (IS_ERR_OR_NULL(copy))
		return copy;
	if (!dsm_copy_trylock(copy))
		goto put;
	if (!dsm_copy_is(copy, want) && !dsm_copy_test(copy, DSM_COPY_DEAD) &&
	    !(want && dsm_copy_test(copy, DSM_COPY_SMALL))) {
		dsm_copy_clear(copy);
		return copy;
	}
	dsm_copy_unlock(copy);
put:
	dsm_copy_put(copy);
	return NULL;
}

/**
 * dsm_copy_readahead() - begin to fetch pages that will probably be wanted
 * @region: of the pages
 * @want: the version, or NULL
 * @pgoff: the first
 * @nr: how many; less at the end of the chunk, or of what is known to be wanted
 *
 * The first page that is fetched is marked: a fault on it asks for more.
 * Context: process; may sleep for memory.
 * Return: how many are on their way.
 */
unsigned int dsm_copy_readahead(struct dsm_region *region, const struct dsm_want *want,
				pgoff_t pgoff, unsigned int nr)
{
	struct dsm_node *node = region->node;
	struct dsm_copy *batch[DSM_READ_PAGES];
	unsigned int i, n = 0, posted = 0;
	u32 home = dsm_home(node, pgoff);
	pgoff_t end;

	/* It may lie behind the end of a partition. */
	if (home >= DSM_MAX_NODES || home == node->id || !node->links[home])
		return 0;
	for (end = pgoff + min(nr, dsm_copy_known(region, want, pgoff)); pgoff <= end; pgoff++) {
		struct dsm_copy *copy = NULL;

		if (pgoff < end)
			copy = dsm_copy_absent(region, want, pgoff);
		if (IS_ERR(copy)) {
			copy = NULL;	/* no room: that is all */
			end = pgoff;
		}
		if (copy) {
			if (!posted && !n)
				set_bit(DSM_COPY_MARK, &copy->flags);
			batch[n++] = copy;
		}
		if (n && (!copy || n == node->max_sge)) {
			if (!dsm_fetch_post(batch, n, want, false))
				posted += n;
			for (i = 0; i < n; i++)
				dsm_copy_put(batch[i]);
			n = 0;
		}
	}
	dsm_stat_add(node->stat, DSM_COUNTER_PAGES_READAHEAD, posted);
	dsm_stat_add(region->stat, DSM_COUNTER_PAGES_READAHEAD, posted);
	return posted;
}

/* A fetch has ended: how, for who waited for it and wants @want? */
static int dsm_copy_result(struct dsm_copy *copy, const struct dsm_want *want,
			   unsigned int state)
{
	int err = -EAGAIN;

	if (dsm_copy_lock(copy, state))
		return -EINTR;
	/* Another fetch, for another version, may have come in between. */
	if (dsm_copy_is(copy, want))
		err = 0;
	else if (copy->tried == (want ? want->word : 0) && copy->err)
		err = copy->err;
	dsm_copy_unlock(copy);
	return err;
}

/**
 * dsm_copy_fetch() - have a page here
 * @copy: that the caller has a reference to
 * @want: the version, or NULL
 * @state: TASK_INTERRUPTIBLE, TASK_KILLABLE or TASK_UNINTERRUPTIBLE
 * @ahead: first page to read ahead, if
 * @window: is not 0: how many
 *
 * Waits for a fetch that is under way, then looks for itself.  A link that was
 * lost is waited for, so that a short break is not seen.
 *
 * Context: process, without mmap_lock if that can be helped.
 * Return: 0: it was present; -EINTR (the fetch goes on), -EACCES (not frozen, or
 * not of this region), -ESTALE (the version is gone), -EHOSTDOWN, -EIDRM, -ENOMEM,
 * -EAGAIN (the copy was evicted, or is wanted for something else).
 */
int dsm_copy_fetch(struct dsm_copy *copy, const struct dsm_want *want,
		   unsigned int state, pgoff_t ahead, unsigned int window)
{
	struct dsm_region *region = copy->region;
	struct dsm_node *node = region->node;
	struct dsm_link *link = node->links[dsm_home(node, copy->pgoff)];
	unsigned long end = jiffies + msecs_to_jiffies(DSM_FETCH_MS);
	int err;

	for (;;) {
		bool waited = !dsm_copy_trylock(copy);

		if (waited && dsm_copy_lock(copy, state))
			return -EINTR;
		if (dsm_copy_test(copy, DSM_COPY_DEAD)) {
			dsm_copy_unlock(copy);
			return -EAGAIN;
		}
		if (dsm_copy_is(copy, want)) {
			enum dsm_counter counter = waited ? DSM_COUNTER_FAULTS_JOINED :
							    DSM_COUNTER_FAULTS_CACHED;

			dsm_copy_unlock(copy);
			dsm_stat_add(node->stat, counter, 1);
			dsm_stat_add(region->stat, counter, 1);
			return 0;
		}
		/* The object is gone, and what is there now is filled in other ways. */
		if (want && dsm_copy_test(copy, DSM_COPY_SMALL)) {
			dsm_copy_unlock(copy);
			return -ESTALE;
		}
		dsm_copy_clear(copy);
		err = dsm_fetch_post(&copy, 1, want, true);
		if (!err) {
			dsm_stat_add(node->stat, DSM_COUNTER_ROUND_TRIPS, 1);
			dsm_stat_add(region->stat, DSM_COUNTER_ROUND_TRIPS, 1);
			/* Of a new chunk it is not known yet what is frozen. */
			if (window && dsm_copy_readahead(region, want, ahead, window))
				window = 0;
			err = dsm_copy_result(copy, want, state);
			if (!err) {
				dsm_stat_add(node->stat, DSM_COUNTER_FAULTS_FETCHED, 1);
				dsm_stat_add(region->stat, DSM_COUNTER_FAULTS_FETCHED, 1);
				if (window)
					dsm_copy_readahead(region, want, ahead, window);
				return 0;
			}
		}
		if (err != -EHOSTDOWN)
			return err;
		if (time_after(jiffies, end))
			return -EHOSTDOWN;
		err = dsm_link_wait(link, state);
		if (err)
			return err;
	}
}

/**
 * dsm_copy_knows() - is a version of an object known here, with its size?
 * @region: that the object belongs to
 * @want: the version
 *
 * It is if the first page is cached: that was fetched for a borrow of all of it.
 */
bool dsm_copy_knows(struct dsm_region *region, const struct dsm_want *want)
{
	struct dsm_copy *copy = dsm_copy_find(region, want->first);
	bool known = false;

	if (copy && dsm_copy_trylock(copy)) {
		known = dsm_copy_is(copy, want) && copy->end == want->end;
		dsm_copy_unlock(copy);
	}
	if (copy)
		dsm_copy_put(copy);
	return known;
}

/* ---- dropping ---- */

/* Lock a copy that nothing is being fetched into. */
static void dsm_copy_lock_idle(struct dsm_copy *copy)
{
	dsm_copy_lock(copy, TASK_UNINTERRUPTIBLE);
	while (atomic64_read(&copy->busy)) {
		dsm_copy_unlock(copy);
		wait_var_event(&copy->busy, !atomic64_read(&copy->busy));
		dsm_copy_lock(copy, TASK_UNINTERRUPTIBLE);
	}
}

/**
 * dsm_copy_drop() - drop all copies of some pages
 * @region: that they belong to
 * @first: page of the range
 * @last: the same
 *
 * Those that are fetched meanwhile are dropped, too, or have been seen.
 *
 * Context: process.
 */
void dsm_copy_drop(struct dsm_region *region, pgoff_t first, pgoff_t last)
{
	struct dsm_copy *copy;
	unsigned long pgoff = first;
	bool present;

	for (;;) {
		rcu_read_lock();
		copy = xa_find(&region->copies, &pgoff, last, XA_PRESENT);
		if (xa_is_value(copy)) {
			rcu_read_unlock();
			if (READ_ONCE(region->gone))
				xa_cmpxchg(&region->copies, pgoff, copy, NULL, 0);
			if (pgoff++ == last)
				break;
			cond_resched();
			continue;
		}
		if (copy && !refcount_inc_not_zero(&copy->ref)) {
			rcu_read_unlock();
			cond_resched();
			continue;
		}
		rcu_read_unlock();
		if (!copy)
			break;
		dsm_copy_lock_idle(copy);
		if (dsm_copy_test(copy, DSM_COPY_DEAD)) {
			/* Evicted meanwhile: it may have left a value. */
			dsm_copy_unlock(copy);
			dsm_copy_put(copy);
			continue;
		}
		present = dsm_copy_test(copy, DSM_COPY_PRESENT);
		dsm_stat_add(region->node->stat, DSM_COUNTER_PAGES_REVOKED, present);
		dsm_stat_add(region->stat, DSM_COUNTER_PAGES_REVOKED, present);
		dsm_copy_kill(copy);
		dsm_copy_put(copy);
		/* Not twice, if it is added again. */
		if (pgoff++ == last)
			break;
		cond_resched();
	}
}

/**
 * dsm_copy_drop_region() - drop all copies of a region that has ended
 * @region: gone, so nothing is fetched any more
 *
 * Context: process.
 */
void dsm_copy_drop_region(struct dsm_region *region)
{
	dsm_copy_drop(region, 0, ULONG_MAX);
	dsm_shadows_free(region);
}

/**
 * dsm_copy_drop_home() - drop all copies of a peer's pages: it has a new life
 * @node: ours
 * @home: the peer; the link to it is not up
 *
 * Context: process.
 */
void dsm_copy_drop_home(struct dsm_node *node, u32 home)
{
	pgoff_t first = dsm_partition(node, home);
	struct dsm_region *region;
	unsigned long index = 0;

	while ((region = dsm_region_next(node, &index))) {
		dsm_copy_drop(region, first, dsm_partition(node, home + 1) - 1);
		dsm_region_put(region);
	}
}

/* ---- the cache as a whole ---- */

static unsigned long dsm_copies_count(struct shrinker *shrinker,
				      struct shrink_control *sc)
{
	struct dsm_node *node = dsm_shrinker_data(shrinker);

	return atomic_long_read(&node->copies.nr) ?: SHRINK_EMPTY;
}

static unsigned long dsm_copies_scan(struct shrinker *shrinker,
				     struct shrink_control *sc)
{
	struct dsm_node *node = dsm_shrinker_data(shrinker);
	unsigned long looks, freed = 0;

	for (looks = 0; looks < sc->nr_to_scan; looks++)
		freed += dsm_copy_hand(node, false);
	return freed;
}

int dsm_copies_alloc(struct dsm_node *node, unsigned long limit)
{
	struct dsm_copies *copies = &node->copies;

	spin_lock_init(&copies->lock);
	INIT_LIST_HEAD(&copies->lru);
	copies->limit = limit;
	copies->shrinker = dsm_shrinker_register("dsm-copies", node->id, node,
						 dsm_copies_count, dsm_copies_scan);
	return copies->shrinker ? 0 : -ENOMEM;
}

void dsm_copies_free(struct dsm_node *node)
{
	if (node->copies.shrinker)
		dsm_shrinker_unregister(node->copies.shrinker);
}
