// SPDX-License-Identifier: GPL-2.0-only
/* Shared borrows, at home and elsewhere: one, many, ahead, under eviction. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness.h"
#include "borrow.h"

FIXTURE(borrow)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker peer, tight;
	struct exchange *x, *t; /* of the two */
};

FIXTURE_SETUP(borrow)
{
	region_name(self->region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0,
		  worker_start(&self->peer, NODE_PEER, self->region, O_RDWR));
	ASSERT_EQ(0,
		  worker_start(&self->tight, NODE_TIGHT, self->region, O_RDWR));
	self->x = self->peer.arg;
	self->t = self->tight.arg;
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
}

FIXTURE_TEARDOWN(borrow)
{
	worker_stop(&self->peer);
	worker_stop(&self->tight);
	dsm_detach(self->dsm);
	dsm_region_remove(NODE_HOME, self->region);
}

TEST_F(borrow, at_home)
{
	struct dsm_ref ref;
	const char *q;
	char *p;

	p = dsm_alloc(self->dsm, 100, &ref);
	ASSERT_NE(NULL, p);
	EXPECT_EQ(128, ref.size);
	EXPECT_TRUE(is_zero(p, ref.size));
	EXPECT_EQ(NULL, dsm_borrow(self->dsm, &ref));
	EXPECT_EQ(EBUSY, errno);
	memset(p, 7, 128);
	ASSERT_EQ(0, dsm_return_mut(self->dsm, &ref));
	EXPECT_EQ(DSM_STATE_LIVE, state_of(ref.version));
	q = dsm_borrow(self->dsm, &ref);
	ASSERT_EQ(p, q);
	EXPECT_EQ(7, q[127]);
	EXPECT_EQ(0, dsm_return(self->dsm, &ref));
	EXPECT_EQ(0, dsm_drop(self->dsm, &ref));
}

TEST_F(borrow, elsewhere)
{
	struct counters before;

	ASSERT_TRUE(make(self->dsm, 64, 3, &self->x->ref));
	self->x->seed = 3;
	EXPECT_EQ(0, worker_run(&self->peer, check_there));
	/* The second time nothing is asked of the network. */
	ASSERT_EQ(0, counters_read(NODE_PEER, 0, &before));
	EXPECT_EQ(0, worker_run(&self->peer, check_there));
	EXPECT_EQ(0, COUNT(counters_since(NODE_PEER, 0, &before), ROUND_TRIPS));
}

TEST_F(borrow, every_small_size_is_read_everywhere)
{
	for (unsigned int lines = 1; lines <= DSM_MAX_LINES; lines++) {
		struct dsm_ref ref;

		ASSERT_TRUE(
			make(self->dsm, lines * DSM_LINE_SIZE, lines, &ref));
		EXPECT_EQ(0, check(self->dsm, &ref, lines));
		EXPECT_EQ(0, ask(&self->peer, check_there, &ref, lines));
		EXPECT_EQ(0, ask(&self->tight, check_there, &ref, lines));
	}
}

TEST_F(borrow, large_sizes_are_read_everywhere)
{
	static const size_t sizes[] = {
		SMALL_MAX_BYTES + 1,
		PAGE_BYTES + 1,
		100000,
		DSM_CHUNK_SIZE,
		2 * DSM_CHUNK_SIZE + PAGE_BYTES,
	};

	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		struct dsm_ref ref;

		ASSERT_TRUE(make(self->dsm, sizes[i], i, &ref));
		EXPECT_EQ(0, ref.size % PAGE_BYTES);
		EXPECT_LE(sizes[i], ref.size);
		EXPECT_EQ(SIGSEGV, probe_read(address_of(&ref)));
		EXPECT_EQ(0, check(self->dsm, &ref, i));
		EXPECT_EQ(SIGSEGV, probe_read(address_of(&ref)));
		EXPECT_EQ(0, ask(&self->peer, check_there, &ref, i));
		EXPECT_EQ(0, ask(&self->peer, check_there, &ref, i));
	}
}

