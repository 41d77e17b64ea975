// SPDX-License-Identifier: GPL-2.0-only
/*
 * A region's end: its processes get SIGBUS and EIDRM at once on all nodes, its
 * memory goes back, and nobody ever sees a copy of what was there.
 */
#include <fcntl.h>
#include <signal.h>

#include "harness.h"

#define OBJECT_BYTES (4UL << 20)

struct task {
	unsigned char *addr;
	size_t offset;
	uint32_t seed;
	struct dsm_ref ref;
	char name[DSM_NAME_BYTES];
	volatile int entered;
};

FIXTURE(revoke)
{
	char region[DSM_NAME_BYTES];
	struct dsm *dsm;
	struct worker peer, tight;
	struct task *task; /* the peer's */
	struct dsm_ref ref;
	uint64_t chunks; /* of the home, before */
};

static long set_up(FIXTURE_DATA(revoke) * self, uint32_t seed)
{
	struct task *tight;
	long err;

	region_name(self->region);
	if (dsm_region_create(NODE_HOME, self->region, 0600))
		return -errno;
	err = worker_start(&self->peer, NODE_PEER, self->region, O_RDWR);
	if (!err)
		err = worker_start(&self->tight, NODE_TIGHT, self->region,
				   O_RDWR);
	if (err)
		return err;
	self->task = self->peer.arg;
	tight = self->tight.arg;
	self->dsm = attach_at(NODE_HOME, self->region, O_RDWR);
	if (!self->dsm)
		return -errno;
	self->task->addr = dsm_alloc(self->dsm, OBJECT_BYTES, &self->ref);
	if (!self->task->addr)
		return -errno;
	self->task->seed = seed;
	pattern_fill(self->task->addr, OBJECT_BYTES, seed);
	if (dsm_freeze(self->dsm, &self->ref))
		return -errno;
	*tight = *self->task;
	return 0;
}

static void tear_down(FIXTURE_DATA(revoke) * self)
{
	worker_stop(&self->peer);
	worker_stop(&self->tight);
	dsm_detach(self->dsm);
	self->dsm = NULL;
}

FIXTURE_SETUP(revoke)
{
	regions_clear();
	self->chunks = counter_now(NODE_HOME, DSM_COUNTER_GAUGE_CHUNKS);
	ASSERT_EQ(0, set_up(self, 21));
}

FIXTURE_TEARDOWN(revoke)
{
	tear_down(self);
	regions_clear();
}

static long check(struct dsm *dsm, void *arg)
{
	const struct task *t = arg;

	(void)dsm;
	return pattern_check(t->addr, OBJECT_BYTES, t->seed);
}

static long read_there(struct dsm *dsm, void *arg)
{
	const struct task *t = arg;

	(void)dsm;
	return probe_read(t->addr + t->offset);
}

TEST_F(revoke, access_is_SIGBUS_on_all_nodes)
{
	/* The first page is cached on the peer, the last one is not. */
	ASSERT_EQ(0, worker_run(&self->peer, read_there));
	ASSERT_EQ(0, probe_read(self->task->addr));
	ASSERT_EQ(0, dsm_region_remove(NODE_PEER, self->region));

	EXPECT_EQ(SIGBUS, probe_read(self->task->addr));
	EXPECT_EQ(SIGBUS, probe_read(self->task->addr + OBJECT_BYTES - 1));
	EXPECT_EQ(SIGBUS, worker_run(&self->peer, read_there));
	EXPECT_EQ(SIGBUS, worker_run(&self->tight, read_there));
	self->task->offset = OBJECT_BYTES - 1;
	EXPECT_EQ(SIGBUS, worker_run(&self->peer, read_there));
}

static long try_all(struct dsm *dsm, void *arg)
{
	struct task *t = arg;
	struct dsm_ref ref;

	if (dsm_alloc(dsm, PAGE_BYTES, &ref) || errno != EIDRM)
		return 1;
	ref = t->ref;
	if (!object_drop(dsm, &ref) || errno != EIDRM)
		return 2;
	ref = t->ref;
	if (!dsm_freeze(dsm, &ref) || errno != EIDRM)
		return 3;
	if (!dsm_publish(dsm, "name", &t->ref) || errno != EIDRM)
		return 4;
	if (dsm_lookup(dsm, "name", 0, NULL) || errno != EIDRM)
		return 5;
	if (dsm_lookup(dsm, "name", WAIT_MS, NULL) || errno != EIDRM)
		return 6;
	return 0;
}

TEST_F(revoke, requests_are_EIDRM_on_all_nodes)
{
	self->task->ref = self->ref;
	ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->region));
	EXPECT_EQ(0, try_all(self->dsm, self->task));
	EXPECT_EQ(0, worker_run(&self->peer, try_all));
	worker_stop(&self->tight);
	EXPECT_EQ(-ENOENT,
		  worker_start(&self->tight, NODE_TIGHT, self->region, O_RDWR));
}

static long wait_for_name(struct dsm *dsm, void *arg)
{
	struct task *t = arg;

	t->entered = 1;
	return dsm_lookup(dsm, "never", WAIT_MS, NULL) ? 0 : -errno;
}

TEST_F(revoke, waiting_lookup_ends_with_EIDRM)
{
	ASSERT_EQ(0, worker_post(&self->peer, wait_for_name));
	ASSERT_TRUE(worker_sleeps(&self->peer, &self->task->entered));
	ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->region));
	EXPECT_EQ(-EIDRM, worker_wait(&self->peer, WAIT_MS / 2));
}

