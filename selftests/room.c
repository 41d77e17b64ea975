// SPDX-License-Identifier: GPL-2.0-only
/*
 * A full partition: chunks that nothing is in any more serve objects of the other kind
 * and other regions, and no peer reads through a key, a copy or a handle of before.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

#include "harness.h"
#include "borrow.h"

#define MIB (1UL << 20)
#define NODE_PAGES (NODE_MEMORY_BYTES / PAGE_BYTES)
#define WATCHED 8

FIXTURE(room)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker peer;
	struct exchange *x;
	struct counters before[NODE_LAST + 1];
	struct dsm_ref *refs;
	struct dsm_ref watched[WATCHED]; /* old handles that the peer has read */
	bool cut; /* links were lost on purpose */
};

FIXTURE_SETUP(room)
{
	regions_clear();
	/* Its registrar stays, or it could not be removed. */
	ASSERT_EQ(0, region_name_at(NODE_HOME, self->region));
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, self->region, 0600));
	ASSERT_EQ(0,
		  worker_start(&self->peer, NODE_PEER, self->region, O_RDWR));
	self->x = self->peer.arg;
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	ASSERT_NE(NULL, self->dsm);
	self->refs = calloc(NODE_PAGES, sizeof(*self->refs));
	ASSERT_NE(NULL, self->refs);
	for (unsigned int node = NODE_HOME; node <= NODE_LAST; node++)
		ASSERT_EQ(0, counters_read(node, 0, &self->before[node]));
}

/* Keys die only when nobody uses them: no request fails, no link is lost. */
FIXTURE_TEARDOWN(room)
{
	for (unsigned int node = NODE_HOME; node <= NODE_LAST; node++) {
		struct counters c =
			counters_since(node, 0, &self->before[node]);

		EXPECT_EQ(0, COUNT(c, ERRORS));
		EXPECT_TRUE(self->cut || !COUNT(c, LINKS_LOST));
	}
	worker_stop(&self->peer);
	dsm_detach(self->dsm);
	free(self->refs);
	regions_clear();
}

/* Fills the partition; 0 if it was not a lack of space that ended it. */
static size_t fill(FIXTURE_DATA(room) * self, size_t bytes)
{
	size_t n = 0;

	while (n < NODE_PAGES && make(self->dsm, bytes, n, &self->refs[n]))
		n++;
	return n == NODE_PAGES || errno == ENOSPC ? n : 0;
}

static bool empty(FIXTURE_DATA(room) * self, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (drop(self->dsm, &self->refs[i]))
			return false;
	return true;
}

/* The peer has keys and copies of what is there now, and the handles. */
static bool watch(FIXTURE_DATA(room) * self, size_t n)
{
	for (size_t i = 0; i < WATCHED; i++) {
		size_t at = i * n / WATCHED;

		self->watched[i] = self->refs[at];
		if (ask(&self->peer, check_there, &self->watched[i], at))
			return false;
	}
	return true;
}

/* Old handles yield nothing, neither there nor here. */
static void expect_stale(struct __test_metadata *_metadata,
			 FIXTURE_DATA(room) * self)
{
	for (size_t i = 0; i < WATCHED; i++) {
		long err = ask(&self->peer, check_there, &self->watched[i], 0);

		EXPECT_TRUE(err == -ESTALE || err == -EACCES)
		{
			TH_LOG("%ld", err);
		}
		EXPECT_NE(0, check(self->dsm, &self->watched[i], 0));
	}
}

TEST_F_TIMEOUT(room, kinds_take_turns, 300)
{
	const size_t sizes[] = { MIB, SMALL_MAX_BYTES, PAGE_BYTES * 3, 640 };
	size_t most[4] = { 0 };

	for (unsigned int round = 0; round < 2; round++) {
		for (unsigned int k = 0; k < 4; k++) {
			size_t n = fill(self, sizes[k]);

			ASSERT_LT(WATCHED, n);
			/* All of the memory, each time. */
			EXPECT_EQ(round ? most[k] : n, n);
			most[k] = n;
			if (round || k)
				expect_stale(_metadata, self);
			for (size_t i = 0; i < n; i += n / 16)
				EXPECT_EQ(0, ask(&self->peer, check_there,
						 &self->refs[i], i));
			ASSERT_TRUE(watch(self, n));
			ASSERT_TRUE(empty(self, n));
		}
	}
	EXPECT_EQ(NODE_MEMORY_BYTES / MIB, most[0]);
	EXPECT_EQ(NODE_PAGES, most[1]);
}