TEST_F(borrow, large_is_readable_inside_the_borrow_alone)
{
	struct dsm_ref ref;

	ASSERT_TRUE(make(self->dsm, 2 * PAGE_BYTES, 3, &ref));
	EXPECT_EQ(0, ask(&self->peer, borrow_there, &ref, 3));
	EXPECT_EQ(0, worker_run(&self->peer, probe_read_there));
	/* Twice borrowed is twice to be returned. */
	EXPECT_EQ(0, worker_run(&self->peer, borrow_there));
	EXPECT_EQ(0, worker_run(&self->peer, return_there));
	EXPECT_EQ(0, worker_run(&self->peer, probe_read_there));
	EXPECT_EQ(0, worker_run(&self->peer, return_there));
	EXPECT_EQ(SIGSEGV, worker_run(&self->peer, probe_read_there));
	EXPECT_EQ(-EPERM, worker_run(&self->peer, return_there));

	ASSERT_NE(NULL, dsm_borrow(self->dsm, &ref));
	EXPECT_EQ(0, probe_read(address_of(&ref)));
	EXPECT_EQ(0, dsm_return(self->dsm, &ref));
	EXPECT_EQ(SIGSEGV, probe_read(address_of(&ref)));
}

/* ---- many ---- */

#define MANY 300

/*
 * Of the handles in the exchange: hits, misses, large ones, stale ones and some that
 * are nothing, mixed.  0 or where it went wrong.
 */
static long borrow_mix(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	const struct dsm_ref *refs[MANY];
	const void *ptrs[MANY];
	size_t good = 0, got;
	int first = 0, err;

	for (unsigned int i = 0; i < MANY; i++) {
		refs[i] = &x->refs[i];
		/* Every third is here already. */
		if (i % 3 == 0 && i % 5 && check(dsm, refs[i], x->seed))
			return 1000 + i;
	}
	errno = 0;
	got = dsm_borrow_many(dsm, refs, ptrs, MANY);
	err = errno;
	for (unsigned int i = 0; i < MANY; i++) {
		int want = i % 20 == 0	 ? ERANGE
			   : i % 20 == 5 ? EINVAL
			   : i % 5 == 0	 ? ESTALE
					 : 0;

		if (want ? ptrs[i] != NULL : ptrs[i] != address_of(refs[i]))
			return 2000 + i;
		if (want && !first)
			first = want;
		if (want)
			continue;
		good++;
		if (pattern_check(ptrs[i], refs[i]->size, x->seed) != -1)
			return 3000 + i;
		if (dsm_return(dsm, refs[i]))
			return 4000 + i;
	}
	if (got != good)
		return 5000 + (long)got;
	return err == first ? 0 : 6000 + err;
}

TEST_F(borrow, many_tell_each_its_own)
{
	struct dsm_ref old;

	for (unsigned int i = 0; i < MANY; i++) {
		struct dsm_ref *ref = &self->x->refs[i];
		size_t bytes = i % 16 == 1 ? 2 * PAGE_BYTES : 64 * (1 + i % 9);

		ASSERT_TRUE(make(self->dsm, bytes, 8, ref));
		if (i % 20 == 0) {
			memset(ref, 0, sizeof(*ref));
		} else if (i % 20 == 5) {
			ref->addr += 8;
			if (ref->size % PAGE_BYTES)
				continue;
		} else if (i % 5 == 0) {
			old = *ref;
			ASSERT_EQ(0, rewrite(self->dsm, ref, 0, 8));
			*ref = old;
		}
	}
	self->x->seed = 8;
	EXPECT_EQ(0, worker_run(&self->peer, borrow_mix));
	/* Now with nothing to fetch but what is large. */
	EXPECT_EQ(0, worker_run(&self->peer, borrow_mix));
}

static long borrow_all(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	const struct dsm_ref *refs[EXCHANGE_REFS];
	const void *ptrs[EXCHANGE_REFS];

	for (unsigned int i = 0; i < x->n; i++)
		refs[i] = &x->refs[i];
	if (dsm_borrow_many(dsm, refs, ptrs, x->n) != x->n)
		return -errno;
	for (unsigned int i = 0; i < x->n; i++)
		if (pattern_check(ptrs[i], refs[i]->size, x->seed) != -1 ||
		    dsm_return(dsm, refs[i]))
			return 1 + i;
	return 0;
}