static bool chunks_are_back(void *arg)
{
	const FIXTURE_DATA(revoke) *self = arg;

	return counter_now(NODE_HOME, DSM_COUNTER_GAUGE_CHUNKS) == self->chunks;
}

TEST_F(revoke, home_gets_its_chunks_back_though_processes_stay_attached)
{
	struct counters before, c;

	ASSERT_EQ(-1, worker_run(&self->peer, check));
	ASSERT_EQ(0, counters_read(NODE_HOME, 0, &before));
	ASSERT_LT(self->chunks, before.v[DSM_COUNTER_GAUGE_CHUNKS]);
	ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->region));
	EXPECT_TRUE(wait_until(chunks_are_back, self, WAIT_MS));
	c = counters_since(NODE_HOME, 0, &before);
	EXPECT_EQ(before.v[DSM_COUNTER_GAUGE_CHUNKS] - self->chunks,
		  COUNT(c, CHUNKS_RELEASED));
}

TEST_F(revoke, peers_copies_are_revoked)
{
	struct counters before, c;

	ASSERT_EQ(-1, worker_run(&self->peer, check));
	ASSERT_EQ(0, counters_read(NODE_PEER, 0, &before));
	EXPECT_LE(OBJECT_BYTES / PAGE_BYTES,
		  before.v[DSM_COUNTER_GAUGE_COPIES]);
	ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->region));
	c = counters_since(NODE_PEER, 0, &before);
	EXPECT_EQ(OBJECT_BYTES / PAGE_BYTES, COUNT(c, PAGES_REVOKED));
	EXPECT_EQ(0, COUNT(c, LINKS_LOST));
	EXPECT_EQ(0, COUNT(c, ERRORS));
}

TEST_F(revoke, memory_is_used_again_without_a_stale_byte)
{
	unsigned char *first = self->task->addr;
	bool reused = false;

	/* Keys and addresses change, the old ones must not be used. */
	for (uint32_t i = 0; i < rounds(6); i++) {
		struct counters before, c;
		unsigned char *p;

		ASSERT_EQ(0, counters_read(NODE_PEER, 0, &before));
		EXPECT_EQ(-1, worker_run(&self->peer, check));
		EXPECT_EQ(-1, worker_run(&self->tight, check));
		c = counters_since(NODE_PEER, 0, &before);
		EXPECT_EQ(0, COUNT(c, LINKS_LOST));
		EXPECT_EQ(0, COUNT(c, ERRORS));
		ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->region));
		tear_down(self);
		ASSERT_TRUE(wait_until(chunks_are_back, self, WAIT_MS));
		ASSERT_EQ(0, set_up(self, 22 + i));
		reused |= self->task->addr == first;
		p = dsm_alloc(self->dsm, OBJECT_BYTES, &self->ref);
		ASSERT_NE(NULL, p);
		EXPECT_TRUE(is_zero(p, OBJECT_BYTES));
		memset(p, 0xff, OBJECT_BYTES);
	}
	EXPECT_TRUE(reused);
}

static long fault_until_signal(struct dsm *dsm, void *arg)
{
	struct task *t = arg;
	uint32_t state = 5;

	(void)dsm;
	for (;;) {
		size_t page = next_random(&state) % (OBJECT_BYTES / PAGE_BYTES);
		const uint64_t *word = (void *)(t->addr + page * PAGE_BYTES);
		int sig = probe_read(word);

		if (sig)
			return sig;
		t->entered = 1;
	}
}

static bool has_entered(void *arg)
{
	return *(volatile int *)arg;
}

TEST_F(revoke, removal_in_the_middle_of_faults_is_SIGBUS)
{
	for (uint32_t i = 0; i < rounds(4); i++) {
		struct task *tight = self->tight.arg;

		tight->entered = 0;
		self->task->entered = 0;
		ASSERT_EQ(0, worker_post(&self->tight, fault_until_signal));
		ASSERT_EQ(0, worker_post(&self->peer, fault_until_signal));
		ASSERT_TRUE(wait_until(has_entered, (void *)&tight->entered,
				       WAIT_MS));
		ASSERT_TRUE(wait_until(has_entered,
				       (void *)&self->task->entered, WAIT_MS));
		ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->region));
		EXPECT_EQ(SIGBUS, worker_wait(&self->tight, 5000));
		EXPECT_EQ(SIGBUS, worker_wait(&self->peer, 5000));
		tear_down(self);
		EXPECT_TRUE(wait_until(chunks_are_back, self, WAIT_MS));
		ASSERT_EQ(0, set_up(self, 30 + i));
	}
}

static long alloc_as(struct dsm *dsm, void *arg)
{
	struct task *t = arg;

	if (!dsm_alloc(dsm, PAGE_BYTES, &t->ref))
		return -errno;
	return 0;
}

TEST_F(revoke, other_regions_go_on)
{
	char region[DSM_NAME_BYTES];
	struct worker w;
	struct task *t;

	region_name(region);
	ASSERT_EQ(0, dsm_region_create(NODE_HOME, region, 0600));
	ASSERT_EQ(0, worker_start(&w, NODE_HOME, region, O_RDWR));
	t = w.arg;
	ASSERT_EQ(0, worker_run(&w, alloc_as));
	t->addr = (unsigned char *)(uintptr_t)t->ref.addr;
	ASSERT_EQ(0, worker_run(&w, read_there));
	ASSERT_EQ(0, dsm_region_remove(NODE_HOME, self->region));
	EXPECT_EQ(0, worker_run(&w, read_there));
	EXPECT_EQ(0, worker_run(&w, alloc_as));
	worker_stop(&w);
}

TEST_HARNESS_MAIN