TEST_F_TIMEOUT(room, what_peers_moved_away_makes_room, 300)
{
	size_t n = fill(self, MIB);

	ASSERT_EQ(NODE_MEMORY_BYTES / MIB, n);
	/* Its partition cannot take them all at a time. */
	for (size_t i = 0; i < n; i++) {
		ASSERT_EQ(0, ask(&self->peer, write_there, &self->refs[i], i));
		ASSERT_EQ(0, ask(&self->peer, drop_there, &self->x->ref, 0));
	}
	EXPECT_EQ(NODE_PAGES, fill(self, SMALL_MAX_BYTES));
}

TEST_F(room, of_one_region_for_another)
{
	struct worker other;
	struct exchange *x;
	char name[DSM_NAME_BYTES];
	size_t n;

	region_name(name);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, name, 0600));
	ASSERT_EQ(0, worker_start(&other, NODE_HOME, name, O_RDWR));
	x = other.arg;
	n = fill(self, MIB);
	ASSERT_TRUE(watch(self, n));
	x->bytes = MIB;
	EXPECT_EQ(-ENOSPC, worker_run(&other, make_there));
	ASSERT_TRUE(empty(self, n));
	for (size_t i = 0; i < n; i++)
		ASSERT_EQ(0, worker_run(&other, make_there));
	EXPECT_EQ(-ENOSPC, worker_run(&other, make_there));
	expect_stale(_metadata, self);
	/* And the first region has none. */
	EXPECT_FALSE(make(self->dsm, 64, 0, &self->refs[0]));
	EXPECT_EQ(ENOSPC, errno);
	worker_stop(&other);
	ASSERT_EQ(0, dsm_region_remove(NODE_HOME, name));
	EXPECT_EQ(n, fill(self, MIB));
}

TEST_F_TIMEOUT(room, what_is_frozen_there_next_is_read, 300)
{
	size_t n = fill(self, SMALL_MAX_BYTES);
	struct dsm_ref ref;
	void *p;

	ASSERT_EQ(NODE_PAGES, n);
	ASSERT_TRUE(watch(self, n));
	ASSERT_TRUE(empty(self, n));
	/* The same pages, which the peer has as copies of small objects. */
	p = dsm_alloc(self->dsm, NODE_MEMORY_BYTES, &ref);
	ASSERT_NE(NULL, p);
	pattern_fill(p, NODE_MEMORY_BYTES, 77);
	ASSERT_EQ(0, dsm_freeze(self->dsm, &ref));
	for (size_t i = 0; i < WATCHED; i++) {
		self->x->ptr =
			(void *)(self->watched[i].addr & ~(PAGE_BYTES - 1));
		EXPECT_EQ(0, worker_run(&self->peer, probe_read_there));
	}
	self->x->ref = ref;
	self->x->seed = 77;
	ASSERT_EQ(0, worker_post(&self->peer, check_there));
	EXPECT_EQ(0, worker_wait(&self->peer, 8 * WAIT_MS));
}

static long alloc_on_there(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	return dsm_alloc_on(dsm, x->node, x->bytes, &x->ref) ? -errno : 0;
}

TEST_F(room, a_peer_asks_for_it)
{
	size_t n = fill(self, MIB);
	struct dsm_ref ref;

	ASSERT_TRUE(watch(self, n));
	self->x->node = NODE_HOME;
	self->x->bytes = 640;
	EXPECT_EQ(-ENOSPC, worker_run(&self->peer, alloc_on_there));
	ASSERT_TRUE(empty(self, n));
	ASSERT_EQ(0, worker_run(&self->peer, alloc_on_there));
	ref = self->x->ref;
	EXPECT_EQ(0, rewrite(self->dsm, &ref, 0, 3));
	EXPECT_EQ(0, ask(&self->peer, check_there, &ref, 3));
	EXPECT_EQ(0, drop(self->dsm, &ref));
	self->x->bytes = NODE_MEMORY_BYTES;
	ASSERT_EQ(0, worker_run(&self->peer, alloc_on_there));
	EXPECT_EQ(0, drop(self->dsm, &self->x->ref));
}