TEST_F(borrow, many_cost_one_round_trip)
{
	struct counters before, cost;

	self->x->n = 500;
	self->x->seed = 4;
	for (unsigned int i = 0; i <= self->x->n; i++)
		ASSERT_TRUE(make(self->dsm, 128, 4, &self->x->refs[i]));
	/* One of the same chunk, so that its keys are known. */
	ASSERT_EQ(0,
		  ask(&self->peer, check_there, &self->x->refs[self->x->n], 4));
	ASSERT_EQ(0, counters_read(NODE_PEER, 0, &before));
	EXPECT_EQ(0, worker_run(&self->peer, borrow_all));
	cost = counters_since(NODE_PEER, 0, &before);
	EXPECT_EQ(1, COUNT(cost, ROUND_TRIPS));
	EXPECT_EQ(500, COUNT(cost, READS));
	EXPECT_EQ(500, COUNT(cost, OBJECTS_FETCHED));
	EXPECT_EQ(0, COUNT(cost, MESSAGES_SENT));
}

/* ---- ahead ---- */

static long prefetch_all(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	const struct dsm_ref *refs[EXCHANGE_REFS];

	for (unsigned int i = 0; i < x->n; i++)
		refs[i] = &x->refs[i];
	errno = EXDEV;
	dsm_prefetch(dsm, refs, x->n);
	return errno == EXDEV ? 0 : -errno;
}

static bool fetched(void *arg)
{
	const struct atomics *a = arg;

	return counter_now(a->node, DSM_COUNTER_OBJECTS_FETCHED) >= a->until;
}

/* More find no room in the send queue, and are not waited for. */
#define AHEAD 64

TEST_F(borrow, after_a_prefetch_nothing_is_waited_for)
{
	struct atomics came = { .node = NODE_PEER };
	struct counters before;

	self->x->n = AHEAD;
	self->x->seed = 4;
	for (unsigned int i = 0; i <= self->x->n; i++)
		ASSERT_TRUE(make(self->dsm, 128, 4, &self->x->refs[i]));
	ASSERT_EQ(0,
		  ask(&self->peer, check_there, &self->x->refs[self->x->n], 4));
	came.until =
		counter_now(NODE_PEER, DSM_COUNTER_OBJECTS_FETCHED) + AHEAD;
	ASSERT_EQ(0, counters_read(NODE_PEER, 0, &before));
	EXPECT_EQ(0, worker_run(&self->peer, prefetch_all));
	EXPECT_TRUE(wait_until(fetched, &came, WAIT_MS));
	EXPECT_EQ(0, worker_run(&self->peer, borrow_all));
	EXPECT_EQ(AHEAD, COUNT(counters_since(NODE_PEER, 0, &before), READS));
	/* Nobody waited for the prefetch either. */
	EXPECT_EQ(0, COUNT(counters_since(NODE_PEER, 0, &before), ROUND_TRIPS));
}

TEST_F(borrow, prefetch_ignores_what_cannot_be)
{
	self->x->n = 40;
	memset(self->x->refs, 0xff, sizeof(self->x->refs[0]) * 10);
	for (unsigned int i = 20; i < 30; i++) {
		ASSERT_TRUE(make(self->dsm, 64, 4, &self->x->refs[i]));
		ASSERT_EQ(0,
			  rewrite(self->dsm,
				  &(struct dsm_ref){ self->x->refs[i].addr,
						     self->x->refs[i].version,
						     self->x->refs[i].size },
				  0, 5));
	}
	for (unsigned int i = 30; i < 40; i++)
		ASSERT_TRUE(make(self->dsm, PAGE_BYTES, 4, &self->x->refs[i]));
	EXPECT_EQ(0, worker_run(&self->peer, prefetch_all));
	EXPECT_EQ(-ESTALE,
		  ask(&self->peer, check_there, &self->x->refs[25], 4));
}

/* ---- eviction ---- */

#define CROWD 900 /* more than TIGHT_CACHE_BYTES hold, at one a page */
#define READERS 4

struct reader {
	struct dsm *dsm;
	struct exchange *x;
	uint32_t random;
	long wrong;
};

/* Borrows that overlap with others' evictions of the same pages. */
static void *read_on(void *arg)
{
	struct reader *r = arg;
	struct exchange *x = r->x;

	for (unsigned int i = 0; i < x->counts[0] && !r->wrong; i++) {
		const struct dsm_ref *refs[4];
		const void *p[4];

		for (unsigned int k = 0; k < 4; k++) {
			refs[k] = &x->refs[next_random(&r->random) % x->n];
			p[k] = dsm_borrow(r->dsm, refs[k]);
			if (!p[k])
				r->wrong = -errno;
		}
		for (unsigned int k = 0; k < 4 && !r->wrong; k++) {
			uint32_t seed = (uint32_t)(refs[k] - x->refs);

			if (pattern_check(p[k], refs[k]->size, seed) != -1)
				r->wrong = 1 + seed;
			else if (dsm_return(r->dsm, refs[k]))
				r->wrong = -1000 - errno;
		}
	}
	return NULL;
}

static long read_crowd(struct dsm *dsm, void *arg)
{
	struct reader readers[READERS];
	pthread_t thread[READERS];
	long wrong = 0;

	for (unsigned int i = 0; i < READERS; i++) {
		readers[i] = (struct reader){ dsm, arg, 1000 + i, 0 };
		if (pthread_create(&thread[i], NULL, read_on, &readers[i]))
			return -EAGAIN;
	}
	for (unsigned int i = 0; i < READERS; i++) {
		pthread_join(thread[i], NULL);
		wrong = wrong ?: readers[i].wrong;
	}
	return wrong;
}

TEST_F(borrow, readers_see_exact_bytes_under_eviction)
{
	uint64_t evicted = counter_now(NODE_TIGHT, DSM_COUNTER_PAGES_EVICTED);

	self->t->n = CROWD;
	self->t->counts[0] = rounds(500);
	for (uint32_t i = 0; i < CROWD; i++)
		ASSERT_TRUE(make(self->dsm, i % 2 ? SMALL_MAX_BYTES : 1024, i,
				 &self->t->refs[i]));
	ASSERT_EQ(0, worker_post(&self->tight, read_crowd));
	EXPECT_EQ(0, worker_wait(&self->tight, 4 * WAIT_MS));
	EXPECT_LT(evicted, counter_now(NODE_TIGHT, DSM_COUNTER_PAGES_EVICTED));
}

/* ---- objects that hold handles ---- */

struct tree {
	struct dsm_ref left, right;
	uint64_t value;
};

static bool tree_make(struct dsm *dsm, unsigned int depth, uint64_t value,
		      struct dsm_ref *ref)
{
	struct tree *t = dsm_alloc(dsm, sizeof(*t), ref);

	if (!t)
		return false;
	t->value = value;
	if (depth && (!tree_make(dsm, depth - 1, 2 * value, &t->left) ||
		      !tree_make(dsm, depth - 1, 2 * value + 1, &t->right)))
		return false;
	return dsm_return_mut(dsm, ref) == 0;
}

/* The sum, or -1. */
static long tree_sum(struct dsm *dsm, const struct dsm_ref *ref)
{
	const struct tree *t;
	long sum = 0, part;

	if (!ref->addr)
		return 0;
	t = dsm_borrow(dsm, ref);
	if (!t)
		return -1;
	sum = (long)t->value;
	part = tree_sum(dsm, &t->left);
	if (part < 0)
		return -1;
	sum += part;
	part = tree_sum(dsm, &t->right);
	if (part < 0 || dsm_return(dsm, ref))
		return -1;
	return sum + part;
}

static long tree_sum_there(struct dsm *dsm, void *arg)
{
	const struct exchange *x = arg;

	return tree_sum(dsm, &x->ref);
}

/* Doubles the leftmost path: each child inside the borrow of its parent. */
static int tree_double(struct dsm *dsm, struct dsm_ref *ref)
{
	struct tree *t;
	int err = 0;

	if (!ref->addr)
		return 0;
	t = dsm_borrow_mut(dsm, ref, 0);
	if (!t)
		return -errno;
	t->value *= 2;
	err = tree_double(dsm, &t->left);
	if (dsm_return_mut(dsm, ref))
		err = -errno;
	return err;
}

static long tree_double_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return tree_double(dsm, &x->ref);
}

static int tree_drop(struct dsm *dsm, struct dsm_ref *ref)
{
	struct tree *t;
	int err;

	if (!ref->addr)
		return 0;
	t = dsm_borrow_mut(dsm, ref, 0);
	if (!t)
		return -errno;
	err = tree_drop(dsm, &t->left) ?: tree_drop(dsm, &t->right);
	if (dsm_return_mut(dsm, ref))
		return -errno;
	return err ?: (dsm_drop(dsm, ref) ? -errno : 0);
}