/* What it has of ours could be taken for what comes next. */
TEST_F_TIMEOUT(room, while_a_peer_cannot_be_told_nothing_changes, 300)
{
	size_t n = fill(self, MIB);

	ASSERT_TRUE(watch(self, n));
	self->cut = true;
	ASSERT_EQ(0, node_set_up(NODE_TIGHT, false));
	ASSERT_TRUE(empty(self, n));
	EXPECT_FALSE(make(self->dsm, 64, 0, &self->refs[0]));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(n, fill(self, MIB));
	expect_stale(_metadata, self);
	ASSERT_TRUE(empty(self, n));
	ASSERT_EQ(0, node_set_up(NODE_TIGHT, true));
	ASSERT_TRUE(links_come_up());
	/* Its counters began anew. */
	ASSERT_EQ(0, counters_read(NODE_TIGHT, 0, &self->before[NODE_TIGHT]));
	EXPECT_EQ(NODE_PAGES, fill(self, SMALL_MAX_BYTES));
}

/* Of what was moved away under it, and is of the other kind now. */
TEST_F_TIMEOUT(room, a_borrow_of_what_was_there_is_SIGBUS, 300)
{
	struct worker tight;
	size_t n = fill(self, MIB);
	size_t at = n / 2;

	ASSERT_EQ(0, worker_start(&tight, NODE_TIGHT, self->region, O_RDWR));
	ASSERT_EQ(0, ask(&self->peer, borrow_there, &self->refs[at], 0));
	ASSERT_EQ(0, worker_run(&self->peer, probe_read_there));
	ASSERT_EQ(0, ask(&tight, write_there, &self->refs[at], 9));
	for (size_t i = 0; i < n; i++)
		if (i != at)
			ASSERT_EQ(0, drop(self->dsm, &self->refs[i]));
	ASSERT_EQ(NODE_PAGES, fill(self, SMALL_MAX_BYTES));
	for (unsigned int i = 0; i < 3; i++) {
		EXPECT_EQ(SIGBUS, worker_run(&self->peer, probe_read_there));
		self->x->ptr = (char *)self->x->ptr + 3 * PAGE_BYTES;
	}
	EXPECT_EQ(0, worker_run(&self->peer, return_there));
	for (size_t i = 0; i < NODE_PAGES; i += 97)
		EXPECT_EQ(0, ask(&self->peer, check_there, &self->refs[i], i));
	EXPECT_EQ(0, check(self->dsm, &((struct exchange *)tight.arg)->ref, 9));
	worker_stop(&tight);
}

/* Processes allocate and free one kind each, side by side, in too little memory. */
static long churn(struct dsm *dsm, void *arg)
{
	struct exchange *x = arg;

	for (unsigned int i = 0; i < x->n; i++) {
		unsigned int n = 0;

		while (n < EXCHANGE_REFS &&
		       make(dsm, x->bytes, x->seed + n, &x->refs[n]))
			n++;
		if (n < EXCHANGE_REFS && errno != ENOSPC)
			return -errno;
		x->counts[0] += n;
		while (n--) {
			if (check(dsm, &x->refs[n], x->seed + n))
				return -EIO;
			if (drop(dsm, &x->refs[n]))
				return -errno;
		}
	}
	return 0;
}

TEST_F_TIMEOUT(room, kinds_side_by_side, 300)
{
	static const size_t sizes[] = { 128 * PAGE_BYTES, SMALL_MAX_BYTES, 64 };
	struct worker w[3];

	for (unsigned int i = 0; i < 3; i++) {
		struct exchange *x;

		ASSERT_EQ(0,
			  worker_start(&w[i], NODE_HOME, self->region, O_RDWR));
		x = w[i].arg;
		x->bytes = sizes[i];
		x->seed = 1000 * i;
		x->n = rounds(10);
		memset(x->counts, 0, sizeof(x->counts));
	}
	ASSERT_NE(NULL, dsm_alloc(self->dsm, NODE_MEMORY_BYTES * 3 / 4,
				  &self->refs[0]));
	for (unsigned int i = 0; i < 3; i++)
		ASSERT_EQ(0, worker_post(&w[i], churn));
	for (unsigned int i = 0; i < 3; i++) {
		EXPECT_EQ(0, worker_wait(&w[i], 8 * WAIT_MS));
		TH_LOG("%zu bytes: %u made", sizes[i],
		       ((struct exchange *)w[i].arg)->counts[0]);
		worker_stop(&w[i]);
	}
}

TEST_HARNESS_MAIN