TEST_F(borrow, a_tree_is_read_and_changed_from_everywhere)
{
	long nodes = 1 << 7, sum = nodes * (nodes - 1) / 2, more = 0;
	struct dsm_ref root;

	ASSERT_TRUE(tree_make(self->dsm, 6, 1, &root));
	EXPECT_EQ(sum, tree_sum(self->dsm, &root));
	EXPECT_EQ(sum, ask(&self->peer, tree_sum_there, &root, 0));
	for (long v = 1; v < nodes; v *= 2)
		more += v;
	/* The path moves to the peer, the rest stays where it was. */
	EXPECT_EQ(0, ask(&self->peer, tree_double_there, &root, 0));
	root = self->x->ref;
	EXPECT_EQ(NODE_PEER, dsm_home(self->dsm, address_of(&root)));
	EXPECT_EQ(sum + more, tree_sum(self->dsm, &root));
	EXPECT_EQ(sum + more, ask(&self->peer, tree_sum_there, &root, 0));
	EXPECT_EQ(sum + more, ask(&self->tight, tree_sum_there, &root, 0));
	EXPECT_EQ(0, ask(&self->tight, tree_double_there, &root, 0));
	root = self->t->ref;
	EXPECT_EQ(sum + 3 * more, tree_sum(self->dsm, &root));
	EXPECT_EQ(0, tree_drop(self->dsm, &root));
}

struct item {
	struct dsm_ref next;
	uint64_t value;
};

/* Append to the list: only the last item is written, the others only move. */
static long list_append(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	struct dsm_ref *ref = &x->ref;
	struct dsm_ref *open[64];
	unsigned int depth = 0;
	struct item *item;

	while (ref->addr) {
		item = dsm_borrow_mut(dsm, ref, 0);
		if (!item || depth == 64)
			return -errno;
		open[depth++] = ref;
		ref = &item->next;
	}
	item = dsm_alloc(dsm, sizeof(*item), ref);
	if (!item)
		return -errno;
	item->value = depth;
	if (dsm_return_mut(dsm, ref))
		return -errno;
	while (depth--)
		if (dsm_return_mut(dsm, open[depth]))
			return -errno;
	return 0;
}

TEST_F(borrow, a_list_grows_on_all_nodes_in_turn)
{
	struct exchange own = { .n = 0 };
	const struct dsm_ref *ref;
	unsigned int n = 0;

	for (unsigned int i = 0; i < 30; i++) {
		struct exchange *next = i % 3 == 0   ? self->x
					: i % 3 == 1 ? self->t
						     : &own;
		struct exchange *last = i % 3 == 0   ? &own
					: i % 3 == 1 ? self->x
						     : self->t;

		next->ref = last->ref;
		ASSERT_EQ(0, i % 3 == 2 ? list_append(self->dsm, next)
					: worker_run(i % 3 ? &self->tight
							   : &self->peer,
						     list_append));
	}
	for (ref = &own.ref; ref->addr; n++) {
		const struct item *item = dsm_borrow(self->dsm, ref);

		ASSERT_NE(NULL, item);
		EXPECT_EQ(n, item->value);
		ref = &item->next;
	}
	EXPECT_EQ(30, n);
}

#define BUCKETS 16

struct map {
	struct dsm_ref bucket[BUCKETS];
};

/* Takes a large object of handles and fills its empty buckets with small ones. */
static long map_fill(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;
	struct map *map = dsm_borrow_mut(dsm, &x->ref, 0);

	if (!map)
		return -errno;
	for (unsigned int i = x->n; i < BUCKETS; i += 2)
		if (!make(dsm, 64, i, &map->bucket[i]))
			return -errno;
	return dsm_return_mut(dsm, &x->ref) ? -errno : 0;
}

TEST_F(borrow, moving_a_large_parent_keeps_its_children)
{
	const struct map *map;
	struct dsm_ref ref;

	ASSERT_NE(NULL, dsm_alloc(self->dsm, 3 * PAGE_BYTES, &ref));
	ASSERT_EQ(0, dsm_return_mut(self->dsm, &ref));
	EXPECT_EQ(0, ask(&self->peer, map_fill, &ref, 0));
	self->t->n = 1;
	EXPECT_EQ(0, ask(&self->tight, map_fill, &self->x->ref, 0));
	map = dsm_borrow(self->dsm, &self->t->ref);
	ASSERT_NE(NULL, map);
	for (unsigned int i = 0; i < BUCKETS; i++) {
		EXPECT_EQ(i % 2 ? NODE_TIGHT : NODE_PEER,
			  dsm_home(self->dsm, address_of(&map->bucket[i])));
		EXPECT_EQ(0, check(self->dsm, &map->bucket[i], i));
	}
	EXPECT_EQ(0, dsm_return(self->dsm, &self->t->ref));
}

TEST_HARNESS_MAIN
